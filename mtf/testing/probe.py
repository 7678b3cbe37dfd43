"""What all contract tests share: naming the defect, and trying a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mtf.errors import ContractError


def defect(plugin: object, found: str, expected: str, todo: str = "") -> ContractError:
    """The error that says which plug-in breaks its contract, and how."""
    return ContractError(f"{name_of(plugin)}: {found}", expected, todo)


def name_of(plugin: object) -> str:
    """The class or function that a plug-in is made by."""
    while hasattr(plugin, "func"):  # a partial
        plugin = plugin.func
    if inspect.isclass(plugin) or inspect.isfunction(plugin):
        return plugin.__qualname__
    return type(plugin).__name__


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """The same random numbers every time; those of the caller go on as if nothing had been."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def count_parameters(module: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def largest_difference(left: Tensor, right: Tensor) -> float:
    """Largest absolute difference of two tensors."""
    return float((left - right).detach().abs().max())


def check_gradients(module: nn.Module, outputs: Sequence[Tensor]) -> str:
    """Raise where a parameter has no influence, or a gradient is not finite; count the others."""
    module.zero_grad()
    loss = torch.stack([(output * torch.randn_like(output)).sum() for output in outputs]).sum()
    if loss.requires_grad:
        loss.backward()
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None or not bool(parameter.grad.any()):
            raise defect(
                module,
                f"dead parameter {name!r}: its gradient is 0",
                "every parameter has an influence on the outputs",
                "use it, remove it, or freeze it with requires_grad_(False)",
            )
        if not bool(torch.isfinite(parameter.grad).all()):
            raise defect(module, f"gradient of {name!r} is not finite", "finite gradients")
    module.zero_grad()
    return f"reach all {sum(1 for p in module.parameters() if p.requires_grad)} parameter tensors"


def check_deterministic(module: nn.Module, call: Callable[[], Sequence[Tensor]]) -> None:
    """Raise where two calls in evaluation differ."""
    module.eval()
    if not equal(call(), call()):
        raise defect(
            module,
            "random in evaluation: two calls with the same input differ",
            "the same output for the same input in eval()",
            "ask self.training before drawing random numbers",
        )


def check_round_trip(
    module: nn.Module, again: nn.Module, call: Callable[[Any], Sequence[Tensor]]
) -> str:
    """Raise where a module built anew and given the saved state answers differently."""
    try:
        again.load_state_dict(module.state_dict())
    except RuntimeError as error:
        raise defect(
            module, f"its state does not fit a module built anew ({error})", "the same state"
        ) from None
    module.eval()
    again.eval()
    if not equal(call(module), call(again)):
        raise defect(
            module,
            "state is lost: a module built anew and given the saved state answers differently",
            "all that matters is a parameter or a buffer",
            "register_buffer what forward() uses and __init__ does not fix",
        )
    return f"{len(module.state_dict())} tensors, saved and loaded"


def equal(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    """Whether two lists of tensors are the same bit for bit; NaN is NaN."""
    pairs = zip(left, right, strict=True)
    return all(torch.equal(a.nan_to_num(12345.0), b.nan_to_num(12345.0)) for a, b in pairs)


__all__ = [
    "check_deterministic",
    "check_gradients",
    "check_round_trip",
    "count_parameters",
    "defect",
    "equal",
    "largest_difference",
    "name_of",
    "seeded",
]
