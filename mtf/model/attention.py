"""Pre-norm transformer layers with a key mask: what fusions and encoders build attention from.

Dropout falls on what a layer adds. Dropout of attention weights is there for those who want the
published setting: it keeps the fused kernels off, so it costs time and, at many tokens, gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.model.in_cache import (
    added,
    applies,
    attended,
    attention_applies,
    feed_forward,
    projected,
    reading,
)


class AttentionBlock(nn.Module):
    """Attention with residual and norm before: queries read keys, or themselves."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        dropout: float,
        *,
        cross: bool = False,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(
                f"found embed_dim {dim} with num_heads {num_heads}",
                "an embed_dim that num_heads divides",
                "change model.embed_dim or num_heads",
            )
        self.num_heads, self.dim = num_heads, dim
        self.attention_dropout = attention_dropout
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
        if self._in_cache(x, x if source is None else source):
            return self._read_in_cache(x, mask, source)
        query, key, value = self._project(self.norm(x), source)
        keys = None if mask is None else rearrange(mask, "batch key -> batch 1 1 key")
        drop = self.attention_dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=keys, dropout_p=drop)
        read = rearrange(read, "batch head query dim -> batch query (head dim)")
        return x + self.dropout(self.out(read))  # type: ignore[no-any-return]

    def _in_cache(self, x: Tensor, source: Tensor) -> bool:
        """Whether the compiled kernels can do it."""
        return (
            (self.attention_dropout == 0 or not self.training)
            and attention_applies(x.shape[1], source.shape[1], self.dim // self.num_heads)
            and applies(x, self.query_key_value, self.out)
        )

    def _read_in_cache(self, x: Tensor, mask: Tensor | None, source: Tensor | None) -> Tensor:
        """``forward`` by the compiled kernels."""
        norms: tuple[nn.LayerNorm, ...] = (self.norm,)
        weight: Tensor = self.query_key_value.weight
        bias: Tensor = self.query_key_value.bias
        both = None
        if self.source_norm is None:
            source = None
        elif source is not None:
            norms = (self.norm, self.source_norm)
        if not torch.is_grad_enabled() and not self.training:
            return reading(x, source, mask, norms, self.query_key_value, self.out, self.num_heads)
        if source is not None:
            both = projected(source, norms[-1], weight[self.dim :], bias[self.dim :])
            weight, bias = weight[: self.dim], bias[: self.dim]
        read = attended(projected(x, self.norm, weight, bias), both, mask, self.num_heads)
        return added(x, read, self.out, self.dropout.p if self.training else 0.0)

    def weights(
        self,
        x: Float[Tensor, "batch query dim"],
        mask: Bool[Tensor, "batch key"] | None,
        source: Float[Tensor, "batch key dim"] | None = None,
    ) -> Float[Tensor, "batch head query key"]:
        """How much of each key's value every query takes in ``forward``, without dropout.

        Rows sum to 1, and keys behind the mask have 0. This takes the memory that the fused kernels
        of ``forward`` spare.
        """
        query, key, _ = self._project(self.norm(x), source)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
        return scores.softmax(-1)

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
        if applies(x, self.widen, self.narrow):
            dropout = self.dropout.p if self.training else 0.0
            return feed_forward(x, self.norm, self.widen, self.narrow, dropout)
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norm(x)))))  # type: ignore[no-any-return]


class TransformerLayer(nn.Module):
    """Attention of all tokens to all tokens, then feed-forward."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden: int,
        dropout: float,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention = AttentionBlock(
            dim, num_heads, dropout, attention_dropout=attention_dropout
        )
        self.feedforward = FeedForward(dim, hidden, dropout)

    def forward(
        self, x: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"] | None
    ) -> Float[Tensor, "batch token dim"]:
        """One layer."""
        return self.feedforward(self.attention(x, mask))  # type: ignore[no-any-return]


STATE = -1
"""Stands for the state among the indices of streams."""


@dataclass(frozen=True)
class Reading:
    """One place in a fusion where streams read each other.

    Attributes:
        name: of the layer.
        block: that reads.
        asking: for whom each of its queries asks: the index of a stream, or ``STATE``.
        answering: for whom each of its keys answers.
    """

    name: str
    block: AttentionBlock
    asking: tuple[int, ...]
    answering: tuple[int, ...]


@runtime_checkable
class Reads(Protocol):
    """A fusion that can tell where its streams read each other."""

    def readings(self) -> Sequence[Reading]:
        """The places, in the order in which they are passed."""


__all__ = [
    "STATE",
    "AttentionBlock",
    "FeedForward",
    "Reading",
    "Reads",
    "TransformerLayer",
]
