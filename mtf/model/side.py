"""A token of a side input."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.model.fusion import learned


class SideToken(nn.Module):
    """Reads a side input: every step through a perceptron, the mean over the steps that are there.

    Elements go in beside a figure that says whether each is there. Where none is, at any step, the
    token is one learned "missing" vector.

    Args:
        elements: of a step.
        embed_dim: size of a token.
    """

    def __init__(self, elements: int, embed_dim: int) -> None:
        super().__init__()
        self.own, self.missing = learned(embed_dim), learned(embed_dim)
        self.read = nn.Sequential(
            nn.Linear(2 * elements, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim)
        )

    def forward(
        self,
        values: Float[Tensor, "decision time element"],
        valid: Bool[Tensor, "decision time element"],
    ) -> Float[Tensor, "decision 1 dim"]:
        """One token a decision."""
        there = valid.any(-1, keepdim=True)
        seen = torch.where(valid, values, 0.0)
        steps = torch.where(there, self.read(torch.cat([seen, valid.to(seen)], dim=-1)), 0.0)
        count = there.sum(1, keepdim=True)
        mean = steps.sum(1, keepdim=True) / count.clamp(min=1)
        return torch.where(count > 0, mean, self.missing) + self.own

    def absent(self, decisions: int) -> Float[Tensor, "decision 1 dim"]:
        """The token of decisions that lack the side input."""
        return (self.missing + self.own).expand(decisions, 1, -1)


__all__ = ["SideToken"]
