"""A gate for splits of one's own: no label of an earlier part reaches into a later one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Int64

from mtf.errors import ContractError
from mtf.market.times import iso

Times = Int64[np.ndarray, " decision"]


def check_split(
    parts: Mapping[str, Times], reach: int | Callable[[Times], Times], *, name: str = "split"
) -> None:
    """Try whether the labels of each part end before any part after it begins.

    Args:
        parts: part name → times (ms) of the decisions that have a label in it, in any order.
        reach: how far a label looks after its decision, in ms; or a function of the times, such as
            a head's ``reach``.
        name: of the split, for the message.

    Raises:
        ContractError: parts that overlap in time, or a label that was not purged; with both parts,
            the decision and how many there are.
    """
    ordered = sorted(
        ((part, np.sort(times)) for part, times in parts.items() if len(times)),
        key=lambda item: int(item[1][0]),
    )
    for (earlier, before), (later, after) in combinations(ordered, 2):
        if before[-1] >= after[0]:
            raise ContractError(
                f"{name}: {earlier} and {later} overlap in time: {earlier} goes on to "
                f"{iso(int(before[-1]))}, {later} begins at {iso(int(after[0]))}",
                "parts one after the other",
                "cut by time and never shuffle before: neighbours share nearly all their candles",
            )
        far = np.full(len(before), reach, np.int64) if isinstance(reach, int) else reach(before)
        over = before + far > after[0]
        if over.any():
            first = int(np.argmax(over))
            raise ContractError(
                f"{name}: {earlier} reaches into {later}: the label of the decision at "
                f"{iso(int(before[first]))} looks ahead to {iso(int(before[first] + far[first]))}, "
                f"{later} begins at {iso(int(after[0]))} ({int(over.sum())} decisions do)",
                "t + reach(t) at or before the first decision of every later part",
                "purge: drop the labels that look beyond the end of their part, after the cut",
            )


__all__ = ["check_split"]
