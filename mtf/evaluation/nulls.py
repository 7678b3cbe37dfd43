"""Is what a config learns more than it learns from nothing? Training it again where nothing is.

A permutation test takes the trained model as given; this asks the whole procedure. The config is
trained on its data and on 19 worlds of each kind in which nothing can be found; of what it gains
over the best naive forecast, p = (1 + null worlds with at least as much) / 20. And it is trained on
worlds in which something was planted: whoever misses that would miss it in the market, too.

The gain is the share of the best naive forecast's loss that the model removes: of the constants and
candles that are always computed, on the world's own training part. So it can be compared between
worlds. Every world has its own seed of weights and batches, as chance has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mtf.config.schema import Config
from mtf.errors import ConfigError
from mtf.evaluation.evaluate import evaluate_symbols
from mtf.evaluation.null_worlds import (
    Dealt,
    Elsewhere,
    Shuffled,
    bootstrapped,
    daily_volatility,
    momentum,
    planted,
    random_walk,
)
from mtf.evaluation.oracle import Oracle
from mtf.evaluation.part import asked_of, no_label, spaced
from mtf.evaluation.position_baselines import MomentumRule
from mtf.evaluation.results import Results, TargetResult
from mtf.evaluation.short_run import learned, short
from mtf.learning.sweep import sweep
from mtf.learning.task import Task, prepare

WORLDS = 19
STEPS = 150
MOST_DECISIONS = 4_000
"""Decisions of the test part that are looked at, evenly spread."""
REFERENCE = "class_prior"
PLAYERS = (Oracle.name, MomentumRule.name)
"""Who may know the process, and is not naive. Of AR(1) returns with ρ > 0 the rule to hold after
a rise is the best long-only player."""


@dataclass(frozen=True)
class Score:
    """What training on one world came to, about one target.

    Attributes:
        gain: share of the best naive forecast's loss that is removed (of a figure that is better
            the higher: the advantage itself); NaN where there is nothing to compare with.
        permutation_p: whether what was said is related to what happened in that world.
        best: the gain of the best player, where the world knows one; else NaN.
    """

    gain: float
    permutation_p: float
    best: float = math.nan

    @property
    def share(self) -> float:
        """The gain as a share of the best player's."""
        return self.gain / self.best if self.best > 0 else math.nan


Scores = Mapping[str, Score]
"""By the words that name a target: ``action``, ``next_candle/1m``."""


@dataclass(frozen=True)
class Nulls:
    """What came out of all worlds.

    Attributes:
        real: of the config's data.
        nulls: kind of null → its worlds.
        planted: kind of signal → its one world.
        steps: optimiser steps of each training.
    """

    real: Scores
    nulls: Mapping[str, tuple[Scores, ...]]
    planted: Mapping[str, Scores]
    steps: int

    def p(self, null: str, target: str, scores: Scores | None = None) -> float:
        """The rank of the real data, or of other ``scores``, among the worlds of a null."""
        gain = (self.real if scores is None else scores)[target].gain
        if not math.isfinite(gain):
            return math.nan
        worlds = [world[target].gain for world in self.nulls[null]]
        return (1 + sum(not one < gain for one in worlds)) / (1 + len(worlds))


def run_nulls(
    config: Config,
    worlds: int = WORLDS,
    steps: int = STEPS,
    told: Callable[[str], None] = print,
) -> Nulls:
    """Train a config on its data, on worlds of each null, and on planted signals.

    Args:
        config: what to train; small, for it is trained ``3 × worlds + 3`` times.
        worlds: of each null.
        steps: optimiser steps of each training.
        told: what is done, line by line.

    Raises:
        ConfigError: fewer than one world.
        MtfError: config or data can't be used.
    """
    if worlds < 1 or steps < 1:
        raise ConfigError(f"found {worlds} worlds of {steps} steps", "at least one of each")
    seeds = range(config.seed + 1, config.seed + 1 + worlds)
    real = prepare(short(config, steps, config.seed))
    told("training on the data themselves")
    scores = score(learned(real))
    volatility = daily_volatility(real.world.clock_candles)

    def on(world: Elsewhere, seed: int, players: Sequence[str] = PLAYERS[:1]) -> Scores:
        task = prepare(short(world(config, seed, volatility), steps, seed))
        return score(learned(task), players)

    told(f"training on {worlds} worlds of each null: labels shuffled, candles drawn, random walks")
    nulls = {
        "shuffled": tuple(score(learned(_shuffled(real, seed))) for seed in seeds),
        "bootstrapped": tuple(on(bootstrapped, seed) for seed in seeds),
        "random_walk": tuple(on(random_walk, seed) for seed in seeds),
    }
    told("training on planted signals")
    found = {
        name: on(world, config.seed, PLAYERS if world is momentum else PLAYERS[:1])
        for name, world in planted(config).items()
    }
    return Nulls(scores, nulls, found, steps)


def score(task: Task, players: Sequence[str] = PLAYERS[:1]) -> Scores:
    """What a trained task gains on its test part.

    Args:
        task: with the weights to ask in its model.
        players: baselines that know the process of this world.

    Raises:
        DataError: no decision of the part about some symbol has a label.
    """
    part, heads = task.parts["test"], task.panel.heads
    times = spaced(part.times(task.world.clock), MOST_DECISIONS)
    asked = {}
    for symbol, builder in task.panel.builders.items():
        found = sweep(task.model, builder, times, part.end_ms)
        if not len(found.times):
            raise no_label(part.name, len(times), symbol)
        asked[symbol] = asked_of(task, builder.world, found)
    results = evaluate_symbols(
        heads, asked, baselines=(REFERENCE,), bootstrap=0, seed=task.config.seed, source=task.source
    )
    return scores_of(results, players)


def scores_of(results: Results, players: Sequence[str] = PLAYERS[:1]) -> Scores:
    """The gain of every target, and that of the first of the players who is there."""
    return {
        "/".join(results.path(head, target)): _score(result, players)
        for head, targets in results.heads.items()
        for target, result in targets.items()
    }


def _score(result: TargetResult, players: Sequence[str]) -> Score:
    """The model, and the best player where there is one, against the best naive forecast."""
    if result.primary not in result.metrics:
        return Score(math.nan, math.nan)
    own = result.metrics[result.primary].value
    others = {
        name: (one.metrics[result.primary].value, one.comparison.difference, one.beaten)
        for name, one in result.baselines.items()
    }
    best = next((others[name] for name in players if name in others), None)
    naive_ones = [other for name, other in others.items() if name not in PLAYERS]
    known = [other for other in naive_ones if math.isfinite(other[1])]
    if not known:
        return Score(math.nan, result.permutation_p)
    # up is better where it is the model with the higher figure that beats a baseline
    rising = any((difference > 0) == beaten for _, difference, beaten in known if difference)
    naive = (max if rising else min)(value for value, _, _ in known)
    gain = _gain(own, naive, rising)
    top = math.nan if best is None else _gain(best[0], naive, rising)
    return Score(gain, result.permutation_p, top)


def _gain(value: float, naive: float, rising: bool) -> float:
    """By how much a figure is better than the naive one."""
    if rising:
        return value - naive
    return 1 - value / naive if naive else math.nan


def _shuffled(real: Task, seed: int) -> Task:
    """The real candles, and labels to learn from that belong to other decisions."""
    task = prepare(short_of(real.config, seed), beside=real)
    dealt = Dealt.blockwise(task.parts["train"], task, seed)
    panel = task.panel.each(lambda builder: Shuffled(**vars(builder), dealt=dealt))
    return replace(task, panel=panel)


def short_of(config: Config, seed: int) -> Config:
    """A config that is short already, with another seed."""
    return config.model_copy(update={"seed": seed})


__all__ = ["STEPS", "WORLDS", "Nulls", "Score", "Scores", "run_nulls", "score", "scores_of"]
