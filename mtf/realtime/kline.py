"""Candles as ``get_kline`` tells them, taken apart: only what is a closed candle of the question.

The exchange may send rows twice, in any order, with holes, with numbers that are none, and the
candle that is still open among them without a word. Nothing of that is mended here: a row is good
or it is left out, and how much was left out says whether the answer can be trusted about what is
*not* in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mtf.errors import ConfigError
from mtf.market.rows import any_of, find_faults
from mtf.market.sorted_rows import SortedRows
from mtf.market.timeframe import Timeframe
from mtf.realtime.rest import Rest

PAGE = 1_000
"""The most candles of one answer."""
INTERVALS = {
    **{f"{minutes}m": str(minutes) for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}h": str(60 * hours) for hours in (1, 2, 4, 6, 12)},
    "1d": "D",
    "1w": "W",
}
"""Timeframes as the exchange names them; it has no others."""


@dataclass(frozen=True)
class Answer:
    """The good candles of an answer, in order, each time once.

    Attributes:
        open_time: ms UTC.
        rows: how many the answer had, good or not.
        bad: rows of the time asked for that are no candles, or contradict each other.
        foreign: rows of another time.
    """

    open_time: Int64[np.ndarray, " row"]
    ohlcv: Float64[np.ndarray, "row 5"]
    rows: int = 0
    bad: int = 0
    foreign: int = 0

    @classmethod
    def empty(cls) -> Answer:
        """No rows."""
        return cls(np.empty(0, np.int64), np.empty((0, 5)))

    @property
    def believed(self) -> bool:
        """Whether what is not in it can be taken for what does not exist."""
        return not self.bad and not self.foreign

    @property
    def full(self) -> bool:
        """Whether there may be older candles that did not fit."""
        return self.rows >= PAGE

    def with_more(self, other: Answer) -> Answer:
        """Both answers' candles; where they contradict each other there is none.

        The counts are those of the other, later one, but for contradictions, which add to its bad.
        """
        times = np.concatenate([self.open_time, other.open_time])
        once, conflicting = _once(times, np.concatenate([self.ohlcv, other.ohlcv]))
        return Answer(*once, other.rows, other.bad + conflicting, other.foreign)


def interval_of(timeframe: Timeframe) -> str:
    """The exchange's name of a timeframe.

    Raises:
        ConfigError: it has no such candles.
    """
    if timeframe.name in INTERVALS:
        return INTERVALS[timeframe.name]
    todo = f"build {timeframe} from a finer one: `streams.<name>.from: …`"
    if timeframe.name == "1s":
        todo = "1s candles are built from trades: `mtf fetch bybit SYMBOL --trades 2024-08-08`"
    raise ConfigError(
        f"found timeframe {timeframe}", f"one that Bybit has: {', '.join(INTERVALS)}", todo
    )


def ask_candles(
    rest: Rest, category: str, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int
) -> Answer:
    """The newest ``PAGE`` candles with ``start_ms <= open_time < end_ms``.

    All of these must be closed. Without faults an answer that is not full has every one there is.

    Raises:
        ExchangeError: no answer, or a refusal.
    """
    rows = ask_rows(rest, category, symbol, timeframe, start_ms, end_ms)
    return read_rows(rows, timeframe, start_ms, end_ms)


def ask_rows(
    rest: Rest, category: str, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int
) -> list[list[str]]:
    """The rows that answer this question, as they come: good and bad, in any order.

    Raises:
        ExchangeError: no answer, or a refusal.
    """
    return rest.ask(
        "get_kline",
        lambda result: _readable(result["list"]),
        category=category,
        symbol=symbol,
        interval=interval_of(timeframe),
        start=start_ms,
        end=end_ms - 1,
        limit=PAGE,
    )


def read_rows(
    rows: Sequence[Sequence[str]], timeframe: Timeframe, start_ms: int, end_ms: int
) -> Answer:
    """What is good of rows of ``ask_rows`` with the same times.

    Raises:
        ValueError: something that is no number at all.
    """
    return answer(*_numbers(rows), timeframe, start_ms, end_ms)


def answer(
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
) -> Answer:
    """What is good of raw rows in any order."""
    inside = (open_time >= start_ms) & (open_time < end_ms)
    times, values = open_time[inside], ohlcv[inside]
    faulty = any_of(find_faults(times, values, timeframe).values())
    good = np.ones(len(times), np.bool_) if faulty is None else ~faulty
    once, conflicting = _once(times[good], values[good])
    bad = int(np.count_nonzero(~good)) + conflicting
    return Answer(*once, len(open_time), bad, int(np.count_nonzero(~inside)))


def _once(
    open_time: Int64[np.ndarray, " row"], ohlcv: Float64[np.ndarray, "row 5"]
) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Rows in order, each time once, contradicting ones left out; and how many those are."""
    rows = SortedRows.of(open_time, ohlcv, None)
    kept = rows.select(rows.keep(np.zeros(len(open_time), np.bool_)))
    return (kept.open_time, kept.ohlcv), len(rows.conflicting)


def _readable(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows, if they are numbers at all.

    Raises:
        ValueError: they are not.
    """
    _numbers(rows)
    return [list(row) for row in rows]


def _numbers(rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Open times, and open, high, low, close, volume of rows of strings.

    Raises:
        ValueError: something that is no number at all; NaN and Infinity are numbers here.
    """
    times = np.array([int(row[0]) for row in rows], np.int64)
    values = [[float(value) for value in row[1:6]] for row in rows]
    return times, np.array(values, np.float64).reshape(len(rows), 5)
