"""Whatever goes wrong, on any schedule: every closed candle once, in order, as REST has it.

A seeded sample of schedules runs with the slow tests, all of them are `long`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from feeding import assert_whole, feeding, quick, take_until

from mtf.market.timeframe import Timeframe
from mtf.realtime.events import Closed, Event, Key, Message, NoCandle
from mtf.realtime.intake import Intake
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

START = 1_748_736_000_000
MINUTE, HOUR = 60_000, 3_600_000
SPEED = 120.0
LENGTH_MS = 40 * MINUTE
SCHEDULES, SAMPLE, FAULTS = 50, 3, 30
KEYS: tuple[Key, ...] = (
    ("ETHUSDT", Timeframe.parse("1m")),
    ("BTCUSDT", Timeframe.parse("1m")),
    ("SOLUSDT", Timeframe.parse("5m")),
    ("ETHUSDT", Timeframe.parse("1h")),
)
SINCE = {key: START - 30 * key[1].duration_ms for key in KEYS}
SECOND_MS = 1_000
SECONDS: Key = ("ETHUSDT", Timeframe.parse("1s"))
CONNECTION = ("drop", "close", "bad_frame", "unknown_frame")
LASTING = ("downtime", "stall", "frozen", "clock")
CLOSED = ("lose", "twice", "late")
ROWS = ("duplicate", "shuffle", "nan", "inf", "negative", "high_below_low", "open_last", "seconds")
REPLIES = (
    *("http_500", "http_502", "http_429", "http_403", "http_302", "code_10006", "code_10016"),
    *("code_10000", "reset", "cut", "html", "json_list", "slow"),
)
KLINE = "/v5/market/kline"
EVERY_KIND = (
    *(*CONNECTION, *LASTING, *CLOSED, *ROWS, *REPLIES),
    *("gap", "refuse_handshake", "refuse_subscription"),
)


def schedule(seed: int) -> list[Fault]:
    """Faults at random times of a session; those of REST may wait for a question."""
    draw = random.Random(seed)
    kinds = [draw.choice(EVERY_KIND) for _ in range(FAULTS)]
    faults: list[Fault] = []
    for kind in kinds:
        at = START + draw.randrange(MINUTE, LENGTH_MS - 5 * MINUTE)
        if kind == "gap" and any(fault.kind == "gap" for fault in faults):
            continue  # two answers that lack the same are the exchange's word that it isn't there
        if kind in LASTING:
            lasts = draw.randrange(20_000, 4 * MINUTE)
            ahead = draw.choice((-10_000.0, 60_000.0)) if kind == "clock" else None
            faults.append(Fault(kind, at_ms=at, lasts_ms=lasts, value=ahead))
        elif kind in CLOSED:
            symbol = draw.choice(("ETHUSDT", "BTCUSDT", "*"))
            faults.append(Fault(kind, where=f"kline.*.{symbol}/closed", at_ms=at))
        elif kind in ROWS or kind in REPLIES or kind == "gap":
            where, count = KLINE if kind in ROWS else "/v5/*", draw.choice((1, 2))
            value = {"code_10006": draw.choice([300.0, -300.0]), "slow": 0.5}.get(kind)
            faults.append(Fault(kind, where=where, at_ms=at, value=value, count=count))
        else:
            value = draw.choice((1000.0, 1006.0, 1011.0)) if kind == "close" else None
            faults.append(Fault(kind, at_ms=at, value=value, count=draw.choice((1, 1, 2))))
    return faults


class Kept:
    """Keeps messages instead of writing them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def write(self, message: Message) -> None:
        self.messages.append(message)

    def close(self) -> None:
        pass


def outages(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """From when to when there was no connection."""
    found, lost = [], None
    for message in messages:
        state = message.content.get("state") if message.kind == "state" else None
        if state == "lost" and lost is None:
            lost = message.at_ms
        elif state == "open" and lost is not None:
            found.append((lost, message.at_ms))
            lost = None
    return found


def assert_filled(events: Sequence[Event], messages: Sequence[Message]) -> int:
    """What closed while there was no connection was told by REST; how many candles that are."""
    count = 0
    for event in events:
        if isinstance(event, Closed):
            closes = event.open_ms + event.timeframe.duration_ms
            for lost, opened in outages(messages):
                # topics are accepted a moment before the connection is said to be open
                missed = int(np.count_nonzero((closes > lost) & (closes < opened - MINUTE)))
                assert not missed or event.source == "answer"
                count += missed
    return count


def doubtful(faults: Sequence[Fault], time_ms: int) -> bool:
    """Whether of a second nobody can say what it was.

    Trades that a stream leaves out look like none; where the exchange's clock is ahead, but not of
    its trades, they come after it said that their seconds are over.
    """
    spans = [(each.at_ms or 0, each.lasts_ms) for each in faults if each.kind == "stall"]
    ahead = [each for each in faults if each.kind == "clock" and each.whole(0) > 0]
    spans += [(each.at_ms or 0, each.lasts_ms + 2 * MINUTE) for each in ahead]
    return any(at - SECOND_MS <= time_ms <= at + lasts for at, lasts in spans)


def assert_seconds(
    events: Sequence[Event], sandbox: Sandbox, faults: Sequence[Fault], end_ms: int
) -> int:
    """Seconds are told once and in order, as the exchange traded, or are a gap; how many."""
    traded: Counter[int] = Counter()
    for trades in sandbox.exchange.trades("ETHUSDT", START - 1, end_ms):
        for time, size in zip(trades.time.tolist(), trades.size.tolist(), strict=True):
            traded[time // SECOND_MS * SECOND_MS] += size
    place, told = START, dict[int, float]()
    for event in events:
        if isinstance(event, NoCandle):
            assert event.start_ms == place
            place = event.end_ms
        elif isinstance(event, Closed) and event.key == SECONDS:
            assert event.open_ms[0] == place
            told.update(zip(event.open_ms.tolist(), event.ohlcv[:, 4].tolist(), strict=True))
            place = int(event.open_ms[-1]) + SECOND_MS
    assert place > end_ms - MINUTE // 2
    sure = [each for each in told if each < end_ms - SECOND_MS and not doubtful(faults, each)]
    lot = 10 ** -sandbox.exchange.market.instruments["ETHUSDT"].size_decimals
    expected = [traded[each] * lot for each in sure]
    np.testing.assert_allclose([told[each] for each in sure], expected, rtol=0, atol=1e-9)
    return len(sure)


def run(market: SyntheticMarket, seed: int) -> tuple[Counter[str], int, int, int]:
    """One session: what was injected, candles that are right, those filled in, and seconds."""
    kept, end, faults = Kept(), START + LENGTH_MS, schedule(seed)

    def done(events: Sequence[Event]) -> bool:
        return intake.caught_up(end) and sandbox.clock.now_ms() > end + MINUTE

    intake = Intake({**SINCE, SECONDS: START})
    options: dict[str, Any] = {"record": kept, "stale_s": 20.0, "least_stale_s": 0.5, "ban_s": 0.5}
    with Sandbox(market, start_ms=START, speed=SPEED, faults=tuple(faults)) as sandbox:
        with feeding(sandbox, intake, backoff=quick(seed=seed), **options) as feed:
            events: list[Event] = []
            while sandbox.clock.now_ms() < end:
                events += feed.take(end, 0.2)
            take_until(feed, done, events)
        sandbox.schedule._armed.clear()  # what nobody met by now is not to meet the oracle
        seconds = [each for each in events if getattr(each, "timeframe", None) == SECONDS[1]]
        others = [each for each in events if getattr(each, "timeframe", None) != SECONDS[1]]
        candles = assert_whole(others, sandbox, SINCE, end)
        right = assert_seconds(seconds, sandbox, faults, end)
        connects = sandbox.connects
        if len(connects) > 1:
            assert (len(connects) - 1) / (connects[-1] - connects[0]) <= 1.0
        return sandbox.counts, candles, assert_filled(others, kept.messages), right


def run_all(market: SyntheticMarket, seeds: Sequence[int], of: int) -> Counter[str]:
    """Several sessions, and a line that says what they came to."""
    injected: Counter[str] = Counter()
    candles = filled = seconds = 0
    for seed in seeds:
        counts, right, asked, traded = run(market, seed)
        injected += counts
        candles, filled, seconds = candles + right, filled + asked, seconds + traded
    print(
        f"\n{len(seeds)} of {of} schedules, {injected.total()} faults injected "
        f"({len(injected)} kinds), {candles} candles, {filled} of them of outages: "
        f"0 lost, 0 duplicated; {seconds} seconds as they were traded"
    )
    assert filled > 5 * len(seeds)
    assert seconds > 300 * len(seeds)
    return injected


@pytest.mark.slow
def test_a_sample_of_schedules(market: SyntheticMarket) -> None:
    injected = run_all(market, range(SAMPLE), SCHEDULES)
    assert injected.total() > 15 * SAMPLE


@pytest.mark.long
def test_all_schedules(market: SyntheticMarket) -> None:
    injected = run_all(market, range(SCHEDULES), SCHEDULES)
    assert injected.total() > 15 * SCHEDULES
    assert set(injected) == set(EVERY_KIND)


def test_schedules_have_every_kind_of_fault() -> None:
    kinds = {fault.kind for seed in range(SCHEDULES) for fault in schedule(seed)}
    assert kinds == set(EVERY_KIND)
