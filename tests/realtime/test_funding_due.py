"""Funding that is paid less often than it was: it is asked for a while, then nothing waits for it.

The exchange pays every hour when the session begins, and every eight hours from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from living import Events, closed, decided, live_run, quick_model
from messages import HOUR as H1
from messages import MINUTE_MS as MINUTE
from messages import START
from worlds import random_candles

from mtf.realtime.events import Event, FeedFault, FundingKnown, FundingRate
from mtf.realtime.funding_due import FundingDue
from mtf.realtime.journal import Lines
from mtf.realtime.session import Session
from mtf.realtime.terms import Terms

HOUR = H1.duration_ms
FIRST_SLOT = START // MINUTE
HISTORY, LIVE = 700, 130


class Exchange:
    """What it answers, and how often it was asked."""

    def __init__(self, due: FundingDue, every_ms: int, late_ms: int = 0) -> None:
        self.due, self.every_ms, self.late_ms = due, every_ms, late_ms
        self.asked = 0

    def told(self, start_ms: int, end_ms: int) -> Iterator[Event]:
        """All that it tells in a time, looked at every ten seconds."""
        for now_ms in range(start_ms, end_ms, 10_000):
            for ask in self.due.wanted(now_ms):
                self.asked += 1
                paid = range(START, now_ms - self.late_ms + 1, self.every_ms)
                rows = [row(time) for time in paid if ask.start_ms <= time < ask.end_ms]
                yield from self.due.answer(rows, ask.start_ms, ask.end_ms, now_ms)


def row(time_ms: int) -> dict[str, str]:
    stamp = str(time_ms)
    return {"symbol": "ETHUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": stamp}


def test_payments_that_come_further_apart() -> None:
    """Waited for five minutes at 1h, at 2h and at 4h; then it is known that they come every 8h."""
    exchange = Exchange(FundingDue("ETHUSDT", START, HOUR), 8 * HOUR)
    events = list(exchange.told(START, START + 25 * HOUR))
    paid = [one.time_ms for one in events if isinstance(one, FundingRate)]
    assert paid == [START, START + 8 * HOUR, START + 16 * HOUR, START + 24 * HOUR]
    known = [(one.end_ms, one.arrived_ms) for one in events if isinstance(one, FundingKnown)]
    expected = dict.fromkeys(range(25), 10_000) | {1: 310_000, 2: 310_000, 4: 310_000}
    # The first answer after the hour already says that nothing before it is missing.
    assert known == [
        (START + (hour + 1) * HOUR, START + hour * HOUR + late) for hour, late in expected.items()
    ]
    faults = [one for one in events if isinstance(one, FeedFault)]
    assert [one.at_ms for one in faults] == [START + h * HOUR + 310_000 for h in (1, 2, 4)]
    assert "no rate of 2025-06-01 01:00 was told by 2025-06-01 01:05:10" in faults[0].words
    assert "expected every 2h from now on" in faults[0].words
    assert exchange.asked == 25 + 3 * 10  # each hour once, and again where one was expected


@pytest.mark.parametrize("late_ms", [0, 20_000, 290_000])
def test_a_rate_that_is_told_late_is_waited_for(late_ms: int) -> None:
    exchange = Exchange(FundingDue("ETHUSDT", START, 8 * HOUR), 8 * HOUR, late_ms)
    events = list(exchange.told(START, START + 17 * HOUR))
    assert not [one for one in events if isinstance(one, FeedFault)]
    told: set[int] = set()
    for event in events:
        if isinstance(event, FundingRate):
            told.add(event.time_ms)
        elif isinstance(event, FundingKnown):
            assert told == set(range(START, event.end_ms, 8 * HOUR))
    assert len(told) == 3


def test_an_answer_up_to_a_payment_says_nothing_of_it() -> None:
    """A page of a long history ends just before one, which was due long ago by now."""
    due, now_ms = FundingDue("ETHUSDT", START, 8 * HOUR), START + 9 * HOUR
    events = due.answer([row(START)], START, START + 8 * HOUR, now_ms)
    assert not [one for one in events if isinstance(one, FeedFault)]
    events = due.answer([row(START + 8 * HOUR)], START + 8 * HOUR, START + 8 * HOUR + 1, now_ms)
    assert [one.time_ms for one in events if isinstance(one, FundingRate)] == [START + 8 * HOUR]


def test_what_nobody_expects_is_believed_at_once() -> None:
    exchange = Exchange(FundingDue("ETHUSDT", START + 1), 8 * HOUR)
    events = list(exchange.told(START, START + 3 * HOUR))
    assert [one.end_ms for one in events if isinstance(one, FundingKnown)] == [
        START + 2 * HOUR,
        START + 3 * HOUR,
    ]
    assert len(events) == 2


def test_what_was_paid_long_ago_says_nothing_of_now() -> None:
    """A session goes on after a day: the first page ends in hours in which nothing was paid."""
    due, now_ms = FundingDue("ETHUSDT", START, HOUR), START + 24 * HOUR + 20_000
    (ask,) = due.wanted(now_ms)
    middle_ms = START + 12 * HOUR
    first = due.answer([row(START)], ask.start_ms, middle_ms, now_ms)
    assert first[1:] == [FundingKnown("ETHUSDT", middle_ms, now_ms)]
    assert due.every_ms == HOUR


@pytest.fixture(scope="module")
def funded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Lines]:
    """Two hours of a session, in which nothing is paid after the first hour began."""
    run = live_run(tmp_path_factory.mktemp("funded"))
    first = FIRST_SLOT - HISTORY
    candles = [
        random_candles(HISTORY + LIVE, 13, first_slot=first),
        random_candles(HISTORY + LIVE, 2, first_slot=first, symbol="BTCUSDT"),
        random_candles(80, 3, "1h", first_slot=FIRST_SLOT // 60 - 77),
    ]
    exchange = Exchange(FundingDue("ETHUSDT", START, HOUR), 8 * HOUR)
    events = [event for one in candles for event in closed(one)]
    source = Events([*events, *exchange.told(START, START + LIVE * MINUTE)])
    lines = Lines()
    session = Session(quick_model(run), Terms("ETHUSDT", 2_000, False, HOUR), lines)
    session.on(source.take(START - 30_000))
    session.start(START, START - 30_000)
    settled = []
    for _ in decided(session, source, START + 120 * MINUTE):
        assert session.paper is not None
        settled.append((session.paper.settled_ms - START) // MINUTE)
    # Nothing of 01:00 … 01:05 is traded before it is known that nothing was paid at 01:00.
    assert settled == [*range(61), *[60] * 5, *range(66, 121)]
    return session, lines


def test_an_account_does_not_stand_still_for_funding_that_does_not_come(
    funded: tuple[Session, Lines],
) -> None:
    session, lines = funded
    late = [one for one in lines.written if one["kind"] == "fill" and one["time_ms"] > START + HOUR]
    assert len(late) > 3
    told = [one for one in lines.written if one["kind"] == "fault"]
    assert [(one["what"], one["at_ms"] - START - HOUR) for one in told] == [
        ("funding", 2 * MINUTE),
        ("funding", 310_000),
    ]
    assert told[0]["words"] == (
        "the account waits for the rate of 2025-06-01 01:00: nothing is filled"
    )
    assert session.faults["funding"] == 2


def test_what_is_known_of_funding_is_recalled(
    funded: tuple[Session, Lines], tmp_path: Path
) -> None:
    session, lines = funded
    again = Session(session.model, session.terms)
    again.recall(lines.written)
    assert session.paper is not None
    assert again.paper is not None
    assert again.paper.settled_ms == session.paper.settled_ms
    assert again.paper.look() == session.paper.look()
    assert not again.faults
