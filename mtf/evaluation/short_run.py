"""A config trained for a few steps and scored: what variants are compared by.

Every variant sees the same decisions in the same order (they are functions of the seed) and as many
of them; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from mtf.config.schema import Config
from mtf.errors import ConfigError
from mtf.evaluation.metrics import point_value
from mtf.learning.batches import BatchBuilder
from mtf.learning.log import Quiet
from mtf.learning.optimise import set_tensors
from mtf.learning.sweep import Sweep, pooled, sweep
from mtf.learning.targets import Labels
from mtf.learning.task import Task, prepare
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Head


@dataclass(frozen=True)
class Without(BatchBuilder):
    """Builds batches in which some streams are missing for every decision.

    Attributes:
        missing: names of the streams; what is derived from one goes with it.
    """

    missing: Collection[str] = ()

    def build(
        self,
        times: Int64[np.ndarray, "group member"],
        end_ms: int | None,
        dropped: Bool[np.ndarray, "decision stream"] | None = None,
        labels: Labels | None = None,
        **more: Any,
    ) -> Batch:
        """The batch of ``times`` without those streams."""
        gone = np.array([name in self.missing for name in (*self.world.streams, *self.sides)])
        gone = np.broadcast_to(gone, (times.size, len(gone)))
        dropped = gone if dropped is None else gone | dropped
        return super().build(times, end_ms, dropped, labels, **more)


def short(config: Config, steps: int, seed: int) -> Config:
    """The config with one epoch of so many steps; its schedule runs over all of them."""
    sampling = config.training.sampling.model_copy(update={"steps_per_epoch": steps})
    update = {"sampling": sampling, "epochs": 1, "patience": None}
    training = config.training.model_copy(update=update)
    return config.model_copy(update={"training": training, "seed": seed})


def trained(
    config: Config,
    steps: int,
    seed: int,
    change: Callable[[HybridModel], object] | None = None,
) -> Task:
    """The config after so many steps, with the averaged weights where it asks for an average.

    Args:
        config: what to train.
        steps: optimiser steps.
        seed: of weights and batches.
        change: what to do to the fresh model first, such as freezing a part of it.

    Raises:
        MtfError: config or data can't be used.
    """
    task = prepare(short(config, steps, seed))
    if change is not None:
        change(task.model)
    return learned(task)


def learned(task: Task) -> Task:
    """The task with its loop run to the end, and averaged weights where it asks for an average."""
    fitting = task.fitting(Quiet(), Quiet(), None)
    fitting.run()
    if fitting.average is not None:
        set_tensors(task.model, fitting.average.values)
    return task


def asked(task: Task, part: str, every: int = 1, missing: Collection[str] = ()) -> Sweep:
    """What the model says of every ``every``-th decision of a part that has a label.

    Args:
        task: with the weights to ask in its model.
        part: one of the four parts.
        every: clock steps from one decision to the next.
        missing: streams that are taken away.
    """
    where, panel = task.parts[part], task.panel
    if missing:
        panel = panel.each(lambda builder: Without(**vars(builder), missing=tuple(missing)))
    times = where.times(panel.clock, every)
    builders = panel.builders.values()
    return pooled([sweep(task.model, builder, times, where.end_ms) for builder in builders])


def classifier(task: Task) -> tuple[str, Head]:
    """The head that variants are scored by: the first one that classifies.

    Raises:
        ConfigError: there is none.
    """
    for name, head in task.panel.heads.items():
        if head.task == "classification":
            return name, head
    raise ConfigError(
        f"found the heads {', '.join(task.panel.heads)}",
        "one that classifies, for log loss and rank IC",
        "add heads.action={}",
    )


def scores(
    tasks: Sequence[Task], part: str, every: int = 1, missing: Collection[str] = ()
) -> dict[str, float]:
    """Log loss and rank IC of the classifying head; of several models, of their mean answer.

    Args:
        tasks: with the weights to ask in their models; all about the same decisions.
        part: one of the four parts.
        every: clock steps from one decision to the next.
        missing: streams that are taken away; a model that has no other is not asked.

    Raises:
        ConfigError: no model has a stream left, or a head that classifies.
    """
    left = [task for task in tasks if set(task.world.streams) - set(missing)]
    if not left:
        raise ConfigError(f"every stream is missing: {', '.join(missing)}", "one that is there")
    name, head = classifier(left[0])
    (target,) = head.targets
    said, label = [], None
    for task in left:
        found = asked(task, part, every, missing)
        there = found.labels[name][target].present
        label = label or found.labels[name][target].select(there)
        said.append({key: value[there] for key, value in found.outputs[name].items()})
    assert label is not None
    mean = {key: np.mean([one[key] for one in said], axis=0) for key in said[0]}
    metrics = head.metrics(target, mean, label, {})
    return {key: point_value(metrics[key]) for key in ("log_loss", "rank_ic")}


__all__ = ["Without", "asked", "classifier", "learned", "scores", "short", "trained"]
