"""A journal by the processes that wrote it, and how far the replay of the last of them goes."""

from __future__ import annotations

from typing import Any

import pytest

from mtf.errors import DataError
from mtf.realtime.segments import begun_in, last_arrival_ms, segments_of, settled


def lines(*kinds: str) -> list[dict[str, Any]]:
    return [{"kind": kind} for kind in kinds]


def kinds_of(segment: Any) -> list[str]:
    return [line["kind"] for line in segment]


def test_segments_are_what_each_process_wrote() -> None:
    """The third one was stopped before it began to decide."""
    written = lines(
        *("state", "begin", "decision"),
        *("resume", "fill", "state", "begin", "end"),
        *("resume", "candles"),
        *("resume", "begin"),
    )
    assert [kinds_of(segment) for segment in segments_of(written)] == [
        ["begin", "decision"],
        ["resume", "fill", "state", "begin", "end"],
        ["resume", "candles"],
        ["resume", "begin"],
    ]


def test_segments_of_journals_of_before() -> None:
    written = lines("state", "begin", "decision", "state", "begin", "end")
    assert [kinds_of(segment) for segment in segments_of(written)] == [
        ["begin", "decision", "state"],
        ["begin", "end"],
    ]
    assert segments_of([]) == []


@pytest.mark.parametrize(
    ("kinds", "count"),
    [
        (("begin", "account", "candles", "decision", "candles", "fill", "end", "candles"), 7),
        (("begin", "account", "candles", "decision", "candles", "fill", "account"), 4),
        (("resume", "candles", "fill", "begin", "fault", "fill", "account", "state", "lack"), 8),
        (("resume", "begin", "missed"), 3),
    ],
)
def test_how_far_all_tell_the_same(kinds: tuple[str, ...], count: int) -> None:
    assert kinds_of(settled(lines(*kinds))) == list(kinds[:count])


def test_when_the_last_arrived() -> None:
    told: list[dict[str, Any]] = lines("begin", "lack", "fill")
    told[1]["arrived_ms"] = 7
    assert last_arrival_ms(told) == 7
    assert last_arrival_ms(told[:1]) == 0


@pytest.mark.parametrize("damage", [{"files": []}, {"first_ms": None}, {"at_ms": "soon"}])
def test_a_beginning_that_is_none_is_refused(damage: dict[str, Any]) -> None:
    line = {"kind": "begin", "at_ms": 1, "first_ms": 2, "files": {}, "funding_every_ms": 0}
    begun = begun_in([line])
    assert begun is not None
    assert (begun.at_ms, begun.first_ms) == (1, 2)
    with pytest.raises(DataError, match="how a process began in a journal can't be read"):
        begun_in([{**line, **damage}])
