"""A session's journal: one JSON line for everything that counts, on the disk before it is acted on.

Kinds of lines: ``begin`` (a process began or went on), ``candles``, ``lack`` and ``funding`` (what
the account is traded on), ``decision``, ``fill``, ``account``, ``state`` (of a stream), ``fault``,
``halt`` (what stands against a position, and its end), ``missed`` (decisions), ``end``. Times are
the exchange's, in ms UTC. What is no number (NaN) is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtf.errors import DataError, MtfError
from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingRate, NoCandle
from mtf.realtime.lines_file import LinesFile

MOST_LINE = 64_000_000
"""Bytes of a line; what is longer was not written by mtf."""

Traded = Closed | NoCandle | FundingRate
"""What an account is traded on."""


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


def event_line(event: Traded) -> dict[str, Any]:
    """What an account is traded on as the values of a line, its kind too."""
    if isinstance(event, FundingRate):
        return {"kind": "funding", **vars(event)}
    values = {**vars(event), "timeframe": str(event.timeframe)}
    if isinstance(event, NoCandle):
        return {"kind": "lack", **values}
    rows = {"open_ms": event.open_ms.tolist(), "ohlcv": event.ohlcv.tolist()}
    return {"kind": "candles", **values, **rows}


def event_of(line: Mapping[str, Any]) -> Traded | None:
    """What a line tells that an account is traded on; None = it is about something else.

    Raises:
        DataError: it can't be read.
    """
    values = {name: value for name, value in line.items() if name != "kind"}
    kinds = {"funding": FundingRate, "lack": NoCandle, "candles": Closed}
    if line["kind"] not in kinds:
        return None
    try:
        if "timeframe" in values:
            values["timeframe"] = Timeframe.parse(values["timeframe"])
        if line["kind"] == "candles":
            values["open_ms"] = np.array(values["open_ms"], np.int64)
            values["ohlcv"] = np.array(values["ohlcv"], np.float64).reshape(-1, 5)
        event: Traded = kinds[line["kind"]](**values)
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
    "Journal",
    "Lines",
    "Traded",
    "decision_line",
    "decision_of",
    "event_line",
    "event_of",
    "plain",
    "read_journal",
]
