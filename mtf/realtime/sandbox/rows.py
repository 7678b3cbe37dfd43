"""Candles spoilt on their way out, each in one way."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Row = list[str]
Rows = list[Row]
START, OPEN, HIGH, LOW, CLOSE = range(5)


def spoil(rows: Sequence[Row], kind: str, newest: Sequence[Row], seed: int) -> Rows:
    """The rows of a page with one fault in them; the same rows are spoilt at the same place.

    Args:
        rows: seven strings a candle, the newest first.
        kind: one of ``faults.ROW_FAULTS``.
        newest: the candle that is open now, or none.
        seed: of the place.
    """
    spoilt = [list(row) for row in rows]
    if kind == "open_last":
        return [list(row) for row in newest if row not in rows] + spoilt
    if spoilt:
        place = random.Random(f"{seed} {kind} {rows[0][START]}").randrange(len(spoilt))
        _WAYS[kind](spoilt, place)
    return spoilt


def _duplicate(rows: Rows, place: int) -> None:
    """The same candle again, right after itself."""
    rows.insert(place, list(rows[place]))


def _shuffle(rows: Rows, place: int) -> None:
    """Any other order; two rows change places, a single one stays."""
    before = list(rows)
    random.Random(place).shuffle(rows)
    if rows == before:
        rows.reverse()


def _gap(rows: Rows, place: int) -> None:
    """One candle less."""
    del rows[place]


def _nan(rows: Rows, place: int) -> None:
    """A close that is no number."""
    rows[place][CLOSE] = "NaN"


def _inf(rows: Rows, place: int) -> None:
    """A high without end."""
    rows[place][HIGH] = "Infinity"


def _negative(rows: Rows, place: int) -> None:
    """A low below 0."""
    rows[place][LOW] = "-" + rows[place][LOW]


def _high_below_low(rows: Rows, place: int) -> None:
    """High and low exchanged; where they are equal the high falls below."""
    row = rows[place]
    row[HIGH], row[LOW] = row[LOW], row[HIGH]
    if row[HIGH] == row[LOW]:
        row[HIGH] = "0.1"


def _seconds(rows: Rows, place: int) -> None:
    """All open times in seconds."""
    for row in rows:
        row[START] = str(int(row[START]) // 1_000)


_WAYS: dict[str, Callable[[Rows, int], None]] = {
    "duplicate": _duplicate,
    "shuffle": _shuffle,
    "gap": _gap,
    "nan": _nan,
    "inf": _inf,
    "negative": _negative,
    "high_below_low": _high_below_low,
    "seconds": _seconds,
}
