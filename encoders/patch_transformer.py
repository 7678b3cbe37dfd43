"""A transformer over patches of candles.

After Nie et al. (2023), "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers"
(PatchTST). As there, a few candles make one token of the transformer, which divides the cost of
attention by the square of the patch length. Other than there, patches don't overlap, a patch holds
all channels together, norms are LayerNorm and stand before, and what a patch reads is handed back
to its slots.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.model.attention import TransformerLayer
from mtf.plugins.contracts import Encoder


class PatchTransformer(Encoder):
    """Patches of candles read each other; a slot says what its patch read, and its own candle.

    Patches end with the window, so that the newest one is whole; an oldest one that the window does
    not fill is filled with slots that are not valid. A patch sees which of its slots are valid, and
    no patch reads one without any. Places are counted from the newest patch.

    Not causal: within its window every patch reads every other. So every window is encoded by
    itself.

    Args:
        patch: candles a patch.
        num_layers: transformer layers.
        num_heads: attention heads; must divide embed_dim.
        feedforward_dim: width of the feed-forward.
        dropout: on what each layer adds.
    """

    causal = False
    receptive_field = None

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        *,
        patch: int = 16,
        num_layers: int = 2,
        num_heads: int = 4,
        feedforward_dim: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if patch < 1:
            raise ConfigError(f"found patch {patch}", "at least 1 candle a patch")
        self.patch = patch
        self.embed = nn.Linear(patch * (in_channels + 1), embed_dim)
        self.layers = nn.ModuleList(
            TransformerLayer(embed_dim, num_heads, feedforward_dim, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.candle = nn.Linear(in_channels, embed_dim)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        patches, there = self._patches(x, valid)
        patches = patches + places(patches.shape[1], patches.shape[2], patches)
        for layer in self.layers:
            patches = layer(patches, there)
        read = self.norm(patches).repeat_interleave(self.patch, dim=1)
        return self.candle(x) + read[:, -x.shape[1] :]  # type: ignore[no-any-return]

    def _patches(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """One vector a patch, and which of them have a valid slot; all where none has."""
        slots = torch.cat([x, valid.unsqueeze(-1).to(x.dtype)], dim=-1)
        slots = F.pad(slots, (0, 0, -x.shape[1] % self.patch, 0))
        slots = slots.unflatten(1, (-1, self.patch))
        there = slots[..., -1].any(-1)
        return self.embed(slots.flatten(2)), there | ~there.any(1, keepdim=True)


def places(count: int, dim: int, like: Tensor) -> Float[Tensor, "patch dim"]:
    """Sines and cosines of each patch's distance from the newest, of growing wavelengths.

    Vaswani et al. (2017), section 3.5: they need no table, so a window may be as long as it likes.
    """
    back = torch.arange(count - 1, -1, -1, device=like.device, dtype=like.dtype)
    wave = torch.arange(0, dim, 2, device=like.device, dtype=like.dtype)
    angle = back.unsqueeze(1) * torch.exp(wave * (-math.log(10_000.0) / dim))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim]
