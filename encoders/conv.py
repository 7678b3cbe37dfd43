"""The stack of ``dsc`` with ordinary convolutions: the twin that it is compared with."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, relu_

from mtf.encoders.dsc import DSC, Block
from mtf.model.layers import FullConv
from mtf.model.norm import Norm


class ConvBlock(Block):
    """Ordinary convolution, norm, ReLU, dropout."""

    def __init__(
        self, dim: int, kernel_size: int, dilation: int, causal: bool, norm: str, dropout: float
    ) -> None:
        super().__init__(dim, kernel_size, dilation, causal, norm, dropout)
        self.conv = FullConv(dim, kernel_size, dilation, causal)
        self.norm = Norm(norm, dim)

    @property
    def over_time(self) -> FullConv:
        """The convolution."""
        return self.conv

    def slot_by_slot(self, x: Tensor, valid: Tensor) -> Tensor:
        """What follows it."""
        return self.dropout(relu_(self.norm(x, valid)))  # type: ignore[no-any-return]


class Conv(DSC):
    """Ordinary convolutions with dilations 1, 2, 4, … and skip aggregation.

    Args:
        num_blocks: blocks; the dilation doubles from block to block.
        kernel_size: taps.
        causal: look back only; False pads both sides and takes the window path.
        norm: after each convolution: none, layer, or batch (statistics over valid slots, per
            stream; those of training differ between blocks and windows).
        dropout: after each block.
    """

    block = ConvBlock
    compiled = False

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
        super().__init__(
            in_channels,
            embed_dim,
            num_blocks=num_blocks,
            kernel_size=kernel_size,
            causal=causal,
            norm=norm,
            dropout=dropout,
        )
