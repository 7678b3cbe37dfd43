"""A walk-forward in pieces: every seed and every fold by itself, so that one lucky fold is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mtf.report.figures import Section, Table
from mtf.report.figures_of_forecasts import with_interval
from mtf.report.material import Material
from mtf.report.scores import Score, scores
from mtf.report.terminal import number, spoken

NOTE = (
    "Primary metrics; of baselines the difference, model - baseline. A seed is measured over all "
    "folds, a fold by the mean answer of all seeds; marked rows lose to a baseline."
)


def walk_sections(material: Material) -> Iterator[Section]:
    """A table of seeds and folds; nothing for a run that is no walk-forward."""
    metrics = material.metrics or {}
    if "folds" not in metrics:
        return
    pieces = {f"seed {seed}": tree for seed, tree in metrics.get("seeds", {}).items()}
    pieces |= {_fold(tree): tree for tree in metrics["folds"]}
    found = [(label, one) for label, tree in pieces.items() for one in scores(tree, material.part)]
    names = list(dict.fromkeys(name for _, one in found for name in one.baselines))
    rows = [
        [label, one.name, spoken(one.primary), _figure(one), *(_apart(one, of) for of in names)]
        for label, one in found
    ]
    header = ["", "target", "metric", "figure", *(f"- {spoken(name)}" for name in names)]
    bad = frozenset(row for row, (_, one) in enumerate(found) if one.losing)
    yield Section("Seed by seed, fold by fold", [Table("", header, rows, bad, NOTE)])


def _fold(tree: Mapping[str, Any]) -> str:
    start, end = tree["parts"]["test"]
    return f"fold {tree['fold']}, {start} to {end}"


def _figure(score: Score) -> str:
    return with_interval(score.metrics[score.primary]) if score.metrics else ""


def _apart(score: Score, baseline: str) -> str:
    """How far the model is from a baseline, with p."""
    found = score.baselines.get(baseline)
    if found is None or not math.isfinite(found.difference):
        return ""
    p = "" if not math.isfinite(found.p_two_sided) else f" (p={found.p_two_sided:.2g})"
    return number(found.difference) + p


__all__ = ["walk_sections"]
