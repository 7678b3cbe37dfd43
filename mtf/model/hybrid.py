"""The model: encoders → tokens → fusion → heads.

Blocks may serve one decision or many; the model is the same. Slots that no decision of a batch can
see never reach an encoder, whatever stands in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.market.finding import counted
from mtf.market.stream import StreamSpec
from mtf.model.batch import Batch, StreamBatch
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.forming import FormingToken
from mtf.model.layers import cache_pieces
from mtf.model.tokens import Spans, drop_tokens, pool
from mtf.plugins.contracts import Encoder, Fusion, Head


@dataclass(frozen=True)
class Encoded:
    """The blocks of one stream, encoded.

    Attributes:
        values: one vector a slot.
        seen: slots that are valid and that some decision can see; other vectors mean nothing.
    """

    values: Float[Tensor, "block time dim"]
    seen: Bool[Tensor, "block time"]


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
        forming: reads the candle that is not closed yet; None = no such tokens.
        forming_streams: names of the streams that have such a token, as their last.
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
        forming: FormingToken | None = None,
        forming_streams: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.encoders, self.embeddings, self.fusion = encoders, embeddings, fusion
        self.heads = nn.ModuleDict(heads)
        self.token_dropout = token_dropout
        self.forming, self.forming_streams = forming, tuple(forming_streams)
        for i, tokens in enumerate(spans):
            self.register_buffer(f"spans_{i}", torch.tensor(tokens), persistent=False)

    def forward(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Return the outputs of every head by name, one row a decision.

        Args:
            batch: with every stream of the model; one that is missing is ``present == False``.
        """
        return self.answer(*self.tokens(batch, self.encode(batch)))

    def encode(self, batch: Batch) -> list[Encoded]:
        """Encode the blocks of every stream, in the order of the streams."""
        return [self._encode(i, batch.streams[s.name]) for i, s in enumerate(self.streams)]

    def tokens(
        self, batch: Batch, encoded: Sequence[Encoded]
    ) -> tuple[Float[Tensor, "decision token dim"], Bool[Tensor, "decision token"]]:
        """Gather the tokens of every decision from what was encoded, and where they are.

        Args:
            batch: the one that was encoded, or one that sees less of the same blocks.
            encoded: what ``encode`` returned.
        """
        parts = [
            self._tokens(i, batch.streams[spec.name], encoded[i])
            for i, spec in enumerate(self.streams)
        ]
        tokens = torch.cat([tokens for tokens, _ in parts], dim=1)
        return tokens, torch.cat([mask for _, mask in parts], dim=1)

    def answer(
        self, tokens: Float[Tensor, "decision token dim"], mask: Bool[Tensor, "decision token"]
    ) -> dict[str, dict[str, Tensor]]:
        """Fuse the tokens and ask every head."""
        if self.training:
            return self._answer(tokens, mask)
        pieces = (cache_pieces(part, tokens.shape[-1]) for part in (tokens, mask))
        return _joined([self._answer(*piece) for piece in zip(*pieces, strict=True)])

    def _answer(self, tokens: Tensor, mask: Tensor) -> dict[str, dict[str, Tensor]]:
        """Fuse the tokens of some decisions and ask every head."""
        fused = self.fusion(tokens, mask)
        answer: dict[str, dict[str, Tensor]] = {}
        for name, head in sorted(self.heads_by_name.items(), key=lambda item: item[1].reads):
            said = {other: _detached(out) for other, out in answer.items()} if head.reads else {}
            answer[name] = head(replace(fused, said=said))
        return {name: answer[name] for name in self.heads}

    def _encode(self, index: int, stream: StreamBatch) -> Encoded:
        """Encode the blocks of a stream."""
        seen = stream.valid & used_slots(stream, self.required_slots(self.streams[index].name))
        x = torch.where(seen.unsqueeze(-1), stream.values, 0.0)
        return Encoded(self.encoders[index](x, seen), seen)

    def _tokens(self, index: int, stream: StreamBatch, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """The tokens of every decision of a stream."""
        spans = getattr(self, f"spans_{index}")
        tokens, mask = pool(encoded.values, encoded.seen, stream.block, stream.last, spans)
        if self.training and self.token_dropout > 0:
            mask = drop_tokens(mask, self.token_dropout)
        about = stream.present, stream.log_sigma, stream.age
        tokens, mask = self.embeddings(index, tokens, mask, *about)
        if self.streams[index].name not in self.forming_streams:
            return tokens, mask
        token, there = self._forming(index, stream)
        return torch.cat([tokens, token], dim=1), torch.cat([mask, there], dim=1)

    def _forming(self, index: int, stream: StreamBatch) -> tuple[Tensor, Tensor]:
        """The token of the candle that is not closed yet; masked with its stream."""
        assert self.forming is not None
        assert stream.forming is not None
        assert stream.forming_there is not None
        there = (stream.present & stream.forming_there).unsqueeze(1)
        candle = torch.where(there, stream.forming, 0.0)
        return self.forming(candle) + self.embeddings.origin(index), there

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
        reads = counted(encoder.receptive_field, "candle")
        return True, f"{name} is causal and reads {reads} at a time"

    def _index(self, stream: str) -> int:
        return [spec.name for spec in self.streams].index(stream)

    def _encoder(self, index: int) -> Encoder:
        encoder = self.encoders[index]
        assert isinstance(encoder, Encoder)
        return encoder


def _detached(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without a way back for gradients."""
    return {name: output.detach() for name, output in outputs.items()}


def _joined(pieces: list[dict[str, dict[str, Tensor]]]) -> dict[str, dict[str, Tensor]]:
    """The outputs of consecutive decisions as one."""
    if len(pieces) == 1:
        return pieces[0]
    return {
        head: {name: torch.cat([piece[head][name] for piece in pieces]) for name in outputs}
        for head, outputs in pieces[0].items()
    }


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


__all__ = ["Encoded", "HybridModel", "used_slots"]
