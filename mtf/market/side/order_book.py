"""The order book: the last snapshots that are known, 25 levels each side."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64

from mtf.errors import ConfigError
from mtf.market.side.records import Records, read_records
from mtf.market.side_input import Moments, SideContext, SideInput, Valid, Values

LEVELS = 25
SIDES = ("bid", "ask")
PARTS = tuple((side, part) for side in SIDES for part in ("price", "size"))
COLUMNS = [f"{side}_{part}_{level + 1}" for side, part in PARTS for level in range(LEVELS)]
CLIP = 8.0
SIZE_SHARE = 0.01  # of the mean size, added to both sides so that no size has a logarithm


def _elements() -> dict[str, str]:
    """Four elements a level, best level first."""
    meanings = {
        "bid_offset": "ln of how far the bid of level {} lies below the mid, in bps, halved",
        "bid_size": "ln of the size bid at level {} over the mean of all 50 levels",
        "ask_offset": "ln of how far the ask of level {} lies above the mid, in bps, halved",
        "ask_size": "ln of the size asked at level {} over the mean of all 50 levels",
    }
    return {
        f"{name}_{level}": meaning.format(level)
        for level in range(1, LEVELS + 1)
        for name, meaning in meanings.items()
    }


class OrderBook(SideInput):
    """The last snapshots of the order book known at t, oldest first.

    Offsets are ``ln(|price / mid - 1| in bps) / 2``: what matters in one market is a thousandth of
    a basis point, in another ten. Sizes are ``ln((size + 0.01 m) / (m + 0.01 m))`` with m the mean
    size of the snapshot, so that they mean the same for every coin. Both are clipped to ±8. A
    level that is not there is masked; so is a snapshot that is too old, or whose best bid is not
    below its best ask.

    Args:
        path: parquet, or text with commas and a header; ``{symbol}`` in it stands for the primary
            symbol. Columns ``time_ms``, ``bid_price_1`` … ``bid_price_25``, ``bid_size_…``,
            ``ask_price_…``, ``ask_size_…``; level 1 is the best.
        snapshots: how many.
        max_age_ms: an older snapshot is masked.
        latency_ms: from a snapshot's time until it may be known.
    """

    elements = _elements()

    def __init__(
        self,
        context: SideContext,
        *,
        path: str,
        snapshots: int = 20,
        max_age_ms: int = 30_000,
        latency_ms: int = 0,
    ) -> None:
        """Keep the options; the file is read when it is needed.

        Raises:
            ConfigError: an option below what it can be.
        """
        if snapshots < 1 or max_age_ms < 1 or latency_ms < 0:
            raise ConfigError(
                f"found snapshots {snapshots}, max_age_ms {max_age_ms}, latency_ms {latency_ms}",
                "snapshots and max_age_ms at least 1, latency_ms at least 0",
                "mend the options of the order book",
            )
        self.path, self.time = path.replace("{symbol}", context.symbol), snapshots
        self.max_age_ms, self.latency_ms = max_age_ms, latency_ms

    @cached_property
    def records(self) -> Records:
        """The raw snapshots."""
        return read_records(self.path, COLUMNS)

    @cached_property
    def scaled(self) -> tuple[Float32[np.ndarray, "record 100"], Bool[np.ndarray, "record 100"]]:
        """The elements of every snapshot."""
        return book_elements(self.records.values)

    def at(self, moments: Moments) -> tuple[Values, Valid]:
        """The last ``snapshots`` known at each time."""
        known_until = moments.times - self.latency_ms
        row = self.records.last(known_until)[:, None] - np.arange(self.time)[::-1]
        there = row >= 0
        row = np.maximum(row, 0)
        if not len(self.records.times):
            shape = (*row.shape, len(self.elements))
            return np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
        there &= moments.times[:, None] - self.records.times[row] <= self.max_age_ms
        values, valid = self.scaled
        return values[row], valid[row] & there[:, :, None]

    def fingerprint(self) -> str:
        """Of the snapshots."""
        return self.records.fingerprint()


def book_elements(
    snapshots: Float64[np.ndarray, "snapshot 100"],
) -> tuple[Float32[np.ndarray, "snapshot 100"], Bool[np.ndarray, "snapshot 100"]]:
    """Elements of snapshots as they stand in a file: prices and sizes of bids, then of asks.

    Returns:
        Values, 0 where not valid, and what is valid.
    """
    bid, bid_size, ask, ask_size = np.split(snapshots, len(PARTS), axis=1)
    mid = (bid[:, :1] + ask[:, :1]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        below, above = (_offset(1 - bid / mid), _offset(ask / mid - 1))
        sizes = np.concatenate([bid_size, ask_size], axis=1)
        sizes = np.where(sizes >= 0, sizes, np.nan)
        count = np.isfinite(sizes).sum(1, keepdims=True)
        mean = np.nansum(sizes, axis=1, keepdims=True) / count
        sizes = np.log((sizes + SIZE_SHARE * mean) / (mean + SIZE_SHARE * mean))
        sound = bid[:, :1] < ask[:, :1]
    by_level = np.stack([below, sizes[:, :LEVELS], above, sizes[:, LEVELS:]], axis=2)
    found = np.where(sound, by_level.reshape(len(snapshots), -1), np.nan)
    valid = np.isfinite(found)
    return np.where(valid, np.clip(found, -CLIP, CLIP), 0.0).astype(np.float32), valid


def _offset(share: Float64[np.ndarray, "snapshot 25"]) -> Float64[np.ndarray, "snapshot 25"]:
    """Distance from the mid; NaN on the wrong side of it."""
    return np.log(np.where(share > 0, share, np.nan) * 1e4) / 2


__all__ = ["OrderBook", "book_elements"]
