"""The trades of a minute, made up so that they add up to its candle exactly."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from mtf.realtime.sandbox.bars import CLOSE, HIGH, LOW, OPEN, VOLUME

MOST_TRADES = 60
"""Of one minute; a liquid coin has thousands, and no test needs them."""
SEQUENCE_STEP = 4_096


@dataclass(frozen=True)
class Trades:
    """Trades of one symbol in order.

    Attributes:
        time: ms UTC.
        price: in ticks.
        size: in lots.
        buy: whether the taker bought.
        sequence: the exchange's own order, rising.
    """

    time: Int64[np.ndarray, " trade"]
    price: Int64[np.ndarray, " trade"]
    size: Int64[np.ndarray, " trade"]
    buy: Bool[np.ndarray, " trade"]
    sequence: Int64[np.ndarray, " trade"]

    def __len__(self) -> int:
        """How many."""
        return len(self.time)

    def between(self, after_ms: int, until_ms: int) -> Trades:
        """Those with ``after_ms < time <= until_ms``."""
        rows = slice(*np.searchsorted(self.time, [after_ms, until_ms], side="right"))
        return self.select(rows)

    def select(self, rows: slice) -> Trades:
        """Some of them."""
        columns = (self.time, self.price, self.size, self.buy, self.sequence)
        return Trades(*(column[rows] for column in columns))

    def identity(self, row: int, symbol: str) -> str:
        """The id of one trade, unique over all symbols."""
        return f"{zlib.crc32(symbol.encode()):08x}-{int(self.sequence[row]):016x}"


def least(values: Int64[np.ndarray, "bar 6"]) -> Int64[np.ndarray, " bar"]:
    """How many trades a candle takes at least: one a price that it tells, in their order."""
    high, low = values[:, HIGH], values[:, LOW]
    ends = values[:, [OPEN, CLOSE]]
    inner = (high > ends.max(axis=1)).astype(np.int64) + (low < ends.min(axis=1))
    found: np.ndarray = inner + 1 + ((high > low) | (values[:, OPEN] != values[:, CLOSE]))
    return found


def trades_of(open_ms: int, values: Int64[np.ndarray, " 6"], symbol: str, seed: int) -> Trades:
    """The trades of the minute that opens then: from open to close, touching high and low.

    A minute without volume has none. The same minute has the same trades for the same seed.
    """
    rng = np.random.default_rng([seed, zlib.crc32(symbol.encode()), open_ms // 60_000])
    lots = int(values[VOLUME])
    fewest = int(least(values[None])[0])
    count = min(max(int(rng.integers(MOST_TRADES // 3, MOST_TRADES)), fewest), lots)
    time = open_ms + np.sort(rng.integers(0, 60_000, count))
    price = _prices(values, count, rng)
    before = np.append(values[OPEN], price[:-1])
    buy = np.where(price == before, rng.random(count) < 0.5, price > before)
    sequence = open_ms // 60_000 * SEQUENCE_STEP + np.arange(count)
    return Trades(time, price, _sizes(lots, count, rng), buy, sequence)


def _prices(
    values: Int64[np.ndarray, " 6"], count: int, rng: np.random.Generator
) -> Int64[np.ndarray, " trade"]:
    """A way from open to close that stays within, and touches, high and low."""
    first, high, low, last = (int(value) for value in values[:VOLUME])
    noise = np.cumsum(rng.normal(0.0, (high - low) / 6, count))
    noise -= np.linspace(0.0, noise[-1], count) if count else 0.0
    price = np.rint(np.linspace(first, last, count) + noise).astype(np.int64).clip(low, high)
    if count == 0:
        return price
    price[0], price[-1] = first, last
    wanted = [extreme for extreme in (high, low) if extreme not in (first, last)]
    for place, extreme in zip(rng.permutation(np.arange(1, count - 1)), wanted, strict=False):
        price[place] = extreme
    return price


def _sizes(lots: int, count: int, rng: np.random.Generator) -> Int64[np.ndarray, " trade"]:
    """All lots among the trades, at least one each."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    cuts = np.sort(rng.integers(0, lots - count + 1, count - 1))
    return 1 + np.diff(np.concatenate([[0], cuts, [lots - count]]))
