"""One part of a task evaluated: predictions of every decision, figures beside the baselines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.evaluation.evaluate import Decisions, evaluate_part
from mtf.evaluation.predict import predictions_of
from mtf.evaluation.prior import prior_log_losses
from mtf.evaluation.results import Results
from mtf.learning.sweep import Sweep, collected, sweep_pieces
from mtf.learning.targets import labels_of
from mtf.learning.task import Task
from mtf.predictions import Predictions, writing

MAX_TRAIN_DECISIONS = 200_000
"""Decisions of the training part that baselines see, evenly spaced."""
MAX_PRIOR_DECISIONS = 20_000


@dataclass(frozen=True)
class Evaluated:
    """What came out of one part."""

    predictions: Predictions
    results: Results


def predict_part(task: Task, part: str) -> tuple[Sweep, float]:
    """Ask the model about every decision of a part that has a label.

    Returns:
        What it said, and decisions a second.

    Raises:
        DataError: no decision of the part has a label.
    """
    began = time.perf_counter()
    times = task.parts[part].times(task.world.clock)
    found = collected(_pieces(task, part), len(times))
    if not len(found.times):
        raise _no_label(part, len(times))
    return found, len(found.times) / (time.perf_counter() - began)


def _pieces(task: Task, part: str) -> Iterator[Sweep]:
    """What the model says of the decisions of a part that have a label, piece by piece."""
    where = task.parts[part]
    return sweep_pieces(task.model, task.builder, where.times(task.world.clock), where.end_ms)


def _no_label(part: str, decisions: int) -> DataError:
    """The error for a part in which nothing can be measured."""
    return DataError(
        f"none of the {decisions} decisions of the {part} part has a label",
        "candles after some of the decisions, within the part",
        f"check the data's dates against decisions.start … end, or raise split.{part}",
    )


def prior_scores(task: Task) -> dict[str, float]:
    """What the class prior scores on the validation part: the mark that training must beat."""
    heads, world = task.builder.heads, task.world
    train, validation = task.parts["train"], task.parts["validation"]
    labels = [
        labels_of(heads, world, _spaced(part.times(world.clock), MAX_PRIOR_DECISIONS), part.end_ms)
        for part in (train, validation)
    ]
    return prior_log_losses(heads, labels[0], labels[1])


def _spaced(times: Int64[np.ndarray, " decision"], most: int) -> Int64[np.ndarray, " chosen"]:
    """At most so many of the times, evenly spaced."""
    return times[:: -(-len(times) // most)]


def predictions_of_part(task: Task, part: str = "test") -> Predictions:
    """What the model says of every decision of a part that has a label, and what happened."""
    found, _ = predict_part(task, part)
    return predictions_of(task.builder.heads, found, task.world.symbol, part)


def save_predictions(task: Task, path: Path, part: str = "test") -> int:
    """Write what ``predictions_of_part`` would return, piece by piece, in bounded memory.

    Args:
        task: with the weights to ask in its model.
        path: the parquet file; afterwards it is there in full, or as it was.
        part: one of the four parts.

    Returns:
        How many decisions were written.

    Raises:
        DataError: no decision of the part has a label.
        OSError: the disk refuses.
    """
    heads, written = task.builder.heads, 0
    with writing(path) as writer:
        for piece in _pieces(task, part):
            writer.append(predictions_of(heads, piece, task.world.symbol, part))
            written += len(piece.times)
        if not written:
            raise _no_label(part, len(task.parts[part].times(task.world.clock)))
    return written


def evaluate_part_of(
    task: Task,
    part: str = "test",
    *,
    baselines: Sequence[str] | None = None,
    bootstrap: int | None = None,
    samples_per_second: Mapping[str, float] | None = None,
) -> Evaluated:
    """Predict a part and measure it beside the baselines.

    Args:
        task: with the weights to evaluate in its model.
        part: one of the four parts.
        baselines: names; None = those of the config.
        bootstrap: resamples; None = as the config has it.
        samples_per_second: speeds measured before, kept with the figures.
    """
    config = task.config.evaluation
    found, speed = predict_part(task, part)
    train = task.parts["train"]
    times = train.times(task.world.clock)
    times = _spaced(times, MAX_TRAIN_DECISIONS)
    heads = task.builder.heads
    results = evaluate_part(
        heads,
        found.outputs,
        Decisions(task.world, found.times, found.labels),
        Decisions(task.world, times, labels_of(heads, task.world, times, train.end_ms)),
        baselines=config.baselines if baselines is None else baselines,
        bootstrap=config.bootstrap if bootstrap is None else bootstrap,
        seed=task.config.seed,
        source=task.source,
        samples_per_second={**(samples_per_second or {}), "eval": speed},
    )
    said = predictions_of(heads, found, task.world.symbol, part)
    return Evaluated(said, replace(results, part=part))
