"""A market of recorded candles: the parquet files of a folder, minutes and longer history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from mtf.errors import DataError
from mtf.market.candle_files import check_path, symbol_of, timeframe_of
from mtf.market.candles import Candles
from mtf.market.parquet_file import ParquetFile
from mtf.market.timeframe import UNIT_MS, Timeframe
from mtf.realtime.sandbox.bars import Bars, join
from mtf.realtime.sandbox.interval import DAY, HOUR, MINUTE, Interval
from mtf.realtime.sandbox.market import Instrument, Market
from mtf.realtime.sandbox.trades import least

MOST_DECIMALS = 8
BASES = {"1m": MINUTE, "1h": HOUR, "1d": DAY}


class RecordedMarket(Market):
    """Candles of 1m, 1h and 1d from files such as ``bybit_linear_ETHUSDT_1m.parquet``.

    Minutes are what trades and every shorter candle come from; hours and days go further back
    where there are files of them, and are added up from minutes and hours where there are none.

    Args:
        folder: with files ``<anything_><SYMBOL>_<timeframe>*.parquet``.
        symbols: to serve; None = all of which there are minutes.
        seed: of the trades and the order book, which no file has.

    Raises:
        DataError: no such folder or file, or minutes that no trades can add up to.
    """

    def __init__(
        self, folder: str | Path, symbols: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        """Read all files."""
        self.seed = seed
        files = _files(check_path(Path(folder), "--data"), symbols)
        self._bars: dict[tuple[str, str], Bars] = {}
        self.instruments = {}
        for symbol, of_symbol in files.items():
            self.instruments[symbol] = self._read(symbol, of_symbol)
        spans = [self._bars[symbol, MINUTE.name].open_time for symbol in files]
        self.start_ms = max(int(span[0]) for span in spans)
        self.end_ms = min(int(span[-1]) for span in spans) + UNIT_MS["m"]

    def base(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """Recorded candles of one minute, hour or day."""
        return self._bars[symbol, interval.name].between(start_ms, end_ms)

    def _read(self, symbol: str, files: dict[str, list[Path]]) -> Instrument:
        """The candles of one symbol, and the ticks and lots that they are told in."""
        rows = {name: _rows(symbol, name, paths) for name, paths in files.items()}
        values = np.concatenate([ohlcv for _, ohlcv in rows.values()])
        price, size = decimals(values[:, :4]), decimals(values[:, 4:])
        scale = 10.0 ** np.array([price] * 4 + [size])
        found = {
            name: Bars.of(time, np.rint(ohlcv * scale).astype(np.int64))
            for name, (time, ohlcv) in rows.items()
        }
        minutes = found["1m"]
        _check_minutes(symbol, minutes)
        hours = join(found.get("1h", Bars.empty()), minutes.aggregate(HOUR))
        days = join(found.get("1d", Bars.empty()), hours.aggregate(DAY))
        for interval, bars in ((MINUTE, minutes), (HOUR, hours), (DAY, days)):
            self._bars[symbol, interval.name] = bars
        launch = min(int(bars.open_time[0]) for bars in (minutes, hours, days))
        return Instrument(symbol, price, size, launch)


def _files(folder: Path, symbols: Sequence[str] | None) -> dict[str, dict[str, list[Path]]]:
    """The files of every symbol that has minutes, by timeframe."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.glob("*.parquet")):
        symbol, frame = symbol_of(path), timeframe_of(path)
        if symbol is None or frame is None or frame.name not in BASES:
            continue
        name = symbol.rpartition("_")[2]
        found.setdefault(name, {}).setdefault(frame.name, []).append(path)
    there = {name: files for name, files in found.items() if "1m" in files}
    missing = sorted(set(symbols or []) - set(there))
    if missing or not there:
        raise DataError(
            f"no 1m candles of {', '.join(missing) or 'any symbol'} in {folder}",
            "files such as bybit_linear_ETHUSDT_1m.parquet"
            + (f"; there are minutes of {', '.join(sorted(there))}" if there else ""),
            "name another folder, or ask for a synthetic market",
        )
    return {name: there[name] for name in symbols or sorted(there)}


def _rows(
    symbol: str, timeframe: str, paths: Sequence[Path]
) -> tuple[np.ndarray, Float64[np.ndarray, "row 5"]]:
    """Open times and candles of some files, checked and in order."""
    times, values = [], []
    for path in paths:
        with ParquetFile(path) as file:
            time, ohlcv, _ = file.candles(time_unit="auto")
        times.append(time)
        values.append(ohlcv)
    candles = Candles.from_rows(
        symbol,
        Timeframe.parse(timeframe),
        np.concatenate(times),
        np.concatenate(values),
        origin=str(paths[0]),
    )
    return candles.open_time()[candles.valid], candles.ohlcv[candles.valid]


def decimals(values: Float64[np.ndarray, "row column"]) -> int:
    """How many digits behind the point tell all of the numbers."""
    for digits in range(MOST_DECIMALS):
        scale = 10.0**digits
        if np.array_equal(np.rint(values * scale) / scale, values):
            return digits
    return MOST_DECIMALS


def _check_minutes(symbol: str, minutes: Bars) -> None:
    """Refuse minutes with fewer lots than they tell prices, except those without any trade."""
    lots = minutes.values[:, 4]
    still = (minutes.values[:, 1] == minutes.values[:, 2]) & (lots == 0)
    bad = np.flatnonzero((lots < least(minutes.values)) & ~still)
    if len(bad):
        raise DataError(
            f"{symbol}: {len(bad)} minutes with more prices than traded lots; "
            f"the first opens at {int(minutes.open_time[bad[0]])} ms",
            "candles that trades can add up to",
            "take the minutes of a liquid coin",
        )
