"""Asking the model about many decisions in one go, in bounded memory.

Consecutive decisions are cut into batches; within one, every candle is encoded once. The answers
come piece by piece, and a piece is all that is held: what is kept of a long sweep is the caller's
choice. ``sweep`` keeps everything, in arrays that are allocated once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from mtf.learning.batches import BatchBuilder
from mtf.learning.targets import Labels, any_present, labels_of, pooled_labels
from mtf.market.labels import Label
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel

ONCE_DECISIONS, WINDOW_DECISIONS = 1_024, 64
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

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> Sweep:
        """The same with every array changed."""
        outputs = {
            head: {name: change(array) for name, array in said.items()}
            for head, said in self.outputs.items()
        }
        labels = {
            head: {target: _each(label, change) for target, label in targets.items()}
            for head, targets in self.labels.items()
        }
        return Sweep(change(self.times), outputs, labels)

    def arrays(self) -> list[np.ndarray]:
        """All arrays, in the order in which heads, outputs and targets stand."""
        found = [self.times]
        for head, said in self.outputs.items():
            found += said.values()
            for label in self.labels[head].values():
                found += [*label.values.values(), label.present, label.group]
        return found


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


def sweep_pieces(
    model: HybridModel,
    builder: BatchBuilder,
    times: Int64[np.ndarray, " decision"],
    end_ms: int | None,
) -> Iterator[Sweep]:
    """Predict every decision at ``times`` that has a label, a batch at a time.

    Memory is that of one batch, however many decisions there are. The model is in evaluation mode
    until the iterator is used up or closed.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        for chunk, batch, labels in batches_of(builder, times, end_ms):
            with torch.inference_mode():
                answer = model(batch.to(device))
            yield Sweep(chunk, {head: _arrays(said) for head, said in answer.items()}, labels)
    finally:
        model.train(was_training)


def sweep(
    model: HybridModel,
    builder: BatchBuilder,
    times: Int64[np.ndarray, " decision"],
    end_ms: int | None,
) -> Sweep:
    """Predict every decision at ``times`` that has a label, and keep all of it.

    The model is put into evaluation mode and back.
    """
    return collected(sweep_pieces(model, builder, times, end_ms), len(times))


def collected(pieces: Iterable[Sweep], most: int) -> Sweep:
    """All pieces as one, in arrays that are allocated once for at most ``most`` decisions."""
    whole, end = Sweep(np.empty(0, np.int64), {}, {}), 0
    for piece in pieces:
        if not end:
            whole = piece.each(lambda array: np.empty((most, *array.shape[1:]), array.dtype))
        start, end = end, end + len(piece.times)
        for into, out_of in zip(whole.arrays(), piece.arrays(), strict=True):
            into[start:end] = out_of
    return whole.each(lambda array: array[:end])


def pooled(sweeps: Sequence[Sweep]) -> Sweep:
    """What was said of several symbols, one symbol behind the other; empty where nothing was."""
    some = [one for one in sweeps if len(one.times)]
    if len(some) < 2:
        return some[0] if some else sweeps[0]
    outputs = {
        head: {name: np.concatenate([one.outputs[head][name] for one in some]) for name in said}
        for head, said in some[0].outputs.items()
    }
    times = np.concatenate([one.times for one in some])
    return Sweep(times, outputs, pooled_labels([one.labels for one in some]))


def _arrays(values: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Tensors as float32 numpy arrays."""
    return {name: value.float().cpu().numpy() for name, value in values.items()}


def _select(labels: Labels, chosen: np.ndarray) -> Labels:
    """The labels of the chosen decisions."""
    return {
        head: {target: label.select(chosen) for target, label in targets.items()}
        for head, targets in labels.items()
    }


def _each(label: Label, change: Callable[[np.ndarray], np.ndarray]) -> Label:
    """The label with every array changed."""
    values = {name: change(value) for name, value in label.values.items()}
    return Label(values, change(label.present), change(label.group))
