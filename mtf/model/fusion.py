"""Fusions: where the streams read each other, over tokens of all timeframes at once.

Attention here means pre-norm transformer layers with a key mask. Dropout falls on what a layer
adds, not on attention weights: that keeps the fused kernels available.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.plugins.contracts import Fused, Fusion


class AttentionBlock(nn.Module):
    """Attention with residual and norm before: queries read keys, or themselves."""

    def __init__(self, dim: int, num_heads: int, dropout: float, cross: bool = False) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(
                f"found embed_dim {dim} with num_heads {num_heads}",
                "an embed_dim that num_heads divides",
                "change model.embed_dim or model.fusion.num_heads",
            )
        self.num_heads, self.dim = num_heads, dim
        self.norm = nn.LayerNorm(dim)
        self.source_norm = nn.LayerNorm(dim) if cross else None
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch query dim"],
        mask: Bool[Tensor, "batch key"] | None,
        source: Float[Tensor, "batch key dim"] | None = None,
    ) -> Float[Tensor, "batch query dim"]:
        """Add to ``x`` what it reads from ``source`` (None = from itself) where ``mask``."""
        query, key, value = self._project(self.norm(x), source)
        keys = None if mask is None else rearrange(mask, "batch key -> batch 1 1 key")
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        read = rearrange(read, "batch head query dim -> batch query (head dim)")
        return x + self.dropout(self.out(read))  # type: ignore[no-any-return]

    def _project(self, x: Tensor, source: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if source is None or self.source_norm is None:
            return self._heads(self.query_key_value(x), 3)  # type: ignore[return-value]
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        (query,) = self._heads(F.linear(x, weight[: self.dim], bias[: self.dim]), 1)
        source = self.source_norm(source)
        key, value = self._heads(F.linear(source, weight[self.dim :], bias[self.dim :]), 2)
        return query, key, value

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        pattern = "batch token (part head dim) -> part batch head token dim"
        return tuple(rearrange(x, pattern, part=parts, head=self.num_heads))


class FeedForward(nn.Module):
    """Two linear maps with GELU between, with residual and norm before."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        """Add to every token."""
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norm(x)))))  # type: ignore[no-any-return]


class TransformerLayer(nn.Module):
    """Attention of all tokens to all tokens, then feed-forward."""

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = AttentionBlock(dim, num_heads, dropout)
        self.feedforward = FeedForward(dim, hidden, dropout)

    def forward(
        self, x: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"] | None
    ) -> Float[Tensor, "batch token dim"]:
        """One layer."""
        return self.feedforward(self.attention(x, mask))  # type: ignore[no-any-return]


class StreamMean(nn.Module):
    """Mean of each stream's unmasked tokens."""

    members: Tensor

    def __init__(self, token_stream: tuple[int, ...]) -> None:
        super().__init__()
        members = torch.arange(max(token_stream) + 1).unsqueeze(1) == torch.tensor(token_stream)
        self.register_buffer("members", members, persistent=False)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch stream dim"]:
        """Average; tokens that are masked must be finite (they are selected away before)."""
        taken = (self.members & mask.unsqueeze(1)).to(tokens.dtype)
        return (taken @ tokens) / taken.sum(-1, keepdim=True).clamp(min=1)


def selected(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens with 0 where masked, whatever stood there."""
    return torch.where(mask.unsqueeze(-1), tokens, 0.0)


def learned(*shape: int) -> nn.Parameter:
    """A learned vector, small at first."""
    return nn.Parameter(0.02 * torch.randn(*shape))


class Attention(Fusion):
    """Transformer layers over the tokens of all streams; a learned token reads out the state.

    Args:
        num_layers: transformer layers.
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
        self.summary = learned(embed_dim)
        self.layers = nn.ModuleList(
            TransformerLayer(embed_dim, num_heads, feedforward_dim, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.stream_mean = StreamMean(token_stream)
        self.shortcut = nn.Linear(len(token_stream) * embed_dim, embed_dim) if shortcut else None

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        summary = self.summary.expand(len(tokens), 1, -1)
        x = torch.cat([summary, selected(tokens, mask)], dim=1)
        keys = F.pad(mask, (1, 0), value=True)
        for layer in self.layers:
            x = layer(x, keys)
        x = self.norm(x)
        state = x[:, 0]
        if self.shortcut is not None:
            state = state + self.shortcut(selected(tokens, mask).flatten(1))
        return Fused(state, self.stream_mean(x[:, 1:], mask))


class Full(Attention):
    """The layers of ``attention``, meant for tokens ``all``: every slot attends to every other.

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
        super().__init__(
            embed_dim,
            token_stream,
            num_layers=num_layers,
            num_heads=num_heads,
            feedforward_dim=feedforward_dim,
            dropout=dropout,
        )


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
        self.num_latents = num_latents
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
        x = self.queries.expand(len(tokens), -1, -1)
        x = self.widen(self.read(x, mask, selected(tokens, mask)))
        for layer in self.layers:
            x = layer(x, None)
        x = self.norm(x)
        return Fused(x[:, : self.num_latents].mean(1), x[:, self.num_latents :])


class Mean(Fusion):
    """No attention: the mean of each stream's tokens, and a linear map of the mean of all."""

    def __init__(self, embed_dim: int, token_stream: tuple[int, ...]) -> None:
        super().__init__()
        self.stream_mean = StreamMean(token_stream)
        self.state = nn.Linear(embed_dim, embed_dim)
        self.stream = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        means = self.stream_mean(selected(tokens, mask), mask)
        return Fused(self.state(means.mean(1)), self.stream(means))


__all__ = ["Attention", "Full", "Fusion", "Latent", "Mean"]
