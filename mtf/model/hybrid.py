"""The model: encoders → tokens → fusion → heads.

Blocks may serve one decision or many; the model is the same. Slots that no decision of a batch can
see never reach an encoder, whatever stands in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from mtf.market.stream import StreamSpec
from mtf.model.batch import Batch, StreamBatch
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.tokens import Spans, drop_tokens, pool
from mtf.plugins.contracts import Encoder, Fusion, Head


class HybridModel(nn.Module):
    """Reads all streams at once and answers with the outputs of every head.

    Args:
        streams: the streams in order.
        encoders: one a stream; they may share their parameters.
        spans: the tokens of each stream.
        embeddings: of the tokens.
        fusion: over the tokens of all streams.
        heads: by name.
        token_dropout: probability that a decision loses a token in training.
    """

    def __init__(
        self,
        streams: Sequence[StreamSpec],
        encoders: nn.ModuleList,
        spans: Sequence[Spans],
        embeddings: TokenEmbeddings,
        fusion: Fusion,
        heads: Mapping[str, Head],
        token_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.encoders, self.embeddings, self.fusion = encoders, embeddings, fusion
        self.heads = nn.ModuleDict(heads)
        self.token_dropout = token_dropout
        for i, tokens in enumerate(spans):
            self.register_buffer(f"spans_{i}", torch.tensor(tokens), persistent=False)

    def forward(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Return the outputs of every head by name, one row a decision.

        Args:
            batch: with every stream of the model; one that is missing is ``present == False``.
        """
        parts = [self._tokens(i, batch.streams[s.name]) for i, s in enumerate(self.streams)]
        tokens = torch.cat([tokens for tokens, _ in parts], dim=1)
        mask = torch.cat([mask for _, mask in parts], dim=1)
        fused = self.fusion(tokens, mask)
        return {name: head(fused) for name, head in self.heads.items()}

    def _tokens(self, index: int, stream: StreamBatch) -> tuple[Tensor, Tensor]:
        """Encode the blocks of a stream and gather the tokens of every decision."""
        seen = stream.valid & used_slots(stream, self.required_slots(self.streams[index].name))
        x = torch.where(seen.unsqueeze(-1), stream.values, 0.0)
        encoded = self.encoders[index](x, seen)
        spans = getattr(self, f"spans_{index}")
        tokens, mask = pool(encoded, seen, stream.block, stream.last, spans)
        if self.training and self.token_dropout > 0:
            mask = drop_tokens(mask, self.token_dropout)
        about = stream.present, stream.log_sigma, stream.age
        tokens, mask = self.embeddings(index, tokens, mask, *about)
        return tokens, mask

    @property
    def heads_by_name(self) -> dict[str, Head]:
        """The heads by name."""
        return dict(self.heads.items())  # type: ignore[arg-type]

    def required_slots(self, stream: str) -> int:
        """Slots up to its last one that a decision needs of a stream.

        The lookback, and before it what the receptive field of its first slot covers; only the
        lookback where the stream takes the window path for lack of such a field.
        """
        index = self._index(stream)
        field = self._encoder(index).receptive_field
        extra = field - 1 if field is not None and self.encode_once(stream)[0] else 0
        return self.streams[index].lookback + extra

    def encode_once(self, stream: str) -> tuple[bool, str]:
        """Whether each candle is encoded once for all decisions (else: once a window), and why."""
        encoder = self._encoder(self._index(stream))
        name = type(encoder).__name__
        if not encoder.causal:
            return False, f"{name} is not causal: every window is encoded by itself"
        if encoder.receptive_field is None:
            return False, f"{name} has no finite receptive field: every window is encoded by itself"
        return True, f"{name} is causal and reads {encoder.receptive_field} candles at a time"

    def _index(self, stream: str) -> int:
        return [spec.name for spec in self.streams].index(stream)

    def _encoder(self, index: int) -> Encoder:
        encoder = self.encoders[index]
        assert isinstance(encoder, Encoder)
        return encoder


def used_slots(stream: StreamBatch, required: int) -> Bool[Tensor, "block time"]:
    """Slots that some decision can see: of the present ones, the ``required`` up to the last."""
    blocks, time = stream.valid.shape
    first = (stream.last - required + 1).clamp(0, time)
    end = (stream.last + 1).clamp(0, time)
    amount = stream.present.to(torch.int64)
    change = amount.new_zeros(blocks, time + 1)
    change.index_put_((stream.block, first), amount, accumulate=True)
    change.index_put_((stream.block, end), -amount, accumulate=True)
    return change.cumsum(1)[:, :time] > 0


__all__ = ["HybridModel", "used_slots"]
