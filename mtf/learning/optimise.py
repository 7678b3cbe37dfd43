"""Optimisers, learning rates, gradients of several processes and the moving average of weights.

The learning rate is a pure function of the step, so nothing of it needs saving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer, RMSprop

from mtf.config.schema import OptimizerConfig, ScheduleConfig
from mtf.errors import CheckpointError

ONE_CYCLE_WARMUP, ONE_CYCLE_START, ONE_CYCLE_END = 0.3, 25.0, 1e4
"""Share of the rise, and the divisors at both ends (Smith and Topin 2018; PyTorch's defaults)."""


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimiser of the config over all trainable parameters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "rmsprop":
        return RMSprop(
            parameters, lr=config.lr, weight_decay=config.weight_decay, momentum=config.momentum
        )
    return AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)


@torch.no_grad()
def sum_gradients(model: nn.Module, all_reduce: Callable[[Tensor], Tensor]) -> None:
    """Replace every gradient by its sum over all processes, which is that of the whole batch.

    All of them travel in one tensor, in an order that never changes: so the sum is the same bits in
    every process and whenever a run is repeated. What has a gradient in no process has none.

    Args:
        model: with the gradients of this process.
        all_reduce: sums a tensor over the processes.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    grads = [parameter.grad for parameter in parameters]
    flat = [
        (torch.zeros_like(parameter) if grad is None else grad).flatten()
        for parameter, grad in zip(parameters, grads, strict=True)
    ]
    there = torch.tensor([float(grad is not None) for grad in grads]).to(flat[0])
    summed = all_reduce(torch.cat([*flat, there]))
    parts = summed.split([*map(len, flat), len(there)])
    known = all(grad is not None for grad in grads)  # else to ask takes a transfer
    found = [True] * len(grads) if known else (parts[-1] > 0).tolist()
    for parameter, part, some in zip(parameters, parts[:-1], found, strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype) if some else None


def learning_rate(config: ScheduleConfig, peak: float, step: int, steps: int) -> float:
    """The learning rate of step ``step`` (from 0) of ``steps``.

    ``cosine`` falls to 0 after a linear warm-up over ``warmup`` of the steps; ``one_cycle`` rises
    from peak/25 over 30 % of the steps (or ``warmup``) and falls to peak/25/10,000, both as
    cosines; ``constant`` keeps the peak after the warm-up.
    """
    done = step / max(steps, 1)
    if config.name == "one_cycle":
        rise = config.warmup or ONE_CYCLE_WARMUP
        start = peak / ONE_CYCLE_START
        if done < rise:
            return _cosine(start, peak, done / rise)
        return _cosine(peak, start / ONE_CYCLE_END, (done - rise) / (1 - rise))
    if done < config.warmup:
        return peak * (step + 1) / max(config.warmup * steps, 1)
    if config.name == "constant":
        return peak
    return _cosine(peak, 0.0, (done - config.warmup) / (1 - config.warmup))


def _cosine(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class WeightAverage:
    """Exponential moving average of parameters; buffers are copied as they are.

    Early on the decay is min(decay, (1 + step) / (10 + step)), so that the average does not carry
    the random start along.

    Args:
        model: whose weights are averaged.
        decay: per optimiser step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the model's weights."""
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in named_tensors(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = dict(model.named_parameters())
        for name, value in named_tensors(model).items():
            if name in parameters:
                self.values[name].lerp_(value, 1 - decay)
            else:
                self.values[name].copy_(value)

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Go on from saved values, wherever they lie.

        Raises:
            CheckpointError: they are of another model.
        """
        _check_same(self.values, values)
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        kept = {name: value.detach().clone() for name, value in named_tensors(model).items()}
        set_tensors(model, self.values)
        try:
            yield
        finally:
            set_tensors(model, kept)


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and saved buffer once, by its first name (shared weights are one tensor)."""
    kept = model.state_dict(keep_vars=True)
    seen: set[int] = set()
    unique = {}
    for name, value in kept.items():
        if id(value) not in seen:
            seen.add(id(value))
            unique[name] = value
    return unique


@torch.no_grad()
def set_tensors(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values into the model's parameters and buffers, in place.

    Raises:
        CheckpointError: they are of another model.
    """
    own = named_tensors(model)
    _check_same(own, values)
    for name, value in own.items():
        value.copy_(values[name])


def _check_same(own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Refuse weights that do not fit, before any of them is copied."""
    wrong = [name for name in own if name in values and own[name].shape != values[name].shape]
    wrong += sorted(own.keys() ^ values.keys())
    if wrong:
        raise CheckpointError(
            f"weights of another model: {len(wrong)} of {len(own)} tensors do not fit, "
            f"{wrong[0]} first",
            "a checkpoint of the model that config.yaml describes, with the same plug-ins",
            "use the versions named in environment.json, or train again",
        )
