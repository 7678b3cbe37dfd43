"""The position held when a decision is made: a true one, or one drawn to learn from."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from mtf.errors import ConfigError
from mtf.market.candles import CLOSE
from mtf.market.side.streams import primary_stream
from mtf.market.side_input import Moments, SideContext, SideInput, Valid, Values
from mtf.market.stream import Stream

CLIP = 8.0
FLAT_SHARE = 1 / 3
STEP = 0x9E3779B97F4A7C15  # of splitmix64: 2^64 over the golden ratio
PRICED = ("entry_distance", "unrealised")

Column = Float64[np.ndarray, " decision"]
Times = Int64[np.ndarray, " decision"]


class PositionState(SideInput):
    """What is held when the decision is made.

    At training a position is drawn at random, as a function of the seed, the symbol and the time
    alone: a third flat, the others long or short in equal shares, of a uniform size, entered at the
    close of a candle that lies 1 … ``max_held`` candles back, short times as often as long ones (in
    the logarithm). In evaluation it is flat, unless the caller gives the true one (see
    ``position_elements``). What needs the price is masked with the stream that it is taken from.

    Args:
        max_held: longest time held that is drawn, in candles of the stream.
        long_only: draw no short positions.
        stream: of the primary symbol, that tells the price; null: the one at the clock, or else
            the finest.
    """

    elements: Mapping[str, str] = {
        "side": "1 long, -1 short, 0 flat",
        "size": "share of the capital, 0 … 1",
        "entry_distance": "ln(price / entry price) over sigma and the root of the candles held",
        "unrealised": "unrealised profit and loss in percent of the capital, without costs",
        "time_held": "ln(1 + candles held) / 5",
    }

    def __init__(
        self,
        context: SideContext,
        *,
        max_held: int = 240,
        long_only: bool = False,
        stream: str | None = None,
    ) -> None:
        """Keep the options.

        Raises:
            ConfigError: ``max_held`` below 1, or no such stream of the primary symbol.
        """
        if max_held < 1:
            raise ConfigError(f"found max_held {max_held}", "at least 1 candle", "mend or drop it")
        self.max_held, self.long_only = max_held, long_only
        self.stream = primary_stream(context, stream)
        self.seed = context.seed + (zlib.crc32(context.symbol.encode()) << 32)
        self.sources = dict.fromkeys(PRICED, (self.stream,))
        self.history = {self.stream: max_held + 1}

    def at(self, moments: Moments) -> tuple[Values, Valid]:
        """Flat, or at training what is drawn."""
        if not moments.training:
            return _as_side(np.zeros((len(moments.times), len(self.elements))))
        side, size, held = self.drawn(moments.times)
        stream, known = moments.world.streams[self.stream], moments.known[self.stream]
        price = known.last_close
        entry = _closes(stream, known.row - held, moments.times)
        return _as_side(position_elements(side, size, entry, price, held, known.sigma))

    def drawn(self, times: Times) -> tuple[Column, Column, Times]:
        """Side, size, and candles held (0 where flat) at each time."""
        flat, side, size, held = uniform(self.seed, times, 4).T
        side = np.where((side < 0.5) & (not self.long_only), -1.0, 1.0)
        side = np.where(flat < FLAT_SHARE, 0.0, side)
        candles = np.exp(held * math.log(self.max_held + 1)).astype(np.int64)
        candles = np.clip(candles, 1, self.max_held)
        return side, np.where(side == 0, 0.0, 1 - size), np.where(side == 0, 0, candles)


def position_elements(
    side: Column,
    size: Column,
    entry: Column,
    price: Column,
    held: Times | Column,
    sigma: Column,
) -> Float64[np.ndarray, "decision 5"]:
    """The elements of a position; NaN where a price or sigma is not known and it is not flat.

    Args:
        side: 1 long, -1 short, 0 flat.
        size: share of the capital, 0 … 1.
        entry: price of entry.
        price: price now.
        held: candles held.
        sigma: standard deviation of the log return of a candle.
    """
    flat = (side == 0) | (size == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.log(price / entry) / (sigma * np.sqrt(held))
        unrealised = 100 * side * size * (price / entry - 1)
    rows = [side, size, distance, unrealised, np.log1p(held) / 5]
    return np.where(flat[:, None], 0.0, np.clip(np.stack(rows, axis=1), -CLIP, CLIP))


def uniform(seed: int, times: Times, count: int) -> Float64[np.ndarray, "decision count"]:
    """Numbers in [0, 1), each a function of seed, time and place alone (splitmix64)."""
    start = _mixed(times.astype(np.uint64) + np.uint64(seed * STEP % 2**64))
    place = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(STEP)
    bits = _mixed(start[:, None] + place) >> np.uint64(11)
    return bits.astype(np.float64) / 2.0**53


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed


def _closes(stream: Stream, row: Times, times: Times) -> Column:
    """Closes of rows; NaN where there is no candle, or it was not known at the time."""
    candles = stream.candles
    inside = (row >= 0) & (row < len(candles))
    if not inside.any():
        return np.full(len(row), np.nan)
    at = np.where(inside, row, 0)
    there = inside & candles.valid[at]
    if candles.available_at is not None:
        there &= candles.available_at[at] <= times
    return np.where(there, candles.ohlcv[at, CLOSE], np.nan)


def _as_side(values: Float64[np.ndarray, "decision 5"]) -> tuple[Values, Valid]:
    """One step of time; what is not finite is not there."""
    valid = np.isfinite(values)
    return np.where(valid, values, 0.0).astype(np.float32)[:, None], valid[:, None]


__all__ = ["PositionState", "position_elements", "uniform"]
