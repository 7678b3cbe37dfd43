"""The probability of backtest overfitting: how often the best trial so far is a poor one later.

Combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado & Zhu, 2017): the days
are cut into 16 blocks; in each of the 12,870 ways to take eight of them the trial with the best
Sharpe ratio there is ranked among all trials in the other eight. Choosing has overfitted where its
rank is not above the median.

A trial that does not move in a half has a ratio of 0 there. Equal ratios share their mean rank, and
of equal bests the first is chosen. Blocks are not purged: what trials earn on one day they do not
earn on another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float64

from mtf.trading.sharpe import STILL

BLOCKS = 16
FEWEST_TRIALS = 10
NUMBERS_AT_ONCE = 2_000_000

Trials = Float64[np.ndarray, "trial day"]
Scores = Float64[np.ndarray, "half trial"]
PerHalf = Float64[np.ndarray, " half"]


@dataclass(frozen=True)
class Overfitting:
    """What cross-validation says of choosing among these trials.

    Attributes:
        probability: share of the halves whose best trial is not above the median in the other
            half; None where it can't be told.
        reason: why it can't; empty where it can.
        logits: ln(ω / (1 - ω)) of each half's best trial, ω = its rank in the other half / (trials
            + 1); 0 is the median.
        chosen: Sharpe ratio of each half's best trial, of a day.
        later: that of the same trial in the other half.
        num_trials: that were compared.
        num_days: on which.
    """

    probability: float | None
    reason: str
    logits: PerHalf
    chosen: PerHalf
    later: PerHalf
    num_trials: int
    num_days: int

    @property
    def degradation(self) -> float:
        """Slope of ``later`` on ``chosen``: below 0 the better a choice looks, the worse it is.

        NaN where nothing can be told.
        """
        around = self.chosen - self.chosen.mean() if len(self.chosen) else self.chosen
        squares = float((around**2).sum())
        return float((around * self.later).sum() / squares) if squares > 0 else np.nan

    @property
    def probability_of_loss(self) -> float:
        """Share of halves whose best trial loses in the other half; NaN where unknown."""
        return float((self.later < 0).mean()) if len(self.later) else np.nan


def probability_of_overfitting(
    trials: Trials, *, blocks: int = BLOCKS, fewest: int = FEWEST_TRIALS
) -> Overfitting:
    """Cross-validate the choice of the best among trials.

    Args:
        trials: daily net returns on the same days; see ``aligned``.
        blocks: into how many blocks of days; even. Their lengths differ by one day at most.
        fewest: with fewer trials nothing is told.

    Raises:
        ValueError: an odd number of blocks, or none.
    """
    if blocks < 2 or blocks % 2:
        raise ValueError(f"{blocks} blocks can't be halved, expected an even number")
    count, days = trials.shape
    reason = ""
    if count < fewest:
        reason = f"too few trials: {count} of {fewest}"
    elif days < 2 * blocks:
        reason = f"too few days: {days} of {2 * blocks}"
    if reason:
        none = np.empty(0)
        return Overfitting(None, reason, none, none, none, count, days)
    logits, chosen, later = _cross_validated(trials, blocks)
    return Overfitting(float((logits <= 0).mean()), "", logits, chosen, later, count, days)


def _cross_validated(trials: Trials, blocks: int) -> tuple[PerHalf, PerHalf, PerHalf]:
    """Logit, ratio in the half and in the other one, of the best trial of every half."""
    sums, halves = _block_sums(trials, blocks), _halves(blocks)
    at_once = max(1, NUMBERS_AT_ONCE // len(trials))
    found = [
        _judged(_scores(half, sums), _scores(~half, sums))
        for half in np.split(halves, range(at_once, len(halves), at_once))
    ]
    logits, chosen, later = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return logits, chosen, later


def _halves(blocks: int) -> Bool[np.ndarray, "half block"]:
    """Every way to take half of the blocks."""
    taken = np.array(list(combinations(range(blocks), blocks // 2)))
    halves = np.zeros((len(taken), blocks), dtype=np.bool_)
    np.put_along_axis(halves, taken, True, axis=1)
    return halves


def _block_sums(trials: Trials, blocks: int) -> Float64[np.ndarray, "3 block trial"]:
    """Days, sum of returns and of their squares, by block; the first blocks are a day longer."""
    parts = np.array_split(trials, blocks, axis=1)
    days = [np.full(len(trials), part.shape[1], dtype=np.float64) for part in parts]
    totals = [part.sum(axis=1) for part in parts]
    squares = [(part**2).sum(axis=1) for part in parts]
    return np.stack([np.stack(days), np.stack(totals), np.stack(squares)])


def _scores(half: Bool[np.ndarray, "half block"], sums: np.ndarray) -> Scores:
    """Sharpe ratio (ddof 1) of every trial on the blocks of every half; 0 where nothing moves."""
    days, totals, squares = (half.astype(np.float64) @ part for part in sums)
    variance = (squares - totals**2 / days) / (days - 1)
    moves = variance > STILL * squares / days
    spread = np.sqrt(np.where(moves, variance, 1.0))
    return np.asarray(np.where(moves, totals / days / spread, 0.0))


def _judged(inside: Scores, outside: Scores) -> tuple[PerHalf, PerHalf, PerHalf]:
    best = _same(inside, inside.max(axis=1, keepdims=True)).argmax(axis=1)[:, None]
    chosen, later = np.take_along_axis(inside, best, 1), np.take_along_axis(outside, best, 1)
    same = _same(outside, later)
    rank = (~same & (outside < later)).sum(axis=1) + (same.sum(axis=1) + 1) / 2
    share = rank / (inside.shape[1] + 1)
    return np.log(share / (1 - share)), chosen[:, 0], later[:, 0]


def _same(scores: Scores, other: Float64[np.ndarray, "half 1"]) -> Bool[np.ndarray, "half trial"]:
    """The same trial twice must tie, in whatever order its returns were summed."""
    return np.asarray(np.abs(scores - other) <= STILL * np.maximum(np.abs(other), 1.0))


__all__ = ["Overfitting", "probability_of_overfitting"]
