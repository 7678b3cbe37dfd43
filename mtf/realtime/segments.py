"""A journal by the processes that wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed
from mtf.realtime.journal import TRADED, Begun, begun_of, decision_of, event_of

Line = Mapping[str, Any]
Segment = Sequence[Line]
"""What one process wrote, from its ``resume`` or, being the first one, its ``begin`` on."""


def segments_of(lines: Iterable[Line]) -> list[Segment]:
    """The lines of a journal by process; in journals of before there is no ``resume``."""
    segments: list[list[Line]] = []
    for line in lines:
        if line["kind"] == "resume" or (line["kind"] == "begin" and not _resumed(segments)):
            segments.append([])
        if segments:
            segments[-1].append(line)
    return list(segments)


def _resumed(segments: Sequence[Segment]) -> bool:
    """Whether the last process read what was before it, and has not begun to decide yet."""
    if not segments or segments[-1][0]["kind"] != "resume":
        return False
    return all(line["kind"] != "begin" for line in segments[-1])


def begun_in(segment: Segment) -> Begun | None:
    """How a process began to decide; None = it never did.

    Raises:
        DataError: the line can't be read.
    """
    return next((begun_of(line) for line in segment if line["kind"] == "begin"), None)


def settled(segment: Segment) -> Segment:
    """The lines of a process up to its end, or else its last decision, or else its beginning.

    So far a replay goes, too. What comes behind that was cut off by the kill somewhere, or written
    by others in journals of before.
    """
    kinds = [str(line["kind"]) for line in segment]
    for kind in ("end", "decision"):
        if kind in kinds:
            return segment[: len(kinds) - kinds[::-1].index(kind)]
    begin = kinds.index("begin")
    events = (at for at, kind in enumerate(kinds) if at > begin and kind in TRADED)
    return segment[: next(events, len(segment))]


def last_arrival_ms(segment: Segment) -> int:
    """When the last of what an account is traded on arrived; 0 = nothing did."""
    return max((int(line["arrived_ms"]) for line in segment if line["kind"] in TRADED), default=0)


def candles_in(segment: Segment) -> list[Closed]:
    """The candles that a process wrote down.

    Raises:
        DataError: one that can't be read.
    """
    events = (event_of(line) for line in segment if line["kind"] == "candles")
    return [event for event in events if isinstance(event, Closed)]


def decisions_in(lines: Iterable[Line]) -> Iterator[Decision]:
    """The decisions of a journal.

    Raises:
        DataError: one that can't be read.
    """
    return (decision_of(line) for line in lines if line["kind"] == "decision")


__all__ = [
    "Line",
    "Segment",
    "begun_in",
    "candles_in",
    "decisions_in",
    "last_arrival_ms",
    "segments_of",
    "settled",
]
