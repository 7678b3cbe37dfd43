"""Files of the store: written whole or not at all, and read with a word for what is wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from mtf.errors import DataError
from mtf.learning.disk import MAX_JSON, parse_json, read_bounded, replace_synced
from mtf.learning.json_files import json_text
from mtf.realtime.spans import Spans


class Record:
    """Stretches of time in a JSON file.

    Args:
        path: of the file.
        key: under which they stand.
    """

    def __init__(self, path: Path, key: str) -> None:
        """Remember where."""
        self.path, self.key = path, key

    def read(self) -> Spans:
        """What is written down; nothing where there is no file.

        Raises:
            DataError: it can't be read.
        """
        if not self.path.exists():
            return Spans()
        try:
            content = parse_json(read_bounded(self.path, MAX_JSON))
            return Spans.of((int(start), int(end)) for start, end in content[self.key])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{self.path} can't be read: {str(error)[:160]}",
                "a JSON file written by mtf",
                "remove it: what it tells is asked for again",
            ) from None

    def add(self, spans: Spans) -> None:
        """Write down more.

        Raises:
            DataError: the disk refuses.
        """
        before = self.read()
        after = before.plus(spans)
        if after != before:
            text = json_text({self.key: [list(span) for span in after]})
            with told(self.path):
                replace_synced(self.path, text.encode())


@contextmanager
def told(place: Path) -> Iterator[None]:
    """Turn what the disk refuses into a message.

    Raises:
        DataError: for any OSError.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"can't write {place}: {error.strerror or error}",
            "a folder that can be written to, on a disk with room",
            "mend that and run it again: it goes on where it stopped",
        ) from None


def read_table(
    path: Path, names: tuple[str, ...], *, todo: str = "remove it: it is fetched again"
) -> tuple[Int64[np.ndarray, " row"], Float64[np.ndarray, "row column"]]:
    """The times of a file, and its other columns.

    Args:
        path: of the file.
        names: of the columns, the times first.
        todo: what to do with a damaged one.

    Raises:
        DataError: damaged, or not ours.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=list(names), use_threads=False)
        times, *columns = (table[name].combine_chunks() for name in names)
        values = [np.asarray(column.to_numpy(), np.float64) for column in columns]
        return np.asarray(times.to_numpy(), np.int64), np.array(values).T.reshape(len(times), -1)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        first = (str(error).strip().splitlines() or ["?"])[0][:160]
        raise DataError(
            f"{path} can't be read: {first}",
            "a parquet file written by mtf",
            todo,
        ) from None


def write_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write a whole file; the same columns are the same bytes.

    Raises:
        DataError: the disk refuses; an old file stays as it was.
    """
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data, compression="zstd", row_group_size=1 << 16)
    with told(path):
        replace_synced(path, data.getvalue())
