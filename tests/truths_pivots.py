"""What can be said of the next pivot when returns are AR(1): by simulation from the true state.

A minute of the world ``momentum`` is its return and, given that, the extremes of a Brownian bridge:
high = (r + √(r² - 2 sd² ln U)) / 2 above the open, low with another U. So the last return and the
highs and lows of the candles that the next pivot is compared with are all that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from mtf.heads.pivots import Pivots
from mtf.market.candles import CLOSE, HIGH, LOW, Candles
from mtf.market.labels import Label

AT_ONCE = 200


@dataclass(frozen=True)
class State:
    """What a simulation starts from.

    Attributes:
        last: the last return.
        above: highs of the last candles, oldest first, as log ratio to the last close.
        below: their lows.
    """

    last: Float64[np.ndarray, " decision"]
    above: Float64[np.ndarray, "decision candle"]
    below: Float64[np.ndarray, "decision candle"]

    def part(self, rows: slice) -> State:
        """Some of the decisions."""
        return State(self.last[rows], self.above[rows], self.below[rows])


def state_at(
    candles: Candles,
    times: Int64[np.ndarray, " decision"],
    last: Float64[np.ndarray, " decision"],
    neighbours: int,
) -> State:
    """The state at decision times: the last candles, and the last return as given."""
    row = candles.timeframe.slot(times) - 1 - candles.first_slot
    rows = row[:, None] + np.arange(1 - neighbours, 1)
    close = np.log(candles.ohlcv[row, CLOSE])[:, None]
    above, below = (np.log(candles.ohlcv[rows, kind]) - close for kind in (HIGH, LOW))
    return State(last, above, below)


def next_pivots(
    state: State, rho: float, sd: float, cap: int, paths: int = 500, seed: int = 0
) -> Float64[np.ndarray, "decision 4"]:
    """Best forecast: chance of a pivot; and of those, share of highs, mean distance, mean ln time.

    Args:
        state: at every decision.
        rho: of the AR(1).
        sd: of its shocks.
        cap: candles within which the pivot must be confirmed.
        paths: simulated for every decision.
        seed: of the simulation.

    Returns:
        Distance in log return from the last close, which is the entry price of this world.
    """
    rng = np.random.default_rng(seed)
    pieces = [slice(at, at + AT_ONCE) for at in range(0, len(state.last), AT_ONCE)]
    return np.concatenate(
        [_summary(*_simulate(state.part(one), rho, sd, cap, paths, rng)) for one in pieces]
    )


def mean_pivot(values: Mapping[str, np.ndarray]) -> Float64[np.ndarray, "1 4"]:
    """The same four figures of the labels of a part: the best constant."""
    there = values["reached"] == 1
    others = [values[name][there].mean() for name in ("high", "distance", "log_time")]
    return np.array([[there.mean(), *others]])


def as_said(means: Float64[np.ndarray, "decision 4"]) -> Float64[np.ndarray, "decision 4"]:
    """The four figures as the head's outputs: chances as logits."""
    chances = np.log(means[:, :2] / (1 - means[:, :2]))
    return np.concatenate([chances, means[:, 2:]], axis=1)


def pivot_loss(head: Pivots, said: np.ndarray, label: Label) -> Float64[np.ndarray, " decision"]:
    """The head's loss of every decision; what is said once is said of all."""
    rows = np.broadcast_to(said.astype(np.float64), (len(label.present), 4)).copy()
    values = {name: torch.from_numpy(value) for name, value in label.values.items()}
    return np.asarray(head.loss("L1", {"L1": torch.from_numpy(rows)}, values).numpy())


def _simulate(
    state: State, rho: float, sd: float, cap: int, paths: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Highs and lows [decision, path, candle], the known ones first; how many are known."""
    count, known = state.above.shape
    above, below = np.empty((2, count, paths, known + cap))
    above[..., :known], below[..., :known] = state.above[:, None], state.below[:, None]
    returns, price = np.repeat(state.last[:, None], paths, 1), np.zeros((count, paths))
    for k in range(known, known + cap):
        returns = rho * returns + sd * rng.standard_normal((count, paths))
        up, down = returns**2 - 2 * sd**2 * np.log(1 - rng.random((2, count, paths)))
        above[..., k] = price + (returns + np.sqrt(up)) / 2
        below[..., k] = price + (returns - np.sqrt(down)) / 2
        price += returns
    return above, below, known


def _summary(above: np.ndarray, below: np.ndarray, known: int) -> Float64[np.ndarray, "decision 4"]:
    """Means over the paths; half a path is added to either side of a chance."""
    high, low = _stands_out(above, known), _stands_out(-below, known)
    either = high | low
    found, first = either.any(-1), either.argmax(-1)
    paths, number = found.shape[1], found.sum(1)
    pick = np.expand_dims(first, -1)
    is_high = found & np.take_along_axis(high, pick, -1)[..., 0]
    highs, lows = (np.take_along_axis(side, pick + known, -1)[..., 0] for side in (above, below))
    distance = np.where(found, np.where(is_high, highs, lows), 0.0).sum(1)
    log_time = np.where(found, np.log(first + 1), 0.0).sum(1)
    least = np.maximum(number, 1)
    chance, share = (number + 0.5) / (paths + 1), (is_high.sum(1) + 0.5) / (number + 1)
    return np.stack([chance, share, distance / least, log_time / least], axis=1)


def _stands_out(height: np.ndarray, known: int) -> Bool[np.ndarray, "decision path candle"]:
    """Above as many candles before as are known, and not below as many after; from ``known`` on."""
    end = height.shape[-1] - known
    middle = height[..., known:end]
    out = np.ones(middle.shape, bool)
    for away in range(1, known + 1):
        out &= middle > height[..., known - away : end - away]
        out &= middle >= height[..., known + away : end + away]
    return out
