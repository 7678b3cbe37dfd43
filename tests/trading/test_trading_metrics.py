"""Figures of accounts of a few bars, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from accounts import account, earning
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from money import flat, traded

from mtf.market.timeframe import Timeframe
from mtf.trading import metrics

DAY, MINUTE = Timeframe.parse("1d"), Timeframe.parse("1m")
UP_DOWN = np.array([110.0, 99.0, 118.8, 106.92])
"""From 100: +10 %, -10 %, +20 %, -10 %."""
RETURNS = np.array([0.1, -0.1, 0.2, -0.1])
some_returns = arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.2, 0.25))


def test_total_return_and_growth_a_year() -> None:
    assert metrics.total_return(UP_DOWN, 100.0) == pytest.approx(0.0692)
    assert metrics.cagr(UP_DOWN, 100.0, DAY) == pytest.approx(1.0692 ** (365 / 4) - 1)
    two_years = np.full(730, 100.0)
    two_years[-1] = 121
    assert metrics.cagr(two_years, 100.0, DAY) == pytest.approx(0.1)


def test_sharpe_and_sortino_of_four_days() -> None:
    # mean 0.025; squares 0.01 + 0.01 + 0.04 + 0.01 = 0.07, less 4·0.025² = 0.0675; over 3
    assert metrics.sharpe_ratio(RETURNS, DAY) == pytest.approx(
        0.025 / np.sqrt(0.0675 / 3) * np.sqrt(365)
    )
    # two bars lost 0.1: √(0.02 / 4)
    assert metrics.sortino_ratio(RETURNS, DAY) == pytest.approx(
        0.025 / np.sqrt(0.005) * np.sqrt(365)
    )


def test_root_252_on_minute_bars() -> None:
    assert metrics.bars_per_year(MINUTE) == 525_600
    assert metrics.bars_per_year(Timeframe.parse("1s")) == 31_536_000
    by_minute, by_day = (metrics.sharpe_ratio(RETURNS, frame) for frame in (MINUTE, DAY))
    assert by_minute == pytest.approx(0.025 / 0.15 * np.sqrt(525_600))
    assert by_minute / by_day == pytest.approx(np.sqrt(1440))
    assert by_minute != pytest.approx(0.025 / 0.15 * np.sqrt(252))


def test_the_ratio_hardly_depends_on_how_finely_time_is_cut() -> None:
    minutes = np.random.default_rng(0).normal(1e-6, 1e-4, 1440 * 300)
    days = np.expm1(np.log1p(minutes).reshape(300, 1440).sum(axis=1))
    fine, coarse = metrics.sharpe_ratio(minutes, MINUTE), metrics.sharpe_ratio(days, DAY)
    assert fine == pytest.approx(coarse, rel=0.1)


def test_drawdown_and_how_long_it_lasted() -> None:
    # peaks 110 and 118.8; 99 is a tenth below the first, 106.92 below the second
    assert metrics.max_drawdown(UP_DOWN, 100.0) == pytest.approx(0.1)
    # below 100 from the start, back after three bars
    assert metrics.max_drawdown_duration(np.array([90.0, 95, 100, 101]), 100.0, DAY) == 3
    # peak at the first bar, below it to the end: three bars
    assert metrics.max_drawdown_duration(np.array([110.0, 90, 100, 109]), 100.0, DAY) == 3
    assert metrics.max_drawdown_duration(np.array([110.0, 90, 120, 120]), 100.0, DAY) == 2
    assert metrics.max_drawdown_duration(np.array([100.0, 110, 120]), 100.0, DAY) == 0
    assert metrics.max_drawdown_duration(np.array([90.0, 90]), 100.0, MINUTE) == 2 / 1440


def test_the_capital_is_the_first_peak() -> None:
    assert metrics.max_drawdown(np.array([80.0, 90.0]), 100.0) == pytest.approx(0.2)


def test_calmar() -> None:
    year = np.full(365, 110.0)
    year[0] = 80.0
    assert metrics.calmar(year, 100.0, DAY) == pytest.approx(0.1 / 0.2)


def test_round_trips() -> None:
    pnl = np.array([30.0, -10.0, 0.0, -5.0])
    assert metrics.win_rate(pnl) == 0.25
    assert metrics.profit_factor(pnl) == 2.0


def test_turnover_exposure_and_costs() -> None:
    outcome = account(
        [100, 50, 50, 50],
        position=[1, 1, 0, 0],
        fills=[(0, 100.0, 1.0), (2, 50.0, -1.0)],
        costs=(1.0, 0.5, -0.25),
        pnl=[-50],
    )
    found = metrics.trading_metrics(outcome, resamples=20)
    # all in at 100 and all out at 50 of 50: twice the equity in 4 days
    assert found["turnover"].value == pytest.approx(2 * 365 / 4)
    assert found["exposure"].value == 0.5
    assert [found[name].value for name in ("commission", "slippage", "funding", "costs")] == [
        4.0, 2.0, -1.0, 5.0,
    ]  # fmt: skip
    assert (found["num_trades"].value, found["win_rate"].value) == (1, 0)
    assert found["days"].value == 4


def test_what_is_undefined_is_nan_without_a_warning() -> None:
    for outcome in (account([]), account([100.0]), account([100.0] * 30)):
        found = metrics.trading_metrics(outcome, resamples=20)
        undefined = ("sharpe_ratio", "sortino_ratio", "calmar", "win_rate", "profit_factor")
        assert np.isnan([found[name].value for name in undefined]).all()
        assert np.isnan([found[name].low for name in undefined]).all()
        assert found["num_trades"].value == 0
    assert np.isnan(metrics.trading_metrics(account([]))["total_return"].value)
    assert metrics.trading_metrics(account([100.0] * 30))["max_drawdown"].value == 0
    assert np.isnan(metrics.sharpe_ratio(np.full(9, 0.1), DAY))  # gains every day alike
    assert np.isnan(metrics.sortino_ratio(np.full(9, 0.1), DAY))


@pytest.mark.parametrize("end", [0.0, -3.0])
def test_ruin_is_a_figure_too(end: float) -> None:
    found = metrics.trading_metrics(account([110.0, *[end] * 29]), resamples=50)
    assert found["total_return"].value == end / 100 - 1
    assert found["cagr"].value == -1
    assert found["max_drawdown"].value == pytest.approx(1 - end / 110)
    assert -1 <= found["total_return"].low <= found["total_return"].high
    assert all(np.isfinite(found[name].value) for name in ("sharpe_ratio", "calmar"))


def test_what_was_resampled_is_told() -> None:
    random = np.random.default_rng(1)
    days = metrics.trading_metrics(earning(random.normal(0, 0.01, 20 * 24), "1h"), resamples=50)
    assert days["sharpe_ratio"].over == "days"
    bars = metrics.trading_metrics(earning(random.normal(0, 0.01, 19 * 24), "1h"), resamples=50)
    assert bars["sharpe_ratio"].over == "bars"
    trades = metrics.trading_metrics(account([100.0] * 30, pnl=[1, -1, 2, -2, 3]), resamples=50)
    assert trades["win_rate"].over == "trades"
    assert trades["max_drawdown_duration"].over == trades["costs"].over == ""
    assert np.isnan(trades["num_trades"].low)


def test_an_engine_s_outcome_has_all_figures() -> None:
    candles = [flat(100.0), flat(110.0), flat(121.0), flat(110.0), flat(110.0)]
    found = metrics.trading_metrics(traded(candles, {1: 1.0, 3: 0.0}), resamples=20)
    assert found["total_return"].value == pytest.approx(0.0)  # bought at 110, sold at 110
    assert found["exposure"].value == pytest.approx(2 / 5)
    # 1,000 at 1,000, then 1,000 at the 1,100 of the bar before
    assert found["turnover"].value == pytest.approx((1 + 1000 / 1100) * 525_600 / 5)
    assert found["num_trades"].value == 1


@settings(max_examples=40)
@given(some_returns)
def test_figures_stay_in_their_bounds(returns: np.ndarray) -> None:
    outcome = earning(returns)
    found = metrics.trading_metrics(outcome, resamples=20)
    assert found["total_return"].value == pytest.approx(np.prod(1 + returns) - 1)
    assert 0 <= found["max_drawdown"].value < 1
    assert 0 <= found["max_drawdown_duration"].value <= len(returns)
    for name in ("total_return", "max_drawdown", "sharpe_ratio"):
        figure = found[name]
        assert np.isnan(figure.low) or figure.low <= figure.high


@settings(max_examples=40)
@given(some_returns, st.floats(0.1, 1000))
def test_the_size_of_the_account_does_not_matter(returns: np.ndarray, factor: float) -> None:
    equity = 100 * np.cumprod(1 + returns)
    for figure in (metrics.cagr, metrics.calmar, metrics.max_drawdown_duration):
        assert figure(equity * factor, 100 * factor, DAY) == pytest.approx(
            figure(equity, 100.0, DAY), rel=1e-6, abs=1e-9, nan_ok=True
        )
