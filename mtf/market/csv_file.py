"""One text file of candles: its form found out, its numbers read, its mistakes located.

Arrow reads the numbers; only when it fails is the file read again line by line, to say which line
and column is at fault.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from jaxtyping import Float64, Int64

from mtf.errors import DataError
from mtf.market.arrow_times import is_iso, to_ms
from mtf.market.columns import ROLES, find_columns
from mtf.market.times import TimeUnit

HEAD_BYTES = 1 << 16
SEPARATORS = (",", ";", "|", "\t", " ")
NULLS = ["", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "none", "NA", "N/A", "#N/A"]
"""Texts that stand for a missing number: NaN."""

Header = bool | Literal["auto"]
Columns = Mapping[str, str] | Sequence[str] | None


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
        lines = _head(path)
        self._skip, first = lines[0]
        self.separator = _separator(path, [line for _, line in lines], separator)
        fields = self._split(first)
        self.header = _has_names(fields) if header == "auto" else header
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
        table = self._table(found, limit)
        ohlcv = np.empty((table.num_rows, 5))
        for position, role in enumerate(ROLES[1:]):
            ohlcv[:, position] = table[found[role]].to_numpy()
        column = table[found["open_time"]].combine_chunks()
        return to_ms(column, time_unit, self.place, found["open_time"]), ohlcv

    def read(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Whole columns of numbers; the time column of ISO texts as ms."""
        table = self._table({name: name for name in columns}, None)
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

    def _table(self, found: Mapping[str, str], limit: int | None) -> pa.Table:
        """The columns as Arrow reads them; its errors become ours."""
        types = {name: self._type(role, name) for role, name in found.items()}
        names = list(self.names)
        for index, name in enumerate(names):  # Arrow wants unique names of the others, too
            if names.count(name) > 1:
                names[index] = f"{name} ({index})"
        try:
            return self._arrow(names, types, limit)
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            if (mistake := self._blame(found, types, limit)) is not None:
                raise mistake from None
        try:  # Arrow skips empty lines; a line of blanks is one, too
            return self._arrow(names, types, limit, _skip_blank)
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
    ) -> pa.Table:
        """The file as Arrow reads it; ``odd_row`` says what to do with lines of too few fields."""
        return pacsv.read_csv(
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
        return pa.float64() if _is_number(text) else pa.string()

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


def _head(path: Path) -> list[tuple[int, str]]:
    """Number (from 0) and text of the first lines that are not blank."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}", "a file", "check path") from None
    if b"\0" in head or head[:4] in (b"PAR1", b"PK\x03\x04") or head[:2] == b"\x1f\x8b":
        raise _binary(path, head)
    text = head.decode("utf-8-sig", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines()) if line.strip()]
    if len(head) == HEAD_BYTES and len(lines) > 2:
        lines.pop()  # it may be cut
    if not lines:
        raise DataError(f"{path} is empty", "rows of candles", "load the file again")
    if lines[0][1].lstrip()[0] in "{[<":
        raise DataError(
            f"{path}:1: found {lines[0][1].strip()[:60]!r}, which looks like JSON or a web page",
            "a text file with one candle a line",
            "look into it: it may be a server's error message; load the file again",
        )
    return lines


def _binary(path: Path, head: bytes) -> DataError:
    """Not text; say what it may be."""
    kinds = {
        b"PAR1": ("a parquet file", "use data.name=parquet"),
        b"PK\x03\x04": ("a zip archive", "unpack it"),
        b"\x1f\x8b": ("a gzip file", "unpack it"),
        b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
        b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
    }
    default = ("binary data", "load or export the file again as text")
    kind, todo = next((v for magic, v in kinds.items() if head.startswith(magic)), default)
    return DataError(f"{path} is {kind}", "a text file (UTF-8) with one candle a line", todo)


def _separator(path: Path, lines: Sequence[str], separator: str) -> str:
    """The separator said, or the one that all of the first lines have equally often."""
    if separator != "auto":
        if len(separator) != 1:
            raise DataError(f"found separator {separator!r}", "one character, or auto", "set it so")
        return separator
    counts = {mark: [line.count(mark) for line in lines[:20]] for mark in SEPARATORS}
    even = [mark for mark in SEPARATORS if min(counts[mark]) == max(counts[mark]) > 0]
    some = [mark for mark in SEPARATORS[:-1] if counts[mark][0] > 0]
    best = max(even or some, key=lambda mark: counts[mark][0] if mark != " " else 0, default=None)
    if best is None:
        raise DataError(
            f"{path}: found no separator in {lines[0][:60]!r}",
            "fields separated by , ; | or a tab",
            "set `separator:`, or check that this is a file of candles",
        )
    return best


def _has_names(fields: Sequence[str]) -> bool:
    """A header has words; a row of candles has numbers and at most times in words."""
    return any(
        not (_is_number(f.strip()) or f.strip() in NULLS or is_iso(f.strip())) for f in fields
    )


def _is_number(text: str) -> bool:
    """Whether a field is a number as Arrow reads them."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _fits(text: str, kind: pa.DataType, is_time: bool) -> bool:
    """Whether a field can be read as its column's type."""
    if pa.types.is_string(kind):
        return is_iso(text)
    if is_time:
        return _is_whole(text) if pa.types.is_int64(kind) else _is_number(text)
    return _is_number(text) or text in NULLS


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
