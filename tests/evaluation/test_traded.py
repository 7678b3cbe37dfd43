"""Predictions traded as a config says, on six candles whose outcome can be told by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tasks import small_config

from mtf.config.schema import Config
from mtf.errors import ConfigError, DataError
from mtf.evaluation.traded import HOLD, RANDOM, Traded, bars_of, broker_of, portfolio_of, trade
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import DataSource, Request
from mtf.predictions import Predictions

MINUTE = Timeframe.parse("1m")
START = 1_704_067_200_000
OPENS = np.array([100.0, 100.0, 110.0, 121.0, 121.0, 100.0])


class Six(DataSource):
    """Six minutes of any symbol that go where they are told; a source of 20 lines suffices."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        self.asked += requests
        return [self._candles(one) for one in requests]

    def _candles(self, asked: Request) -> Candles:
        frame = asked.timeframe
        opens = START + frame.duration_ms * np.arange(6)
        close = np.append(OPENS[1:], 100.0)
        high, low = np.maximum(OPENS, close), np.minimum(OPENS, close)
        rows = np.stack([OPENS, high, low, close, np.ones(6)], axis=1)
        return Candles.from_rows(asked.symbol, frame, opens, rows)


def said(*actions: int) -> Predictions:
    """One decision a minute from the second candle's open on; 0 buys, 1 sells, 2 holds."""
    times = START + 60_000 * np.arange(1, 1 + len(actions))
    probs = np.eye(3)[list(actions)] * 0.7 + 0.1
    names = ("prob_buy", "prob_sell", "prob_hold")
    columns = {f"action.{name}": probs[:, k] for k, name in enumerate(names)}
    return Predictions(times, "ETHUSDT", "test", columns)


def config(**costs: float | str) -> Config:
    return small_config(costs={"commission": 0.0, **costs}, backtest={"used": 1.0})


def traded(settings: Config, *actions: int) -> Traded:
    bars = bars_of(settings, Six(), "ETHUSDT", START, START + 6 * 60_000)
    return trade(settings, said(*actions), bars)


def test_what_is_said_fills_at_the_next_open_beside_buy_and_hold() -> None:
    """Long from 100 to 121, flat, short from 121 to the last close, 100."""
    found = traded(config(), 0, 0, 2, 1)
    assert found.outcome.equity[-1] == pytest.approx(100_000 * 1.21 * (2 - 100 / 121))
    assert found.outcomes[HOLD].equity[-1] == pytest.approx(100_000)  # from 100 to 100
    own = found.metrics["strategy"]["total_return"].value
    assert own == pytest.approx(1.21 * (2 - 100 / 121) - 1)
    assert set(found.outcomes) == {"strategy", HOLD, "momentum_rule", RANDOM}


def test_the_costs_of_the_config_are_those_of_the_broker() -> None:
    """A tenth of every fill: 100,000 buys 90,909.09 of coins for 100,000 with its commission."""
    free, dear = traded(config(), 0, 2), traded(config(commission=0.1), 0, 2)
    assert free.outcome.equity[-1] == pytest.approx(110_000)
    assert dear.outcome.commission.sum() > 0
    assert dear.outcome.equity[-1] < free.outcome.equity[-1] - 15_000
    assert broker_of(config(slippage_bps=3.0)).slippage_bps == 3.0


def test_the_grid_holds_the_same_decisions_at_other_costs_and_delays() -> None:
    found = traded(config(), 0, 0, 2, 1)
    free = {one.delay: one.net.total_return for one in found.grid if one.commission_bps == 0}
    assert free[0] == pytest.approx(found.metrics["strategy"]["total_return"].value)
    # a minute later: in at 110, out at 121, short from 100
    assert free[1] == pytest.approx(0.1)


def test_confident_is_what_was_confident_before() -> None:
    settings = config()
    bars = bars_of(settings, Six(), "ETHUSDT", START, START + 6 * 60_000)
    hindsight = trade(settings, said(0, 0, 2, 1), bars)
    fixed = trade(settings, said(0, 0, 2, 1), bars, before=said(0, 1, 0))
    assert all(one.in_hindsight for one in hindsight.coverage)
    assert not any(one.in_hindsight for one in fixed.coverage)


def test_what_a_baseline_said_is_traded_by_the_same_policy() -> None:
    """The model sits still, the baseline is long from 100 to 121; the prior is not traded."""
    model, other = said(2, 2, 2, 2), said(0, 0, 2, 2)
    columns = {f"baseline.lightgbm.{name}": column for name, column in other.arrays.items()}
    prior = {f"baseline.class_prior.{name}": column for name, column in other.arrays.items()}
    settings = config()
    bars = bars_of(settings, Six(), "ETHUSDT", START, START + 6 * 60_000)
    both = replace(model, arrays={**model.arrays, **columns, **prior})
    found = trade(settings, both, bars)
    assert found.outcome.equity[-1] == 100_000
    assert found.outcomes["lightgbm"].equity[-1] == pytest.approx(121_000)
    assert "class_prior" not in found.outcomes


def test_a_late_order_asks_for_the_finest_stream_of_the_symbol() -> None:
    streams = {"1s": {"lookback": 8}, "btc": {"timeframe": "1s", "symbol": "BTCUSDT"}}
    late = small_config(streams=streams, costs={"order_latency_ms": 1_500})
    source = Six()
    bars = bars_of(late, source, "ETHUSDT", START, START + 6 * 60_000)
    assert [str(one.timeframe) for one in source.asked] == ["1m", "1s"]
    assert bars.fine is not None
    assert bars.fine.timeframe == Timeframe.parse("1s")


def test_funding_is_read_from_the_file_of_the_symbol(tmp_path: Path) -> None:
    """Longs pay a hundredth of 110,000 at 00:02, just before the price of that open moves on."""
    hour = 3_600_000
    times = START + 120_000 + hour * np.arange(-2, 3)
    rates = pd.DataFrame({"time_ms": times, "funding_rate": 0.01})
    rates.to_csv(tmp_path / "ETHUSDT.csv", index=False)
    found = traded(config(funding=str(tmp_path / "{symbol}.csv")), 0, 0, 0, 0, 0)
    assert found.outcome.funding.sum() == pytest.approx(1_100)
    with pytest.raises(DataError, match="no file"):
        traded(config(funding=str(tmp_path / "gone.csv")), 0)


def test_what_the_policy_misses_is_named() -> None:
    bars = bars_of(config(), Six(), "ETHUSDT", START, START + 6 * 60_000)
    with pytest.raises(DataError, match=r"action\.prob_buy"):
        trade(config(), Predictions(np.array([START + 60_000]), "ETHUSDT", "test", {}), bars)
    with pytest.raises(ConfigError, match="backtest is null"):
        trade(small_config(backtest=None), said(0), bars)


def test_a_portfolio_is_the_mean_of_its_symbols_day_by_day() -> None:
    up, flat = traded(config(), 0, 0), traded(config(), 2, 2)
    days, returns = portfolio_of([up, flat])
    assert days.tolist() == [START // 86_400_000]
    assert returns[0] == pytest.approx(up.outcome.daily()[1][0] / 2)
    assert len(portfolio_of([])[0]) == 0
