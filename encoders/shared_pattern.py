"""Every candle by itself through a perceptron: a pattern is the same at any timeframe."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.model.per_candle import PerCandle


class SharedPattern(PerCandle):
    """A perceptron per candle: in → 256 → 512 → embed_dim, LayerNorm, GELU and dropout between.

    Meant for ``weights: shared``: one set of weights reads the candles of all timeframes.

    Args:
        hidden: widths of the hidden layers.
        dropout: after each hidden layer.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        *,
        hidden: Sequence[int] = (256, 512),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        widths = [in_channels, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU()]
            layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], embed_dim))

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        return self.layers(x)  # type: ignore[no-any-return]
