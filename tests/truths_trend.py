"""What can be said of lines through the closes to come when returns are AR(1).

Returns are r(k) = rho r(k-1) + shock; given the last return, the slope of the line is normal with
mean and deviation in closed form. Its R² is a curve of |last return| alone, found by simulation.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

PATHS, LARGEST, POINTS = 20_000, 24.0, 49


def slope_law(rho: float, closes: int) -> tuple[float, float]:
    """Mean slope a unit of the last return, and deviation a unit of the shocks' deviation."""
    weights = _weights(closes)
    steps = np.arange(1, closes + 1)
    reply = np.cumsum(rho ** np.arange(closes))  # of the log price to a shock, step by step
    mean = weights @ np.cumsum(rho**steps)
    late = [weights[first:] @ reply[: closes - first] for first in range(closes)]
    return float(mean), float(np.linalg.norm(late))


def mean_fit(
    last: Float64[np.ndarray, " decision"], rho: float, closes: int, seed: int = 0
) -> Float64[np.ndarray, " decision"]:
    """Mean R² of a line through the next closes.

    Args:
        last: the last return in units of the shocks' deviation.
        rho: of the AR(1).
        closes: how many the line goes through.
        seed: of the simulation.
    """
    points = np.linspace(0.0, LARGEST, POINTS)
    shocks = np.random.default_rng(seed).standard_normal((closes, PATHS))
    curve = [_fit_from(at, rho, shocks) for at in points]
    return np.asarray(np.interp(np.abs(last), points, curve))


def _fit_from(last: float, rho: float, shocks: Float64[np.ndarray, "close path"]) -> float:
    """Mean R² over the paths that begin with one last return."""
    prices, returns = np.zeros_like(shocks), np.full(shocks.shape[1], last)
    for k, shock in enumerate(shocks):
        returns = rho * returns + shock
        prices[k] = prices[k - 1] + returns if k else returns
    around = prices - prices.mean(axis=0)
    weights = _weights(len(shocks))
    explained = np.square(weights @ around) / np.square(weights).sum()
    return float(np.mean(explained / np.square(around).sum(axis=0)))


def _weights(closes: int) -> Float64[np.ndarray, " close"]:
    """The slope of a line as a weighted sum of what it goes through."""
    steps = np.arange(closes) - (closes - 1) / 2
    return np.asarray(steps / np.square(steps).sum())
