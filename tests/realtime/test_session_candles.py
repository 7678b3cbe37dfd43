"""What a session was told, as candles; and when each of them counts as known."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import MINUTE

from mtf.errors import DataError
from mtf.market.asof import as_of
from mtf.market.candles import Candles
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.plugins import registry
from mtf.plugins.contracts import Request
from mtf.realtime.events import Closed
from mtf.realtime.session_candles import Given, as_decided, candles_of, on_time

M1, M5 = Timeframe.parse("1m"), Timeframe.parse("5m")
KEY = ("ETHUSDT", M1)
ROW = [100.0, 102.0, 99.0, 101.0, 5.0]


def closed(*minutes: int, at_ms: int, timeframe: Timeframe = M1, close: float = 101.0) -> Closed:
    """Candles that were told together."""
    opens = np.array(minutes, np.int64) * MINUTE
    rows = np.tile([*ROW[:3], close, ROW[4]], (len(minutes), 1))
    return Closed("ETHUSDT", timeframe, opens, rows, at_ms, "stream")


def test_what_was_told_becomes_candles_that_know_when_they_came() -> None:
    history = closed(0, 1, 2, at_ms=3 * MINUTE + 50)
    late = closed(4, at_ms=9 * MINUTE)
    early = closed(3, at_ms=4 * MINUTE - 7)  # the clocks differ by that
    other = closed(0, at_ms=5 * MINUTE + 20, timeframe=M5)
    found = candles_of([history, late, early, other], [KEY, ("BTCUSDT", M1)])
    assert list(found) == [KEY, ("BTCUSDT", M1)]
    assert len(found["BTCUSDT", M1]) == 0
    candles = found[KEY]
    assert candles.first_slot == 0
    assert candles.valid.all()
    assert candles.ohlcv.tolist() == [ROW] * 5
    assert candles.available_at is not None
    assert candles.available_at.tolist() == [
        *[3 * MINUTE + 50] * 3,
        4 * MINUTE,
        9 * MINUTE,
    ]


def test_a_gap_is_a_slot_without_a_candle_that_nobody_waits_for() -> None:
    candles = candles_of([closed(0, 2, at_ms=4 * MINUTE)], [KEY])[KEY]
    assert candles.valid.tolist() == [True, False, True]
    assert candles.available_at is not None
    assert candles.available_at.tolist() == [4 * MINUTE, 2 * MINUTE, 4 * MINUTE]


def test_a_candle_told_twice_with_other_values_is_refused() -> None:
    told = [closed(0, at_ms=MINUTE), closed(0, at_ms=MINUTE, close=100.0)]
    with pytest.raises(DataError, match="ETHUSDT 1m of the session"):
        candles_of(told, [KEY])


@pytest.mark.parametrize(
    ("latency_ms", "arrives_ms", "first_seen"),
    [
        # The candle of minute 0 closes at 1. Decisions are made 2 s after 1, 2, 3, …
        (0, 0, 1),
        (0, 1_999, 1),
        (0, 2_000, 1),
        (0, 2_001, 2),
        (0, 62_000, 2),
        (0, 62_001, 3),
        # With a latency of half a second it is not due before 2, whenever it comes.
        (500, 0, 2),
        (500, 2_000, 2),
        (500, 62_000, 2),
        (500, 62_001, 3),
    ],
)
def test_a_candle_counts_from_the_first_decision_that_was_made_after_it_came(
    latency_ms: int, arrives_ms: int, first_seen: int
) -> None:
    told = [closed(0, at_ms=MINUTE + arrives_ms)]
    seen = as_decided(candles_of(told, [KEY]), 2_000)[KEY]
    assert seen.available_at is not None
    assert seen.available_at.tolist() == [MINUTE + max(arrives_ms - 2_000, 0)]
    spec = StreamSpec("1m", "ETHUSDT", M1, "primary", 4, latency_ms, max_age=9.0)
    stream = compute_stream(spec, seen, registry.load("feature", "ohlcv")())
    known = as_of(stream, np.arange(1, 6, dtype=np.int64) * MINUTE)
    assert known.row.tolist() == [0 if minute >= first_seen else -1 for minute in range(1, 6)]


def test_by_the_timetable_nothing_is_late() -> None:
    arrived = candles_of([closed(0, at_ms=9 * MINUTE)], [KEY])
    (plain,) = on_time(arrived).values()
    assert plain.available_at is None
    assert as_decided(on_time(arrived), 2_000)[KEY] is not None
    assert as_decided(on_time(arrived), 2_000)[KEY].available_at is None


def test_what_is_asked_for_is_laid_out_whole() -> None:
    candles = candles_of([closed(2, 4, at_ms=5 * MINUTE)], [KEY])
    found, later, before = Given(candles).load(
        [Request(*KEY, start * MINUTE, end * MINUTE) for start, end in ((1, 7), (8, 10), (0, 1))]
    )
    assert found.first_slot == 1
    assert found.valid.tolist() == [False, True, False, True, False, False]
    assert found.ohlcv[1].tolist() == ROW
    assert (later.first_slot, later.valid.tolist()) == (8, [False, False])
    assert (before.first_slot, before.valid.tolist()) == (0, [False])
    (between,) = Given(candles).load([Request(*KEY, 90_000, 250_000)])
    assert (between.first_slot, between.valid.tolist()) == (2, [True, False, True])
    (empty,) = Given({KEY: Candles.empty(*KEY)}).load([Request(*KEY, 0, 2 * MINUTE)])
    assert empty.valid.tolist() == [False, False]
    with pytest.raises(DataError, match="no candles of ETHUSDT 5m were given, but of ETHUSDT 1m"):
        Given(candles).load([Request("ETHUSDT", M5, 0, MINUTE)])
