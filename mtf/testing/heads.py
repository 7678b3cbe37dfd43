"""The contract of a head, tried out on a small random market."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtf.market.labels import Label
from mtf.plugins import registry
from mtf.plugins.contracts import Fused, Head, HeadContext, Units
from mtf.testing.contract import Check, require
from mtf.testing.labels import LabelTrial
from mtf.testing.market import CLOCK, changed_after, stream_specs
from mtf.testing.probe import (
    check_deterministic,
    check_gradients,
    check_round_trip,
    count_parameters,
    defect,
    equal,
    seeded,
)

READ = "action"
"""What a head finds that reads others."""

Factory = Callable[[HeadContext], Head]


def check_head(factory: Factory, *, embed_dim: int = 16) -> None:
    """Try whether a head keeps its contract.

    Args:
        factory: the class, or anything that builds one from a ``HeadContext``.
        embed_dim: to try it with.

    Raises:
        ContractError: wrong shape; random in evaluation; a dead parameter; state that is not
            saved; a label beyond its reach or short of it, or one that needs other decisions;
            outputs that know the label, or under whose names is something else; metrics that do
            not add up or lack the primary one.
    """
    require(checks_of_head(factory, embed_dim=embed_dim))


def checks_of_head(factory: Factory, *, embed_dim: int = 16, seed: int = 0) -> tuple[Check, ...]:
    """The promises of a head, one by one; arguments as of ``check_head``."""
    trial = HeadTrial(factory, embed_dim, seed)
    labels = trial.labels
    return (
        Check("build", trial.build, vital=True, seed=seed),
        Check("label", labels.shape, vital=True, seed=seed),
        Check("label by itself", labels.alone, seed=seed),
        Check("label beyond reach", labels.beyond, seed=seed),
        Check("label up to reach", labels.last_inside, seed=seed),
        Check("shape", trial.shape, seed=seed),
        Check("names", trial.names, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("outputs without label", trial.blind_to_labels, seed=seed),
        Check("loss and gradients", trial.gradients, seed=seed),
        Check("metrics", trial.metrics, seed=seed),
        Check("state", trial.state, seed=seed),
    )


class HeadTrial:
    """A head, its labels on a random market, and made-up vectors for it to read.

    Args:
        factory: builds the head.
        embed_dim: to try it with.
        seed: of the market.
    """

    def __init__(self, factory: Factory, embed_dim: int, seed: int) -> None:
        self.factory, self.embed_dim = factory, embed_dim
        self.labels = LabelTrial(lambda: self.head, seed)

    @cached_property
    def context(self) -> HeadContext:
        """With one head to read, for those that read others."""
        plain = HeadContext(self.embed_dim, stream_specs(), CLOCK, round_trip_cost=0.002)
        return replace(plain, heads={READ: registry.load("head", READ)(plain)})

    def make(self) -> Head:
        """A new one."""
        return self.factory(self.context)

    @cached_property
    def head(self) -> Head:
        """In evaluation."""
        return self.make().eval()

    @cached_property
    def fused(self) -> Fused:
        """A row a decision."""
        rows, dim = len(self.labels.times), self.embed_dim
        fused = Fused(torch.randn(rows, dim), torch.randn(rows, len(self.context.streams), dim))
        with torch.no_grad():
            return replace(fused, said={READ: self.context.heads[READ](fused)})

    def build(self) -> str:
        """It is a head with targets."""
        built = self.make()
        if not isinstance(built, Head) or not built.targets:
            raise defect(built, "is no Head with targets", "a Head of mtf.plugins.contracts")
        return f"{count_parameters(built):,} parameters, targets {', '.join(built.targets)}"

    def shape(self) -> str:
        """Finite tensors with one row a decision."""
        rows, outputs = len(self.fused.state), self.head(self.fused)
        for name, output in outputs.items():
            if output.ndim < 1 or len(output) != rows or not bool(torch.isfinite(output).all()):
                raise defect(
                    self.head,
                    f"wrong shape: output {name!r} is {tuple(output.shape)}, or it is not finite",
                    f"finite tensors with one row a decision ({rows})",
                )
        return ", ".join(f"{name} {list(output.shape)}" for name, output in outputs.items())

    def names(self) -> str:
        """Those who call for the outputs find tensors with one row a decision."""
        times, world = self.labels.times, self.labels.world
        units = Units(world.label_volatility(times), world.known(times))
        with torch.no_grad():
            named = self.head.named("head", self.head(self.fused), units)
        for name, output in _leaves(named):
            if not isinstance(output, Tensor) or output.shape[:1] != times.shape:
                raise defect(
                    self.head,
                    f"named() has {name} of type {type(output).__name__} and shape "
                    f"{tuple(getattr(output, 'shape', ()))}",
                    f"tensors with one row a decision ({len(times)}), or dictionaries of them",
                )
        return ", ".join(named)

    def determinism(self) -> str:
        """The same twice in evaluation."""
        check_deterministic(self.head, lambda: list(self.head(self.fused).values()))
        return ""

    def blind_to_labels(self) -> str:
        """Outputs do not move with labels and losses computed before, nor wait for them."""
        head = self.make()
        for mode in (False, True):
            before = self._outputs(head, mode)
            for seed in (1, 2):
                self._show_labels(head, seed)
                if not equal(before, self._outputs(head, mode)):
                    raise defect(
                        head,
                        f"outputs know the label: forward() in {'training' if mode else 'eval()'} "
                        "answers differently after label() and loss() saw other futures",
                        "outputs from what the fusion hands over alone",
                        "keep nothing of a label in the head",
                    )
        return "in evaluation and training"

    def _outputs(self, head: Head, training: bool) -> list[Tensor]:
        head.train(training)
        with seeded(), torch.no_grad():
            try:
                return list(head(self.fused).values())
            except Exception as error:
                raise defect(
                    head,
                    f"can't predict before a label was computed: {type(error).__name__}: {error}",
                    "outputs from what the fusion hands over alone",
                ) from error

    def _show_labels(self, head: Head, seed: int) -> None:
        """Let a head compute labels and losses of a market whose future is another."""
        middle = int(self.labels.times[len(self.labels.times) // 2])
        trial = LabelTrial(lambda: head, self.labels.seed)
        trial.world = changed_after(self.labels.world, middle, seed=seed)
        outputs = head(self.fused)
        for target in head.targets:
            _loss(head, target, outputs, trial.label(target, trial.world))

    def gradients(self) -> str:
        """One loss a decision; every parameter has an influence on them."""
        outputs = self.head(self.fused)
        losses = [
            _loss(self.head, target, outputs, label) for target, label in self.labels.labels.items()
        ]
        return check_gradients(self.head, losses)

    def metrics(self) -> str:
        """They add up over decisions, the primary one among them."""
        with torch.no_grad():
            outputs = {name: value.numpy() for name, value in self.head(self.fused).items()}
        names: dict[str, None] = {}
        for target, label in self.labels.labels.items():
            names |= dict.fromkeys(self._metrics_of(target, outputs, label))
        return ", ".join(names)

    def _metrics_of(
        self, target: str, outputs: dict[str, np.ndarray], label: Label
    ) -> tuple[str, ...]:
        chosen = label.present
        said = {name: value[chosen] for name, value in outputs.items()}
        found = self.head.metrics(target, said, label.select(chosen), {})
        if self.head.primary_metric not in found:
            raise defect(
                self.head,
                f"metrics of {target!r} are {', '.join(found)}",
                f"among them the primary metric {self.head.primary_metric!r}",
            )
        for name, metric in found.items():
            if len(metric.statistics) != int(chosen.sum()):
                raise defect(
                    self.head,
                    f"metric {name!r} of {target!r} has {len(metric.statistics)} rows of sums",
                    f"one row a decision that has a label ({int(chosen.sum())})",
                )
        return tuple(found)

    def state(self) -> str:
        """What is saved is all that matters."""
        return check_round_trip(
            self.head, self.make(), lambda module: list(module(self.fused).values())
        )


def _leaves(named: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in dictionaries within dictionaries, with its path."""
    for name, value in named.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


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


__all__ = ["check_head", "checks_of_head"]
