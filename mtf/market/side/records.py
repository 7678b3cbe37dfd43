"""Figures with a time stamp in a file: what was published when, such as funding rates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from mtf.errors import DataError
from mtf.market.arrow_times import to_ms

TIME = "time_ms"


@dataclass(frozen=True)
class Records:
    """Rows of a file in the order of time; of rows with the same time the last one counts.

    Attributes:
        times: when each row was published, ms UTC; a row is known from then on.
        values: a column a name asked for; NaN where the file has nothing.
    """

    times: Int64[np.ndarray, " record"]
    values: Float64[np.ndarray, "record column"]

    def last(self, times: Int64[np.ndarray, " decision"]) -> Int64[np.ndarray, " decision"]:
        """The last record known at each time; -1 = none yet."""
        return np.searchsorted(self.times, times, side="right") - 1

    def fingerprint(self) -> str:
        """The sha256 over times and values."""
        digest = hashlib.sha256(self.times.tobytes())
        digest.update(np.ascontiguousarray(self.values).data)
        return digest.hexdigest()


def read_records(path: str, columns: Sequence[str]) -> Records:
    """Read ``time_ms`` and some columns of a parquet file, or of a text file with commas.

    Args:
        path: ending in ``.parquet``, or text with a header line.
        columns: names of the columns.

    Raises:
        DataError: no such file, not readable, without a column, or something that is no number.
    """
    table = _table(Path(path), [TIME, *columns])
    times = to_ms(_whole(table, TIME), "ms", lambda row: f"{path} row {row + 1}", TIME)
    values = np.stack([_numbers(table, name, path) for name in columns], axis=1)
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    kept = np.append(times[1:] != times[:-1], np.ones(min(len(times), 1), np.bool_))
    return Records(times[kept], values[kept])


def _table(path: Path, columns: list[str]) -> pa.Table:
    """The columns of a file.

    Raises:
        DataError: as ``read_records``.
    """
    if not path.is_file():
        raise DataError(
            f"no file {path}", "a parquet or csv file", "mend the path of the side input"
        )
    try:
        names = _names(path)
        missing = [name for name in columns if name not in names]
        if not missing:
            return _read(path, columns)
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().splitlines()[0][:160]
        raise DataError(
            f"{path} can't be read: {first}",
            "a complete parquet file, or text with commas and a header",
            "load or copy the file again",
        ) from None
    raise DataError(
        f"{path} has no column {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}; it has "
        f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}",
        f"{TIME} (ms UTC) and {', '.join(columns[1:3])}{' …' if len(columns) > 3 else ''}",
        "rename the columns",
    )


def _names(path: Path) -> list[str]:
    """Names of the columns."""
    if path.suffix == ".parquet":
        return list(pq.read_schema(path).names)
    return list(pacsv.open_csv(path).schema.names)


def _read(path: Path, columns: list[str]) -> pa.Table:
    """The columns, whole."""
    if path.suffix == ".parquet":
        return pq.read_table(path, columns=columns)
    options = pacsv.ConvertOptions(include_columns=columns)
    return pacsv.read_csv(path, convert_options=options)


def _whole(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = table[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numbers(table: pa.Table, name: str, path: str) -> Float64[np.ndarray, " record"]:
    """A column as float64, NaN where there is nothing.

    Raises:
        DataError: it does not hold numbers.
    """
    try:
        values = _whole(table, name).cast(pa.float64())
    except pa.ArrowException:
        raise DataError(
            f"{path}: column {name} holds {table[name].type}", "numbers", "convert the column"
        ) from None
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


__all__ = ["Records", "read_records"]
