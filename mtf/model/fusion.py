"""Fusions: where the streams read each other, over tokens of all timeframes at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.model.attention import STATE, AttentionBlock, FeedForward, Reading, TransformerLayer
from mtf.model.in_cache import applies
from mtf.plugins.contracts import Fused, Fusion

Some = Int64[Tensor, " some"] | slice
EVERY = slice(None)


class StreamMean(nn.Module):
    """Mean of each stream's unmasked tokens."""

    members: Tensor

    def __init__(self, token_stream: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("members", stream_members(token_stream), persistent=False)

    def forward(
        self,
        tokens: Float[Tensor, "batch token dim"],
        mask: Bool[Tensor, "batch token"],
        some: Some = EVERY,
    ) -> Float[Tensor, "batch stream dim"]:
        """Average; tokens that are masked must be finite (they are selected away before).

        ``some``: which of all tokens these are.
        """
        taken = (self.members[:, some] & mask.unsqueeze(1)).to(tokens.dtype)
        return (taken / taken.sum(-1, keepdim=True).clamp(min=1)) @ tokens


def stream_members(token_stream: tuple[int, ...]) -> Bool[Tensor, "stream token"]:
    """Which tokens belong to each stream."""
    return torch.arange(max(token_stream) + 1).unsqueeze(1) == torch.tensor(token_stream)


def selected(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens with 0 where masked, whatever stood there."""
    return torch.where(mask.unsqueeze(-1), tokens, 0.0)


def learned(*shape: int) -> nn.Parameter:
    """A learned vector, small at first."""
    return nn.Parameter(0.02 * torch.randn(*shape))


def with_summary(
    summary: Tensor, tokens: Tensor, mask: Tensor
) -> tuple[Float[Tensor, "batch token dim"], Bool[Tensor, "batch token"]]:
    """Tokens behind a learned one, which is there for every decision, and where they are."""
    keys = F.pad(mask, (1, 0), value=True)
    if torch.is_grad_enabled() or not applies(tokens):
        first = summary.expand(len(tokens), 1, -1)
        return torch.cat([first, selected(tokens, mask)], dim=1), keys
    x = tokens.new_empty(len(tokens), tokens.shape[1] + 1, tokens.shape[2])
    x[:, 0] = summary
    torch.where(mask.unsqueeze(-1), tokens, tokens.new_zeros(()), out=x[:, 1:])
    return x, keys


def with_state(some: Some) -> Int64[Tensor, " more"] | slice:
    """Which tokens these are where the state stands in front of all."""
    return some if isinstance(some, slice) else F.pad(some + 1, (1, 0))


def readings_of(layers: nn.ModuleList, members: tuple[int, ...]) -> list[Reading]:
    """What layers read in which all members ask and answer."""
    blocks = [layer.attention for layer in layers if isinstance(layer, TransformerLayer)]
    return [Reading(f"layer {i + 1}", one, members, members) for i, one in enumerate(blocks)]


class Attention(Fusion):
    """Transformer layers over the tokens of all streams; a learned token reads out the state.

    In the last layer only what is handed on asks, the state and each stream's mean, and every token
    answers: the others' answers would be averaged away. That spares most of a layer's work and
    learned no worse (docs/experiments.md).

    Args:
        num_layers: transformer layers, the last one included.
        num_heads: attention heads; must divide embed_dim.
        feedforward_dim: width of the feed-forward.
        dropout: on what each layer adds.
        shortcut: add a linear map of all tokens, each with weights of its own, to the state: what
            is linear in single tokens is learned within few steps.
    """

    def __init__(
        self,
        embed_dim: int,
        token_stream: tuple[int, ...],
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ConfigError(f"found num_layers {num_layers}", "at least 1")
        self.token_stream = token_stream
        self.summary = learned(embed_dim)
        self.layers = nn.ModuleList(
            TransformerLayer(embed_dim, num_heads, feedforward_dim, dropout)
            for _ in range(num_layers - 1)
        )
        # The state as one more stream in front: its mean is the one token it has.
        self.state_and_means = StreamMean((0, *(stream + 1 for stream in token_stream)))
        self.read = AttentionBlock(embed_dim, num_heads, dropout, cross=True)
        self.widen = FeedForward(embed_dim, feedforward_dim, dropout)
        self.norm = nn.LayerNorm(embed_dim)
        self.shortcut = nn.Linear(len(token_stream) * embed_dim, embed_dim) if shortcut else None

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        return self.among(EVERY, tokens, mask)

    def among(
        self,
        some: Some,
        tokens: Float[Tensor, "batch token dim"],
        mask: Bool[Tensor, "batch token"],
    ) -> Fused:
        """Fuse; other tokens than ``some``, which no decision has, cost nothing."""
        shown = mask[:, some]
        x, keys = with_summary(self.summary, tokens[:, some], shown)
        for layer in self.layers:
            x = layer(x, keys)
        asking = self.state_and_means(x, keys, with_state(some))
        x = self.norm(self.widen(self.read(asking, keys, x)))
        state = x[:, 0]
        if self.shortcut is not None:
            state = state + self.shortcut(selected(tokens, mask).flatten(1))
        return Fused(state, x[:, 1:])

    def readings(self) -> list[Reading]:
        """Every token reads every other, then the state and each stream read all of them."""
        everyone = (STATE, *self.token_stream)
        asking = (STATE, *range(max(self.token_stream) + 1))
        last = Reading("last layer", self.read, asking, everyone)
        return [*readings_of(self.layers, everyone), last]


class Full(Fusion):
    """Transformer layers in which every token attends to every other; meant for tokens ``all``.

    The cost grows with the square of the slots: five streams of 600 slots are 3,000 tokens and
    2.6 G multiply-adds a decision at 64 channels. Take short lookbacks, or ``attention`` with
    ``log`` tokens.

    Args:
        num_layers: transformer layers.
        num_heads: attention heads; must divide embed_dim.
        feedforward_dim: width of the feed-forward.
        dropout: on what each layer adds.
    """

    def __init__(
        self,
        embed_dim: int,
        token_stream: tuple[int, ...],
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.token_stream = token_stream
        self.summary = learned(embed_dim)
        self.layers = nn.ModuleList(
            TransformerLayer(embed_dim, num_heads, feedforward_dim, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.stream_mean = StreamMean(token_stream)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        return self.among(EVERY, tokens, mask)

    def among(
        self,
        some: Some,
        tokens: Float[Tensor, "batch token dim"],
        mask: Bool[Tensor, "batch token"],
    ) -> Fused:
        """Fuse; other tokens than ``some``, which no decision has, cost nothing."""
        shown = mask[:, some]
        x, keys = with_summary(self.summary, tokens[:, some], shown)
        for layer in self.layers:
            x = layer(x, keys)
        x = self.norm(x)
        return Fused(x[:, 0], self.stream_mean(x[:, 1:], shown, some))

    def readings(self) -> list[Reading]:
        """Every token reads every other."""
        return readings_of(self.layers, (STATE, *self.token_stream))


class Latent(Fusion):
    """A few latents and one query a stream read all tokens, then attend to each other.

    The cost is linear in the tokens, so this is the fusion for many of them.

    Args:
        num_latents: latents beside the queries of the streams.
        num_layers: transformer layers after the reading.
        num_heads: attention heads; must divide embed_dim.
        feedforward_dim: width of the feed-forward.
        dropout: on what each layer adds.
    """

    def __init__(
        self,
        embed_dim: int,
        token_stream: tuple[int, ...],
        *,
        num_latents: int = 8,
        num_layers: int = 2,
        num_heads: int = 4,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if num_latents < 1:
            raise ConfigError(f"found num_latents {num_latents}", "at least 1")
        self.num_latents, self.token_stream = num_latents, token_stream
        self.queries = learned(num_latents + max(token_stream) + 1, embed_dim)
        self.read = AttentionBlock(embed_dim, num_heads, dropout, cross=True)
        self.widen = FeedForward(embed_dim, feedforward_dim, dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(embed_dim, num_heads, feedforward_dim, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dim)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        return self.among(EVERY, tokens, mask)

    def among(
        self,
        some: Some,
        tokens: Float[Tensor, "batch token dim"],
        mask: Bool[Tensor, "batch token"],
    ) -> Fused:
        """Fuse; other tokens than ``some``, which no decision has, cost nothing."""
        x = self.queries.expand(len(tokens), -1, -1)
        shown = mask[:, some]
        x = self.widen(self.read(x, shown, selected(tokens[:, some], shown)))
        for layer in self.layers:
            x = layer(x, None)
        x = self.norm(x)
        return Fused(x[:, : self.num_latents].mean(1), x[:, self.num_latents :])

    def readings(self) -> list[Reading]:
        """Latents and streams read all tokens, then each other; the latents are the state."""
        asking = (STATE,) * self.num_latents + tuple(range(max(self.token_stream) + 1))
        first = Reading("reading", self.read, asking, self.token_stream)
        return [first, *readings_of(self.layers, asking)]


__all__ = [
    "Attention",
    "Full",
    "Fusion",
    "Latent",
    "StreamMean",
    "learned",
    "readings_of",
    "selected",
]
