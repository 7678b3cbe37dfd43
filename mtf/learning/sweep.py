"""Asking the model about many decisions in one go, in bounded memory.

Consecutive decisions are cut into batches; within one, every candle is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from mtf.learning.batches import BatchBuilder
from mtf.learning.targets import Labels, any_present, labels_of
from mtf.market.labels import Label
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel

ONCE_DECISIONS, WINDOW_DECISIONS = 512, 64
"""Decisions a batch: enough to share candles; fewer where every decision brings its own window."""

Outputs = dict[str, dict[str, np.ndarray]]
"""Head name → output name → one row a decision."""


@dataclass(frozen=True)
class Sweep:
    """What the model said of a set of decisions, beside what happened.

    Attributes:
        times: decision times in ms: those of the part that have a label.
        outputs: of every head.
        labels: of every head and target.
    """

    times: Int64[np.ndarray, " decision"]
    outputs: Outputs
    labels: Labels


def batches_of(
    builder: BatchBuilder, times: Int64[np.ndarray, " decision"], end_ms: int | None
) -> Iterator[tuple[np.ndarray, Batch, Labels]]:
    """Batches of the decisions that have a label, in order."""
    size = ONCE_DECISIONS if all(builder.once.values()) else WINDOW_DECISIONS
    for start in range(0, len(times), size):
        chunk = times[start : start + size]
        labels = labels_of(builder.heads, builder.world, chunk, end_ms)
        chosen = any_present(labels)
        if chosen.any():
            chunk, labels = chunk[chosen], _select(labels, chosen)
            yield chunk, builder.build(chunk[None, :], end_ms, labels=labels), labels


@torch.inference_mode()
def sweep(
    model: HybridModel,
    builder: BatchBuilder,
    times: Int64[np.ndarray, " decision"],
    end_ms: int | None,
) -> Sweep:
    """Predict every decision at ``times`` that has a label.

    The model is put into evaluation mode and back.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    seen, outputs, labels = [], [], []
    for chunk, batch, chunk_labels in batches_of(builder, times, end_ms):
        answer = model(batch.to(device))
        outputs.append({head: _arrays(values) for head, values in answer.items()})
        labels.append(chunk_labels)
        seen.append(chunk)
    model.train(was_training)
    return Sweep(
        np.concatenate(seen) if seen else np.empty(0, np.int64),
        _join_outputs(outputs),
        _join_labels(labels),
    )


def _arrays(values: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Tensors as float32 numpy arrays."""
    return {name: value.float().cpu().numpy() for name, value in values.items()}


def _select(labels: Labels, chosen: np.ndarray) -> Labels:
    """The labels of the chosen decisions."""
    return {
        head: {target: label.select(chosen) for target, label in targets.items()}
        for head, targets in labels.items()
    }


def _join_outputs(pieces: list[Outputs]) -> Outputs:
    """The outputs of consecutive batches as one."""
    return {
        head: {name: np.concatenate([piece[head][name] for piece in pieces]) for name in values}
        for head, values in (pieces[0] if pieces else {}).items()
    }


def _join_labels(pieces: list[Labels]) -> Labels:
    """The labels of consecutive batches as one."""
    return {
        head: {target: _join([piece[head][target] for piece in pieces]) for target in targets}
        for head, targets in (pieces[0] if pieces else {}).items()
    }


def _join(labels: list[Label]) -> Label:
    """Consecutive labels of one target as one."""
    return Label(
        {
            name: np.concatenate([label.values[name] for label in labels])
            for name in labels[0].values
        },
        np.concatenate([label.present for label in labels]),
        np.concatenate([label.group for label in labels]),
    )
