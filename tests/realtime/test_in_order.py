"""Candles go out once, in order, and no hole among them: a few minutes written out."""

from __future__ import annotations

from typing import Any

import pytest
from messages import MINUTE, MINUTE_MS, START, answer, candles, connection, frame, numbers, told

from mtf.realtime.events import Event, FeedFault, Message, NoCandle, StreamState
from mtf.realtime.intake import Intake

TEN = candles(10)
SETTLED = 2 * 600_000
"""So long after the last of the ten nothing about them can change any more."""


def at(minute: float) -> int:
    return START + int(MINUTE_MS * minute)


def intake(since_ms: int = START, **options: Any) -> Intake:
    return Intake({("ETHUSDT", MINUTE): since_ms}, **options)


def taken(taking: Intake, *messages: Message) -> list[Event]:
    return [event for message in messages for event in taking.take(message)]


def asked(taking: Intake, now_ms: int) -> list[tuple[float, float]]:
    """The minutes that are asked for."""
    asks = taking.wanted(now_ms)
    return [((a.start_ms - START) / MINUTE_MS, (a.end_ms - START) / MINUTE_MS) for a in asks]


def why(taking: Intake, now_ms: int) -> set[str]:
    """Why it is asked for."""
    return {ask.why for ask in taking.wanted(now_ms)}


def words(events: list[Event]) -> str:
    """Of the last fault."""
    return [event.words for event in events if isinstance(event, FeedFault)][-1]


def faults(events: list[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, FeedFault)]


def gaps(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.start_ms, e.end_ms) for e in events if isinstance(e, NoCandle)]


def states(events: list[Event]) -> list[str]:
    return [event.state for event in events if isinstance(event, StreamState)]


def whole_answer(start: float, end: float, at_ms: int, lacks: tuple[int, ...] = ()) -> Message:
    """REST about these minutes, the newest first, some left out."""
    rows = [TEN[minute] for minute in range(int(start), int(end)) if minute not in lacks]
    return answer(rows[::-1], at(start), at(end), at_ms)


def test_candles_of_the_stream_are_told_as_they_close() -> None:
    taking = intake()
    events = taken(taking, *[frame(row) for row in TEN])
    assert told(events) == numbers(TEN)
    assert asked(taking, at(10)) == []
    assert taking.caught_up(at(10))
    assert not taking.caught_up(at(11))


def test_ordering_a_candle_before_its_turn_waits_for_the_lost_one() -> None:
    taking = intake()
    events = taken(taking, frame(TEN[0]), frame(TEN[2]), frame(TEN[3]))
    assert told(events) == numbers(TEN[:1])
    assert asked(taking, at(4)) == [(1, 2)]
    assert told(taken(taking, whole_answer(1, 2, at(4.1)))) == numbers(TEN[1:4])
    assert asked(taking, at(4.1)) == []


def test_a_late_message_fills_the_hole_itself() -> None:
    taking = intake()
    events = taken(taking, frame(TEN[1], at(2)), frame(TEN[0], at(2)))
    assert told(events) == numbers(TEN[:2])


def test_dedupe_a_candle_that_comes_again_is_counted_and_not_told() -> None:
    taking = intake()
    events = taken(taking, frame(TEN[0]), frame(TEN[0]), frame(TEN[2]), frame(TEN[2]))
    events += taken(taking, whole_answer(0, 3, at(3.1)), whole_answer(0, 3, at(3.2)))
    assert told(events) == numbers(TEN[:3])
    assert faults(events) == []


def test_what_was_told_stays_when_it_comes_with_other_numbers() -> None:
    other = [*TEN[0][:5], "7", "0"]
    events = taken(intake(), frame(TEN[0]), frame(other), answer([other], at(0), at(1), at(2)))
    assert told(events) == numbers(TEN[:1])
    assert faults(events) == ["conflict", "conflict"]
    assert "it was (" in words(events)


def test_what_was_not_told_yet_is_what_rest_says() -> None:
    other = [*TEN[1][:5], "7", "0"]
    events = taken(intake(), frame(other), whole_answer(0, 2, at(2.1)), frame(other, at(2.2)))
    assert told(events) == numbers(TEN[:2])
    assert faults(events) == ["conflict", "conflict"]


@pytest.mark.parametrize("twice", ["stream", "answer"])
def test_two_words_about_a_held_candle_and_rest_is_asked(twice: str) -> None:
    other = [*TEN[1][:5], "7", "0"]
    taking = intake()
    if twice == "stream":
        events = taken(taking, frame(TEN[1]), frame(other), frame(TEN[2]))
    else:
        answers = [answer([row], at(1), at(2), at(2.1)) for row in (TEN[1], other)]
        events = taken(taking, *answers, frame(TEN[2]))
    assert (told(events), faults(events)) == ([], ["conflict"])
    assert asked(taking, at(3)) == [(0, 2)]
    assert told(taken(taking, whole_answer(0, 2, at(3.1)))) == numbers(TEN[:3])


def test_only_a_closed_candle_is_a_candle() -> None:
    taking = intake()
    growing = frame(TEN[0], at(0.5), confirm=False)
    events = taken(taking, growing, growing)
    assert (told(events), faults(events)) == ([], [])
    assert told(taken(taking, frame(TEN[0]))) == numbers(TEN[:1])


BAD = {
    "NaN": {"close": "NaN"},
    "a NaN without quotes": {"close": float("nan")},
    "infinite": {"high": "Infinity"},
    "negative": {"low": "-1"},
    "high below low": {"high": "1"},
    "negative volume": {"volume": "-1"},
    "no number": {"open": "abc"},
    "a list": {"open": [1]},
    "nothing": {"open": None},
    "huge": {"volume": "1" + "0" * 400},
    "in seconds": {"start": START // 1_000},
    "off the grid": {"start": START + 1},
    "from the future": {"start": START + MINUTE_MS},
    "years ahead": {"start": START + 10**12},
    "beyond any time": {"start": 10**30},
    "years ago": {"start": START - 1_000 * 86_400_000},
    "no time": {"start": "soon"},
    "confirmed by a word": {"confirm": "true"},
}


@pytest.mark.parametrize("parts", BAD.values(), ids=BAD.keys())
def test_a_row_that_is_no_candle_is_said_and_the_next_one_counts(parts: dict[str, Any]) -> None:
    events = taken(intake(), frame(TEN[0], **parts), frame(TEN[0]), frame(TEN[1]))
    assert told(events) == numbers(TEN[:2])
    assert faults(events) == ["bad candle"]


def test_finiteness_nothing_that_is_no_number_gets_out_of_an_answer() -> None:
    for value in ("NaN", "Infinity", "-Infinity", "abc"):
        taking = intake()
        spoilt = [*TEN[1][:4], value, *TEN[1][5:]]
        events = taken(taking, answer([spoilt, TEN[0], TEN[2]], at(0), at(3), at(3.1)))
        assert told(events) == numbers(TEN[:1])
        assert faults(events) == ["bad candle"]
        assert asked(taking, at(3.1)) == [(1, 2)]
        assert told(taken(taking, whole_answer(1, 2, at(3.2)))) == numbers(TEN[1:3])


def test_the_history_is_one_question_whose_pages_may_come_in_any_order() -> None:
    taking = intake()
    assert asked(taking, at(8)) == [(0, 7)]  # the last one closed just now: it is not sure yet
    assert asked(taking, at(8.1)) == [(0, 8)]
    assert why(taking, at(8.1)) == {"history"}
    assert states(taken(taking, whole_answer(4, 8, at(8.2)))) == ["starting"]
    assert asked(taking, at(8.2)) == [(0, 4)]
    events = taken(taking, whole_answer(0, 4, at(8.3)))
    assert told(events) == numbers(TEN[:8])
    assert states(events) == ["live"]
    assert asked(taking, at(8.3)) == []


def test_holes_are_one_question_unless_a_page_lies_between_them() -> None:
    rows = candles(2_000)
    taking = intake()
    taken(taking, frame(rows[1]), frame(rows[3]))
    taken(taking, answer(rows[5:1_010][-1_000:], at(10), at(1_010), at(1_011)))
    assert asked(taking, at(1_011)) == [(0, 10)]
    taken(taking, answer(rows[6:10], at(6), at(10), at(1_011)))
    assert asked(taking, at(1_012)) == [(0, 6), (1_010, 1_011)]  # the last is not sure yet


def test_many_candles_at_once_in_pages_from_behind() -> None:
    rows = candles(5_000)
    taking = intake()
    events = []
    for first in range(4_000, -1, -1_000):
        page = rows[first : first + 1_000]
        events += taken(taking, answer(page[::-1], at(first), at(first + 1_000), at(5_001)))
    assert told(events) == numbers(rows)


def test_rows_of_an_open_candle_are_not_told() -> None:
    taking = intake()
    events = taken(taking, whole_answer(0, 3, at(2.5)))
    assert (told(events), faults(events)) == (numbers(TEN[:2]), [])
    changed = [*TEN[2][:5], "9", "0"]
    assert told(taken(taking, frame(changed))) == numbers([changed])


@pytest.mark.parametrize(("asked_ms", "count"), [(at(3) - 500, 2), (at(3) + 500, 2), (at(4), 3)])
def test_an_answer_is_not_the_last_word_on_what_closed_just_now(asked_ms: int, count: int) -> None:
    """Our clock may be a second off."""
    events = taken(intake(), whole_answer(0, 3, asked_ms))
    assert (told(events), faults(events)) == (numbers(TEN[:count]), [])


def test_what_two_settled_answers_lack_does_not_exist() -> None:
    taking = intake()
    now = at(10) + SETTLED
    once = taken(taking, whole_answer(0, 10, now, lacks=(3, 4)))
    assert (told(once), gaps(once)) == (numbers(TEN[:3]), [])
    assert asked(taking, now)[0][0] == 3
    twice = taken(taking, whole_answer(3, 5, now, lacks=(3, 4)))
    assert gaps(twice) == [(at(3), at(5))]
    assert told(twice) == numbers(TEN[5:])


@pytest.mark.parametrize("case", ["just closed", "with nonsense", "of another time", "unreadable"])
def test_answers_that_prove_nothing(case: str) -> None:
    now = at(4) if case == "just closed" else at(10) + SETTLED
    extra = {
        "just closed": [],
        "with nonsense": [["0", "1", "1", "1", "NaN", "1"]],
        "of another time": [TEN[9]],
        "unreadable": [["x"]],
    }[case]
    taking = intake()
    for _ in range(5):
        rows = [TEN[0], TEN[2], *extra]
        assert gaps(taken(taking, answer(rows, at(0), at(3), now))) == []
    assert told(taken(taking, whole_answer(1, 2, now))) == numbers(TEN[1:3])


def test_a_full_answer_says_nothing_about_what_had_no_room_in_it() -> None:
    rows = candles(1_500)
    taking = intake()
    for _ in range(3):  # the newest thousand of what was asked for
        full = answer(rows[500:], at(0), at(1_500), at(1_500) + SETTLED)
        assert gaps(taken(taking, full)) == []
    assert asked(taking, at(1_500) + SETTLED)[0][0] == 0


def test_a_page_that_is_full_of_rows_told_twice_has_all_there_are() -> None:
    rows = candles(1_000)
    page = [rows[0], *(row for minute, row in enumerate(rows) if minute != 500)]
    taking = intake()
    events = []
    for _ in range(2):
        events += taken(taking, answer(page, at(0), at(1_000), at(1_000) + SETTLED))
    assert gaps(events) == [(at(500), at(501))]
    assert len(told(events)) == 999


def test_what_may_still_come_is_asked_for_again_after_a_while() -> None:
    taking = intake(grace_ms=5_000)
    taken(taking, frame(TEN[0]), frame(TEN[2]))
    taken(taking, whole_answer(1, 2, at(3.1), lacks=(1,)))
    assert asked(taking, at(3.1)) == []
    assert asked(taking, at(3.1) + 5_000) == [(1, 2)]


def test_a_gap_that_is_filled_after_all_is_a_conflict() -> None:
    taking = intake()
    now = at(10) + SETTLED
    taken(taking, whole_answer(0, 10, now, lacks=(3,)), whole_answer(3, 4, now, lacks=(3,)))
    events = taken(taking, whole_answer(3, 4, now))
    assert faults(events) == ["conflict"]
    assert "there was none" in words(events)


def test_backfill_an_overdue_candle_is_asked_for_after_the_grace() -> None:
    taking = intake(grace_ms=5_000)
    taken(taking, frame(TEN[0]))
    assert asked(taking, at(2) + 4_999) == []
    assert states(taking.advance(at(2) + 4_999)) == []
    assert asked(taking, at(2) + 5_000) == [(1, 2)]
    assert why(taking, at(2) + 5_000) == {"missing"}
    assert states(taking.advance(at(2) + 5_000)) == ["filling"]
    events = taken(taking, whole_answer(1, 2, at(2.2)))
    assert (told(events), states(events)) == (numbers(TEN[1:2]), ["live"])


def test_backfill_what_closed_without_a_connection_is_asked_for_once_it_is_open() -> None:
    taking = intake()
    taken(taking, connection("open", at(0)), frame(TEN[0]))
    assert states(taken(taking, connection("lost", at(1.5), "reset"))) == ["lost"]
    events = taken(taking, connection("open", at(2) + 1_000))
    assert states(events) == ["filling"]
    assert asked(taking, at(2) + 1_000) == [(1, 2)]  # at once, not after the grace
    assert why(taking, at(2) + 1_000) == {"while there was no connection"}
    events = taken(taking, whole_answer(1, 2, at(2) + 1_500))
    assert (told(events), states(events)) == (numbers(TEN[1:2]), ["live"])


def test_a_connection_that_was_lost_and_missed_nothing_is_live_again_at_once() -> None:
    taking = intake()
    taken(taking, frame(TEN[0]))
    events = taken(taking, connection("lost", at(1.2), "reset"), connection("open", at(1.4)))
    assert states(events) == ["lost", "live"]
    assert faults(events) == ["lost connection"]


def test_staleness_after_two_intervals_without_a_candle() -> None:
    taking = intake()
    taken(taking, frame(TEN[0]))
    assert states(taking.advance(at(3) - 1)) == ["filling"]
    (stale,) = taking.advance(at(3))
    assert isinstance(stale, StreamState)
    assert (stale.state, "00:01" in stale.why) == ("stale", True)
    events = taken(taking, whole_answer(1, 3, at(3.1)))
    assert states(events) == ["live"]


def test_a_gap_that_is_certain_makes_nothing_stale() -> None:
    taking = intake(settle_ms=60_000)
    taken(taking, frame(TEN[0]))
    events = taking.advance(at(3))
    for _ in range(2):
        events += taken(taking, answer([], at(1), at(3), at(4)))
    assert gaps(events) == [(at(1), at(3))]
    assert states(events) == ["stale", "live"]


def test_frozen_after_two_candles_without_volume() -> None:
    still = [[*row[:5], "0", "0"] for row in TEN[:4]]
    taking = intake()
    assert states(taken(taking, frame(still[0]))) == ["live"]
    assert states(taken(taking, frame(still[1]))) == ["frozen"]
    assert states(taken(taking, frame(still[2]))) == []
    assert states(taken(taking, frame(TEN[3]))) == ["live"]


def test_rest_that_fails_is_told_and_the_question_stays() -> None:
    taking = intake()
    taken(taking, frame(TEN[0]), frame(TEN[2]))
    before = taking.wanted(at(3))
    assert faults(taken(taking, connection("failed", at(3), "status 502"))) == ["REST"]
    assert taking.wanted(at(3)) == before != []
