"""The labels of all heads for a set of decisions, purged at the end of their part.

A label with ``t + reach(t)`` beyond the part's end is absent: nothing in one part is learned,
chosen or measured on what happens in the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from mtf.market.labels import Future, Label
from mtf.market.world import World
from mtf.plugins.contracts import Head

Labels = dict[str, dict[str, Label]]
"""Head name → target name → label."""


def labels_of(
    heads: Mapping[str, Head],
    world: World,
    times: Int64[np.ndarray, " decision"],
    end_ms: int | None,
) -> Labels:
    """Every head's labels of the decisions at ``times``.

    Args:
        heads: the heads by name.
        world: the market.
        times: decision times in ms.
        end_ms: end of the part; None = no border (a single decision, live).
    """
    return {
        name: {target: _label(head, target, world, times, end_ms) for target in head.targets}
        for name, head in heads.items()
    }


def pooled_label(labels: Sequence[Label]) -> Label:
    """The labels of one target about several symbols, one symbol behind the other.

    Ids of outcomes stay as they are: what has the same id in two symbols is one observation, since
    what happened at the same time to two symbols is no second witness.
    """
    if len(labels) == 1:
        return labels[0]
    names = labels[0].values
    return Label(
        {name: np.concatenate([label.values[name] for label in labels]) for name in names},
        np.concatenate([label.present for label in labels]),
        np.concatenate([label.group for label in labels]),
    )


def pooled_labels(parts: Sequence[Labels]) -> Labels:
    """The labels of all heads about several symbols, one symbol behind the other."""
    return {
        head: {target: pooled_label([part[head][target] for part in parts]) for target in targets}
        for head, targets in parts[0].items()
    }


def any_present(labels: Labels) -> Bool[np.ndarray, " decision"]:
    """Which decisions have a label at all; the others are dropped."""
    present = [label.present for targets in labels.values() for label in targets.values()]
    either: np.ndarray = np.logical_or.reduce(present)
    return either


def _label(
    head: Head, target: str, world: World, times: Int64[np.ndarray, " decision"], end_ms: int | None
) -> Label:
    """One label, absent where it looks beyond the end, 0 where absent."""
    reach = head.reach(target, times)
    label = head.label(target, Future(world, times, reach))
    present = label.present
    if end_ms is not None:
        present = present & (times + reach <= end_ms)
    values = {
        name: np.where(present.reshape(-1, *[1] * (value.ndim - 1)), value, 0).astype(value.dtype)
        for name, value in label.values.items()
    }
    return Label(values, present, label.group)
