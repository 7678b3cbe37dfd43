"""One text file of candles: its form found out, its numbers read, its mistakes located.

Read piece by piece, so that hardly more than a piece is in memory. Arrow reads the numbers; only
when it fails is the file read again line by line, to say which line and column is at fault.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from jaxtyping import Float64, Int64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.arrow_times import is_iso, is_text, to_ms
from mtf.market.columns import ROLES, find_columns
from mtf.market.csv_form import NULLS, has_names, head_of, is_number, separator_of
from mtf.market.times import TimeUnit, guess_unit, numbers_to_ms

BLOCK_BYTES = 1 << 20

Header = bool | Literal["auto"]
Columns = Mapping[str, str] | Sequence[str] | None
Read = TypeVar("Read")


class CsvFile:
    """A text file whose form is known."""

    def __init__(
        self,
        path: Path,
        separator: str = "auto",
        header: Header = "auto",
        columns: Columns = None,
    ) -> None:
        """Look at the beginning of the file.

        Args:
            path: the file.
            separator: one character, or ``auto``.
            header: whether the first line holds names, or ``auto``.
            columns: role to name in the header, or names by position.

        Raises:
            DataError: empty, binary, no separator, columns that do not fit.
        """
        self.path = path
        lines = head_of(path)
        self._skip, first = lines[0]
        self.separator = separator_of(path, [line for _, line in lines], separator)
        fields = self._split(first)
        self.header = has_names(fields) if header == "auto" else header
        self.names = self._names(fields, columns)
        self.roles = columns if isinstance(columns, Mapping) else None
        if self.header and len(lines) == 1:
            raise DataError(
                f"{path}: a header and no rows", "candles below the header", "load the file again"
            )
        self._first = self._split(lines[1 if self.header else 0][1])

    def candles(
        self, time_unit: TimeUnit = "auto", limit: int | None = None
    ) -> tuple[Int64[np.ndarray, " row"], Float64[np.ndarray, "row 5"]]:
        """Open times (ms) and open, high, low, close, volume of the first ``limit`` rows.

        Raises:
            DataError: a missing column, a line with too few fields, text in place of a number.
        """
        found = find_columns(self.names, self.roles, str(self.path))
        self._check_unique(found)
        most = self._lines() if limit is None else min(self._lines(), limit)
        raw, ohlcv = self._arrow_reads(found, limit, partial(self._fill, found, most))
        return self._to_ms(raw, time_unit, found["open_time"]), ohlcv

    def _lines(self) -> int:
        """Rows that the file has at most."""
        with self.path.open("rb") as file:
            return 1 + sum(
                block.count(b"\n") + block.count(b"\r")
                for block in iter(partial(file.read, BLOCK_BYTES), b"")
            )

    def _fill(
        self, found: Mapping[str, str], most: int, reader: pacsv.CSVStreamingReader
    ) -> tuple[np.ndarray, np.ndarray]:
        """Times, as ms where they are texts, else as they are; open, high, low, close, volume."""
        name, end = found["open_time"], 0
        broken = pa.types.is_floating(reader.schema.field(name).type)
        raw, ohlcv = mapped.empty(most, np.float64 if broken else np.int64), mapped.empty((most, 5))
        for batch in reader:
            rows, column = slice(end, end + batch.num_rows), batch.column(name)
            if is_text(column.type) or column.null_count:
                raw[rows] = to_ms(column, "ms", partial(self._place, end), name)
            else:
                raw[rows] = column.to_numpy()
            for position, role in enumerate(ROLES[1:]):
                numbers = batch.column(found[role]).to_numpy(zero_copy_only=False)
                ohlcv[rows, position] = numbers
            mapped.release(raw[rows], ohlcv[rows])
            end = rows.stop
        return raw[:end], ohlcv[:end]

    def _to_ms(self, raw: np.ndarray, unit: TimeUnit, name: str) -> Int64[np.ndarray, " row"]:
        """Times read as texts as they are, numbers in their unit."""
        if pa.types.is_string(self._type("open_time", name)):
            return raw
        told: str = unit
        if unit == "auto" and len(raw):  # of the whole file, not piece by piece
            told = guess_unit(float(np.median(raw[:: max(1, len(raw) // 1_000)])))
        times = mapped.empty(len(raw), np.int64)
        for rows in mapped.pieces(len(raw)):
            times[rows] = numbers_to_ms(raw[rows], told, partial(self._place, rows.start), name)
            mapped.release(times[rows], raw[rows])
        return times

    def _place(self, first: int, row: int) -> str:
        """``place`` of a row of a piece."""
        return self.place(first + row)

    def read(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole columns of numbers; the time column of ISO texts as ms."""
        table = self._arrow_reads({name: name for name in columns}, None, _whole)
        return {name: self._plain(table[name].combine_chunks(), name) for name in columns}

    def place(self, row: int) -> str:
        """File and line (from 1) of a row of data (from 0), found by reading the file again."""
        line = next(line for at, (line, _) in enumerate(self._rows()) if at == row)
        return f"{self.path.name}:{line}"

    def _plain(self, column: pa.Array, name: str) -> np.ndarray:
        """Numbers as they are, texts as times."""
        if pa.types.is_string(column.type):
            return to_ms(column, "iso", self.place, name)
        array: np.ndarray = column.to_numpy(zero_copy_only=False)
        return array

    def _names(self, fields: Sequence[str], columns: Columns) -> list[str]:
        """The name of every column: by the header, the user, or the usual order."""
        if self.header and not (columns and not isinstance(columns, Mapping)):
            return [field.strip() for field in fields]
        if isinstance(columns, Mapping):
            raise DataError(
                f"{self.path} has no header, and columns names its columns",
                "the names by position",
                "write `columns: [open_time, open, high, low, close, volume]` in the file's order",
            )
        names = list(columns) if columns else list(ROLES)
        if len(names) > len(fields) or (columns is None and len(fields) < len(ROLES)):
            raise DataError(
                f"{self.path}:{self._skip + 1}: {len(fields)} fields, {len(names)} columns",
                ", ".join(names),
                "say what the fields are: `columns: [open_time, open, ...]`, or the `separator:`",
            )
        return names + [f"field_{i + 1}" for i in range(len(names), len(fields))]

    def _check_unique(self, found: Mapping[str, str]) -> None:
        """A name that stands twice in the header names nothing."""
        for role, name in found.items():
            if self.names.count(name) > 1:
                raise DataError(
                    f"{self.path}:{self._skip + 1}: column {name!r} ({role}) is there twice",
                    "every name once",
                    "name the columns by position: `columns: [open_time, open, ...]`",
                )

    def _arrow_reads(
        self,
        found: Mapping[str, str],
        limit: int | None,
        take: Callable[[pacsv.CSVStreamingReader], Read],
    ) -> Read:
        """What is taken of the columns as Arrow reads them; its errors become ours."""
        types = {name: self._type(role, name) for role, name in found.items()}
        names = list(self.names)
        for index, name in enumerate(names):  # Arrow wants unique names of the others, too
            if names.count(name) > 1:
                names[index] = f"{name} ({index})"
        try:
            return take(self._arrow(names, types, limit))
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            if (mistake := self._blame(found, types, limit)) is not None:
                raise mistake from None
        try:  # Arrow skips empty lines; a line of blanks is one, too
            return take(self._arrow(names, types, limit, _skip_blank))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            first = str(error).splitlines()[0][:160]
            expected = "a text file of candles"
            raise DataError(f"{self.path} can't be read: {first}", expected, "mend it") from None

    def _arrow(
        self,
        names: Sequence[str],
        types: Mapping[str, pa.DataType],
        limit: int | None,
        odd_row: Callable[[Any], str] | None = None,
    ) -> pacsv.CSVStreamingReader:
        """The file as Arrow reads it; ``odd_row`` says what to do with lines of too few fields."""
        return pacsv.open_csv(
            self._source(limit),
            read_options=pacsv.ReadOptions(
                use_threads=False, column_names=names, skip_rows=self._skip + self.header
            ),
            parse_options=pacsv.ParseOptions(delimiter=self.separator, invalid_row_handler=odd_row),
            convert_options=pacsv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=NULLS
            ),
        )

    def _type(self, role: str, name: str) -> pa.DataType:
        """Numbers, except where the first row has a time in words (or a broken number)."""
        if role in ROLES[1:]:
            return pa.float64()
        index = self.names.index(name)
        text = self._first[index].strip() if index < len(self._first) else ""
        if text.lstrip("+-").isdigit():
            return pa.int64()
        return pa.float64() if is_number(text) else pa.string()

    def _source(self, limit: int | None) -> str | io.BytesIO:
        """The file, or its first lines."""
        if limit is None:
            return str(self.path)
        taken, rows = [], 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                rows += number >= self._skip + self.header and bool(line.strip())
                taken.append(line)
                if rows == limit:
                    break
        return io.BytesIO(b"".join(taken))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of every row of data."""
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for number, line in enumerate(file):
                if number >= self._skip + self.header and line.strip():
                    yield number + 1, self._split(line.rstrip("\r\n"))

    def _split(self, line: str) -> list[str]:
        """The fields of one line."""
        try:
            return next(csv.reader([line], delimiter=self.separator), [])
        except csv.Error:  # far too long, or with a line end of its own
            return line.split(self.separator)

    def _blame(
        self,
        found: Mapping[str, str],
        types: Mapping[str, pa.DataType],
        limit: int | None,
    ) -> DataError | None:
        """Find the line that Arrow stumbled over; None = all lines are as they should be."""
        for row, (line, fields) in enumerate(self._rows()):
            if limit is not None and row >= limit:
                break
            place = f"{self.path}:{line}"
            if len(fields) != len(self.names):
                return DataError(
                    f"{place}: {len(fields)} fields",
                    f"{len(self.names)} fields, as in the lines before",
                    "mend or remove the line; a file that ends within a line must be loaded again",
                )
            for role, name in found.items():
                text = fields[self.names.index(name)].strip()
                if not _fits(text, types[name], role == "open_time"):
                    return _no_number(place, name, text, types[name])
        return None


def _whole(reader: pacsv.CSVStreamingReader) -> pa.Table:
    """All columns at once."""
    return reader.read_all()


def _fits(text: str, kind: pa.DataType, is_time: bool) -> bool:
    """Whether a field can be read as its column's type."""
    if pa.types.is_string(kind):
        return is_iso(text)
    if is_time:
        return _is_whole(text) if pa.types.is_int64(kind) else is_number(text)
    return is_number(text) or text in NULLS


def _skip_blank(row: Any) -> str:
    """What Arrow does with a line that has other than the usual fields."""
    return "error" if row.text.strip() else "skip"


def _is_whole(text: str) -> bool:
    """Whether a field is a whole number of 64 bits."""
    return text.lstrip("+-").isdigit() and len(text) < 30 and -(2**63) <= int(text) < 2**63


def _no_number(place: str, column: str, text: str, kind: pa.DataType) -> DataError:
    """Text where a number must be."""
    expected = "an ISO time, as in the first row" if pa.types.is_string(kind) else "a number"
    if pa.types.is_int64(kind):
        expected = "a whole number, as in the first row"
    comma = "; a decimal comma must become a point" if "," in text else ""
    return DataError(
        f"{place}: column {column!r}: found {text[:80]!r}",
        expected,
        f"mend or remove the line{comma}",
    )
