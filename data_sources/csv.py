"""Candles from text files: any separator, with or without header, times in s, ms, µs, ns or ISO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtf.errors import DataError
from mtf.market.candle_files import check_one_symbol, check_path, files_for, nothing_there
from mtf.market.candles import BadRows, Candles, join
from mtf.market.csv_file import CsvFile, Header
from mtf.market.times import TimeUnit, iso
from mtf.plugins.contracts import DataSource, Request

PATTERN = "{symbol}_{timeframe}*.csv"


class Csv(DataSource):
    """Candles from a text file with one candle a line, or from a folder of such files.

    Separator, header and the unit of time are found out where they are not said.

    Args:
        path: one file, or a folder with files such as ``ETHUSDT_1m_2023.csv``.
        symbol: what the one file holds; null = what its name says (``ETHUSDT_1m.csv``), or the
            symbol that is asked for.
        separator: one character, or auto.
        header: whether the first line holds names, or auto.
        columns: names by position (a list; without header the default is open_time, open, high,
            low, close, volume), or role to name in the header (a mapping; usual names are known).
        time_unit: s, ms, us, ns, iso, or auto (by size). ISO times without zone are UTC.
        limit: read only that many rows of each file; null = all.
        bad_rows: ``refuse`` rows that are no candles, or ``mask`` them as missing.
    """

    def __init__(
        self,
        *,
        path: str,
        symbol: str | None = None,
        separator: str = "auto",
        header: Header = "auto",
        columns: list[str] | dict[str, str] | None = None,
        time_unit: TimeUnit = "auto",
        limit: int | None = None,
        bad_rows: BadRows = "refuse",
    ) -> None:
        """Remember where to look; nothing is read.

        Raises:
            DataError: a limit below 1.
        """
        if limit is not None and limit < 1:
            raise DataError(f"found data.limit {limit}", "at least 1, or null for all rows")
        self.path = Path(path)
        self.symbol = symbol
        self.separator = separator
        self.header = header
        self.columns = columns
        self.time_unit = time_unit
        self.limit = limit
        self.bad_rows = bad_rows

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """Return the candles of each request, in order.

        Raises:
            DataError: no such file or column, lines that can't be read, rows that are no candles.
        """
        check_path(self.path)
        if self.path.is_file():
            check_one_symbol(self.path, self.symbol, [request.symbol for request in requests])
        return [self._load_one(request) for request in requests]

    def _load_one(self, request: Request) -> Candles:
        """The candles of one request."""
        files = [self.path]
        if self.path.is_dir():
            files = files_for(self.path, PATTERN, request.symbol, request.timeframe)
        parts = [self._read(file, request) for file in files]
        whole = parts[0] if len(parts) == 1 else join(parts, str(self.path))
        candles = whole.slice(request.start_ms, request.end_ms)
        if len(candles) == 0:
            wanted = f"{iso(request.start_ms)} to {iso(request.end_ms)}"
            there = f"{iso(whole.report.first_ms)} to {iso(whole.report.last_ms)}"
            raise nothing_there(self.path, request.symbol, request.timeframe, wanted, there)
        return candles

    def _read(self, path: Path, request: Request) -> Candles:
        """All candles of one file: what is wrong with it is said with its line."""
        file = CsvFile(path, self.separator, self.header, self.columns)
        open_time, ohlcv = file.candles(self.time_unit, self.limit)
        return Candles.from_rows(
            request.symbol,
            request.timeframe,
            open_time,
            ohlcv,
            bad_rows=self.bad_rows,
            origin=str(path),
            locate=file.place,
        )
