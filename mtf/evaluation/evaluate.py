"""From what the model said about one part to figures with intervals, beside the baselines.

Every head's own metrics are applied to the model and to each baseline that suits the head, on the
decisions that have a label, and all of it is bootstrapped on the same resamples of the distinct
outcomes. Whether a baseline is beaten is decided on the head's primary metric, and so is whether
what the model said is related to what happened at all (block permutations).

In a panel that is done for all symbols together and for each by itself. Baselines are fitted symbol
by symbol, each on its own training part: they are what one would have without a panel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from mtf.evaluation.baseline import Baseline
from mtf.evaluation.baselines import BASELINES, DEFAULT, REFERENCES, check_baselines
from mtf.evaluation.bootstrap import Comparison, compare, intervals_of, resampled
from mtf.evaluation.oracle import Oracle
from mtf.evaluation.permutation import PERMUTATIONS, permutation_test
from mtf.evaluation.results import BaselineResult, Results, TargetResult
from mtf.learning.targets import pooled_label
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, DataSource, Head, Metric

Labels = Mapping[str, Mapping[str, Label]]
Targets = dict[str, dict[str, TargetResult]]
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


@dataclass(frozen=True)
class Asked:
    """One symbol.

    Attributes:
        outputs: head name → what the model said, one row a decision of ``test``.
        test: the decisions to evaluate on.
        train: the decisions that baselines are fitted on.
    """

    outputs: Mapping[str, Arrays]
    test: Decisions
    train: Decisions


@dataclass(frozen=True)
class Forecasts:
    """What the model and the baselines said of one target of one symbol, and its label.

    Attributes:
        outputs: of the model's head.
        said: outputs of each baseline by name.
        label: of the same decisions.
    """

    outputs: Arrays
    said: Mapping[str, Arrays]
    label: Label


def evaluate_part(
    heads: Mapping[str, Head],
    outputs: Mapping[str, Arrays],
    test: Decisions,
    train: Decisions,
    *,
    baselines: Sequence[str] = DEFAULT,
    bootstrap: int = 1000,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    source: DataSource | None = None,
    samples_per_second: Mapping[str, float] | None = None,
) -> Results:
    """Evaluate all heads on one part, about one symbol; see ``evaluate_symbols``."""
    asked = {test.world.symbol: Asked(outputs, test, train)}
    return evaluate_symbols(
        heads,
        asked,
        baselines=baselines,
        bootstrap=bootstrap,
        permutations=permutations,
        seed=seed,
        source=source,
        samples_per_second=samples_per_second,
    )


def evaluate_symbols(
    heads: Mapping[str, Head],
    asked: Mapping[str, Asked],
    *,
    baselines: Sequence[str] = DEFAULT,
    bootstrap: int = 1000,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    source: DataSource | None = None,
    samples_per_second: Mapping[str, float] | None = None,
    told: Callable[[str, str, Sequence[Forecasts]], object] = lambda *_: None,
) -> Results:
    """Evaluate all heads on one part: all symbols together and, of several, each by itself.

    Args:
        heads: the heads by name.
        asked: the symbols by name.
        baselines: names of the baselines to stand beside the heads.
        bootstrap: number of resamples.
        permutations: how often what happened is dealt out anew; 0 = no such test.
        seed: of resamples and permutations.
        source: where the candles come from; one that knows its own law adds the oracle.
        samples_per_second: measured speeds, to be kept with the figures.
        told: hears of every head and target what was said of each symbol.

    Raises:
        ConfigError: an unknown baseline.
    """
    check_baselines(baselines)

    def said(name: str, target: str) -> list[Forecasts]:
        ones = [
            forecasts_of(heads[name], name, target, one, baselines, source)
            for one in asked.values()
        ]
        told(name, target, ones)
        return ones

    streams = next(iter(asked.values())).test.world.streams
    chance = bootstrap, permutations, seed
    found = evaluate_forecasts(heads, list(asked), said, streams, *chance)
    return replace(found, samples_per_second=dict(samples_per_second or {}))


def evaluate_forecasts(
    heads: Mapping[str, Head],
    symbols: Sequence[str],
    said: Callable[[str, str], Sequence[Forecasts]],
    streams: Collection[str],
    bootstrap: int,
    permutations: int,
    seed: int,
) -> Results:
    """Evaluate what was said already, one target after the other.

    Args:
        heads: the heads by name.
        symbols: names of the symbols.
        said: head and target → what was said of each symbol; asked for when it is its turn.
        streams: names of the streams.
        bootstrap: number of resamples.
        permutations: how often what happened is dealt out anew; 0 = no such test.
        seed: of resamples and permutations.
    """
    chance = bootstrap, seed, permutations
    every: Targets = {}
    alone: dict[str, Targets] = {symbol: {} for symbol in symbols if len(symbols) > 1}
    for name, head in heads.items():
        for target in head.targets:
            ones = said(name, target)
            figures = _evaluate_target(head, target, _pooled(ones), *chance)
            every.setdefault(name, {})[target] = figures
            for own, one in zip(alone.values(), ones, strict=False):
                figures = _evaluate_target(head, target, one, *chance)
                own.setdefault(name, {})[target] = figures
    flat = frozenset(name for name, head in heads.items() if _is_flat(head, streams))
    return Results(
        every, {}, flat, symbols={one: Results(own, {}, flat) for one, own in alone.items()}
    )


def _is_flat(head: Head, streams: Collection[str]) -> bool:
    """Whether the head has one target, and that is not named after a stream."""
    return len(head.targets) == 1 and head.targets[0] not in streams


def forecasts_of(
    head: Head,
    name: str,
    target: str,
    asked: Asked,
    names: Sequence[str],
    source: DataSource | None,
) -> Forecasts:
    """What the model and every baseline that suits the target say about the test part."""
    test, train = asked.test, asked.train
    wanted: list[Baseline] = [BASELINES[one]() for one in dict.fromkeys([*names, *REFERENCES])]
    suiting = [baseline for baseline in wanted if baseline.suits(head, target)]
    oracle = None if source is None else Oracle(source)
    if oracle and oracle.suits(head, target) and oracle.knows(head, target, test.world, test.times):
        suiting.append(oracle)
    for baseline in suiting:
        baseline.fit(head, target, train.world, train.times, train.labels[name][target])
    said = {baseline.name: baseline.predict(test.world, test.times) for baseline in suiting}
    return Forecasts(asked.outputs[name], said, test.labels[name][target])


def _pooled(parts: Sequence[Forecasts]) -> Forecasts:
    """All symbols as one, with the baselines that have something to say about each."""
    if len(parts) == 1:
        return parts[0]
    shared = [name for name in parts[0].said if all(name in part.said for part in parts)]
    return Forecasts(
        _stacked([part.outputs for part in parts]),
        {name: _stacked([part.said[name] for part in parts]) for name in shared},
        pooled_label([part.label for part in parts]),
    )


def _stacked(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _evaluate_target(
    head: Head,
    target: str,
    said: Forecasts,
    bootstrap: int,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> TargetResult:
    """Metrics of the model and of the baselines on the decisions that have a label."""
    chosen = np.flatnonzero(said.label.present)
    if not len(chosen):
        return TargetResult(head.primary_metric, {}, {})
    label, outputs = said.label.select(chosen), said.outputs
    beside = {name: _rows(arrays, chosen) for name, arrays in said.said.items()}
    references = {name: arrays for name, arrays in beside.items() if name != Oracle.name}
    own = _rows(outputs, chosen)
    metrics = {
        who: head.metrics(target, arrays, label, references)
        for who, arrays in {MODEL: own, **beside}.items()
    }
    result = _compared(head.primary_metric, metrics, label, bootstrap, seed)
    if not permutations:
        return result
    return replace(result, permuted=permutation_test(head, target, own, label, permutations, seed))


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
        paired = {}
        for key in (primary, *(key for key in own if key in model and key != primary)):
            this, other = (MODEL, key), (who, key)
            n_distinct = estimates[this].n_distinct
            both = every[this], every[other], draws[this], draws[other]
            paired[key] = compare(*both, n_distinct)
        first = paired.pop(primary)
        beside[who] = BaselineResult(own, first, _beaten(first, every[MODEL, primary]), paired)
    return TargetResult(primary, model, beside)


def _beaten(comparison: Comparison, metric: Metric) -> bool | None:
    """Whether the difference is an advantage of the model."""
    if np.isnan(comparison.difference):
        return None
    sign = -1 if metric.higher_is_better is False else 1
    return bool(sign * comparison.difference > 0)


def _rows(arrays: Arrays, chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[chosen] for name, array in arrays.items()}
