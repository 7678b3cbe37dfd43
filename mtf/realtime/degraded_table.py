"""What a run is worth while streams are late or absent: ``degraded.csv``, read and not believed.

``mtf evaluate RUN --degraded`` writes the file. Here it answers one question: what is a head worth
under a condition, and how surely. It is an answer about the weights that were measured, and about
no others.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mtf.errors import DataError
from mtf.evaluation.cells import Cell, Kind
from mtf.evaluation.degraded_values import MEAN
from mtf.learning.disk import read_bounded
from mtf.market.stream import StreamSpec

MAX_BYTES = 32_000_000
"""The sets of twenty streams under twenty targets take a third of it."""
KINDS: dict[str, Kind] = {"present": "present", "late": "late", "frozen": "frozen"}
COLUMNS = ("kind", "streams", "slots", "head", "target", "value", "low", "high", "measure")
Row = Mapping[str, str]


class Worth(NamedTuple):
    """A value with its 95 % interval; NaN = undefined, of the ends: below two days."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class DegradedTable:
    """The values of one head by condition.

    Attributes:
        path: of the file.
        head: that the values are of: of its only target, or of the mean over all.
        measure: what a value is, such as ``log loss of the class prior - log loss, nats``.
        worth: of every condition that was measured.
        weights: checkpoint that was measured; empty = the file does not say (those of before).
    """

    path: Path
    head: str
    measure: str
    worth: Mapping[Cell, Worth]
    weights: str = ""

    @classmethod
    def of_run(
        cls,
        run_folder: Path,
        specs: Sequence[StreamSpec],
        head: str,
        weights: str,
        symbol: str,
        *,
        learned: bool,
    ) -> tuple[DegradedTable | None, str]:
        """The table that some weights are judged by about a symbol, and what to know of it.

        That of the symbol alone comes first, then that of all symbols of the run. One that was
        measured with other weights is not used.

        Args:
            run_folder: of the run.
            specs: its streams, in the order of the config.
            head: that a policy reads.
            weights: name of the checkpoint that decides.
            symbol: that is decided about.
            learned: whether it is a symbol of the run.

        Returns:
            The table, None = there is none of these weights; and words, empty = nothing to say.

        Raises:
            DataError: as ``read``.
        """
        notes = []
        for of in (symbol, None) if learned else (symbol,):
            table = cls.read(run_folder, specs, head, of)
            if table is None:
                continue
            notes.append(table.doubt(weights))
            if table.weights in ("", weights):
                return table, "; ".join(filter(None, notes))
        return None, "; ".join(notes)

    @classmethod
    def read(
        cls, run_folder: Path, specs: Sequence[StreamSpec], head: str, symbol: str | None = None
    ) -> DegradedTable | None:
        """The table of a run; None = that was not measured.

        Args:
            run_folder: of the run.
            specs: its streams, in the order of the config.
            head: that a policy reads.
            symbol: measured by itself; None = the symbols of the run.

        Raises:
            DataError: the file is damaged, of other streams, or does not have the head.
        """
        path = run_folder / table_name(symbol)
        if not path.exists():
            return None
        try:
            rows = list(_rows(read_bounded(path, MAX_BYTES).decode()))
            return cls._of(path, rows, [spec.name for spec in specs], head)
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
        except (ValueError, csv.Error) as error:
            raise _unreadable(path, str(error)) from error

    @classmethod
    def _of(cls, path: Path, rows: Sequence[Row], names: Sequence[str], head: str) -> DegradedTable:
        """The values of the head among all rows.

        Raises:
            ValueError: there are none, or they are no values.
        """
        found = sorted({row["head"] for row in rows})
        if head not in found:
            raise ValueError(f"no row is about {head}, only about {', '.join(found) or 'nothing'}")
        targets = {row["target"] for row in rows if row["head"] == head}
        target = MEAN if MEAN in targets else min(targets)
        own = [row for row in rows if (row["head"], row["target"]) == (head, target)]
        worth: dict[Cell, Worth] = {}
        for row in own:
            if row["kind"] == "shapley":
                continue
            cell = _cell(row, names)
            if cell in worth:
                raise ValueError(f"{cell} is in it twice")
            worth[cell] = _worth(row)
        if Cell("present", tuple(names)) not in worth:
            raise ValueError(f"{' + '.join(names)} together are not in it")
        return cls(path, head, own[0]["measure"], worth, _weights(rows))

    def doubt(self, weights: str) -> str:
        """What to say where some weights decide; empty = it was measured with these."""
        name = self.path.name
        if not self.weights:
            return f"{name} does not name the weights it was measured with: is it of {weights}?"
        if self.weights == weights:
            return ""
        told = f"{name} was measured with {self.weights}, the run decides by {weights}"
        return f"{told}: it is not used"

    def value(self, cell: Cell) -> Worth | None:
        """Value, lower and upper end of its interval; None = that was not measured."""
        return self.worth.get(cell)

    def late(self, stream: str, slots: int) -> Cell | None:
        """The condition nearest to a stream so late, and not less late; None = there is none."""
        later = [
            cell
            for cell in self.worth
            if cell.kind == "late" and cell.stream == stream and cell.slots >= slots
        ]
        return min(later, key=lambda cell: cell.slots, default=None)

    def frozen(self, stream: str) -> Cell | None:
        """The condition of a stream that has been frozen for the longest; None = there is none."""
        found = [cell for cell in self.worth if cell.kind == "frozen" and cell.stream == stream]
        return max(found, key=lambda cell: cell.slots, default=None)

    def spoken(self, worth: Worth) -> str:
        """A value in words: ``the action is worth 0.031 nats [0.012, 0.049]``."""
        nats = self.measure.endswith(", nats")
        value = f"the {self.head} is worth {worth.value:.2g}{' nats' if nats else ''}"
        if math.isnan(worth.low):
            return f"{value}, measured on less than two days"
        interval = f"[{worth.low:.2g}, {worth.high:.2g}]"
        return f"{value} {interval}" + ("" if nats else f" ({self.measure})")


def table_name(symbol: str | None) -> str:
    """The file's name, as ``mtf evaluate`` gives it."""
    of = "" if symbol is None else "_" + re.sub(r"[^A-Za-z0-9.-]", "-", symbol)
    return f"degraded{of}.csv"


def _rows(text: str) -> Iterator[Row]:
    """All rows.

    Raises:
        ValueError: a column is missing, a row too short or too long, or the file was cut off.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"no column {missing[0]!r}")
    if not text.endswith("\n"):
        raise ValueError("its last line is cut off")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has not as many fields as the header")
        yield row


def _cell(row: Row, names: Sequence[str]) -> Cell:
    """The condition that a row is about.

    Raises:
        ValueError: there is no such condition.
    """
    kind, slots = KINDS.get(row["kind"]), row["slots"]
    if kind is None or not re.fullmatch(r"[0-9]{1,9}", slots):
        raise ValueError(f"{row['kind']!r} by {slots!r} is no condition")
    streams, rest = [], row["streams"]
    for name in names:  # in the order of the config, as they were written; a name may have a +
        if rest == name or rest.startswith(f"{name}+"):
            streams.append(name)
            rest = rest[len(name) + 1 :]
    if rest or (kind != "present" and len(streams) != 1):
        raise ValueError(f"{row['streams']!r} are no streams of this run: {', '.join(names)}")
    return Cell(kind, tuple(streams), int(slots))


def _weights(rows: Sequence[Row]) -> str:
    """The checkpoint that was measured; empty = none is named.

    Raises:
        ValueError: there are several.
    """
    names = sorted({row.get("weights", "") for row in rows})
    if len(names) > 1:
        raise ValueError(f"it was measured with {' and '.join(names)}")
    return names[0]


def _worth(row: Row) -> Worth:
    """The numbers of a row; what is empty is undefined.

    Raises:
        ValueError: they are no numbers, or no interval.
    """
    texts = [row[name] for name in Worth._fields]
    if any(text and not math.isfinite(float(text)) for text in texts):
        raise ValueError(f"{', '.join(texts)} are not all finite")
    worth = Worth(*(float(text) if text else math.nan for text in texts))
    if worth.low > worth.high:
        raise ValueError(f"the interval [{worth.low}, {worth.high}] is upside down")
    return worth


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} can't be read: {why}",
        "the file that mtf evaluate RUN --degraded writes for this run",
        "write it again, or remove it: then no position is held while a stream is late or absent",
    )


__all__ = ["DegradedTable", "Worth", "table_name"]
