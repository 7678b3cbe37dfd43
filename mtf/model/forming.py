"""A token of the candle that is not closed yet."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from mtf.market.forming import CHANNELS
from mtf.model.fusion import learned


class FormingToken(nn.Module):
    """Reads the forming candle of a stream; the same weights for all streams.

    Args:
        embed_dim: size of a token.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.own = learned(embed_dim)
        self.read = nn.Sequential(
            nn.Linear(CHANNELS, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim)
        )

    def forward(self, candle: Float[Tensor, "decision 6"]) -> Float[Tensor, "decision 1 dim"]:
        """One token a decision."""
        token: Tensor = self.read(candle) + self.own
        return token.unsqueeze(1)


__all__ = ["FormingToken"]
