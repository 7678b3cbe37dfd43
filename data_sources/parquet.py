"""Candles from parquet files: a folder with files per symbol and timeframe, or one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtf.market import mapped
from mtf.market.candle_files import check_one_symbol, check_path, files_for, nothing_there
from mtf.market.candles import BadRows, Candles
from mtf.market.parquet_file import ALL_TIME, ParquetFile, Window
from mtf.market.times import TimeUnit, iso
from mtf.plugins.contracts import DataSource, Request


class Parquet(DataSource):
    """Candles from parquet files, as many files per symbol and timeframe as there are.

    Only the files and row groups of the wanted time are read, piece by piece. Long histories lie in
    temporary files (``TMPDIR`` says where), not in memory.

    Args:
        path: folder with files such as ``ETHUSDT_1m_2023.parquet``, or one file.
        pattern: file names in the folder; ``*`` stands for ``_`` and anything, or for nothing.
        columns: role (open_time, open, high, low, close, volume) to the file's column; roles left
            out are found by their usual names.
        time_unit: of a time column of plain numbers: s, ms, us, ns, or auto (by size). Timestamps
            know theirs.
        bad_rows: ``refuse`` rows that are no candles, or ``mask`` them as missing.
    """

    def __init__(
        self,
        *,
        path: str,
        pattern: str = "{symbol}_{timeframe}*.parquet",
        columns: dict[str, str] | None = None,
        time_unit: TimeUnit = "ms",
        bad_rows: BadRows = "refuse",
    ) -> None:
        """Remember where to look; nothing is read."""
        self.path = Path(path)
        self.pattern = pattern
        self.columns: Mapping[str, str] | None = columns
        self.time_unit = time_unit
        self.bad_rows = bad_rows

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """Return the candles of each request, in order.

        Raises:
            DataError: no such file or column, no candles of that time, rows that are no candles.
        """
        check_path(self.path)
        if self.path.is_file():
            check_one_symbol(self.path, None, [request.symbol for request in requests])
        return [self._load_one(request) for request in requests]

    def _load_one(self, request: Request) -> Candles:
        """The candles of one request."""
        files = [self.path]
        if self.path.is_dir():
            files = files_for(self.path, self.pattern, request.symbol, request.timeframe)
        window = (request.start_ms, request.end_ms)
        with ExitStack() as stack:
            opened = [stack.enter_context(ParquetFile(file)) for file in files]
            candles = self._read(opened, request, window)
            # A wrong unit puts all rows outside of the window: read them all to tell.
            everything = candles if len(candles) else self._read(opened, request, ALL_TIME)
        if len(candles) == 0:
            wanted = f"{iso(request.start_ms)} to {iso(request.end_ms)}"
            there = f"{iso(everything.report.first_ms)} to {iso(everything.report.last_ms)}"
            raise nothing_there(self.path, request.symbol, request.timeframe, wanted, there)
        return candles

    def _read(self, files: Sequence[ParquetFile], request: Request, window: Window) -> Candles:
        """The rows of all files in one pair of arrays, and from them candles."""
        bounds = [file.at_most(self.columns, self.time_unit, window) for file in files]
        times, ohlcv = mapped.empty(sum(bounds), np.int64), mapped.empty((sum(bounds), 5))
        starts: list[tuple[int, Path, int]] = []
        end = 0
        for file in files:
            count, first = file.fill(times[end:], ohlcv[end:], self.columns, self.time_unit, window)
            starts.append((end, file.path, first))
            end += count
        pa.default_memory_pool().release_unused()  # what Arrow keeps adds to the peak
        if end == 0 and window != ALL_TIME:
            return Candles.empty(request.symbol, request.timeframe)
        return Candles.from_rows(
            request.symbol,
            request.timeframe,
            times[:end],
            ohlcv[:end],
            bad_rows=self.bad_rows,
            origin=str(self.path if len(files) > 1 else files[0].path),
            locate=lambda row: _locate(starts, row),
        ).slice(*window)


def _locate(starts: Sequence[tuple[int, Path, int]], row: int) -> str:
    """File and row number (from 1) of a row that was read."""
    start, path, first = next(place for place in reversed(starts) if place[0] <= row)
    return f"{path.name} row {first + row - start + 1}"
