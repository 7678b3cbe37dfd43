"""Norms of encoders, channels last: none, layer, or batch over the slots that are valid."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.model.over_processes import counted_blocks, summed

NORMS = ("none", "layer", "batch")


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics are taken over valid slots only.

    Running statistics are buffers, so that streams that share weights still keep their own. In
    training the statistics are those of the unique candles of the blocks: with blocks that serve
    many decisions they differ from those of windows, and later candles of a block take part.
    With several processes they are those of the blocks of all (see ``over_processes``).
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
        learns = self.training
        scale, shift = self.affine(*self._statistics(x, valid)) if learns else self.running_affine()
        return torch.addcmul(shift, x, scale)

    @torch.no_grad()
    def learn(
        self, mean: Float[Tensor, " dim"], variance: Float[Tensor, " dim"], count: int
    ) -> None:
        """Move the running statistics towards those of a batch, of ``count`` valid slots."""
        unbiased = variance * (count / max(count - 1, 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)

    def running_affine(self) -> tuple[Float[Tensor, " dim"], Float[Tensor, " dim"]]:
        """Scale and shift that the norm is in evaluation."""
        return self.affine(self.running_mean, self.running_var)

    def affine(
        self, mean: Float[Tensor, " dim"], variance: Float[Tensor, " dim"]
    ) -> tuple[Float[Tensor, " dim"], Float[Tensor, " dim"]]:
        """Scale and shift of a slot, given the statistics."""
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return scale, self.bias - mean * scale

    def _statistics(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance; whether there is any valid slot is never asked of the device."""
        counted = counted_blocks()
        if counted is not None:
            valid = valid & counted.unsqueeze(1)
        selected = valid.unsqueeze(-1)
        count = summed(valid.sum())
        there, number = count > 0, count.clamp(min=1)
        mean = summed(torch.where(selected, x, 0.0).sum((0, 1))) / number
        variance = summed(torch.where(selected, x - mean, 0.0).square().sum((0, 1))) / number
        mean = torch.where(there, mean, self.running_mean)
        unbiased = variance.detach() * count / (count - 1).clamp(min=1)
        unbiased = torch.where(there, unbiased, self.running_var)
        variance = torch.where(there, variance, self.running_var)
        with torch.no_grad():
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
