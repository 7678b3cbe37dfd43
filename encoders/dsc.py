"""Depthwise separable convolutions with growing dilation, channels last.

A stem of one candle, then blocks of depthwise convolution (over time, channel by channel) and
pointwise convolution (over channels, slot by slot). The outputs of all blocks are concatenated and
projected, so that fine and coarse patterns both reach the tokens.
"""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn, relu_

from mtf.errors import ConfigError
from mtf.model.layers import DepthwiseConv, FullConv, arrays_of, cache_pieces, keep_variance
from mtf.model.norm import MaskedBatchNorm, Norm
from mtf.model.normed import encode_normed
from mtf.model.over_processes import counted_blocks
from mtf.model.separable import (
    MULTIPLE,
    Places,
    Remembered,
    Weights,
    compiles,
    encode,
    encode_with_gradient,
    folded,
)
from mtf.model.separable_step import SeparableStepper
from mtf.plugins.contracts import Encoder, State, Stepper


class Block(nn.Module):
    """A convolution over time, and what follows it slot by slot; whatever the convolution is."""

    def __init__(
        self, dim: int, kernel_size: int, dilation: int, causal: bool, norm: str, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    @property
    def over_time(self) -> DepthwiseConv | FullConv:
        """The convolution."""
        raise NotImplementedError

    def slot_by_slot(self, x: Tensor, valid: Tensor) -> Tensor:
        """What follows it."""
        raise NotImplementedError

    @property
    def reach(self) -> int:
        """Slots before its own that an output reads, where it is causal."""
        return self.over_time.reach

    def forward(
        self, x: Float[Tensor, "batch time dim"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """All slots of blocks of candles."""
        return self.slot_by_slot(self.over_time(x), valid)

    def step(
        self,
        x: Float[Tensor, "batch dim"],
        valid: Bool[Tensor, " batch"],
        before: Float[Tensor, "batch reach dim"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch reach dim"]]:
        """One more slot, given what came in in the ``reach`` slots before."""
        y, before = self.over_time.step(x, before)
        return self.slot_by_slot(y.unsqueeze(1), valid.unsqueeze(1)).squeeze(1), before


class SeparableBlock(Block):
    """Depthwise convolution, norm, ReLU, pointwise convolution, norm, ReLU, dropout."""

    def __init__(
        self, dim: int, kernel_size: int, dilation: int, causal: bool, norm: str, dropout: float
    ) -> None:
        super().__init__(dim, kernel_size, dilation, causal, norm, dropout)
        self.depthwise = DepthwiseConv(dim, kernel_size, dilation, causal)
        self.depthwise_norm = Norm(norm, dim)
        self.pointwise = nn.Linear(dim, dim)
        self.pointwise_norm = Norm(norm, dim)

    @property
    def over_time(self) -> DepthwiseConv:
        """The depthwise convolution."""
        return self.depthwise

    def slot_by_slot(self, x: Tensor, valid: Tensor) -> Tensor:
        """What follows it."""
        x = relu_(self.depthwise_norm(x, valid))
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

    block: type[Block] = SeparableBlock
    compiled = True
    """Whether there are kernels for the blocks."""

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
        self.norm, self.dropout = norm, dropout
        self.receptive_field = 1 + (kernel_size - 1) * (2**num_blocks - 1)
        self.stem = nn.Linear(in_channels, embed_dim)
        self.stem_norm = Norm(norm, embed_dim)
        self.blocks = nn.ModuleList(
            self.block(embed_dim, kernel_size, 2**i, causal, norm, dropout)
            for i in range(num_blocks)
        )
        self.project = nn.Linear(num_blocks * embed_dim, embed_dim)
        keep_variance(self)
        self._leaves = tuple(part for part in self.modules() if not any(part.children()))
        self._arrays = Remembered()

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        if self.compiled and compiles(x, self.stem.weight, self.embed_dim):
            said = self._by_kernels(x, valid)
            if said is not None:
                return said
        if self.norm == "batch" and self.training:
            return self._encode(x, valid)
        parts = (cache_pieces(part, self.embed_dim) for part in (x, valid))
        return torch.cat([self._encode(*piece) for piece in zip(*parts, strict=True)])

    def _by_kernels(self, x: Tensor, valid: Tensor) -> Tensor | None:
        """The same by compiled code, where that can: not through a norm that is still learning."""
        own = self._tensors()
        gradient = any(part.requires_grad for part in (x, *own)) and torch.is_grad_enabled()
        if self.norm != "layer" and not self.training and not gradient:
            return encode(x, self._arrays.of(own, lambda: arrays_of(*self.weights())), self.places)
        if self.training and self.dropout:
            return None
        if self.norm == "none":
            return encode_with_gradient(x, self.weights(), self.places)
        if self.norm == "batch" and self.training and counted_blocks() is None:
            return encode_normed(x, valid, self.weights(fold=False), self.places, self._norms())
        return None

    def _norms(self) -> list[MaskedBatchNorm]:
        """In the order of the layers."""
        return [part for part in self.modules() if isinstance(part, MaskedBatchNorm)]

    def _tensors(self) -> list[Tensor]:
        """All parameters and buffers, faster than torch lists them."""
        found = ({**leaf._parameters, **leaf._buffers}.values() for leaf in self._leaves)
        return [tensor for tensors in found for tensor in tensors if tensor is not None]

    @property
    def places(self) -> Places:
        """Where the taps of the blocks read."""
        return Places.of([block.depthwise.shifts for block in self._separable()])

    def weights(self, fold: bool = True) -> Weights:
        """All weights as one call of compiled code takes them, with norms folded in if wanted."""
        stem, stem_bias = folded(self.stem.weight.t(), self.stem.bias, self.stem_norm, fold)
        over_time, across = [], []
        for block in self._separable():
            taps, mix = block.depthwise, block.pointwise
            over_time.append(folded(taps.weight, taps.bias, block.depthwise_norm, fold))
            across.append(folded(mix.weight.t(), mix.bias, block.pointwise_norm, fold))
        skip = rearrange(
            self.project.weight, "out (block dim) -> block dim out", dim=self.embed_dim
        )
        stacked = [torch.stack(p) for both in (over_time, across) for p in zip(*both, strict=True)]
        return Weights._make((stem, stem_bias, *stacked, skip, self.project.bias))

    def _separable(self) -> list[SeparableBlock]:
        """Its blocks, where they are those that there are kernels for."""
        return [block for block in self.blocks if isinstance(block, SeparableBlock)]

    def _stack(self) -> list[Block]:
        """Its blocks, whatever they are."""
        return [block for block in self.blocks if isinstance(block, Block)]

    @property
    def steps(self) -> bool:
        """Only one that looks back alone can."""
        return self.causal

    @torch.no_grad()
    def initial_state(self, batch: int) -> State:
        """What each block was fed in endless slots without a candle: always the same."""
        of_one_slot = self.stem.weight.new_zeros(1, self.stem.in_features)
        valid = torch.zeros(1, dtype=torch.bool, device=of_one_slot.device)
        x, state = self._stem(of_one_slot.unsqueeze(1), valid.unsqueeze(1)).squeeze(1), []
        for block in self._stack():
            before = x.unsqueeze(1).expand(-1, block.reach, -1)
            state.append(before.expand(batch, -1, -1).clone())
            x, _ = block.step(x, valid, before)
        return tuple(state)

    def step(
        self, x: Float[Tensor, "batch channel"], valid: Bool[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch dim"], State]:
        """Encode one more slot; the state is what each block was fed in the slots before."""
        x = self._stem(x.unsqueeze(1), valid.unsqueeze(1)).squeeze(1)
        skips, kept = [], []
        for block, before in zip(self._stack(), state, strict=True):
            x, before = block.step(x, valid, before)
            skips.append(x)
            kept.append(before)
        return self.project(torch.cat(skips, 1)), tuple(kept)

    @torch.no_grad()
    def stepper(self) -> Stepper | None:
        """Compiled, where there are kernels for its blocks, norm and channels."""
        if not (self.compiled and self.causal) or self.norm == "layer":
            return None
        if self.embed_dim % MULTIPLE:
            return None
        return SeparableStepper(self.weights(), self.initial_state(1))

    def _stem(self, x: Tensor, valid: Tensor) -> Tensor:
        """Every candle by itself."""
        return relu_(self.stem_norm(self.stem(x), valid))

    def _encode(self, x: Tensor, valid: Tensor) -> Tensor:
        """The skips' projection block by block: the same as of their concatenation, without it."""
        x = self._stem(x, valid)
        parts = self.project.weight.chunk(len(self.blocks), dim=1)
        y: Tensor = self.project.bias
        for block, weight in zip(self.blocks, parts, strict=True):
            x = block(x, valid)
            y = torch.addmm(y, x.flatten(0, 1), weight.t())
        return y.view_as(x)
