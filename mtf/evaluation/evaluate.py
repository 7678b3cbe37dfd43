"""From what the model said about one part to figures with intervals, beside the baselines.

Every head's own metrics are applied to the model and to each baseline that suits the head, on the
decisions that have a label, and all of it is bootstrapped on the same resamples of the distinct
outcomes. Whether a baseline is beaten is decided on the head's primary metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from mtf.evaluation.baseline import Baseline
from mtf.evaluation.baselines import BASELINES, DEFAULT, REFERENCES, check_baselines
from mtf.evaluation.bootstrap import Comparison, compare, intervals_of, resampled
from mtf.evaluation.oracle import Oracle
from mtf.evaluation.results import BaselineResult, Results, TargetResult
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, DataSource, Head, Metric

Labels = Mapping[str, Mapping[str, Label]]
MODEL = ""
"""Stands for the model among the names of baselines, which are never empty."""


@dataclass(frozen=True)
class Decisions:
    """The decisions of one part with their labels.

    Attributes:
        world: the market.
        times: decision times in ms.
        labels: head name → target name → label of these times.
    """

    world: World
    times: Int64[np.ndarray, " decision"]
    labels: Labels


def evaluate_part(
    heads: Mapping[str, Head],
    outputs: Mapping[str, Arrays],
    test: Decisions,
    train: Decisions,
    *,
    baselines: Sequence[str] = DEFAULT,
    bootstrap: int = 1000,
    seed: int = 0,
    source: DataSource | None = None,
    samples_per_second: Mapping[str, float] | None = None,
) -> Results:
    """Evaluate all heads on one part.

    Args:
        heads: the heads by name.
        outputs: head name → what the model said, one row a decision of ``test``.
        test: the decisions to evaluate on.
        train: the decisions that baselines are fitted on.
        baselines: names of the baselines to stand beside the heads.
        bootstrap: number of resamples.
        seed: of the resamples.
        source: where the candles come from; one that knows its own law adds the oracle.
        samples_per_second: measured speeds, to be kept with the figures.

    Raises:
        ConfigError: an unknown baseline.
    """
    check_baselines(baselines)
    figures = {
        name: {
            target: _evaluate_target(
                head,
                target,
                outputs[name],
                _said(head, name, target, test, train, baselines, source),
                test.labels[name][target],
                bootstrap,
                seed,
            )
            for target in head.targets
        }
        for name, head in heads.items()
    }
    flat = {name for name, head in heads.items() if _is_flat(head, test.world)}
    return Results(figures, dict(samples_per_second or {}), frozenset(flat))


def _is_flat(head: Head, world: World) -> bool:
    """Whether the head has one target, and that is not named after a stream."""
    return len(head.targets) == 1 and head.targets[0] not in world.streams


def _said(
    head: Head,
    name: str,
    target: str,
    test: Decisions,
    train: Decisions,
    names: Sequence[str],
    source: DataSource | None,
) -> dict[str, Arrays]:
    """What every baseline that suits the target says about the test part."""
    wanted: list[Baseline] = [BASELINES[one]() for one in dict.fromkeys([*names, *REFERENCES])]
    suiting = [baseline for baseline in wanted if baseline.suits(head, target)]
    oracle = None if source is None else Oracle(source)
    if oracle and oracle.suits(head, target) and oracle.knows(head, target, test.world, test.times):
        suiting.append(oracle)
    for baseline in suiting:
        baseline.fit(head, target, train.world, train.times, train.labels[name][target])
    return {baseline.name: baseline.predict(test.world, test.times) for baseline in suiting}


def _evaluate_target(
    head: Head,
    target: str,
    outputs: Arrays,
    said: Mapping[str, Arrays],
    label: Label,
    bootstrap: int,
    seed: int,
) -> TargetResult:
    """Metrics of the model and of the baselines on the decisions that have a label."""
    chosen = np.flatnonzero(label.present)
    if not len(chosen):
        return TargetResult(head.primary_metric, {}, {})
    label = label.select(chosen)
    beside = {name: _rows(arrays, chosen) for name, arrays in said.items()}
    references = {name: arrays for name, arrays in beside.items() if name != Oracle.name}
    metrics = {
        who: head.metrics(target, arrays, label, references)
        for who, arrays in {MODEL: _rows(outputs, chosen), **beside}.items()
    }
    return _compared(head.primary_metric, metrics, label, bootstrap, seed)


def _compared(
    primary: str,
    metrics: Mapping[str, Mapping[str, Metric]],
    label: Label,
    bootstrap: int,
    seed: int,
) -> TargetResult:
    """Intervals of all metrics and the model against each baseline, on the same resamples."""
    every = {(who, key): one for who, by_key in metrics.items() for key, one in by_key.items()}
    draws = resampled(every, label.group, bootstrap, seed)
    estimates = intervals_of(every, label.group, draws)
    figures = {who: {key: estimates[who, key] for key in metrics[who]} for who in metrics}
    model = figures.pop(MODEL)
    beside = {}
    for who, own in figures.items():
        this, other = (MODEL, primary), (who, primary)
        n_distinct = estimates[this].n_distinct
        comparison = compare(every[this], every[other], draws[this], draws[other], n_distinct)
        beside[who] = BaselineResult(own, comparison, _beaten(comparison, every[this]))
    return TargetResult(primary, model, beside)


def _beaten(comparison: Comparison, metric: Metric) -> bool | None:
    """Whether the difference is an advantage of the model."""
    if np.isnan(comparison.difference):
        return None
    sign = -1 if metric.higher_is_better is False else 1
    return bool(sign * comparison.difference > 0)


def _rows(arrays: Arrays, chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[chosen] for name, array in arrays.items()}
