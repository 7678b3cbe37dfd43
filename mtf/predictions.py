"""What a model said, as a plain value: times and arrays. The seam between the model and money.

One row a decision of one symbol. Columns are named ``<head>.<output>``: ``action.prob_buy``,
``next_candle.1m.close``; what happened is ``action.label_class``, ``next_candle.1m.label_close``.
What is absent (a label beyond the end of the part) is NaN; whole-number columns with a gap are
floats. Saved as parquet, so any tool can read it. Knows nothing of torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from mtf.errors import DataError

INDEX = ("time", "symbol", "part")
ROWS_A_GROUP = 16_384
"""Rows that are written, and can be read, in one go: at 60 columns some 20 MB in the making."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of one symbol on one part of the data.

    Attributes:
        times: decision times, ms since the epoch, UTC.
        symbol: the primary symbol, such as ETHUSDT.
        part: ``train``, ``validation``, ``calibration`` or ``test``.
        arrays: flat columns by name, one row a decision.
    """

    times: Int64[np.ndarray, " decision"]
    symbol: str
    part: str
    arrays: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        """Refuse columns that are not flat or not as long as the times."""
        for name, array in self.arrays.items():
            if array.shape != self.times.shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {self.times.shape}")
            if name in INDEX:
                raise ValueError(f"{name!r} is a column of the index, choose another name")

    def __len__(self) -> int:
        """Number of decisions."""
        return len(self.times)

    def rows(self, start: int, stop: int) -> Predictions:
        """Some consecutive decisions, as a view."""
        arrays = {name: array[start:stop] for name, array in self.arrays.items()}
        return replace(self, times=self.times[start:stop], arrays=arrays)

    def frame(self) -> pd.DataFrame:
        """A table with ``time`` (UTC), ``symbol``, ``part`` and one column an array."""
        time = pd.to_datetime(self.times, unit="ms", utc=True).as_unit("ms")
        columns = {"time": time, "symbol": self.symbol, "part": self.part}
        return pd.DataFrame({**columns, **self.arrays})

    def save(self, path: Path) -> None:
        """Write one parquet file; see ``save_all``."""
        with writing(path) as writer:
            writer.append(self)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a file that holds one symbol and one part.

        Raises:
            DataError: no predictions file, or several symbols or parts in it (``load_all``).
        """
        found = load_all(path)
        if len(found) != 1:
            raise DataError(
                f"{path}: {len(found)} symbols and parts", "one", "read it with load_all"
            )
        return found[0]


def save_all(predictions: Iterable[Predictions], path: Path) -> None:
    """Write predictions into one parquet file: afterwards all of it is there, or the old file.

    Columns that one has and another has not are NaN there.
    """
    frame = pd.concat([one.frame() for one in predictions], ignore_index=True)
    with writing(path) as writer:
        for start in range(0, max(len(frame), 1), ROWS_A_GROUP):
            writer.append_rows(frame[start : start + ROWS_A_GROUP])


@contextmanager
def writing(path: Path) -> Iterator[PredictionsWriter]:
    """Write predictions piece by piece: after the block all of them are there, or the old file.

    Raises:
        OSError: the disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with unfinished.open("wb") as file:
            with closing(PredictionsWriter(file)) as writer:
                yield writer
                writer.flush()
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


class PredictionsWriter:
    """Takes predictions and writes them in groups of rows; never holds more than one group.

    Args:
        file: open for writing; see ``writing``.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Nothing is written yet."""
        self.file = file
        self.names: list[str] = []
        self._waiting: list[pd.DataFrame] = []
        self._parquet: pq.ParquetWriter | None = None

    def append(self, piece: Predictions) -> None:
        """Take the next predictions.

        Raises:
            ValueError: other columns than those before.
        """
        for start in range(0, max(len(piece), 1), ROWS_A_GROUP):
            self.append_rows(piece.rows(start, start + ROWS_A_GROUP).frame())

    def append_rows(self, frame: pd.DataFrame) -> None:
        """Take the next rows of a table as ``Predictions.frame`` makes it."""
        names = [str(name) for name in frame]
        self.names = self.names or names
        if names != self.names:
            raise ValueError(f"found columns {names}, expected {self.names}")
        self._waiting.append(frame)
        if sum(map(len, self._waiting)) >= ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what was taken as one group."""
        if not self._waiting:
            return
        frame = pd.concat(self._waiting, ignore_index=True)
        self._waiting = []
        schema = None if self._parquet is None else self._parquet.schema
        table = pa.Table.from_pandas(frame, schema, preserve_index=False)
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self.file, table.schema)
        self._parquet.write_table(table, max(len(frame), 1))

    def close(self) -> None:
        """End the file; what was not flushed is lost."""
        if self._parquet is not None:
            self._parquet.close()


def load_all(path: Path) -> list[Predictions]:
    """Read a file of predictions, one value a symbol and part, in the order written.

    Raises:
        DataError: the file is missing or holds no predictions.
    """
    frame = _read(path)
    groups = frame.groupby(["symbol", "part"], sort=False, observed=True)
    return [_of(str(symbol), str(part), rows) for (symbol, part), rows in groups]


def _read(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path}: {error}", "predictions as parquet", "give the predictions.parquet of a run"
        ) from error
    missing = [name for name in INDEX if name not in frame]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}",
            f"predictions with the columns {', '.join(INDEX)}",
            "give the predictions.parquet of a run",
        )
    return frame


def _of(symbol: str, part: str, rows: pd.DataFrame) -> Predictions:
    times = rows["time"].dt.as_unit("ms").astype("int64").to_numpy()
    names = [name for name in rows if name not in INDEX]
    return Predictions(times, symbol, part, {str(name): rows[name].to_numpy() for name in names})
