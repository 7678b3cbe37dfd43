"""The contract of a head, tried out on a small random market."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mtf.errors import LookaheadError
from mtf.market.labels import Future, Label
from mtf.market.world import World
from mtf.plugins.contracts import Fused, Head, HeadContext
from mtf.testing.market import CLOCK, changed_after, random_world, stream_specs
from mtf.testing.probe import (
    check_deterministic,
    check_gradients,
    check_round_trip,
    defect,
    seeded,
)

FIRST, LAST, STEP = 700, 1000, 7
"""Decisions, in clock steps: after the warm-up of the streams, before the market's end."""


def check_head(factory: Callable[[HeadContext], Head], *, embed_dim: int = 16) -> None:
    """Try whether a head keeps its contract.

    Args:
        factory: the class, or anything that builds one from a ``HeadContext``.
        embed_dim: to try it with.

    Raises:
        ContractError: wrong shape; random in evaluation; a dead parameter; state that is not
            saved; a label beyond its reach, or one that needs other decisions; metrics that do
            not add up or lack the primary one.
    """
    context = HeadContext(embed_dim, stream_specs(), CLOCK, round_trip_cost=0.002)
    world = random_world()
    times = np.arange(FIRST, LAST, STEP, dtype=np.int64) * CLOCK.duration_ms
    with seeded():
        head = factory(context)
        if not isinstance(head, Head) or not head.targets:
            raise defect(head, "is no Head with targets", "a Head of mtf.plugins.contracts")
        fused = Fused(
            torch.randn(len(times), embed_dim),
            torch.randn(len(times), len(context.streams), embed_dim),
        )
        labels = {target: _label(head, target, world, times) for target in head.targets}
        for target, label in labels.items():
            _check_label(head, target, label, times)
            _check_reach(head, target, world, times, label)
        _check_module(head, factory(context), fused, labels)


def _label(head: Head, target: str, world: World, times: np.ndarray) -> Label:
    reach = head.reach(target, times)
    if reach.shape != times.shape or (reach < 0).any():
        raise defect(
            head, f"reach of {target!r} is {reach!r}", "one number a decision, in ms, at least 0"
        )
    try:
        return head.label(target, Future(world, times, reach))
    except LookaheadError as error:
        raise defect(
            head, f"label {target!r} reaches beyond its reach: {error.found}", error.expected
        ) from None


def _check_label(head: Head, target: str, label: Label, times: np.ndarray) -> None:
    columns = {**label.values, "present": label.present, "group": label.group}
    wrong = [name for name, column in columns.items() if len(column) != len(times)]
    if wrong or label.present.dtype != np.bool_ or not label.present.any():
        raise defect(
            head,
            f"label {target!r}: {wrong or 'present'} does not fit {len(times)} decisions",
            "one row a decision in every value, present (bool) and group, some of them present",
        )
    for name, value in label.values.items():
        if not np.isfinite(value[label.present]).all():
            raise defect(head, f"label {target!r}: {name} is not finite", "finite, or not present")


def _check_reach(head: Head, target: str, world: World, times: np.ndarray, label: Label) -> None:
    """Decision by decision: neither the far future nor other decisions may matter."""
    for i in range(0, len(times), len(times) // 4):
        one = times[i : i + 1]
        alone = _label(head, target, world, one)
        if not _same(alone, label.select(np.array([i]))):
            raise defect(
                head,
                f"label {target!r} at one time depends on the other times asked for: what is in "
                "them lies in the future of some decisions",
                "a label from what is known at t and from Future alone",
                "no mean, deviation or rank over decisions in a label",
            )
        beyond = int(one[0] + head.reach(target, one)[0])
        if not _same(_label(head, target, changed_after(world, beyond), one), alone):
            raise defect(
                head,
                f"label {target!r} reaches beyond its reach: it moves when candles that close "
                f"after t + {beyond - int(one[0])} ms change",
                "what closes after t + reach(t) has no influence",
                "declare the longer reach, and read the future only from Future",
            )


def _same(left: Label, right: Label) -> bool:
    values = all(np.array_equal(left.values[name], right.values[name]) for name in left.values)
    return values and np.array_equal(left.present, right.present)


def _check_module(head: Head, again: Head, fused: Fused, labels: dict[str, Label]) -> None:
    def call(module: Head = head) -> list[Tensor]:
        return list(module(fused).values())

    head.eval()
    outputs = head(fused)
    rows = len(fused.state)
    for name, output in outputs.items():
        if output.ndim < 1 or len(output) != rows or not bool(torch.isfinite(output).all()):
            raise defect(
                head,
                f"wrong shape: output {name!r} is {tuple(output.shape)}, or it is not finite",
                f"finite tensors with one row a decision ({rows})",
            )
    check_deterministic(head, call)
    losses = [_loss(head, target, outputs, label) for target, label in labels.items()]
    check_gradients(head, losses)
    _check_metrics(head, fused, labels)
    check_round_trip(head, again, call)


def _loss(head: Head, target: str, outputs: dict[str, Tensor], label: Label) -> Tensor:
    values = {
        name: torch.from_numpy(value.astype(np.float32 if value.dtype.kind == "f" else np.int64))
        for name, value in label.values.items()
    }
    loss = head.loss(target, outputs, values)
    if tuple(loss.shape) != (len(label.present),):
        raise defect(
            head,
            f"loss of {target!r} has shape {tuple(loss.shape)}",
            f"one value a decision: ({len(label.present)},)",
        )
    return torch.where(torch.from_numpy(label.present), loss, 0.0)


def _check_metrics(head: Head, fused: Fused, labels: dict[str, Label]) -> None:
    with torch.no_grad():
        outputs = {name: value.numpy() for name, value in head(fused).items()}
    for target, label in labels.items():
        chosen = label.present
        said = {name: value[chosen] for name, value in outputs.items()}
        found = head.metrics(target, said, label.select(chosen), {})
        if head.primary_metric not in found:
            raise defect(
                head,
                f"metrics of {target!r} are {', '.join(found)}",
                f"among them the primary metric {head.primary_metric!r}",
            )
        for name, metric in found.items():
            if len(metric.statistics) != int(chosen.sum()):
                raise defect(
                    head,
                    f"metric {name!r} of {target!r} has {len(metric.statistics)} rows of sums",
                    f"one row a decision that has a label ({int(chosen.sum())})",
                )


__all__ = ["check_head"]
