"""Two stages of attention: across the streams, then along time."""

from __future__ import annotations

from collections import Counter

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.model.attention import Reading, TransformerLayer
from mtf.model.fusion import StreamMean, readings_of, selected
from mtf.plugins.contracts import Fused, Fusion


class PositionMean(nn.Module):
    """Mean over streams of the unmasked tokens at each position, counted from the newest token.

    A stream with fewer tokens than another has none at the older positions.
    """

    position: Tensor

    def __init__(self, token_stream: tuple[int, ...]) -> None:
        super().__init__()
        counts = Counter(token_stream)
        self.positions = max(counts.values())
        seen: Counter[int] = Counter()
        position = []
        for stream in token_stream:  # the tokens of a stream stand oldest first
            position.append(self.positions - counts[stream] + seen[stream])
            seen[stream] += 1
        self.register_buffer("position", torch.tensor(position), persistent=False)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> tuple[Float[Tensor, "batch position dim"], Bool[Tensor, "batch position"]]:
        """Return the means, 0 where no stream has a token, and where one has."""
        batch, _, dim = tokens.shape
        sums = tokens.new_zeros(batch, self.positions, dim)
        sums = sums.index_add(1, self.position, selected(tokens, mask))
        count = tokens.new_zeros(batch, self.positions)
        count = count.index_add(1, self.position, mask.to(tokens.dtype))
        return sums / count.clamp(min=1).unsqueeze(-1), count > 0


class TwoStage(Fusion):
    """Every token attends to every other, streams are averaged by position, positions attend.

    The reference architecture at full size, meant for tokens ``all`` and equal lookbacks: layers
    over the slots of all streams (``cross_layers``), the mean over streams at each position, layers
    over the positions (``main_layers``), and the state read out at the last position. Position here
    is the place in the window, not the time: the tenth candle from the end of a day stream is
    averaged with the tenth of a second stream.

    Five streams of 600 slots with embed_dim 1024, 16 heads, feedforward_dim 4096 and 12 main layers
    are 176 M weights and 212 G multiply-adds a decision; with dropout of attention weights, which
    keeps the fused kernels off, a training step of one decision takes gigabytes.

    Args:
        cross_layers: transformer layers over the tokens of all streams.
        main_layers: transformer layers over the positions.
        num_heads: attention heads; must divide embed_dim.
        feedforward_dim: width of the feed-forward.
        dropout: on what each layer adds.
        attention_dropout: of attention weights.
    """

    def __init__(
        self,
        embed_dim: int,
        token_stream: tuple[int, ...],
        *,
        cross_layers: int = 2,
        main_layers: int = 2,
        num_heads: int = 4,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.token_stream = token_stream
        shape = embed_dim, num_heads, feedforward_dim, dropout, attention_dropout
        self.cross = nn.ModuleList(TransformerLayer(*shape) for _ in range(cross_layers))
        self.stream_norm = nn.LayerNorm(embed_dim)
        self.stream_mean = StreamMean(token_stream)
        self.position_mean = PositionMean(token_stream)
        self.main = nn.ModuleList(TransformerLayer(*shape) for _ in range(main_layers))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse."""
        x = selected(tokens, mask)
        for layer in self.cross:
            x = layer(x, mask)
        streams = self.stream_mean(self.stream_norm(x), mask)
        x, there = self.position_mean(x, mask)
        for layer in self.main:
            x = layer(x, there)
        return Fused(self.norm(x[:, -1]), streams)

    def readings(self) -> list[Reading]:
        """Every token reads every other; positions belong to no stream and are left out."""
        return readings_of(self.cross, self.token_stream)


__all__ = ["PositionMean", "TwoStage"]
