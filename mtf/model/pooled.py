"""Fusions without attention: every stream pooled to one vector, and a map of these."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.model.fusion import StreamMean, selected, stream_members
from mtf.plugins.contracts import Fused, Fusion


class StreamLast(nn.Module):
    """The newest unmasked token of each stream."""

    members: Tensor

    def __init__(self, token_stream: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("members", stream_members(token_stream), persistent=False)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch stream dim"]:
        """Select; tokens of a stream stand oldest first."""
        place = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        newest = (place * (self.members & mask.unsqueeze(1))).argmax(-1)
        return tokens.take_along_dim(newest.unsqueeze(-1), dim=1)


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


class Concat(Fusion):
    """No attention: one vector a stream, concatenated, through a perceptron of two layers.

    What a stream says stands at a place of its own, so that streams are told apart without
    embeddings; how the tokens of one stream differ is lost, unless ``pool: all``.

    Args:
        pool: the vector of a stream: ``mean`` of its unmasked tokens, the ``last`` of them, or
            ``all`` of them side by side, which with tokens ``all`` is the whole window (and
            weights for every slot of it).
        hidden_dim: width between the two layers.
        dropout: after the first layer.
    """

    def __init__(
        self,
        embed_dim: int,
        token_stream: tuple[int, ...],
        *,
        pool: Literal["mean", "last", "all"] = "mean",
        hidden_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        vectors = len(token_stream) if pool == "all" else max(token_stream) + 1
        self.all = pool == "all"
        self.pool = StreamLast(token_stream) if pool == "last" else StreamMean(token_stream)
        self.perceptron = nn.Sequential(
            nn.Linear(vectors * embed_dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, embed_dim),
        )
        self.stream = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        tokens = selected(tokens, mask)
        streams = self.pool(tokens, mask)
        read = tokens if self.all else streams
        return Fused(self.perceptron(read.flatten(1)), self.stream(streams))


__all__ = ["Concat", "Mean", "StreamLast"]
