"""Daily net returns of several trials on the same days, as the statistics of many trials need them.

Knows nothing of where trials are written down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

Days = Int64[np.ndarray, " day"]
Record = tuple[Int64[np.ndarray, "_"], Float64[np.ndarray, "_"]]
"""Whole days since 1970 (UTC), ascending, and the net return of each."""


def aligned(days: Days, records: Sequence[Record]) -> Float64[np.ndarray, "trial day"]:
    """The returns on these days of all trials that have every one of them, in their order.

    The others are left out: what a trial would have earned on a day that it did not see is not
    known. A return that is not known (NaN: the equity was gone) is 0.

    Args:
        days: whole days since 1970, ascending.
        records: days and net returns of each trial.
    """
    kept = [np.empty((0, len(days)))]
    for own, returns in records:
        found = np.searchsorted(own, days)
        there = found < len(own)
        if len(days) and there.all() and np.array_equal(own[found], days):
            kept.append(np.nan_to_num(returns[found].astype(np.float64))[None, :])
    return np.concatenate(kept)


__all__ = ["aligned"]
