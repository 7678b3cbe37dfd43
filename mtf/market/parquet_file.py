"""One parquet file of candles, read batch by batch: hardly more than the rows is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.arrow_times import is_time, to_ms
from mtf.market.columns import ROLES, find_columns
from mtf.market.times import Locate, TimeUnit, guess_unit

BATCH_ROWS = 1 << 16
BUFFER_BYTES = 1 << 20
"""Read ahead of each column: a row group may be a whole history, which never is in memory."""
ALL_TIME = (-(2**62), 2**62)

Window = tuple[int, int]
"""Rows with ``start_ms <= open_time < end_ms``."""


class ParquetFile:
    """An open file: its columns, and its candles of a window of time."""

    def __init__(self, path: Path) -> None:
        """Open it and read the schema.

        Raises:
            DataError: not a parquet file, damaged, or not readable.
        """
        self.path = path
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None
        self.names: list[str] = list(self._file.schema_arrow.names)

    def __enter__(self) -> ParquetFile:
        """Use it in a ``with`` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def read(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole columns; times as ms, texts as objects."""
        try:
            table = self._file.read(columns=list(dict.fromkeys(columns)))
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None
        return {
            name: _plain(table[name], name, partial(self._place, 0)) for name in table.column_names
        }

    def candles(
        self,
        columns: Mapping[str, str] | None = None,
        time_unit: TimeUnit = "ms",
        window: Window = ALL_TIME,
    ) -> tuple[Int64[np.ndarray, " row"], Float64[np.ndarray, "row 5"], int]:
        """Open times (ms) and open, high, low, close, volume of the rows in the window.

        Rows out of order may bring some outside of the window along.

        Args:
            columns: role to column; None = by the usual names.
            time_unit: of a column of plain numbers.
            window: ``(start_ms, end_ms)``.

        Returns:
            Times, values, and the number of the first row within the file.

        Raises:
            DataError: a missing column, text in it, a damaged file.
        """
        size = self.at_most(columns, time_unit, window)
        times, ohlcv = mapped.empty(size, np.int64), mapped.empty((size, 5))
        count, first = self.fill(times, ohlcv, columns, time_unit, window)
        return times[:count], ohlcv[:count], first

    def at_most(
        self, columns: Mapping[str, str] | None, time_unit: TimeUnit, window: Window
    ) -> int:
        """Rows of all row groups that may have some in the window."""
        found = find_columns(self.names, columns, str(self.path))
        self._check_types(found)
        name = found["open_time"]
        groups = self._groups(name, self._unit(name, time_unit), window)
        return sum(self._file.metadata.row_group(group).num_rows for group in groups)

    def fill(
        self,
        times: Int64[np.ndarray, " row"],
        ohlcv: Float64[np.ndarray, "row 5"],
        columns: Mapping[str, str] | None,
        time_unit: TimeUnit,
        window: Window,
    ) -> tuple[int, int]:
        """Read candles into arrays that are there, so that several files need no copy.

        Returns:
            How many rows, and the number of the first one within the file.
        """
        found = find_columns(self.names, columns, str(self.path))
        name = found["open_time"]
        unit = self._unit(name, time_unit)
        count, first = 0, 0
        for row, batch in self._batches(self._groups(name, unit, window), found):
            opened = to_ms(batch.column(name), unit, partial(self._place, row), name)
            inside = np.flatnonzero((opened >= window[0]) & (opened < window[1]))
            if len(inside) == 0:
                continue
            rows = slice(int(inside[0]), int(inside[-1]) + 1)
            first = row + int(inside[0]) if count == 0 else first
            end = count + rows.stop - rows.start
            times[count:end] = opened[rows]
            for position, role in enumerate(ROLES[1:]):
                ohlcv[count:end, position] = _floats(batch.column(found[role]))[rows]
            mapped.release(times[count:end], ohlcv[count:end])
            count = end
        return count, first

    def _place(self, first: int, row: int) -> str:
        """The file and the number (from 1) of a row of a batch."""
        return f"{self.path} row {first + row + 1}"

    def _batches(
        self, groups: Sequence[int], found: Mapping[str, str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of some row groups, each with the number of its first row."""
        starts = np.cumsum(
            [0] + [self._group(i).num_rows for i in range(self._file.num_row_groups)]
        )
        for group in groups:
            row = int(starts[group])
            try:
                for batch in self._file.iter_batches(
                    BATCH_ROWS,
                    row_groups=[group],
                    columns=sorted(set(found.values())),
                    use_threads=False,
                ):
                    yield row, batch
                    row += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from None

    def _group(self, group: int) -> Any:
        """Metadata of a row group."""
        return self._file.metadata.row_group(group)

    def _groups(self, column: str, unit: str, window: Window) -> list[int]:
        """Row groups that may have rows in the window, by the file's own statistics."""
        position = self.names.index(column)
        kept = []
        for group in range(self._file.num_row_groups):
            span = self._span(group, position, unit)
            if span is None or (span[1] >= window[0] and span[0] < window[1]):
                kept.append(group)
        return kept

    def _span(self, group: int, position: int, unit: str) -> Window | None:
        """First and last time of a row group in ms; None = the file does not say."""
        statistics = self._group(group).column(position).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        try:
            ends = pa.array([statistics.min, statistics.max], self._type(self.names[position]))
            times = to_ms(ends, unit, partial(self._place, 0), "")
        except (pa.ArrowException, DataError, TypeError):
            return None
        return int(times[0]), int(times[1])

    def _type(self, column: str) -> pa.DataType:
        """The type of a column."""
        return self._file.schema_arrow.field(column).type

    def _unit(self, column: str, unit: TimeUnit) -> str:
        """The unit of plain numbers: as said, or told by the size of the first time."""
        if unit != "auto" or self._file.metadata.num_rows == 0:
            return unit
        kind = self._type(column)
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return unit
        try:
            first = next(self._file.iter_batches(1, columns=[column])).column(0)[0].as_py()
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None
        return guess_unit(float(first)) if first is not None else "ms"

    def _check_types(self, found: Mapping[str, str]) -> None:
        """Numbers where numbers must be, and every name once."""
        for role, name in found.items():
            if self.names.count(name) > 1:
                raise DataError(
                    f"{self.path}: column {name!r} ({role}) is there twice",
                    "every name once",
                    f"write the file anew, or name another column: `columns: {{{role}: ...}}`",
                )
            kind = self._type(name)
            if is_time(kind) if role == "open_time" else _is_number(kind):
                continue
            wanted = "numbers or timestamps" if role == "open_time" else "numbers"
            raise DataError(
                f"{self.path}: column {name!r} ({role}) has type {kind}",
                wanted,
                f"convert it to {wanted}, or name another column: `columns: {{{role}: ...}}`",
            )

    def _damaged(self, error: Exception) -> DataError:
        """Not a parquet file, or not a whole one."""
        first = str(error).strip().splitlines()[0][:160]
        return DataError(
            f"{self.path} can't be read as parquet: {first}",
            "a complete parquet file",
            "load or copy the file again; a text file needs data.name=csv",
        )


def _floats(values: pa.Array) -> Float64[np.ndarray, " row"]:
    """Numbers as float64, nulls as NaN."""
    if not pa.types.is_float64(values.type):
        values = pc.cast(values, pa.float64(), safe=False)
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _plain(column: pa.ChunkedArray, name: str, locate: Locate) -> np.ndarray:
    """A whole column as numpy: times in ms, numbers, or objects."""
    values = column.combine_chunks()
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return to_ms(values, "ms", locate, name)
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    return array
