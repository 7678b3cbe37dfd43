"""From sums by day to the value of every condition, and to what it is a value of."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from mtf.evaluation.cells import Cell
from mtf.evaluation.day_sums import DaySums, Estimated, Key, estimated
from mtf.plugins.contracts import Head

MEAN = "mean"
"""Stands for the mean over the targets of a head that has several."""


@dataclass
class Values:
    """The value of each cell by head and target, and the mean of each head with several targets.

    Attributes:
        drawn: the values, then those of every resample of whole days.
        measures: what they are.
        counts: decisions and days behind them.
    """

    drawn: dict[Key, Float64[np.ndarray, "row draw"]] = field(default_factory=dict)
    measures: dict[Key, str] = field(default_factory=dict)
    counts: dict[Key, tuple[int, int]] = field(default_factory=dict)

    def estimated(self, key: Key, drawn: Float64[np.ndarray, "row draw"]) -> list[Estimated]:
        """Values, or sums of them, with how sure they are."""
        return [estimated(row, *self.counts[key]) for row in drawn]


def values_of(
    sums: DaySums, cells: Sequence[Cell], heads: Mapping[str, Head], resamples: int, seed: int
) -> Values:
    """The values of all cells.

    Args:
        sums: of every cell, and of the forecasts to beat by name.
        cells: in the order of the rows that are returned.
        heads: by name.
        resamples: of whole days.
        seed: of the resamples.
    """
    found = Values()
    for key in sums.abouts():
        figures = sums.drawn(key, resamples, seed)
        head, rises = heads[key[0]], sums.higher_is_better(key)
        found.drawn[key], found.measures[key] = _values(figures, cells, head, rises)
        found.counts[key] = sums.counts(key)
    for name in heads:
        own = [key for key in sums.abouts() if key[0] == name]
        if len(own) > 1:
            mean = name, MEAN
            found.drawn[mean] = np.mean([found.drawn[key] for key in own], axis=0)
            found.measures[mean] = _mean_of([found.measures[key] for key in own])
            found.counts[mean] = max(found.counts[key] for key in own)
    return found


def _values(
    figures: Mapping[Hashable, Float64[np.ndarray, " draw"]],
    cells: Sequence[Cell],
    head: Head,
    rises: bool,
) -> tuple[Float64[np.ndarray, "row draw"], str]:
    """The value of each cell, of all decisions and of each resample; and what it is.

    ``rises``: whether the figure is higher where the model is better.
    """
    own = np.stack([figures[cell] for cell in cells])
    references = {who: draws for who, draws in figures.items() if isinstance(who, str)}
    metric = head.primary_metric.replace("_", " ")
    if rises:
        return own, metric
    if not references:
        return -own, f"minus the {metric}"
    best = min(references, key=lambda name: float(references[name][0]))
    spoken = best.replace("_", " ")
    if head.primary_metric == "log_loss":
        return references[best] - own, f"log loss of the {spoken} - log loss, nats"
    return 1 - own / references[best], f"1 - {metric} / that of the {spoken}"


def _mean_of(measures: Sequence[str]) -> str:
    """What the mean is over targets that may be measured against different forecasts."""
    first = measures[0]
    if len(set(measures)) > 1:
        first = f"{first.split(' that of ')[0]} that of the better simple forecast"
    return f"mean of {len(measures)} targets: {first}"


__all__ = ["MEAN", "Values", "values_of"]
