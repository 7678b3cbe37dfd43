"""Losses and metrics on the validation part, after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mtf.errors import DataError
from mtf.learning.batches import targets_of
from mtf.learning.panel import Panel
from mtf.learning.splits import Part
from mtf.learning.sweep import Sweep, pooled, sweep
from mtf.market.labels import Label
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Head


@dataclass(frozen=True)
class Validation:
    """What was measured.

    Attributes:
        loss: the weighted total, as in training.
        figures: losses by head and metrics by head and target, by name; the total loss of each
            symbol of a panel.
    """

    loss: float
    figures: dict[str, float]


def validate(
    model: HybridModel,
    panel: Panel,
    part: Part,
    weights: Mapping[str, float],
    stride: int,
) -> Validation:
    """Ask the model about every ``stride``-th decision of the part, about every symbol.

    Raises:
        DataError: no decision of the part has a label.
    """
    times = part.times(panel.clock, stride)
    sweeps = {
        symbol: sweep(model, builder, times, part.end_ms)
        for symbol, builder in panel.builders.items()
    }
    found = pooled(list(sweeps.values()))
    if not len(found.times):
        raise DataError(
            f"none of the {len(times)} decisions of the {part.name} part has a label",
            "labels within the part: candles after each decision, and a history to scale them by",
            f"check the data's dates against decisions.start … end, or raise split.{part.name}",
        )
    losses = head_losses(panel.heads, found)
    figures = {f"{name}/loss": loss for name, loss in losses.items()}
    for name in losses:
        figures |= _metrics(name, panel.heads[name], found)
    for symbol, one in sweeps.items() if len(sweeps) > 1 else ():
        if len(one.times):
            figures[f"{symbol}/loss"] = _total(head_losses(panel.heads, one), weights)
    return Validation(_total(losses, weights), figures)


def _total(losses: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted sum, as in training."""
    return sum(weights[name] * loss for name, loss in losses.items())


@torch.inference_mode()
def head_losses(heads: Mapping[str, Head], found: Sweep) -> dict[str, float]:
    """Each learning head's loss: the mean over its targets of that over decisions with a label."""
    losses = {}
    for name, batches in targets_of(found.labels).items():
        if not heads[name].learns:
            continue
        outputs = {key: torch.from_numpy(value) for key, value in found.outputs[name].items()}
        means = []
        for target, labels in batches.items():
            loss = heads[name].loss(target, outputs, labels.values)
            kept = torch.where(labels.present, loss, 0.0).double().sum()
            means.append(float(kept) / max(int(labels.present.sum()), 1))
        losses[name] = float(np.mean(means))
    return losses


def _metrics(name: str, head: Head, found: Sweep) -> dict[str, float]:
    """Point estimates of the head's metrics, named ``head/target/metric``."""
    figures = {}
    for target, label in found.labels[name].items():
        if not label.present.any():
            continue
        outputs = {key: value[label.present] for key, value in found.outputs[name].items()}
        prefix = name if len(head.targets) == 1 else f"{name}/{target}"
        metrics = head.metrics(target, outputs, _labelled(label), {})
        for metric, value in metrics.items():
            figures[f"{prefix}/{metric}"] = float(value.finish(value.statistics.sum(axis=0)))
    return figures


def _labelled(label: Label) -> Label:
    """The decisions that have a label."""
    return label.select(label.present)
