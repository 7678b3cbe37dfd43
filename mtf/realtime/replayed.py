"""A recorded session gone through once more: the same code, the same order, the time of arrival.

Every process that took part has a recording of its own, from its history on; what went before it
comes from the replay of the one before, as the process had it from its journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtf.errors import DataError
from mtf.realtime.deciding import BEGIN, FIRST, MISSED, History, Source, start
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, Event, Message
from mtf.realtime.feed import Replay
from mtf.realtime.journal import Lines, decision_of
from mtf.realtime.recording import read_recording
from mtf.realtime.session import Model, Session, Terms


@dataclass(frozen=True)
class Notes:
    """What a session noted in a recording.

    Attributes:
        history: from when it wanted to be told.
        at_ms: when it started; None = it never did.
        first_ms: its first decision.
        missed: first decision → last one of those that it missed in a row.
    """

    history: History
    at_ms: int | None = None
    first_ms: int = 0
    missed: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What one process did, as replayed.

    Attributes:
        decisions: that it made.
        closed: all candles that it was told, history too.
        missed: times of decisions that it missed.
    """

    decisions: Sequence[Decision]
    closed: Sequence[Closed]
    missed: Sequence[int]


@dataclass(frozen=True)
class Replayed:
    """A session as replayed.

    Attributes:
        parts: one a process that decided anything, or missed it.
        session: of the last of them.
    """

    parts: Sequence[Part]
    session: Session

    @property
    def decisions(self) -> list[Decision]:
        """All of them."""
        return [decision for part in self.parts for decision in part.decisions]


def replay_session(
    recordings: Sequence[Path],
    model: Callable[[], Model],
    terms: Terms,
    segments: Sequence[Sequence[Mapping[str, Any]]],
) -> Replayed:
    """Go through recordings in order.

    Args:
        recordings: of the processes, in order.
        model: makes a fresh one, for each of them.
        terms: of the session.
        segments: lines of the journal, of each process that started. They say where each ended;
            nothing else is taken from them.

    Raises:
        DataError: no recording of a session that decided anything.
    """
    lines, parts, session = Lines(), list[Part](), None
    left = list(segments)
    for path in recordings:
        notes = notes_of(read_recording(path))
        if notes is None or notes.at_ms is None:
            continue
        segment = left.pop(0) if left else []
        session = Session(model(), terms, lines)
        session.recall(list(lines.written))
        parts.append(_part(path, notes, session, _last_ms(segment)))
    if session is None:
        told = ", ".join(str(path) for path in recordings) or "there is none"
        raise DataError(
            f"no recording of a session that started: {told}",
            "a session that made decisions",
            "let mtf live run for longer",
        )
    return Replayed(parts, session)


def notes_of(messages: Iterable[Message]) -> Notes | None:
    """What a session noted; None = nothing.

    Raises:
        MtfError: a note that can't be read.
    """
    history, at_ms, first_ms, missed = None, None, 0, {}
    for message in messages:
        if message.kind != "session":
            continue
        content = message.content
        if content["what"] == BEGIN:
            history = History.of(content)
        elif content["what"] == FIRST:
            at_ms, first_ms = int(content["at_ms"]), int(content["first_ms"])
        elif content["what"] == MISSED:
            missed[int(content["first_ms"])] = int(content["until_ms"])
    return None if history is None else Notes(history, at_ms, first_ms, missed)


def _part(path: Path, notes: Notes, session: Session, last_ms: int | None) -> Part:
    """Replay one process until its recording, or what it did, ends."""
    assert notes.at_ms is not None
    intake = notes.history.intake()
    heard = _Heard(Replay(intake, read_recording(path)))
    decisions, missed = list[Decision](), list[int]()
    start(session, heard, notes.first_ms, notes.at_ms)
    step = session.clock.duration_ms
    while session.next_ms is not None:
        if session.next_ms in notes.missed:
            until_ms = notes.missed[session.next_ms]
            missed.extend(range(session.next_ms, until_ms + 1, step))
            session.skip(until_ms)
        if last_ms is not None and session.next_ms > last_ms:
            break
        due_ms = session.due_ms
        session.on(heard.take(due_ms))
        if not heard.over(due_ms):
            if last_ms is None:
                break
            session.on(intake.advance(due_ms))  # it decided, and then nothing came before its end
        decisions.append(session.decide())
    session.on(heard.take(2**62))
    session.end(heard.now_ms())
    return Part(decisions, heard.closed, missed)


class _Heard:
    """A replay, of which the candles are kept."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.closed: list[Closed] = []

    def now_ms(self) -> int:
        return self.source.now_ms()

    def take(self, until_ms: int, wait_s: float = 0.0) -> list[Event]:
        events = self.source.take(until_ms, wait_s)
        self.closed.extend(event for event in events if isinstance(event, Closed))
        return events

    def over(self, until_ms: int) -> bool:
        return self.source.over(until_ms)


def _last_ms(segment: Iterable[Mapping[str, Any]]) -> int | None:
    """The last decision of a process; None = it made none, so nothing is known of its end."""
    times = [int(line["time_ms"]) for line in segment if line["kind"] == "decision"]
    return max(times, default=None)


def segments_of(lines: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The lines of a journal by the process that wrote them."""
    segments: list[list[Mapping[str, Any]]] = []
    for line in lines:
        if line["kind"] == "begin":
            segments.append([])
        if segments:
            segments[-1].append(line)
    return segments


def decisions_in(lines: Iterable[Mapping[str, Any]]) -> Iterator[Decision]:
    """The decisions of a journal.

    Raises:
        DataError: one that can't be read.
    """
    return (decision_of(line) for line in lines if line["kind"] == "decision")


__all__ = ["Part", "Replayed", "decisions_in", "notes_of", "replay_session", "segments_of"]
