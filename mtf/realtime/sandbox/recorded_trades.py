"""A market of recorded trades: candles add up from them, and the streams tell each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.market.candle_files import check_path
from mtf.market.parquet_file import ParquetFile
from mtf.realtime.sandbox.bars import Bars
from mtf.realtime.sandbox.interval import DAY, HOUR, MINUTE, Interval
from mtf.realtime.sandbox.market import Instrument, Market
from mtf.realtime.sandbox.recorded import decimals
from mtf.realtime.sandbox.trades import Trades

COLUMNS = ("trade_id", "time_ms", "price", "size", "side")
MINUTE_MS = 60_000


class RecordedTradesMarket(Market):
    """Trades from files such as ``ETHUSDT_spot_20240808.parquet``, one symbol a file.

    The first and the last minute have what the file has of them. A minute without a trade is flat
    at the price before.

    Args:
        folder: with parquet files of ``trade_id time_ms price size side``.
        seed: of the order book, which no file has.

    Raises:
        DataError: no such folder or file, or other columns.
    """

    def __init__(self, folder: str | Path, seed: int = 0) -> None:
        """Read all files."""
        self.seed = seed
        self._trades: dict[str, Trades] = {}
        self._bars: dict[tuple[str, str], Bars] = {}
        files = sorted(check_path(Path(folder), "--trades").glob("*.parquet"))
        if not files:
            raise DataError(
                f"no parquet file in {folder}",
                "files such as ETHUSDT_spot_20240808.parquet",
                "name another folder",
            )
        self.instruments = {one.symbol: one for one in map(self._read, files)}
        times = [self._trades[symbol].time for symbol in self.instruments]
        self.start_ms = max(int(time[0]) for time in times) // MINUTE_MS * MINUTE_MS
        self.end_ms = min(int(time[-1]) for time in times) // MINUTE_MS * MINUTE_MS + MINUTE_MS

    def base(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """Candles of one minute, hour or day."""
        return self._bars[symbol, interval.name].between(start_ms, end_ms)

    def trades(self, symbol: str, open_ms: int, values: Int64[np.ndarray, " 6"]) -> Trades:
        """The recorded trades of a minute; none where the candle has no volume."""
        end = open_ms + (MINUTE_MS if values[4] else 0)
        return self._trades[symbol].between(open_ms - 1, end - 1)

    def _read(self, path: Path) -> Instrument:
        """The trades of one file, in order, and the candles that they make."""
        with ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.names]
            if missing:
                raise DataError(
                    f"{path}: no column {', '.join(missing)}",
                    f"trades with columns {', '.join(COLUMNS)}",
                    "name another folder, or serve candles",
                )
            columns = file.read(COLUMNS)
        symbol = path.stem.partition("_")[0]
        order = np.lexsort([columns["trade_id"], columns["time_ms"]])
        number, time, price, size, side = (columns[name][order] for name in COLUMNS)
        digits, lots = decimals(price[:, None]), decimals(size[:, None])
        self._trades[symbol] = Trades(
            time.astype(np.int64),
            np.rint(price * 10.0**digits).astype(np.int64),
            np.rint(size * 10.0**lots).astype(np.int64),
            np.asarray(side == "Buy", dtype=np.bool_),
            number.astype(np.int64),
        )
        minutes = _minutes(self._trades[symbol])
        hours = minutes.aggregate(HOUR)
        for interval, bars in ((MINUTE, minutes), (HOUR, hours), (DAY, hours.aggregate(DAY))):
            self._bars[symbol, interval.name] = bars
        launch = int(minutes.open_time[0])
        return Instrument(symbol, digits, lots, launch)


def _minutes(trades: Trades) -> Bars:
    """One candle a minute from the first trade to the last."""
    opens, start = np.unique(trades.time // MINUTE_MS * MINUTE_MS, return_index=True)
    end = np.append(start[1:], len(trades)) - 1
    price = trades.price
    traded = np.column_stack(
        [
            price[start],
            np.maximum.reduceat(price, start),
            np.minimum.reduceat(price, start),
            price[end],
            np.add.reduceat(trades.size, start),
        ]
    )
    every = np.arange(opens[0], opens[-1] + 1, MINUTE_MS)
    place = np.searchsorted(opens, every, side="right") - 1
    rows = traded[place]
    still = opens[place] != every
    rows[still] = rows[still][:, [3, 3, 3, 3, 4]]
    rows[still, 4] = 0
    return Bars.of(every, rows)
