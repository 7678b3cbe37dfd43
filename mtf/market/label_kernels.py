"""The exponentially weighted standard deviation that labels are measured in, as a numba scan."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def ew_std(close, valid, half_life, minimum, floor):
    """Debiased exponentially weighted standard deviation of observed log returns, row by row.

    The definition of ``pandas.Series.ewm(halflife, ignore_na=True).std()``. A return is observed
    where the candle and the one before it are both there. NaN until ``minimum`` returns.
    """
    out = np.empty(len(close))
    keep = 0.5 ** (1.0 / half_life)
    weight = squared_weight = mean = spread = 0.0
    count = 0
    for row in range(len(close)):
        if row > 0 and valid[row] and valid[row - 1]:
            value = np.log(close[row] / close[row - 1])
            weight = keep * weight + 1.0
            squared_weight = keep * keep * squared_weight + 1.0
            step = value - mean
            mean += step / weight
            spread = keep * spread + step * (value - mean)
            count += 1
        if count < max(minimum, 2):
            out[row] = np.nan
        else:
            debias = weight * weight / (weight * weight - squared_weight)
            out[row] = max(floor, np.sqrt(max(spread / weight * debias, 0.0)))
    return out
