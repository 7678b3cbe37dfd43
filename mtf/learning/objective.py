"""The multi-task loss: per target the mean over decisions that have a label, then weighted.

Losses travel as sums and counts, so that accumulated batches and several processes give the same
as one large batch: each sums over its decisions and divides by the labels of all.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtf.model.batch import Batch
from mtf.plugins.contracts import Head

Counts = dict[tuple[str, str], Tensor]
"""(head, target) → number of labels."""


def count_labels(batches: list[Batch]) -> Counts:
    """How many labels of each target a step has, over its accumulated batches."""
    counts: Counts = {}
    for batch in batches:
        for head, targets in batch.targets.items():
            for target, labels in targets.items():
                key = (head, target)
                counts[key] = counts.get(key, torch.zeros(())) + labels.present.sum()
    return counts


def target_losses(
    heads: Mapping[str, Head], outputs: Mapping[str, Mapping[str, Tensor]], batch: Batch
) -> dict[tuple[str, str], Tensor]:
    """Sum of the losses of every target over the decisions that have a label.

    Heads that do not learn have none.
    """
    sums = {}
    for name, head in heads.items():
        if not head.learns:
            continue
        for target, labels in batch.targets[name].items():
            loss = head.loss(target, outputs[name], labels.values)
            sums[name, target] = torch.where(labels.present, loss, 0.0).sum()
    return sums


def total_loss(
    heads: Mapping[str, Head],
    weights: Mapping[str, float],
    sums: Mapping[tuple[str, str], Tensor],
    counts: Counts,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum over heads of the mean over their targets of the mean over decisions.

    Returns:
        The total and each head's own loss (detached). Targets without a label count 0.
    """
    own = {}
    for name in (name for name, head in heads.items() if head.learns):
        keys = [key for key in sums if key[0] == name]
        means = [sums[key] / counts[key].clamp(min=1).to(sums[key].device) for key in keys]
        own[name] = torch.stack(means).mean()
    total = torch.stack([weights[name] * loss for name, loss in own.items()]).sum()
    return total, {name: loss.detach() for name, loss in own.items()}
