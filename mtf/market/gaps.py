"""Gaps: slots without a candle between the first and the last one, and the pattern they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from mtf.market import mapped


@dataclass(frozen=True)
class Gaps:
    """Where candles are missing.

    Attributes:
        count: number of gaps.
        missing: slots without a candle, all gaps together.
        slots: slots from the first to the last candle.
        largest: first missing slot of the largest gap and its length; (0, 0) = no gap.
        pattern: what the gaps have in common; empty = nothing.
    """

    count: int = 0
    missing: int = 0
    slots: int = 0
    largest: tuple[int, int] = (0, 0)
    pattern: str = ""

    @property
    def share(self) -> float:
        """Share of the slots that have no candle."""
        return self.missing / self.slots if self.slots else 0.0

    @classmethod
    def of(cls, valid: Bool[np.ndarray, " slot"], first_slot: int) -> Gaps:
        """Find them."""
        starts, lengths = runs(~valid[rows] for rows in mapped.pieces(len(valid)))
        mapped.release(valid)
        if len(starts) == 0:
            return cls(slots=len(valid))
        at = int(np.argmax(lengths))
        largest = (first_slot + int(starts[at]), int(lengths[at]))
        pattern = _pattern(starts, lengths)
        return cls(len(starts), int(lengths.sum()), len(valid), largest, pattern)


def runs(
    masks: Iterable[Bool[np.ndarray, " slot"]],
) -> tuple[Int64[np.ndarray, " run"], Int64[np.ndarray, " run"]]:
    """Start and length of every run of True in a mask that comes piece by piece."""
    edges, end, last = [np.empty(0, np.int64)], 0, False
    for mask in masks:
        edges.append(end + np.flatnonzero(np.diff(mask, prepend=last)))
        end, last = end + len(mask), bool(mask[-1])
    if last:
        edges.append(np.array([end]))
    found = np.concatenate(edges)
    return found[::2], found[1::2] - found[::2]


def _pattern(starts: Int64[np.ndarray, " run"], lengths: Int64[np.ndarray, " run"]) -> str:
    """Gaps of one length at one distance come from a program, not from a market."""
    if len(starts) < 3:
        return ""
    length, same = _most_common(lengths)
    present, regular = _most_common(starts[1:] - starts[:-1] - lengths[:-1])
    if same < 0.9 or regular < 0.9 or len(starts) - 1 < 3:
        return ""
    if length == 1 and present > 1:
        return (
            f"one candle is missing after every {present:,} rows: "
            "looks like a download that loses one per page"
        )
    return (
        f"{100 * length / (present + length):.1f} % of candles are missing at regular distance, "
        f"{present:,} kept of every {present + length:,}: "
        "looks like a download whose pages are shorter than the step from one to the next"
    )


def _most_common(values: Int64[np.ndarray, " run"]) -> tuple[int, float]:
    """The most frequent value and its share."""
    distinct, counts = np.unique(values, return_counts=True)
    at = int(np.argmax(counts))
    return int(distinct[at]), float(counts[at] / len(values))
