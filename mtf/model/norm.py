"""Norms of encoders, channels last: none, layer, or batch over the slots that are valid."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.errors import ConfigError

NORMS = ("none", "layer", "batch")


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics are taken over valid slots only.

    Running statistics are buffers, so that streams that share weights still keep their own. In
    training the statistics are those of the unique candles of the blocks: with blocks that serve
    many decisions they differ from those of windows, and later candles of a block take part.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(
        self, x: Float[Tensor, "batch time dim"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Normalise every slot; without any valid slot the running statistics stand in."""
        if self.training and bool(valid.any()):
            mean, variance = self._statistics(x, valid)
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias - mean * scale, x, scale)

    def _statistics(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        count = valid.sum()
        selected = valid.unsqueeze(-1)
        mean = torch.where(selected, x, 0.0).sum((0, 1)) / count
        variance = torch.where(selected, x - mean, 0.0).square().sum((0, 1)) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return mean, variance


class Norm(nn.Module):
    """The norm of that name: ``none``, ``layer`` or ``batch`` (masked)."""

    def __init__(self, name: str, dim: int) -> None:
        super().__init__()
        if name not in NORMS:
            raise ConfigError(f"found norm {name!r}", f"one of {', '.join(NORMS)}")
        self.masked = MaskedBatchNorm(dim) if name == "batch" else None
        self.plain = nn.LayerNorm(dim) if name == "layer" else None

    def forward(
        self, x: Float[Tensor, "batch time dim"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Normalise every slot."""
        if self.masked is not None:
            return self.masked(x, valid)  # type: ignore[no-any-return]
        return x if self.plain is None else self.plain(x)


__all__ = ["MaskedBatchNorm", "Norm"]
