"""Fills of late orders in finer candles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from money import FREE, MINUTE, bars_of, flat, targets_of, traded

from mtf.errors import DataError
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.sequence import Sequence

MINUTES = [flat(100.0), (100.0, 159.0, 100.0, 159.0), flat(160.0), flat(160.0)]


def seconds(missing: range = range(0)) -> Bars:
    """Seconds of the second minute, each a step up of one; flat before and after."""
    prices = [100.0] * 60 + [100.0 + s for s in range(60)] + [160.0] * 120
    return bars_of([None if s in missing else flat(p) for s, p in enumerate(prices)], None, "1s")


def late(fine: Bars | None, weights: dict[float, float], seconds_late: float = 2.5) -> Outcome:
    return traded(bars_of(MINUTES, fine=fine), weights, order_latency_ms=int(1000 * seconds_late))


def test_a_late_order_is_filled_at_the_next_open_of_the_finest_candles() -> None:
    outcome = late(seconds(), {1: 1})
    assert outcome.fills["price"].tolist() == [103]
    assert outcome.fills["time"].astype("int64").tolist() == [63_000]
    assert outcome.equity == pytest.approx([1000, 1000 / 103 * 159, *[1000 / 103 * 160] * 2])


def test_without_finer_candles_it_waits_for_the_next_bar() -> None:
    assert late(None, {1: 1}).fills["price"].tolist() == [160]


def test_where_finer_candles_are_missing_the_bars_serve() -> None:
    assert late(seconds(range(63, 65)), {1: 1}).fills["price"].tolist() == [105]
    assert late(seconds(range(63, 240)), {1: 1}).fills["price"].tolist() == [160]
    assert late(seconds(range(60, 120)), {1: 1}).fills["price"].tolist() == [160]


def test_only_bars_in_which_an_order_arrives_are_refined() -> None:
    bars = bars_of(MINUTES, fine=seconds())
    times = np.arange(4, dtype=np.int64) * MINUTE
    found = Sequence.of(times, np.array([0.0, 1.0, 1.0, np.nan]), bars, 2_500)
    assert len(found.valid) == 3 + 60
    assert (np.diff(found.open_time) > 0).all()
    assert (found.open_time[1:] == found.close_time[:-1]).all()
    same = Sequence.of(times, np.zeros(4), bars, 2_500)
    assert np.array_equal(same.open_time, bars.open_time)


def test_costs_of_a_refined_bar_are_told_bar_by_bar() -> None:
    bars = replace(bars_of(MINUTES, {1.5: 0.01, 2: 0.01}), fine=seconds())
    weights = targets_of({1: 1, 2: 0})
    terms = Broker(**{**FREE, "commission": 0.01, "order_latency_ms": 2_500, "used": 0.5})
    outcome = Candle().run(weights, bars, terms)
    size = 500 / 103
    assert outcome.commission == pytest.approx([0, 5, size * 1.6, 0])
    assert outcome.funding == pytest.approx([0, size * 1.3, size * 1.6, 0])
    assert outcome.close_time.tolist() == (np.arange(1, 5) * MINUTE).tolist()
    assert outcome.equity[-1] - 1000 == pytest.approx(outcome.trades["pnl"].sum())


def test_without_latency_the_bars_open_is_the_entry() -> None:
    assert late(seconds(), {1: 1}, 0).fills["price"].tolist() == [100]


def test_a_stop_in_the_finer_candles_comes_in_their_order() -> None:
    down = [flat(100.0), (100.0, 110.0, 80.0, 110.0)]
    prices = [100.0] * 60 + [80.0] * 30 + [110.0] * 30
    fine = bars_of([flat(p) for p in prices], None, "1s")
    weights = targets_of({1: 1}, stop_loss=0.1, take_profit=0.1)
    outcome = traded(bars_of(down, fine=fine), weights, order_latency_ms=40_000)
    assert outcome.fills["type"].tolist() == ["open"]  # bought at 110, after the fall


@pytest.mark.parametrize("fine", [
    replace(seconds(), symbol="BTCUSDT"), bars_of(MINUTES), bars_of(MINUTES, None, "7s"),
])  # fmt: skip
def test_candles_that_do_not_fit_are_refused(fine: Bars) -> None:
    with pytest.raises(DataError, match="fills of ETHUSDT 1m from"):
        late(fine, {1: 1})
