"""A session's journal: one JSON line for everything that counts, on the disk before it is acted on.

Kinds of lines: ``resume`` (a process read all lines before this one, and goes on from there),
``begin`` (it has its history, and decides from now on), ``candles``, ``lack``, ``funding`` and
``funding_known`` (what the account is traded on), ``decision``, ``fill``, ``account``, ``state``
(of a stream), ``fault``, ``halt`` (what stands against a position, and its end), ``missed``
(decisions), ``end``. Times are the exchange's, in ms UTC. What is no number (NaN) is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtf.errors import DataError, MtfError
from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingKnown, FundingRate, NoCandle, Traded
from mtf.realtime.lines_file import LinesFile

MOST_LINE = 64_000_000
"""Bytes of a line; what is longer was not written by mtf."""

TRADED: Mapping[str, type[Traded]] = {
    "candles": Closed,
    "lack": NoCandle,
    "funding": FundingRate,
    "funding_known": FundingKnown,
}
"""Kinds of lines about what an account is traded on."""


class Journal:
    """Appends lines to a file; a line that a kill tore is cut off first.

    Args:
        path: of the file; made where there is none.

    Raises:
        DataError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        """Open it behind its last whole line."""
        self._file = LinesFile(path)

    def write(self, kind: str, *, synced: bool = True, **values: object) -> None:
        """One line.

        Args:
            kind: what it is about.
            synced: wait until it is on the disk.
            values: plain values.

        Raises:
            DataError: the disk refuses.
        """
        line = json.dumps({"kind": kind, **plain(values)}, allow_nan=False)
        self._file.append(line.encode(), synced=synced)

    def close(self) -> None:
        """Make it durable, and close the file."""
        self._file.close()


class Lines:
    """A journal in memory, of a replay.

    Attributes:
        written: the lines, as they would be read.
    """

    def __init__(self) -> None:
        """Nothing is written yet."""
        self.written: list[dict[str, Any]] = []

    def write(self, kind: str, *, synced: bool = True, **values: object) -> None:
        """One line."""
        self.written.append({"kind": kind, **plain(values)})


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; one that a kill tore, at its end, is left out.

    Raises:
        DataError: it can't be read, or has a line that mtf did not write.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b""), 1):
                if not line.endswith(b"\n"):
                    break
                yield _parsed(path, number, line)
    except OSError as error:
        raise DataError(
            f"can't read {path}: {error.strerror or error}", "the journal of a session"
        ) from error


def decision_line(decision: Decision) -> dict[str, Any]:
    """A decision as the values of a line."""
    return dict(vars(decision))


def decision_of(line: Mapping[str, Any]) -> Decision:
    """The decision that a line tells.

    Raises:
        DataError: it tells none.
    """
    try:
        numbers = {
            name: _number(line[name])
            for name in ("wanted", "weight", "confidence", "stop_loss", "take_profit")
        }
        return Decision(
            time_ms=int(line["time_ms"]),
            said={str(name): _number(value) for name, value in line["said"].items()},
            streams={str(name): str(state) for name, state in line["streams"].items()},
            allowed=bool(line["allowed"]),
            why=str(line["why"]),
            **numbers,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable("a decision", error) from None


@dataclass(frozen=True)
class Begun:
    """How a process began to decide.

    Attributes:
        at_ms: when.
        first_ms: its first decision.
        files: of the model, by what each is of.
        funding_every_ms: between two funding payments, as the exchange said then.
    """

    at_ms: int
    first_ms: int
    files: Mapping[str, str]
    funding_every_ms: int


def begun_of(line: Mapping[str, Any]) -> Begun:
    """What a line of kind ``begin`` tells.

    Raises:
        DataError: it can't be read.
    """
    try:
        files = {str(name): str(file) for name, file in line["files"].items()}
        return Begun(
            int(line["at_ms"]), int(line["first_ms"]), files, int(line["funding_every_ms"])
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable("how a process began", error) from None


def event_line(event: Traded) -> dict[str, Any]:
    """What an account is traded on as the values of a line, its kind too."""
    kind = next(name for name, of in TRADED.items() if isinstance(event, of))
    values = {"kind": kind, **vars(event)}
    if isinstance(event, Closed | NoCandle):
        values["timeframe"] = str(event.timeframe)
    if isinstance(event, Closed):
        values |= {"open_ms": event.open_ms.tolist(), "ohlcv": event.ohlcv.tolist()}
    return values


def event_of(line: Mapping[str, Any]) -> Traded | None:
    """What a line tells that an account is traded on; None = it is about something else.

    Raises:
        DataError: it can't be read.
    """
    if line["kind"] not in TRADED:
        return None
    values = {name: value for name, value in line.items() if name != "kind"}
    try:
        if "timeframe" in values:
            values["timeframe"] = Timeframe.parse(values["timeframe"])
        if line["kind"] == "candles":
            values["open_ms"] = np.array(values["open_ms"], np.int64)
            values["ohlcv"] = np.array(values["ohlcv"], np.float64).reshape(-1, 5)
        event = TRADED[line["kind"]](**values)
    except (LookupError, TypeError, ValueError, MtfError) as error:
        raise _unreadable(f"a line of kind {line['kind']}", error) from None
    return event


def _unreadable(what: str, error: Exception) -> DataError:
    return DataError(
        f"{what} in a journal can't be read ({type(error).__name__}: {error})",
        "a line as mtf live writes it",
        "restore the journal, or begin another session with --new",
    )


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _number(value: object) -> float:
    """A number; null is none."""
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        raise DataError(
            f"{path}, line {number}: {line[:60]!r}",
            "a JSON object with a kind",
            "restore the journal, or begin another session with --new",
        )
    return found


__all__ = [
    "TRADED",
    "Begun",
    "Journal",
    "Lines",
    "begun_of",
    "decision_line",
    "decision_of",
    "event_line",
    "event_of",
    "plain",
    "read_journal",
]
