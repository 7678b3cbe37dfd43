"""The loop of a session: it waits for its history, decides when all has arrived, and says what it
missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from living import Events, closed, live_run, quick_model
from worlds import MINUTE, random_candles

from mtf.market.timeframe import Timeframe
from mtf.realtime.deciding import FIRST, MISSED, History, begin, deadline_ms, keep_deciding
from mtf.realtime.decision import Decision
from mtf.realtime.journal import Lines
from mtf.realtime.session import Session
from mtf.realtime.terms import Terms

FIRST_SLOT = 28_000_020
START = FIRST_SLOT * MINUTE
M1, S1 = Timeframe.parse("1m"), Timeframe.parse("1s")
SLACK_MS = 250


class Feed(Events):
    """A feed whose time passes by a second every time it is asked, or jumps when it is told to."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.notes: list[dict[str, Any]] = []
        self.jumps: dict[int, int] = {}
        self.lacking = False
        self.intake = self

    def caught_up(self, now_ms: int, keys: Any = None) -> bool:
        return now_ms >= START - 20_000 and (keys is not None or not self.lacking)

    def note(self, content: dict[str, Any]) -> None:
        self.notes.append(content)

    def now_ms(self) -> int:
        for since_ms in [since_ms for since_ms in self.jumps if self._now_ms >= since_ms]:
            self._now_ms += self.jumps.pop(since_ms)
        return self._now_ms

    def take(self, until_ms: int, wait_s: float = 0.0) -> list[Any]:
        until_ms = min(until_ms, self._now_ms + 10_000)
        return super().take(until_ms)


def feed() -> Feed:
    slots, first = 760, FIRST_SLOT - 700
    return Feed(
        [
            *closed(random_candles(slots, 1, first_slot=first)),
            *closed(random_candles(slots, 2, first_slot=first, symbol="BTCUSDT")),
            *closed(random_candles(80, 3, "1h", first_slot=FIRST_SLOT // 60 - 78)),
        ]
    )


@pytest.fixture(scope="module")
def session_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = live_run(tmp_path_factory.mktemp("deciding"))

    def make() -> tuple[Session, Lines]:
        lines = Lines()
        return Session(quick_model(run), Terms("ETHUSDT", 2_000, False), lines), lines

    return make


def rounds(count: int) -> Any:
    """Look so often, then it is enough."""
    left = [count]

    def look() -> bool:
        left[0] -= 1
        return left[0] >= 0

    return look


def test_it_begins_with_the_first_close_after_the_history(session_of: Any) -> None:
    session, _ = session_of()
    source = feed()
    source._now_ms = START - 70_000
    assert begin(session, source, lambda: True)
    assert session.next_ms == START
    assert source.notes == [{"what": FIRST, "at_ms": source.now_ms(), "first_ms": START}]


def test_a_stream_that_never_comes_is_not_waited_for_for_ever(session_of: Any) -> None:
    session, _ = session_of()
    source = feed()
    source._now_ms, source.lacking = START - 70_000, True
    assert not begin(session, source, rounds(30))  # it is waited for, but for so long
    source._now_ms = START - 70_000
    assert begin(session, source, lambda: True, patience_s=0.0)
    assert session.next_ms == START


def test_it_gives_up_where_nobody_wants_it(session_of: Any) -> None:
    session, _ = session_of()
    source = feed()
    assert not begin(session, source, lambda: False)
    assert session.next_ms is None
    assert source.notes == []


def test_every_close_is_decided_once_after_the_delay(session_of: Any) -> None:
    session, _ = session_of()
    source, made = feed(), list[Decision]()
    source._now_ms = START - 30_000
    assert begin(session, source, lambda: True)
    at: list[int] = []

    def decided(decision: Decision) -> None:
        made.append(decision)
        at.append(source.now_ms())

    keep_deciding(session, source, decided, rounds(40), SLACK_MS)
    assert [one.time_ms for one in made] == [START + n * MINUTE for n in range(len(made))]
    assert len(made) >= 5
    assert all(now >= one.time_ms + 2_000 for now, one in zip(at, made, strict=True))


def test_a_process_that_stood_still_says_what_it_missed(session_of: Any) -> None:
    """It wakes at 11:32: what would have been filled by 11:00 is gone, 11 is still in time."""
    session, lines = session_of()
    source, made = feed(), list[Decision]()
    source._now_ms = START - 30_000
    assert begin(session, source, lambda: True)
    source.jumps[START + 62_001] = 10 * MINUTE + 30_000
    keep_deciding(session, source, made.append, rounds(40), SLACK_MS)
    times = [one.time_ms for one in made]
    gone = [START + n * MINUTE for n in range(2, 11)]
    assert not set(times) & set(gone)
    assert times[:2] == [START, START + MINUTE]
    assert times[2] == START + 11 * MINUTE
    notes = [note for note in source.notes if note["what"] == MISSED]
    assert notes == [{"what": MISSED, "first_ms": gone[0], "until_ms": gone[-1]}]
    assert next(one for one in lines.written if one["kind"] == "missed")["count"] == 9
    assert session.faults["missed decisions"] == 1


def test_what_takes_too_long_to_be_taken_is_missed(session_of: Any) -> None:
    """The process stands still between looking at the clock and deciding."""
    session, _ = session_of()
    source, made = feed(), list[Decision]()
    source._now_ms = START - 30_000
    assert begin(session, source, lambda: True)
    taken = source.take

    def slow(until_ms: int, wait_s: float = 0.0) -> list[Any]:
        events = taken(until_ms, wait_s)
        if source.over(START + 2 * MINUTE + 2_000):
            source.take = taken  # type: ignore[method-assign]
            source._now_ms += 2 * MINUTE
        return events

    source.take = slow  # type: ignore[method-assign]
    keep_deciding(session, source, made.append, rounds(40), SLACK_MS)
    times = [one.time_ms for one in made]
    assert START + MINUTE in times
    assert START + 2 * MINUTE not in times
    assert START + 3 * MINUTE not in times
    assert START + 4 * MINUTE in times


@pytest.mark.parametrize(
    ("delay_ms", "filled_on", "latest_ms"),
    [
        (2_000, M1, 60_000),  # the next minute's open
        (90_000, M1, 120_000),
        (0, M1, 250),  # it falls on the open itself: a moment is given, not a candle
        (60_000, M1, 60_250),
        (2_000, S1, 2_250),
        (2_500, S1, 3_000),
        (2_900, S1, 3_150),  # never less than the moment
    ],
)
def test_an_order_whose_open_is_past_is_too_late(
    delay_ms: int, filled_on: Timeframe, latest_ms: int
) -> None:
    """Decided some time after the close, filled at the first open from then on: by then it is."""
    assert deadline_ms(START + delay_ms, filled_on, 250) == START + latest_ms


def test_a_decision_after_the_open_that_it_would_be_filled_at_is_missed(session_of: Any) -> None:
    """Without a delay the open is the close: three seconds later nobody could trade it any more."""
    session, lines = session_of()
    session.terms = Terms("ETHUSDT", 0, False)
    source, made = feed(), list[Decision]()
    source._now_ms = START - 30_000
    assert begin(session, source, lambda: True)
    source.jumps[START + MINUTE] = 3_000
    keep_deciding(session, source, made.append, rounds(40), SLACK_MS)
    times = [one.time_ms for one in made]
    assert times == [START, *(START + n * MINUTE for n in range(2, len(times) + 1))]
    missed = [line for line in lines.written if line["kind"] == "missed"]
    assert missed == [{"kind": "missed", "first_ms": START + MINUTE, "count": 1}]


def test_a_history_is_noted_and_read_again(tmp_path: Path) -> None:
    history = History({("ETHUSDT", M1): 5 * MINUTE, ("BTCUSDT", M1): 0}, {"ETHUSDT": 7}, 60.0)
    assert History.of(history.note()) == history
