"""Resamples of periods have the figures of their bars."""

from __future__ import annotations

import numpy as np
import pytest
from accounts import CAPITAL, account, earning
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.trading import intervals, metrics
from mtf.trading.periods import MOST_PERIODS, Periods, periods
from mtf.trading.resamples import resampled_rows


def joined_bars(returns: np.ndarray, timeframe: str) -> Periods:
    return periods(earning(returns, timeframe))


def test_periods_are_days_or_bars_or_bars_joined() -> None:
    days = joined_bars(np.zeros(24 * 20 + 1), "1h")
    assert (days.over, len(days), days.sums[-1, 0]) == ("days", 21, 1)  # the last one has an hour
    assert (days.sums[:-1, 0] == 24).all()
    bars = joined_bars(np.zeros(24 * 19), "1h")
    assert (bars.over, len(bars)) == ("bars", 456)
    many = joined_bars(np.zeros(12_345), "1s")
    assert len(many) <= MOST_PERIODS
    assert many.sums[:, 0].sum() == 12_345


@settings(max_examples=10)
@given(st.integers(0, 50))
def test_a_resample_of_days_has_the_figures_of_its_bars(seed: int) -> None:
    random = np.random.default_rng(seed)
    returns = random.normal(0, 0.02, 24 * 20)
    joined = joined_bars(returns, "1h")
    (rows,) = resampled_rows(20, 5, seed=seed)
    found = intervals._figures(joined, rows, 8760.0)
    hour = earning(returns, "1h").timeframe
    for k, days in enumerate(rows):
        drawn = returns.reshape(20, 24)[days].reshape(-1)
        equity = 100 * np.cumprod(1 + drawn)
        expected = {
            "total_return": metrics.total_return(equity, 100.0),
            "cagr": metrics.cagr(equity, 100.0, hour),
            "sharpe_ratio": metrics.sharpe_ratio(drawn, hour),
            "sortino_ratio": metrics.sortino_ratio(drawn, hour),
            "max_drawdown": metrics.max_drawdown(equity, 100.0),
            "calmar": metrics.calmar(equity, 100.0, hour),
        }
        assert {name: found[name][k] for name in expected} == pytest.approx(expected)


def test_turnover_and_exposure_are_resampled_too() -> None:
    # every second day is in the market and trades once its equity
    position = [1.0, 0.0] * 15
    fills = [(day, 100.0, 1.0) for day in range(0, 30, 2)]
    outcome = account([CAPITAL] * 30, position=position, fills=fills)
    found = metrics.trading_metrics(outcome, resamples=200)
    assert found["turnover"].value == pytest.approx(365 / 2)
    for name in ("exposure", "turnover"):
        assert found[name].low < found[name].value < found[name].high


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(5), 0
    truth = 0.1 * np.sqrt(365)
    for _ in range(40):
        found = metrics.trading_metrics(earning(random.normal(0.001, 0.01, 250)), resamples=100)
        covered += found["sharpe_ratio"].low <= truth <= found["sharpe_ratio"].high
    assert 33 <= covered <= 40


def test_round_trips_are_drawn_in_blocks() -> None:
    pnl = np.array([1.0, -1.0] * 40)
    wins = intervals.of_trades(pnl, 300, 0)["win_rate"]
    # blocks of 4 neighbours always hold as many winners as losers
    assert wins == (0.5, 0.5, "trades")
    assert intervals.of_trades(pnl[:1], 300, 0) == {}


def test_the_same_seed_gives_the_same_interval() -> None:
    outcome = earning(np.random.default_rng(0).normal(0, 0.01, 90))
    first, again, other = (metrics.trading_metrics(outcome, 50, seed) for seed in (1, 1, 2))
    assert first["cagr"] == again["cagr"]
    assert first["cagr"] != other["cagr"]
