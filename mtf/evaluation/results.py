"""The figures of one evaluation as a plain value, and as the content of ``metrics.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mtf.evaluation.bootstrap import Comparison, Estimate
from mtf.evaluation.permutation import Permuted

SCHEMA = 1
Tree = dict[str, Any]


@dataclass(frozen=True)
class BaselineResult:
    """A baseline on one target, and the model against it on the primary metric.

    Attributes:
        metrics: the baseline's own figures.
        comparison: model - baseline on the primary metric.
        beaten: whether the model's figure is the better one; None where that is undefined.
        others: the same comparison on every other metric that both have.
    """

    metrics: Mapping[str, Estimate]
    comparison: Comparison
    beaten: bool | None
    others: Mapping[str, Comparison] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetResult:
    """The model on one target of a head, with the baselines beside it.

    Attributes:
        primary: name of the metric that baselines are compared on.
        metrics: the model's figures; empty where no decision has a label.
        baselines: by name.
        permuted: whether what was said is related to what happened at all; None = not tested.
    """

    primary: str
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, BaselineResult]
    permuted: Permuted | None = None

    @property
    def permutation_p(self) -> float:
        """The p of that test; NaN where there is none."""
        return math.nan if self.permuted is None else self.permuted.p

    @property
    def n_distinct(self) -> int:
        """Number of distinct outcomes behind the figures."""
        return max((one.n_distinct for one in self.metrics.values()), default=0)


@dataclass(frozen=True)
class Results:
    """All figures of one part.

    Attributes:
        heads: head name → target name → figures.
        samples_per_second: ``train`` and ``eval``, as measured.
        flat: heads whose one target is not a stream: written without the target's name.
        part: of the data that was evaluated; the figures stand under its name.
        symbols: of a panel the figures of each symbol by itself; those above are of all together.
    """

    heads: Mapping[str, Mapping[str, TargetResult]]
    samples_per_second: Mapping[str, float]
    flat: frozenset[str] = frozenset()
    part: str = "test"
    symbols: Mapping[str, Results] = field(default_factory=dict)

    def of_part(self, part: str) -> Results:
        """The same, said to be of a part."""
        symbols = {symbol: own.of_part(part) for symbol, own in self.symbols.items()}
        return replace(self, part=part, symbols=symbols)

    def as_dict(self) -> Tree:
        """The content of ``metrics.json``: no NaN, which JSON does not have, but null.

        A panel has one block more: ``symbols``, the same two blocks for each by itself.
        """
        symbols = {symbol: own._figures() for symbol, own in self.symbols.items()}
        return {
            "schema": SCHEMA,
            **self._figures(),
            **({"symbols": symbols} if symbols else {}),
            "samples_per_second": {
                name: _number(value) for name, value in self.samples_per_second.items()
            },
        }

    def headline(self) -> dict[str, float]:
        """Every finite figure of the model as ``<part>/<head>/<target>/<metric>``.

        Those of a single symbol of a panel as ``<symbol>/<part>/…``.
        """
        alone = {
            f"{symbol}/{name}": value
            for symbol, own in self.symbols.items()
            for name, value in own.headline().items()
        }
        return alone | {
            "/".join((self.part, *self.path(head, target), name)): estimate.value
            for head, targets in self.heads.items()
            for target, result in targets.items()
            for name, estimate in result.metrics.items()
            if math.isfinite(estimate.value)
        }

    def _figures(self) -> Tree:
        """The model's figures and those of the baselines."""
        return {
            self.part: self._tree({head: _model_tree(of) for head, of in self.heads.items()}),
            "baselines": {name: self._tree(self._baseline(name)) for name in self._names()},
        }

    def path(self, head: str, target: str) -> tuple[str, ...]:
        """The words that name a target: the head alone where that says it."""
        return (head,) if head in self.flat else (head, target)

    def _names(self) -> list[str]:
        """Names of all baselines, in the order of their first appearance."""
        every = [
            name
            for targets in self.heads.values()
            for result in targets.values()
            for name in result.baselines
        ]
        return list(dict.fromkeys(every))

    def _baseline(self, name: str) -> dict[str, Tree]:
        found = {
            head: {
                target: _baseline_tree(result.baselines[name])
                for target, result in targets.items()
                if name in result.baselines
            }
            for head, targets in self.heads.items()
        }
        return {head: targets for head, targets in found.items() if targets}

    def _tree(self, heads: Mapping[str, Tree]) -> Tree:
        return {
            head: next(iter(targets.values())) if head in self.flat else targets
            for head, targets in heads.items()
        }


def _model_tree(targets: Mapping[str, TargetResult]) -> Tree:
    """The model's figures, and beside them the p of the permutation test."""
    return {
        target: {
            **_estimates(result.metrics),
            **({"permutation_p": _number(result.permutation_p)} if result.metrics else {}),
        }
        for target, result in targets.items()
    }


def _estimates(metrics: Mapping[str, Estimate]) -> Tree:
    return {
        name: {key: _number(value) for key, value in asdict(estimate).items()}
        for name, estimate in metrics.items()
    }


def _baseline_tree(result: BaselineResult) -> Tree:
    others = {
        name: {key: _number(value) for key, value in asdict(one).items()}
        for name, one in result.others.items()
    }
    return {
        **_estimates(result.metrics),
        "difference": _number(result.comparison.difference),
        "paired_p": _number(result.comparison.p_two_sided),
        "paired_p_better": _number(result.comparison.p_better),
        "beaten": result.beaten,
        **({"paired": others} if others else {}),
    }


def _number(value: float | int) -> float | int | None:
    """A number as JSON has it."""
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None
