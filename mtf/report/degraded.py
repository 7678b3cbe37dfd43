"""The values of missing, late and frozen streams: as lines, as a table of all, as pictures."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, UInt8

from mtf.evaluation.cells import SLOTS, Cell, Kind, present_cell
from mtf.evaluation.day_sums import Estimated, Key
from mtf.evaluation.degraded import Degraded
from mtf.evaluation.degraded_values import MEAN
from mtf.evaluation.shapley import EXACT_PLAYERS, members
from mtf.report.heat_map import heat_map
from mtf.report.terminal import number

COLUMNS = (
    *("kind", "streams", "slots", "head", "target", "value", "se", "low", "high"),
    *("n", "days", "same_as", "measure"),
)
DISTURBED: tuple[Kind, ...] = ("late", "frozen")
ABSENT = "absent"
STEPS = 4
"""Lines of progress over the whole measurement."""


def degraded_lines(found: Degraded) -> Iterator[str]:
    """Of every head: all streams, none, and of each stream how the value falls; what is said."""
    first = next(iter(found.values.values()))[found.everything]
    yield (
        f"{found.part} part with streams missing, late or frozen: {first.n:,} decisions on "
        f"{first.days} days; value v, Shapley value [95 % interval over whole days]"
    )
    for key in shown_keys(found):
        head, target = key
        everything, none = (
            found.value(head, target, cell) for cell in (found.everything, Cell("present", ()))
        )
        yield (
            f"{head}, v = {found.measures[key]}: all {_with_se(everything)}, none {_with_se(none)}"
        )
        yield from aligned([_heading(), *(_row(found, key, name) for name in found.streams)])
    yield from _notes(found)


def shown_keys(found: Degraded) -> list[Key]:
    """One target a head: its only one, or the mean over all."""
    return [key for key in found.values if key[1] == MEAN or (key[0], MEAN) not in found.values]


def _heading() -> list[str]:
    late, frozen = ([f"{kind} {SLOTS[0]}", *map(str, SLOTS[1:])] for kind in DISTURBED)
    return ["", "only", "without", "Shapley", *late, *frozen]


def _row(found: Degraded, key: Key, name: str) -> list[str]:
    """One stream: the value with it alone, without it, what it brings, late and frozen."""
    brought = found.shapley[key][name]
    cells = [only(name), found.without(name)]
    values = [_shown(found, key, cell) for cell in cells]
    disturbed = [
        _shown(found, key, Cell(kind, (name,), slots)) for kind in DISTURBED for slots in SLOTS
    ]
    interval = f"[{number(brought.low)}, {number(brought.high)}]"
    return [name, *values, f"{number(brought.value)} {interval}", *disturbed]


def only(name: str) -> Cell:
    """The stream alone."""
    return Cell("present", (name,))


def _shown(found: Degraded, key: Key, cell: Cell) -> str:
    """The value of a cell; why there is none."""
    if cell in found.same and cell.kind == "late":
        return ABSENT
    known = found.values[key].get(found.same.get(cell, cell))
    return "" if known is None else number(known.value)


def aligned(rows: list[list[str]]) -> Iterator[str]:
    """Rows as columns of equal width, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join(["", row[0].ljust(widths[0]), *rest]).rstrip()


def _with_se(value: Estimated) -> str:
    return f"{number(value.value)} ± {number(value.se)}"


def _notes(found: Degraded) -> Iterator[str]:
    """What a reader must know."""
    if found.orders is not None:
        yield (
            f"  {len(found.streams)} streams are more than {EXACT_PLAYERS}: Shapley values over "
            f"{found.orders} random orders instead of all sets"
        )
    if any(cell.kind == "late" for cell in found.same):
        yield f"  {ABSENT}: so late that the stream is older than its max_age, as without it"
    derived = [spec for spec in found.specs if spec.derived_from is not None]
    if derived:
        told = ", ".join(f"{spec.name} with {spec.derived_from}" for spec in derived)
        yield f"  derived streams are absent, late and frozen with their source: {told}"


def degraded_csv(found: Degraded) -> str:
    """Every cell and Shapley value of every head and target, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for key in found.values:
        for cell in (*found.cells, *found.same):
            same = found.same.get(cell)
            value = found.value(*key, cell)
            where = cell.kind, "+".join(cell.streams), cell.slots
            writer.writerow(_csv_row(where, key, value, str(same or ""), found.measures[key]))
        for name, brought in found.shapley[key].items():
            about = "shapley", name, 0
            writer.writerow(_csv_row(about, key, brought, "", found.measures[key]))
    return text.getvalue()


def _csv_row(
    about: tuple[str, str, int], key: Key, value: Estimated, same: str, measure: str
) -> list[object]:
    numbers = [value.value, value.se, value.low, value.high]
    shown = ["" if np.isnan(one) else repr(one) for one in numbers]
    return [*about, *key, *shown, value.n, value.days, same, measure]


def degraded_pictures(found: Degraded) -> Iterator[tuple[str, UInt8[np.ndarray, "height width 3"]]]:
    """Two maps of every target: all sets of streams, and every stream missing, late and frozen.

    The sets stand as a table: its rows are those of the first half of the streams, its columns
    those of the others. Beyond 8 streams not every set is measured, and there is none.
    """
    for key in found.values:
        name = "/".join(dict.fromkeys(("degraded", *key)))
        if found.orders is None:
            yield f"{name}/sets", _sets_map(found, key)
        columns = ["only", "without", *(f"{kind} {k}" for kind in DISTURBED for k in SLOTS)]
        rows = np.array([_numbers(found, key, stream) for stream in found.streams])
        yield f"{name}/streams", heat_map(rows, found.streams, columns)


def _numbers(found: Degraded, key: Key, name: str) -> list[float]:
    cells = [only(name), found.without(name)]
    cells += [Cell(kind, (name,), slots) for kind in DISTURBED for slots in SLOTS]
    known = (found.values[key].get(found.same.get(cell, cell)) for cell in cells)
    return [np.nan if one is None else one.value for one in known]


def _sets_map(found: Degraded, key: Key) -> UInt8[np.ndarray, "height width 3"]:
    """All sets of streams."""
    half = (len(found.streams) + 1) // 2
    halves = found.streams[:half], found.streams[half:]
    rows, columns = ([members(half, i) for i in range(2 ** len(half))] for half in halves)
    values: Float64[np.ndarray, "row column"] = np.empty((len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            values[i, j] = found.value(*key, present_cell(found.specs, (*row, *column))).value
    names = [[" + ".join(one) or "none" for one in sets] for sets in (rows, columns)]
    return heat_map(values, *names)


class Steps:
    """Says a few times how far a measurement is, and how long it will still take.

    Args:
        line: prints a line.
        clock: seconds, from any start.
    """

    def __init__(
        self, line: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start now."""
        self.line, self.clock = line, clock
        self.began, self.step = clock(), 0

    def __call__(self, done: int, total: int) -> None:
        """So many decisions of the total are done."""
        step = STEPS * done // total
        if step < self.step or done == total:
            return
        self.step = step + 1
        left = (self.clock() - self.began) / done * (total - done)
        minutes, seconds = divmod(round(left), 60)
        self.line(f"  {done / total:.0%} of {total:,} decisions, {minutes}:{seconds:02d} left")


__all__ = ["Steps", "degraded_csv", "degraded_lines", "degraded_pictures"]
