"""What a model said, as a plain value: times and arrays. The seam between the model and money.

One row a decision of one symbol. Columns are named ``<head>.<output>``: ``action.prob_buy``,
``next_candle.1m.close``; what happened is ``action.label_class``, ``next_candle.1m.label_close``.
What is absent (a label beyond the end of the part) is NaN; whole-number columns with a gap are
floats. Saved as parquet, so any tool can read it. Knows nothing of torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from mtf.errors import DataError

INDEX = ("time", "symbol", "part")


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

    def frame(self) -> pd.DataFrame:
        """A table with ``time`` (UTC), ``symbol``, ``part`` and one column an array."""
        time = pd.to_datetime(self.times, unit="ms", utc=True).as_unit("ms")
        columns = {"time": time, "symbol": self.symbol, "part": self.part}
        return pd.DataFrame({**columns, **self.arrays})

    def save(self, path: Path) -> None:
        """Write one parquet file; see ``save_all``."""
        save_all([self], path)

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
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


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
