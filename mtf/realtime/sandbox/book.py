"""An order book around a price: a function of time and seed alone, so nothing is kept."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

CHANGE_MS = 10_000
"""Every level changes its size once in that time, each at a moment of its own."""
MOST_LOTS = 50_000


@dataclass(frozen=True)
class Book:
    """Levels from the best outwards: prices in ticks to sizes in lots."""

    bids: dict[int, int]
    asks: dict[int, int]

    def changes(self, later: Book) -> Book:
        """What turns this book into a later one; a size of 0 takes a level away."""
        return Book(_changes(self.bids, later.bids), _changes(self.asks, later.asks))


def _changes(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    """Levels that went, came or changed."""
    gone = dict.fromkeys(before.keys() - after.keys(), 0)
    return gone | {price: size for price, size in after.items() if before.get(price) != size}


def book_at(symbol: str, price: int, time_ms: int, depth: int, seed: int) -> Book:
    """The book with the last price as its best bid, and the best ask one tick above."""
    bids = price - np.arange(min(depth, price - 1) or 1, dtype=np.int64)
    asks = price + 1 + np.arange(depth, dtype=np.int64)
    key = zlib.crc32(f"{symbol}{seed}".encode())
    return Book(_sized(bids, time_ms, key), _sized(asks, time_ms, key))


def _sized(prices: Int64[np.ndarray, " level"], time_ms: int, key: int) -> dict[int, int]:
    """A size to every price."""
    epoch = (time_ms + prices * 7_919 % CHANGE_MS) // CHANGE_MS
    mixed = _mix((prices * 1_000_003 + epoch * 8_191 + key).astype(np.uint64))
    sizes = 1 + (mixed % np.uint64(MOST_LOTS)).astype(np.int64)
    return dict(zip(prices.tolist(), sizes.tolist(), strict=True))


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Numbers that look drawn: the finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = numbers ^ (numbers >> np.uint64(31))
    return mixed
