"""One part of a task evaluated: predictions of every decision, figures beside the baselines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.evaluation.evaluate import Asked, Decisions, Forecasts, evaluate_symbols
from mtf.evaluation.predict import predictions_of
from mtf.evaluation.prior import prior_log_losses
from mtf.evaluation.results import Results
from mtf.learning.batches import BatchBuilder
from mtf.learning.sweep import Sweep, collected, pooled, sweep_pieces
from mtf.learning.targets import labels_of, pooled_labels
from mtf.learning.task import Task, check_parts, left_out
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, DataSource
from mtf.predictions import Predictions, writing

MAX_TRAIN_DECISIONS = 200_000
"""Decisions of the training part that baselines see, evenly spaced."""
MAX_PRIOR_DECISIONS = 20_000


@dataclass(frozen=True)
class Evaluated:
    """What came out of one part.

    Attributes:
        said: predictions of every symbol.
        results: the figures.
    """

    said: tuple[Predictions, ...]
    results: Results

    @property
    def predictions(self) -> Predictions:
        """Those of the first symbol."""
        return self.said[0]


def predict_part(task: Task, part: str) -> tuple[Sweep, float]:
    """Ask the model about every decision of a part that has a label, symbol by symbol.

    Returns:
        What it said, one symbol behind the other, and decisions a second.

    Raises:
        DataError: no decision of the part about some symbol has a label.
    """
    began = time.perf_counter()
    found = pooled(list(sweeps(task, task.panel.builders, part).values()))
    return found, len(found.times) / (time.perf_counter() - began)


def builders_of(
    task: Task, part: str, symbol: str | None
) -> tuple[dict[str, BatchBuilder], DataSource]:
    """What asks about a symbol, learned or not, or about all that were learned; and the source.

    Raises:
        DataError: no candles of that symbol in the part.
    """
    if symbol is None:
        return dict(task.panel.builders), task.source
    if symbol in task.panel.builders:
        return {symbol: task.panel.builders[symbol]}, task.source
    builder, source = left_out(task, symbol, part)
    return {symbol: builder}, source


def sweeps(task: Task, builders: Mapping[str, BatchBuilder], part: str) -> dict[str, Sweep]:
    """What the model says about each symbol, of every decision of a part that has a label.

    Raises:
        DataError: no decision of the part about some symbol has a label.
    """
    times = task.parts[part].times(task.world.clock)
    found = {}
    for symbol, builder in builders.items():
        found[symbol] = collected(_pieces(task, builder, part), len(times))
        if not len(found[symbol].times):
            raise no_label(part, len(times), symbol)
    return found


def _pieces(task: Task, builder: BatchBuilder, part: str) -> Iterator[Sweep]:
    """What the model says of the decisions of a part that have a label, piece by piece."""
    where = task.parts[part]
    return sweep_pieces(task.model, builder, where.times(task.world.clock), where.end_ms)


def no_label(part: str, decisions: int, symbol: str) -> DataError:
    """The error for a part in which nothing can be measured."""
    return DataError(
        f"none of the {decisions} decisions of the {part} part about {symbol} has a label",
        "candles after some of the decisions, within the part",
        f"check the data's dates against decisions.start … end, or raise split.{part}",
    )


def prior_scores(task: Task) -> dict[str, float]:
    """What the class prior scores on the validation part: the mark that training must beat."""
    heads, clock = task.builder.heads, task.world.clock
    labels = []
    for part in (task.parts["train"], task.parts["validation"]):
        times = spaced(part.times(clock), MAX_PRIOR_DECISIONS)
        worlds = task.panel.worlds.values()
        labels.append(pooled_labels([labels_of(heads, one, times, part.end_ms) for one in worlds]))
    return prior_log_losses(heads, *labels)


def spaced(times: Int64[np.ndarray, " decision"], most: int) -> Int64[np.ndarray, " chosen"]:
    """At most so many of the times, evenly spaced."""
    return times[:: -(-len(times) // most)]


def predictions_of_part(
    task: Task, part: str = "test", symbol: str | None = None
) -> tuple[Predictions, ...]:
    """What the model says of every decision of a part that has a label, and what happened.

    Args:
        task: with the weights to ask in its model.
        part: one of the four parts.
        symbol: to ask about, learned or not; None = every symbol of the run.
    """
    builders, _ = builders_of(task, part, symbol)
    found = sweeps(task, builders, part)
    return tuple(predictions_of(task.builder.heads, one, of, part) for of, one in found.items())


def save_predictions(task: Task, path: Path, part: str = "test", symbol: str | None = None) -> int:
    """Write what ``predictions_of_part`` would return, piece by piece, in bounded memory.

    Args:
        task: with the weights to ask in its model.
        path: the parquet file; afterwards it is there in full, or as it was.
        part: one of the four parts.
        symbol: to ask about, learned or not; None = every symbol of the run.

    Returns:
        How many decisions were written.

    Raises:
        DataError: no decision of the part about some symbol has a label.
        OSError: the disk refuses.
    """
    heads, written = task.builder.heads, 0
    builders, _ = builders_of(task, part, symbol)
    with writing(path) as writer:
        for of, builder in builders.items():
            before = written
            for piece in _pieces(task, builder, part):
                writer.append(predictions_of(heads, piece, of, part))
                written += len(piece.times)
            if written == before:
                raise no_label(part, len(task.parts[part].times(task.world.clock)), of)
    return written


def evaluate_part_of(
    task: Task,
    part: str = "test",
    *,
    symbol: str | None = None,
    baselines: Sequence[str] | None = None,
    bootstrap: int | None = None,
    samples_per_second: Mapping[str, float] | None = None,
) -> Evaluated:
    """Predict a part and measure it beside the baselines.

    Args:
        task: with the weights to evaluate in its model.
        part: one of the four parts.
        symbol: to measure, learned or not; None = every symbol of the run.
        baselines: names; None = those of the config.
        bootstrap: resamples; None = as the config has it.
        samples_per_second: speeds measured before, kept with the figures.

    Raises:
        DataError: no candles of the symbol in the part, or in the training part, which its
            baselines are fitted on.
    """
    config, heads = task.config.evaluation, task.builder.heads
    builders, source = builders_of(task, part, symbol)
    began = time.perf_counter()
    found = sweeps(task, builders, part)
    speed = sum(len(one.times) for one in found.values()) / (time.perf_counter() - began)
    asked = {of: asked_of(task, builders[of].world, one) for of, one in found.items()}
    beside: dict[str, dict[str, Mapping[str, Arrays]]] = {of: {} for of in found}

    def keep_classes(name: str, target: str, said: Sequence[Forecasts]) -> None:
        """Baselines of classes can be traded as the model is."""
        if heads[name].task == "classification":
            for own, one in zip(beside.values(), said, strict=True):
                own[name] = one.said

    results = evaluate_symbols(
        heads,
        asked,
        baselines=config.baselines if baselines is None else baselines,
        bootstrap=config.bootstrap if bootstrap is None else bootstrap,
        permutations=config.permutations,
        seed=task.config.seed,
        source=source,
        samples_per_second={**(samples_per_second or {}), "eval": speed},
        told=keep_classes,
    )
    said = tuple(predictions_of(heads, one, of, part, beside[of]) for of, one in found.items())
    return Evaluated(said, results.of_part(part))


def asked_of(task: Task, world: World, found: Sweep) -> Asked:
    """What was said about a symbol, beside the training part that its baselines are fitted on."""
    heads, train = task.builder.heads, task.parts["train"]
    check_parts(world, {"train": train})
    times = spaced(train.times(world.clock), MAX_TRAIN_DECISIONS)
    seen = Decisions(world, times, labels_of(heads, world, times, train.end_ms))
    return Asked(found.outputs, Decisions(world, found.times, found.labels), seen)
