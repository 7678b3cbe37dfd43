"""The figures of a walk-forward as a plain value, and as the content of its ``metrics.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mtf.evaluation.results import Results
from mtf.learning.folds import Fold
from mtf.market.times import iso


@dataclass(frozen=True)
class Spread:
    """One figure over several seeds.

    Attributes:
        mean: of those that are defined; NaN where none is.
        sd: standard deviation, of a sample (n - 1); NaN of fewer than two.
        n: how many there are.
    """

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Mean and standard deviation of what is finite."""
        there = [value for value in values if math.isfinite(value)]
        mean = float(np.mean(there)) if there else math.nan
        return cls(mean, float(np.std(there, ddof=1)) if len(there) > 1 else math.nan, len(there))


Spreads = dict[str, dict[str, dict[str, Spread]]]
"""Head → target → metric → spread."""


@dataclass(frozen=True)
class FoldFigures:
    """One test block by itself.

    Attributes:
        fold: counted from 1.
        parts: of the fold.
        together: figures of the mean answer of all seeds, with intervals.
        seeds: those of each seed, without.
    """

    fold: int
    parts: Fold
    together: Results
    seeds: Mapping[int, Results]

    def as_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` has it."""
        parts = {name: [iso(one.start_ms), iso(one.end_ms)] for name, one in self.parts.items()}
        return {
            "fold": self.fold,
            "parts": parts,
            **_figures(self.together),
            "spread": spread_tree(self.together, spreads(self.seeds)),
        }


@dataclass(frozen=True)
class WalkResults:
    """All figures of a walk-forward.

    Attributes:
        together: the mean answer of all seeds, over all folds in one piece.
        seeds: the same of each seed.
        folds: every test block by itself.
    """

    together: Results
    seeds: Mapping[int, Results]
    folds: Sequence[FoldFigures]

    @property
    def spread(self) -> Spreads:
        """Every figure's mean and standard deviation over the seeds."""
        return spreads(self.seeds)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``metrics.json``: as usual, of all seeds together, and three blocks more.

        ``seeds`` has the same figures of each seed, ``spread`` their mean and standard deviation,
        ``folds`` those of each test block by itself.
        """
        return {
            **self.together.as_dict(),
            "seeds": {str(seed): _figures(results) for seed, results in self.seeds.items()},
            "spread": spread_tree(self.together, self.spread),
            "folds": [one.as_dict() for one in self.folds],
        }


def spreads(seeds: Mapping[int, Results]) -> Spreads:
    """Mean and standard deviation of every figure over the seeds."""
    results = list(seeds.values())
    return {
        head: {
            target: {
                name: Spread.of([one.heads[head][target].metrics[name].value for one in results])
                for name in result.metrics
            }
            for target, result in targets.items()
        }
        for head, targets in results[0].heads.items()
    }


def spread_tree(results: Results, found: Spreads) -> dict[str, Any]:
    """Spreads as JSON has them, heads with one target without its name."""
    tree: dict[str, Any] = {}
    for head, targets in found.items():
        for target, metrics in targets.items():
            inner = tree
            for word in results.path(head, target):
                inner = inner.setdefault(word, {})
            inner.update({name: _plain(one) for name, one in metrics.items()})
    return tree


def _plain(spread: Spread) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(spread).items()}


def _figures(results: Results) -> dict[str, Any]:
    """The figures alone: the part, the baselines, and the symbols of a panel."""
    tree = results.as_dict()
    return {key: tree[key] for key in tree if key not in ("schema", "samples_per_second")}


__all__ = ["FoldFigures", "Spread", "WalkResults", "spreads"]
