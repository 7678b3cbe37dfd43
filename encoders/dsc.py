"""Depthwise separable convolutions with growing dilation, channels last.

A stem of one candle, then blocks of depthwise convolution (over time, channel by channel) and
pointwise convolution (over channels, slot by slot). The outputs of all blocks are concatenated and
projected, so that fine and coarse patterns both reach the tokens.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn, relu_

from mtf.errors import ConfigError
from mtf.model.layers import DepthwiseConv, cache_pieces, keep_variance
from mtf.model.norm import Norm
from mtf.plugins.contracts import Encoder


class SeparableBlock(nn.Module):
    """Depthwise convolution, norm, ReLU, pointwise convolution, norm, ReLU, dropout."""

    def __init__(
        self, dim: int, kernel_size: int, dilation: int, causal: bool, norm: str, dropout: float
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(dim, kernel_size, dilation, causal)
        self.depthwise_norm = Norm(norm, dim)
        self.pointwise = nn.Linear(dim, dim)
        self.pointwise_norm = Norm(norm, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time dim"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """One block."""
        x = relu_(self.depthwise_norm(self.depthwise(x), valid))
        x = relu_(self.pointwise_norm(self.pointwise(x), valid))
        return self.dropout(x)  # type: ignore[no-any-return]


class DSC(Encoder):
    """Depthwise separable convolutions with dilations 1, 2, 4, … and skip aggregation.

    Receptive field: ``1 + (kernel_size - 1) * (2 ** num_blocks - 1)`` candles. Per block the
    parameters are those of an ordinary convolution divided by ``1 / (1 / dim + 1 / kernel_size)``:
    at most 2.9 times fewer with 3 taps and 64 channels.

    Args:
        num_blocks: blocks; the dilation doubles from block to block.
        kernel_size: taps of the depthwise convolution.
        causal: look back only; False pads both sides and takes the window path.
        norm: after each convolution: none, layer, or batch (statistics over valid slots, per
            stream; those of training differ between blocks and windows).
        dropout: after each block.
    """

    block: type[nn.Module] = SeparableBlock

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        *,
        num_blocks: int = 4,
        kernel_size: int = 3,
        causal: bool = True,
        norm: Literal["none", "layer", "batch"] = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_blocks < 1 or kernel_size < 1:
            raise ConfigError(
                f"found num_blocks {num_blocks} and kernel_size {kernel_size}", "both at least 1"
            )
        self.causal, self.embed_dim = causal, embed_dim
        self.whole = norm == "batch"
        self.receptive_field = 1 + (kernel_size - 1) * (2**num_blocks - 1)
        self.stem = nn.Linear(in_channels, embed_dim)
        self.stem_norm = Norm(norm, embed_dim)
        self.blocks = nn.ModuleList(
            self.block(embed_dim, kernel_size, 2**i, causal, norm, dropout)
            for i in range(num_blocks)
        )
        self.project = nn.Linear(num_blocks * embed_dim, embed_dim)
        keep_variance(self)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        if self.whole and self.training:
            return self._encode(x, valid)
        parts = (cache_pieces(part, self.embed_dim) for part in (x, valid))
        return torch.cat([self._encode(*piece) for piece in zip(*parts, strict=True)])

    def _encode(self, x: Tensor, valid: Tensor) -> Tensor:
        """The skips' projection block by block: the same as of their concatenation, without it."""
        x = relu_(self.stem_norm(self.stem(x), valid))
        parts = self.project.weight.chunk(len(self.blocks), dim=1)
        y: Tensor = self.project.bias
        for block, weight in zip(self.blocks, parts, strict=True):
            x = block(x, valid)
            y = torch.addmm(y, x.flatten(0, 1), weight.t())
        return y.view_as(x)
