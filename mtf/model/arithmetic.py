"""What a call of a module costs, counted and not guessed."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(module: nn.Module, *given: Any) -> int:
    """Multiply-adds of ``module(*given)``: products of matrices, convolutions and attention."""
    return answer_and_cost(module, *given)[1]


def answer_and_cost(module: nn.Module, *given: Any) -> tuple[Any, int]:
    """Return ``module(*given)`` and its multiply-adds.

    torch counts them operator by operator while the module runs; on the meta device that takes
    neither time nor memory. A module with a kernel that torch does not know says what one call of
    it costs by a method ``multiply_adds(out) -> int``. Elementwise work (norms, activations, sums
    over spans) is not counted.
    """
    own = 0

    def add(part: Any, _given: Any, out: Any) -> None:
        nonlocal own
        own += part.multiply_adds(out)

    telling = [part for part in module.modules() if hasattr(part, "multiply_adds")]
    hooks = [part.register_forward_hook(add) for part in telling]
    try:
        # As plain products: the fused attention of CPUs is not among what torch counts.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            answer = module(*given)
    finally:
        for hook in hooks:
            hook.remove()
    return answer, int(counter.get_total_flops()) // 2 + own


__all__ = ["answer_and_cost", "multiply_adds"]
