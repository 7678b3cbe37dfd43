"""Public trades as the exchange tells them: messages of its stream, and files of its archive.

Both become the same rows, out of which ``mtf.market.trade_candles`` makes candles.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.market.times import guess_unit
from mtf.market.trade_candles import TradeRows

LINEAR = {"time": "timestamp", "id": "trdMatchID", "price": "price", "size": "size"}
SPOT = {"time": "timestamp", "id": "id", "price": "price", "size": "volume"}
"""Columns of a file of perpetuals (times in seconds), and of one of spot (milliseconds)."""
GZIP = b"\x1f\x8b"
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def stream_trades(data: Sequence[Mapping[str, Any]], symbol: str) -> TradeRows:
    """Trades of the ``data`` of one ``publicTrade`` message.

    Raises:
        ValueError: another symbol, or something that is no number.
        KeyError: a part is missing.
    """
    if any(row["s"] != symbol for row in data):
        raise ValueError(f"trades of another symbol than {symbol}")
    return TradeRows(
        np.array([int(row["T"]) for row in data], np.int64),
        np.array([int(row.get("seq", 0)) for row in data], np.int64),
        np.array([str(row["i"]) for row in data], object),
        np.array([float(row["p"]) for row in data], np.float64),
        np.array([float(row["v"]) for row in data], np.float64),
    )


def archived_trades(path: Path, symbol: str) -> TradeRows:
    """Trades of a day's file of the archive, plain or compressed.

    Files have no sequence: trades of the same microsecond count in the order of the file, which
    in old files is the newest first. Ids are numbered within the file.

    Args:
        path: such as ``ETHUSDT2024-08-08.csv.gz``.
        symbol: that it must be of, where it says so.

    Raises:
        DataError: not readable, other columns, another symbol.
    """
    table = _table(path)
    names = next((n for n in (LINEAR, SPOT) if set(n.values()) <= set(table.column_names)), None)
    if names is None:
        raise DataError(
            f"{path}: columns {', '.join(table.column_names[:8])}",
            f"{', '.join(LINEAR.values())}, or {', '.join(SPOT.values())}",
            "name a file of the exchange's archive of trades",
        )
    if "symbol" in table.column_names:
        others = set(pc.unique(table["symbol"]).to_pylist()) - {symbol}
        if others:
            raise DataError(f"{path} has trades of {others.pop()}", f"those of {symbol} alone")
    try:
        numbers = {
            role: np.asarray(table[names[role]].cast(pa.float64()).to_numpy())
            for role in ("time", "price", "size")
        }
    except pa.ArrowException as error:
        raise _unreadable(path, error) from None
    times = _microseconds(numbers["time"], path)
    ids = table[names["id"]].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.arange(len(times))
    if len(times) and times[0] > times[-1]:
        order = order[::-1]
    order = order[np.argsort(times[order], kind="stable")]
    return TradeRows(
        times[order] // 1_000,
        np.arange(len(order)),
        ids[order].astype(np.int64),
        numbers["price"][order],
        numbers["size"][order],
    )


def _table(path: Path) -> pa.Table:
    """The file as it is.

    Raises:
        DataError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == GZIP
        with pa.input_stream(str(path), compression="gzip" if compressed else None) as stream:
            return pacsv.read_csv(stream, pacsv.ReadOptions(use_threads=False))
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    """Not text with commas, or not a whole file."""
    first = (str(error).strip().splitlines() or ["?"])[0][:160]
    return DataError(
        f"{path} can't be read: {first}",
        "a complete csv file of the exchange's archive",
        "load it again",
    )


def _microseconds(times: np.ndarray, path: Path) -> Int64[np.ndarray, " trade"]:
    """Times in whatever unit as microseconds.

    Raises:
        DataError: a trade without a time.
    """
    if not np.isfinite(times).all():
        raise DataError(f"{path}: a trade without a time", "a time in every row", "load it again")
    unit = guess_unit(float(np.median(times))) if len(times) else "ms"
    return np.asarray(np.rint(times * MICROSECONDS.get(unit, 1)), np.int64)
