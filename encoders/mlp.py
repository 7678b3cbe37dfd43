"""Every candle by itself through two layers: the baseline of encoders that know no time."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.model.layers import keep_variance
from mtf.model.per_candle import PerCandle


class MLP(PerCandle):
    """A perceptron of two layers per candle; what it can know of time comes from the tokens alone.

    Receptive field: one candle. ``linear`` has one layer, ``shared_pattern`` three with norms.

    Args:
        hidden_dim: width between the two layers.
        dropout: after the first layer.
    """

    def __init__(
        self, in_channels: int, embed_dim: int, *, hidden_dim: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, embed_dim),
        )
        keep_variance(self)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        return self.layers(x)  # type: ignore[no-any-return]
