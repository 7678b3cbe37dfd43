"""Two runs on the decisions that both were asked about: which predicts better, and how surely.

Decisions are joined by time and symbol. Labels must agree there: with another horizon, threshold or
scale the runs predict different things, and which is better has no meaning. What is compared is the
loss of each decision: log loss where a class was predicted, squared error of all channels else.
Resampled are whole days of all symbols together: a file of predictions does not tell which
decisions share an outcome, and no outcome of mtf's heads but that of a longer candle outlasts a day
by much.

What it does not know: how the runs came about. The better of several runs is chosen on these very
decisions; its p is no proof for the next ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.evaluation.bootstrap import Comparison, paired
from mtf.evaluation.metrics import SMALLEST_PROBABILITY, mean
from mtf.market.times import iso
from mtf.predictions import Predictions

DAY_MS = 86_400_000
LABEL = "label_"
SAME = 0.01
"""Labels that differ by less, in their units or relative to their size, are the same: a volatility
that was counted from another first candle moves them by a thousandth, another horizon by much."""
FEW = 0.01
"""Decisions whose labels differ are left out; with more than this share nothing is compared."""

UNKNOWN = Comparison(np.nan, np.nan, np.nan)
PerDecision = Float64[np.ndarray, " decision"]
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Between:
    """Two runs on one target.

    Attributes:
        target: name of the columns, such as ``action`` or ``next_candle.1m``.
        metric: ``log_loss`` or ``mse``; lower is better.
        n: decisions that both have a label of.
        days: whole days among them.
        first: the metric of the first run.
        second: of the second.
        comparison: first - second, and how sure.
        differ: decisions on which the labels differ, where these are too many to compare; else 0.
    """

    target: str
    metric: str
    n: int
    days: int
    first: float = np.nan
    second: float = np.nan
    comparison: Comparison = UNKNOWN
    differ: int = 0


def between(
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    resamples: int = 1000,
    seed: int = 0,
) -> list[Between]:
    """Compare two runs on every target that both predict.

    Args:
        first: predictions of the first run, one value a symbol.
        second: of the second run.
        resamples: of the bootstrap over days.
        seed: of its draws.

    Raises:
        DataError: they share no decision.
    """
    times, ours, theirs = shared(first, second)
    both = [target for target in targets(ours) if target in targets(theirs)]
    return [_compared(target, times, ours, theirs, resamples, seed) for target in both]


def shared(
    first: Sequence[Predictions], second: Sequence[Predictions]
) -> tuple[Int64[np.ndarray, " decision"], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Times of the decisions that both have, and the columns of each on them.

    Raises:
        DataError: there are none.
    """
    by_symbol = {one.symbol: one for one in second}
    times, ours, theirs = [], [], []
    for one in first:
        if (other := by_symbol.get(one.symbol)) is not None:
            both, here, there = np.intersect1d(one.times, other.times, return_indices=True)
            times.append(both)
            ours.append({name: column[here] for name, column in one.arrays.items()})
            theirs.append({name: column[there] for name, column in other.arrays.items()})
    if not sum(map(len, times)):
        raise DataError(
            f"the runs share no decision: {_spans(first)} against {_spans(second)}",
            "decisions of the same symbol at the same times",
            "evaluate both on the same dates: decisions.start, end, clock and split decide",
        )
    return np.concatenate(times), _joined(ours), _joined(theirs)


def _joined(pieces: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Columns that all symbols have, one symbol after the other."""
    names = [name for name in pieces[0] if all(name in piece for piece in pieces)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}


def _spans(said: Sequence[Predictions]) -> str:
    """``ETHUSDT 2024-01-05 06:00 to 2024-01-05 23:59``."""
    return ", ".join(
        f"{one.symbol} {iso(int(one.times[0]))} to {iso(int(one.times[-1]))}"
        if len(one)
        else f"{one.symbol} without decisions"
        for one in said
    )


def targets(arrays: Arrays) -> dict[str, str]:
    """Targets of which the loss of a decision can be told, each with its metric."""
    prefixes = dict.fromkeys(name.rpartition(".")[0] for name in arrays if f".{LABEL}" in name)
    found = {}
    for prefix in prefixes:
        if f"{prefix}.{LABEL}class" in arrays and _probabilities(prefix, arrays):
            found[prefix] = "log_loss"
        elif _channels(prefix, arrays):
            found[prefix] = "mse"
    return found


def _probabilities(prefix: str, arrays: Arrays) -> list[str]:
    """Columns of the probabilities of the classes, in their order."""
    return [name for name in arrays if name.startswith(f"{prefix}.prob_")]


def _channels(prefix: str, arrays: Arrays) -> list[tuple[str, str]]:
    """Predicted columns with those of what happened."""
    start = f"{prefix}.{LABEL}"
    pairs = [
        (f"{prefix}.{name.removeprefix(start)}", name) for name in arrays if name.startswith(start)
    ]
    pairs += [(f"{prefix}.prediction", f"{start}target")]
    return [pair for pair in pairs if all(name in arrays for name in pair)]


def losses(target: str, arrays: Arrays) -> PerDecision:
    """Loss of each decision; NaN where it has no label."""
    if names := _probabilities(target, arrays):
        probs = np.stack([arrays[name].astype(np.float64) for name in names], axis=1)
        happened = arrays[f"{target}.{LABEL}class"].astype(np.float64)
        known = np.isfinite(happened)
        chosen = probs[np.arange(len(probs)), np.where(known, happened, 0).astype(np.int64)]
        return np.where(known, -np.log(np.maximum(chosen, SMALLEST_PROBABILITY)), np.nan)
    errors = [
        np.square(arrays[said].astype(np.float64) - arrays[true].astype(np.float64))
        for said, true in _channels(target, arrays)
    ]
    return np.asarray(np.mean(errors, axis=0))


def differing(target: str, ours: Arrays, theirs: Arrays) -> Bool[np.ndarray, " decision"]:
    """Whether both have a label of each decision, and not the same."""
    names = [name for name in _labels(target, ours) if name in theirs]
    apart = [~_same(ours[name], theirs[name]) for name in names]
    return np.asarray(np.any(apart, axis=0))


def _labels(target: str, arrays: Arrays) -> Iterator[str]:
    return (name for name in arrays if name.rpartition(".")[0] == target and f".{LABEL}" in name)


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one.astype(np.float64), other.astype(np.float64)
    absent = np.isnan(one) | np.isnan(other)  # the end of a part takes labels away, nothing else
    return np.asarray(absent | np.isclose(one, other, rtol=SAME, atol=SAME))


def _compared(
    target: str,
    times: Int64[np.ndarray, " decision"],
    ours: Arrays,
    theirs: Arrays,
    resamples: int,
    seed: int,
) -> Between:
    metric = targets(ours)[target]
    pair = np.stack([losses(target, ours), losses(target, theirs)])
    known, apart = np.isfinite(pair).all(axis=0), differing(target, ours, theirs)
    if (count := int((known & apart).sum())) > FEW * known.sum():
        return Between(target, metric, int(known.sum()), 0, differ=count)
    known &= ~apart
    day = times[known] // DAY_MS
    size = metric, int(known.sum()), len(np.unique(day))
    if not len(day):
        return Between(target, *size)
    first, second = pair[:, known]
    one, other = (mean(loss, higher_is_better=False) for loss in (first, second))
    found = paired(one, other, day, resamples, seed)
    return Between(target, *size, float(first.mean()), float(second.mean()), found)


__all__ = ["Between", "between", "differing", "losses", "shared", "targets"]
