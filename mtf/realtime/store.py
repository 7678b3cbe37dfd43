"""Candles and funding rates of an exchange on this machine: parquet files that survive a kill.

One folder a category, one file a symbol, timeframe and month, such as
``linear/ETHUSDT_1m_2024-01.parquet``: sorted, each time once, whole or not there. The same rows
are always the same bytes. What the exchange does not have is written down beside them
(``ETHUSDT_1m_absent.json``), so that it is not asked for again.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from mtf.errors import DataError, MtfError
from mtf.learning.disk import take_lock
from mtf.market.candles import CLOSE
from mtf.market.columns import ROLES
from mtf.market.rows import FAULTS, find_faults
from mtf.market.sorted_rows import SortedRows
from mtf.market.timeframe import Timeframe
from mtf.realtime.spans import Spans
from mtf.realtime.stored_files import Record, read_table, told, write_table

LOG = logging.getLogger(__name__)
SYMBOL = re.compile(r"[A-Z0-9-]{1,30}", re.ASCII)
CATEGORIES = ("linear", "spot")
MONTHS = "_[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet"
FUNDING = ("time_ms", "funding_rate")


class Store:
    """A folder of one category of the exchange.

    Args:
        root: of all categories.
        category: ``linear`` (perpetuals) or ``spot``; their candles differ.

    Raises:
        MtfError: another category.
    """

    def __init__(self, root: str | Path, category: str = "linear") -> None:
        """Remember where; nothing is made yet."""
        if category not in CATEGORIES:
            raise MtfError(f"found category {category!r}", f"one of {', '.join(CATEGORIES)}")
        self.category = category
        self.folder = Path(root) / category

    def candles(self, symbol: str, timeframe: Timeframe) -> CandleSeries:
        """The candles of a symbol."""
        return CandleSeries(self.folder, check_symbol(symbol), timeframe)

    def funding(self, symbol: str) -> FundingSeries:
        """The funding rates of a symbol."""
        return FundingSeries(self.folder, check_symbol(symbol))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes here, after whoever does so now.

        What a killed writer left unfinished is removed.

        Raises:
            DataError: the folder can't be written to.
        """
        with told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("wb")
        with lock:
            if not take_lock(lock.fileno()):
                LOG.warning("another process fetches into %s: waiting for it", self.folder)
                take_lock(lock.fileno(), wait=True)
            with told(self.folder):
                for left in self.folder.glob(".*.partial"):
                    if _is_left(left):
                        left.unlink(missing_ok=True)
            yield


class CandleSeries:
    """The stored candles of one symbol at one timeframe."""

    def __init__(self, folder: Path, symbol: str, timeframe: Timeframe) -> None:
        """Remember where."""
        self.folder, self.symbol, self.timeframe = folder, symbol, timeframe
        self._absent = Record(folder / f"{symbol}_{timeframe}_absent.json", "absent")

    def __str__(self) -> str:
        """Such as ``ETHUSDT 1m``."""
        return f"{self.symbol} {self.timeframe}"

    def path(self, month: np.datetime64) -> Path:
        """The file of a month."""
        return self.folder / f"{self.symbol}_{self.timeframe}_{month}.parquet"

    @property
    def files(self) -> list[Path]:
        """All files, in order of time."""
        return sorted(self.folder.glob(f"{self.symbol}_{self.timeframe}{MONTHS}"))

    def stored(self) -> Spans:
        """What the stored candles cover."""
        step = self.timeframe.duration_ms
        times = (read_table(file, ROLES[:1])[0] for file in self.files)
        return Spans.of(span for each in times for span in Spans.of_times(each, step))

    def absent(self) -> Spans:
        """What the exchange has no candles of."""
        return self._absent.read()

    def missing(self, start_ms: int, end_ms: int) -> Spans:
        """What is to be asked for: candles that open in that time, neither stored nor absent."""
        first, last = (self._next(time) for time in (start_ms, end_ms))
        return Spans.of([(first, last)]).minus(self.stored()).minus(self.absent())

    def add(self, open_time: Int64[np.ndarray, " row"], ohlcv: Float64[np.ndarray, "row 5"]) -> int:
        """Store candles, month by month; what is stored already stays as it is.

        Returns:
            How many are new.

        Raises:
            DataError: rows that are no candles, of which none is stored; the disk refuses.
        """
        _check(open_time, ohlcv, self.timeframe, str(self))
        months = open_time.astype("datetime64[ms]").astype("datetime64[M]")
        return sum(
            self._add(self.path(month), open_time[months == month], ohlcv[months == month])
            for month in np.unique(months)
        )

    def close_at(self, open_ms: int) -> float | None:
        """The close of the candle that opens then; None = it is not stored."""
        path = self.path(np.datetime64(open_ms, "ms").astype("datetime64[M]"))
        if not path.exists():
            return None
        times, ohlcv = read_table(path, ROLES)
        row = int(np.searchsorted(times, open_ms))
        return float(ohlcv[row, CLOSE]) if row < len(times) and times[row] == open_ms else None

    def lacks(self, spans: Spans) -> None:
        """Write down what the exchange has no candles of.

        Raises:
            DataError: the disk refuses.
        """
        self._absent.add(spans)

    def _add(
        self, path: Path, open_time: Int64[np.ndarray, " row"], ohlcv: Float64[np.ndarray, "row 5"]
    ) -> int:
        """Store candles of one month."""
        times, values, before = open_time, ohlcv, 0
        if path.exists():
            there, stored = read_table(path, ROLES)
            times = np.concatenate([there, open_time])
            values, before = np.concatenate([stored, ohlcv]), len(there)
        kept, first = np.unique(times, return_index=True)  # the first of a time: what was there
        if len(kept) > before:
            columns = [kept, *values[first].T]
            write_table(path, dict(zip(ROLES, columns, strict=True)))
        return len(kept) - before

    def _next(self, time_ms: int) -> int:
        """The first time at or after another at which a candle opens."""
        return self.timeframe.open_time(self.timeframe.slot(time_ms - 1) + 1)


class FundingSeries:
    """The stored funding rates of one symbol, as ``costs.funding`` reads them."""

    def __init__(self, folder: Path, symbol: str) -> None:
        """Remember where."""
        self.path = folder / f"{symbol}_funding.parquet"
        self.symbol = symbol
        self._asked = Record(folder / f"{symbol}_funding_asked.json", "asked")

    def missing(self, start_ms: int, end_ms: int) -> Spans:
        """What was not asked for yet."""
        return Spans.of([(start_ms, end_ms)]).minus(self._asked.read())

    def read(self) -> tuple[Int64[np.ndarray, " rate"], Float64[np.ndarray, " rate"]]:
        """Times in ms, and rates as a fraction of the position's value."""
        if not self.path.exists():
            return np.empty(0, np.int64), np.empty(0)
        times, rates = read_table(self.path, FUNDING)
        return times, rates[:, 0]

    def add(
        self,
        times: Int64[np.ndarray, " rate"],
        rates: Float64[np.ndarray, " rate"],
        asked: Spans,
    ) -> int:
        """Store rates and the time that they were asked for.

        Returns:
            How many are new.

        Raises:
            DataError: a rate that is no number; the disk refuses.
        """
        if not np.isfinite(rates).all():
            raise DataError(f"{self.symbol}: a funding rate that is no number", "a finite rate")
        there, stored = self.read()
        kept, first = np.unique(np.concatenate([there, times]), return_index=True)
        if len(kept) > len(there):
            rate = np.concatenate([stored, rates])[first]
            write_table(self.path, dict(zip(FUNDING, (kept, rate), strict=True)))
        self._asked.add(asked)
        return len(kept) - len(there)


def _is_left(partial: Path) -> bool:
    """Whether the process that wrote such a file is gone; its id stands in the name.

    Not all who write have the lock: an order book is written while it is listened to.
    """
    pid = partial.stem.rpartition(".")[2]
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)  # no signal: it only looks
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def check_symbol(symbol: str) -> str:
    """The symbol, if it is one.

    Raises:
        MtfError: other characters, or too many.
    """
    if SYMBOL.fullmatch(symbol):
        return symbol
    raise MtfError(
        f"found symbol {symbol[:60]!r}",
        "capital letters, digits and -, at most 30",
        "write it as the exchange does, such as ETHUSDT",
    )


def _check(
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
    timeframe: Timeframe,
    origin: str,
) -> None:
    """The last door: nothing that is no candle gets past.

    Raises:
        DataError: with the name of the fault.
    """
    found = list(find_faults(open_time, ohlcv, timeframe))
    if len(SortedRows.of(open_time, ohlcv, None).conflicting):
        found.append("conflicting")
    if found:
        words = ", ".join(FAULTS[name] for name in found)
        raise DataError(f"{origin}: rows that are no candles: {words}", "candles", "none is stored")
