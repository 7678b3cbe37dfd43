"""A trade topic that falls silent alone: seen by the candle, and mended by a new connection."""

from __future__ import annotations

import numpy as np
import pytest
from feeding import candles_of, feeding, take_until
from listening import until

from mtf.market.timeframe import Timeframe
from mtf.realtime.events import Closed, Event, FeedFault, Key
from mtf.realtime.intake import Intake
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.silent_trades import SilentTrades

START = 1_748_736_000_000
MINUTE_MS = 60_000
ONE, SECOND = Timeframe.parse("1m"), Timeframe.parse("1s")
SOL: Key = ("SOLUSDT", ONE)
SECONDS: Key = ("SOLUSDT", SECOND)


def closed(timeframe: Timeframe, start_ms: int, volumes: list[float]) -> Closed:
    opens = start_ms + timeframe.duration_ms * np.arange(len(volumes), dtype=np.int64)
    ohlcv = np.column_stack([np.ones((len(volumes), 4)), volumes])
    return Closed("SOLUSDT", timeframe, opens, ohlcv, int(opens[-1]) + 61_000, "stream")


def words(watch: SilentTrades, *events: Closed) -> list[str]:
    return [fault.words for event in events for fault in watch.take(event)]


QUIET = closed(SECOND, START, [0.0] * 60)


@pytest.mark.parametrize("first", ["candle", "seconds"])
def test_a_candle_with_volume_of_seconds_without_any(first: str) -> None:
    both = [closed(ONE, START, [12.5]), QUIET]
    found = words(SilentTrades(ONE), *(both if first == "candle" else both[::-1]))
    assert found == [
        "SOLUSDT 1s: no trade came in the 1m from 2025-06-01 00:00 on, of which the candle says "
        "12.5"
    ]


def test_what_is_as_it_should_be() -> None:
    traded = closed(SECOND, START, [0.0] * 59 + [0.1])
    assert words(SilentTrades(ONE), traded, closed(ONE, START, [12.5])) == []
    assert words(SilentTrades(ONE), QUIET, closed(ONE, START, [0.0])) == []
    half = closed(SECOND, START, [0.0] * 59)  # one of them is in a gap: nobody knows
    assert words(SilentTrades(ONE), half, closed(ONE, START, [12.5])) == []
    hours = closed(Timeframe.parse("1h"), START, [12.5])
    assert words(SilentTrades(ONE), QUIET, hours) == []


def test_minutes_are_told_one_by_one_and_a_long_history_is_forgotten() -> None:
    watch = SilentTrades(ONE)
    history = closed(ONE, START - 10_000 * MINUTE_MS, [1.0] * 10_000)
    assert words(watch, history) == []
    assert len(watch._traded) == 5
    for minute in range(100):
        start = START + minute * MINUTE_MS
        events = [closed(SECOND, start + 20_000 * part, [0.0] * 20) for part in range(3)]
        assert len(words(watch, closed(ONE, start, [1.0]), *events)) == 1
    assert len(watch._traded) <= 5
    assert len(watch._quiet) <= 5


def test_the_feed_connects_anew_and_the_trades_come_again(market: SyntheticMarket) -> None:
    now = START + 2_000
    with (
        Sandbox(market, start_ms=now) as sandbox,
        feeding(sandbox, Intake({SOL: START, SECONDS: now})) as feed,
    ):
        until(lambda: len(sandbox.subscribed) == 2)
        silent = Fault("stall", where="publicTrade.SOLUSDT", lasts_ms=150_000)
        events: list[Event] = []
        told: list[FeedFault] = []
        while not told:
            if sandbox.clock.now_ms() == START + 30_000:
                sandbox.inject(silent)
            sandbox.advance(1_000)
            events += feed.take(2**60, 0.02)
            told = [one for one in events if isinstance(one, FeedFault) if "1m" in one.words]
        assert told[0].kind == "silent trades"
        take_until(feed, lambda _: len(sandbox.connects) == 2, events)
        while candles_of(events, SECONDS)[0][-1:] < [START + 200_000]:
            sandbox.advance(1_000)
            events += feed.take(2**60, 0.02)
        lost = [one.words for one in events if isinstance(one, FeedFault) if "lost" in one.kind]
        assert lost
        assert all(one.words in lost for one in told)
        times, values = candles_of(events, SECONDS)
        late = np.array(times) >= START + 185_000
        assert values[late, 4].sum() > 0
        assert len([one for one in events if isinstance(one, FeedFault) if "1m" in one.words]) <= 4
