"""The figures of a walk-forward: all test blocks in one piece, of each seed and of all together.

Every decision was foretold by a model, and by baselines, that were fitted before its block began.
The decisions of all folds are pooled and measured as those of a test part are: the same metrics,
intervals and paired tests, model and baselines on the same decisions. Seeds are trainings of the
same data: they are repetitions, not observations, so they are never pooled; their spread tells how
much of a figure is luck of the start, and their mean answer is a row of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mtf.evaluation.answers import load_arrays, sweep_of
from mtf.evaluation.ensemble import ensemble
from mtf.evaluation.evaluate import Forecasts, evaluate_forecasts
from mtf.evaluation.predict import Beside, predictions_of
from mtf.evaluation.results import Results
from mtf.evaluation.walk import ANSWERS, BEFORE, Job, Walk
from mtf.evaluation.walk_results import FoldFigures, WalkResults
from mtf.learning.sweep import Sweep, pooled
from mtf.learning.targets import pooled_label
from mtf.plugins.contracts import Arrays, Head
from mtf.predictions import Predictions

PART = "out_of_sample"
Said = Mapping[str, Sequence[Sweep]]
"""What was said of each symbol, a sweep a fold."""


@dataclass(frozen=True)
class OutOfSample:
    """What models and baselines said of every test block.

    Attributes:
        walk: that is done.
        heads: the heads by name; their metrics need no weights.
    """

    walk: Walk
    heads: Mapping[str, Head]

    @cached_property
    def seeds(self) -> dict[int, Said]:
        """What the models of each seed said."""
        return {seed: self._said(seed) for seed in self.walk.seeds}

    @cached_property
    def together(self) -> Said:
        """The mean answer of all seeds."""
        return {
            symbol: [
                ensemble(self.heads, sweeps)
                for sweeps in zip(*(said[symbol] for said in self.seeds.values()), strict=True)
            ]
            for symbol in self.symbols
        }

    @cached_property
    def baselines(self) -> list[dict[str, Any]]:
        """What the baselines said, fold by fold: symbol → head → target → baseline → array."""
        return [self._arrays(Job(fold, None)) for fold in self._folds]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The primary symbols."""
        return tuple(self.walk.config.decisions.symbols)

    def predictions(self, seed: int | None = None) -> tuple[Predictions, ...]:
        """One value a symbol over all folds; of a seed, or of all together."""
        said = self.together if seed is None else self.seeds[seed]
        return tuple(
            predictions_of(self.heads, pooled(sweeps), symbol, PART, self._beside(symbol))
            for symbol, sweeps in said.items()
        )

    def _beside(self, symbol: str) -> Beside:
        """What the baselines of classes said over all folds."""
        classes = [name for name, head in self.heads.items() if head.task == "classification"]
        every = range(len(self._folds))
        found = {
            name: self._forecasts(symbol, self.together[symbol], name, target, every).said
            for name in classes
            for target in self.heads[name].targets
        }
        return {name: said for name, said in found.items() if said}

    def before(self) -> tuple[Predictions, ...]:
        """What all seeds together say of the first calibration part, before all test blocks.

        Symbols that have no label there are left out.
        """
        jobs = [Job(1, seed) for seed in self.walk.seeds]
        found = [load_arrays(self.walk.path(job) / BEFORE) for job in jobs]
        return tuple(
            predictions_of(
                self.heads,
                ensemble(self.heads, [sweep_of(one[symbol]) for one in found]),
                symbol,
                "calibration",
            )
            for symbol in found[0]
        )

    def results(self) -> WalkResults:
        """All figures."""
        evaluation = self.walk.config.evaluation
        every, most = range(len(self._folds)), evaluation.bootstrap
        seeds = {seed: self._figures(said, every, most) for seed, said in self.seeds.items()}
        whole = self._figures(self.together, every, most, evaluation.permutations)
        return WalkResults(whole, seeds, [self._fold(index) for index in every])

    def _fold(self, index: int) -> FoldFigures:
        """The figures of one test block by itself."""
        most = self.walk.config.evaluation.bootstrap
        parts = self.walk.folds()[index]
        seeds = {seed: self._figures(said, [index], 0) for seed, said in self.seeds.items()}
        return FoldFigures(index + 1, parts, self._figures(self.together, [index], most), seeds)

    def _figures(
        self, said: Said, folds: Collection[int], bootstrap: int, permutations: int = 0
    ) -> Results:
        """The figures of some folds in one piece."""

        def forecasts(name: str, target: str) -> list[Forecasts]:
            return [self._forecasts(symbol, said[symbol], name, target, folds) for symbol in said]

        config = self.walk.config
        chance = bootstrap, permutations, config.seed
        found = evaluate_forecasts(self.heads, self.symbols, forecasts, config.streams, *chance)
        return replace(found, samples_per_second=self._speeds).of_part(PART)

    def _forecasts(
        self, symbol: str, sweeps: Sequence[Sweep], name: str, target: str, folds: Collection[int]
    ) -> Forecasts:
        """What was said of one target of a symbol in some folds, one behind the other."""
        beside = [self.baselines[fold][symbol].get(name, {}).get(target, {}) for fold in folds]
        shared = [one for one in beside[0] if all(one in other for other in beside)]
        return Forecasts(
            _behind([sweeps[fold].outputs[name] for fold in folds]),
            {one: _behind([said[one] for said in beside]) for one in shared},
            pooled_label([sweeps[fold].labels[name][target] for fold in folds]),
        )

    @property
    def _folds(self) -> range:
        """Folds as they are counted."""
        return range(1, self.walk.config.walk_forward.folds + 1)

    @cached_property
    def _speeds(self) -> dict[str, float]:
        """Mean speeds of all trainings."""
        jobs = [job for job in self.walk.jobs() if job.seed is not None]
        told = [self.walk.facts(job)["samples_per_second"] for job in jobs]
        return {name: float(np.mean([one[name] for one in told])) for name in ("train", "eval")}

    def _said(self, seed: int) -> Said:
        found = [self._arrays(Job(fold, seed)) for fold in self._folds]
        return {symbol: [sweep_of(one[symbol]) for one in found] for symbol in self.symbols}

    def _arrays(self, job: Job) -> dict[str, Any]:
        return load_arrays(self.walk.path(job) / ANSWERS)


def _behind(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Arrays of consecutive folds as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


__all__ = ["PART", "OutOfSample"]
