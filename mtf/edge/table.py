"""Candles from CSV files, and decisions as CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mtf.edge.candle import FIELDS
from mtf.edge.errors import RunnerError
from mtf.edge.runner import Decision

AVAILABLE = "available_at"
LARGEST = {1e11: 1_000.0, 1e14: 1.0, 1e17: 1e-3}
"""A time below the key is in seconds, milliseconds or microseconds: what makes ms of it."""

Write = Callable[[str], object]
"""Takes the next text."""

Row = tuple[tuple[float, ...], int | None]
"""A candle, its open time in ms first, and when it may be known."""


def read_candles(path: Path) -> list[Row]:
    """The candles of a CSV file with a header, in the order of their times.

    Columns are open_time (milliseconds, seconds or ISO 8601, UTC), open, high, low, close, volume,
    and available_at where late deliveries are known; others are not read.

    Raises:
        RunnerError: a file that can't be read, a missing column, or a line that is no candle.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [name for name in FIELDS if name not in (rows.fieldnames or ())]
            if missing:
                raise RunnerError(f"{path} has no column {missing[0]}", ", ".join(FIELDS))
            found = [_row(path, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RunnerError(f"{path} can't be read: {reason}", "a CSV file of candles") from error
    return sorted(found, key=lambda row: row[0][0])


def _row(path: Path, line: int, row: Mapping[str, str | None]) -> Row:
    try:
        late = row.get(AVAILABLE)
        figures = [float(row[name] or "") for name in FIELDS[1:]]
        return (read_time(row["open_time"] or ""), *figures), read_time(late) if late else None
    except ValueError as error:
        found = ", ".join(str(row[name]) for name in FIELDS)
        raise RunnerError(f"{path}:{line}: found {found}", "a time and five numbers") from error


def read_time(text: str) -> int:
    """Milliseconds UTC of a number or an ISO 8601 time.

    Raises:
        ValueError: it is neither.
    """
    try:
        number = float(text)
    except ValueError:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
        return round(time.timestamp() * 1_000)
    for most, factor in LARGEST.items():
        if abs(number) < most:
            return round(number * factor)
    raise ValueError(f"{text} is no time of the years 1973 to 5138")


def write_csv(decisions: Iterable[Decision], write: Write) -> int:
    """A line a decision: time, symbol, action, target, then every column of the model; how many."""
    count = 0
    for decision in decisions:
        flat = flattened(decision)
        if count == 0:
            write(",".join(flat) + "\n")
        write(",".join("" if value is None else str(value) for value in flat.values()) + "\n")
        count += 1
    return count


def write_json_lines(decisions: Iterable[Decision], write: Write) -> int:
    """The same as JSON, an object a line."""
    count = 0
    for decision in decisions:
        write(json.dumps(flattened(decision), allow_nan=False) + "\n")
        count += 1
    return count


def flattened(decision: Decision) -> dict[str, str | float | None]:
    """A decision as one row; what is not a number is None."""
    return dict(_parts(decision))


def _parts(decision: Decision) -> Iterator[tuple[str, str | float | None]]:
    target = decision.target
    yield "time_ms", decision.time_ms
    yield "symbol", decision.symbol
    yield "action", decision.action
    for name in ("weight", "confidence", "stop_loss", "take_profit"):
        yield name, _number(getattr(target, name) if target else None)
    for column, value in decision.columns.items():
        yield column, _number(value)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


__all__ = ["flattened", "read_candles", "read_time", "write_csv", "write_json_lines"]
