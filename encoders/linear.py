"""Every candle by itself through one linear map: the least an encoder can be."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.model.per_candle import PerCandle


class Linear(PerCandle):
    """One linear map a candle; what it can know of time comes from the tokens alone."""

    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_channels, embed_dim)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        return self.project(x)  # type: ignore[no-any-return]
