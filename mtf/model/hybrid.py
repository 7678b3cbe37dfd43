"""The model: encoders → tokens → fusion → heads.

Blocks may serve one decision or many; the model is the same. Slots that no decision of a batch can
see never reach an encoder, whatever stands in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mtf.market.finding import counted
from mtf.market.stream import StreamSpec
from mtf.model.batch import Batch, StreamBatch
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.encoded import Encoded
from mtf.model.forming import FormingToken
from mtf.model.in_cache import applies
from mtf.model.layers import cache_pieces
from mtf.model.mirror import Mirror, agreed, turn_labels
from mtf.model.side import SideToken
from mtf.model.tokens import Spans, drop_tokens, pool, single_slots, span_edges
from mtf.plugins.contracts import Encoder, Fused, Fusion, Head

Pooled = tuple[Float[Tensor, "decision _ dim"], Bool[Tensor, "decision _"]]
"""Tokens of one stream, and which of them have a valid slot."""


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
        sides: what reads each side input, by name; their tokens stand behind those of all streams.
        mirror: asked, the model answers both ways up (see ``mtf.model.mirror``); None = one way.
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
        sides: Mapping[str, SideToken] | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.encoders, self.embeddings, self.fusion = encoders, embeddings, fusion
        self.heads = nn.ModuleDict(heads)
        self.token_dropout = token_dropout
        self.forming, self.forming_streams = forming, tuple(forming_streams)
        self.sides = nn.ModuleDict(sides or {})
        self.mirror = mirror
        for i, tokens in enumerate(spans):
            self.register_buffer(f"spans_{i}", torch.tensor(tokens), persistent=False)

    def forward(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Return the outputs of every head by name, one row a decision.

        Args:
            batch: with every stream of the model; one that is missing is ``present == False``.
        """
        tokens = self.tokens(batch, self.encode(batch))
        if self.mirror is None or self.training:
            return self.answer(*tokens)
        over = self.mirror(batch)
        return self.answer(*tokens, over=self.tokens(over, self.encode(over)))

    def turned(self, batch: Batch, chosen: Bool[Tensor, " decision"]) -> Batch:
        """The batch with some decisions upside down, and their labels with them."""
        assert self.mirror is not None
        over: Batch = self.mirror(batch, chosen)
        return replace(over, targets=turn_labels(batch.targets, self.heads_by_name, chosen))

    def encode(self, batch: Batch) -> list[Encoded]:
        """Encode the blocks of every stream, in the order of the streams."""
        return [self.encode_stream(i, batch.streams[s.name]) for i, s in enumerate(self.streams)]

    def tokens(
        self, batch: Batch, encoded: Sequence[Encoded]
    ) -> tuple[Float[Tensor, "decision token dim"], Bool[Tensor, "decision token"]]:
        """Gather the tokens of every decision from what was encoded, and where they are.

        Args:
            batch: the one that was encoded, or one that sees less of the same blocks.
            encoded: what ``encode`` returned.
        """
        if self._writes(encoded):
            return self._written(batch, encoded)
        return self.dressed(batch, self.pooled(batch, encoded))

    def pooled(self, batch: Batch, encoded: Sequence[Encoded]) -> list[Pooled]:
        """The bare tokens of every stream: means of what was encoded, by spans."""
        streams = [batch.streams[spec.name] for spec in self.streams]
        return [
            pool(one.values, one.seen, stream.block, stream.last, self.spans(i))
            for i, (stream, one) in enumerate(zip(streams, encoded, strict=True))
        ]

    def dressed(
        self, batch: Batch, pooled: Sequence[Pooled]
    ) -> tuple[Float[Tensor, "decision token dim"], Bool[Tensor, "decision token"]]:
        """All tokens of every decision: the bare ones embedded, and those beside the streams."""
        parts = [
            self._tokens(i, batch.streams[spec.name], pooled[i], batch.symbol)
            for i, spec in enumerate(self.streams)
        ]
        parts += [self._side(name, batch) for name in self.sides]
        tokens = torch.cat([tokens for tokens, _ in parts], dim=1)
        return tokens, torch.cat([mask for _, mask in parts], dim=1)

    def _writes(self, encoded: Sequence[Encoded]) -> bool:
        """Whether all tokens can be written in one pass."""
        return (
            not torch.is_grad_enabled()
            and not self.training
            and all(applies(one.values) for one in encoded)
            and not any(single_slots(self.spans(i)) for i in range(len(encoded)))
        )

    def _written(self, batch: Batch, encoded: Sequence[Encoded]) -> Pooled:
        """``tokens`` in one pass over memory: what is asked without gradients has none to keep."""
        counts = [len(self.spans(i)) for i in range(len(encoded))]
        total = sum(counts) + len(self.forming_streams) + len(self.sides)
        first = encoded[0].values
        tokens = first.new_empty(batch.size, total, first.shape[-1])
        mask = tokens.new_empty(tokens.shape[:2], dtype=torch.bool)
        at = 0
        for i, (spec, one) in enumerate(zip(self.streams, encoded, strict=True)):
            stream = batch.streams[spec.name]
            edges = span_edges(one.seen, stream.block, stream.last, self.spans(i))
            self.embeddings.write(i, stream, one, edges, batch.symbol, (tokens, mask, at))
            at += counts[i]
            if spec.name in self.forming_streams:
                tokens[:, at : at + 1], mask[:, at : at + 1] = self._forming(
                    i, stream, batch.symbol
                )
                at += 1
        for name in self.sides:
            tokens[:, at : at + 1], mask[:, at : at + 1] = self._side(name, batch)
            at += 1
        return tokens, mask

    def answer(
        self,
        tokens: Float[Tensor, "decision token dim"],
        mask: Bool[Tensor, "decision token"],
        *,
        sparse: bool = False,
        over: Pooled | None = None,
    ) -> dict[str, dict[str, Tensor]]:
        """Fuse the tokens and ask every head.

        Args:
            tokens: of all decisions.
            mask: where they are.
            sparse: leave tokens that no decision has out of the work, where the fusion can: the
                same but for rounding.
            over: tokens and mask upside down, where both answers are to be one.
        """
        views = [(tokens, mask)] if over is None else [(tokens, mask), over]
        if self.training:
            return self._answer([self._fuse(*view) for view in views])
        some = mask.any(0).nonzero().squeeze(1) if sparse else None
        dim = tokens.shape[-1]
        if applies(tokens):  # the layers cut into pieces by themselves: four times as many here
            dim = -(-dim // 4)
        parts = (cache_pieces(part, dim) for view in views for part in view)
        answers = []
        for piece in zip(*parts, strict=True):
            pairs = zip(piece[::2], piece[1::2], strict=True)
            answers.append(self._answer([self._fuse(*pair, some) for pair in pairs]))
        return _joined(answers)

    def _fuse(self, tokens: Tensor, mask: Tensor, some: Tensor | None = None) -> Fused:
        """Fuse the tokens of some decisions."""
        among = self.fusion if some is None else partial(self.fusion.among, some)
        fused = among(tokens, mask)
        return replace(fused, streams=fused.streams[:, : len(self.streams)])

    def _answer(self, views: Sequence[Fused]) -> dict[str, dict[str, Tensor]]:
        """Ask every head, of both views where there are two."""
        fused, *over = views
        answer: dict[str, dict[str, Tensor]] = {}
        for name, head in sorted(self.heads_by_name.items(), key=lambda item: item[1].reads):
            said = {other: _detached(out) for other, out in answer.items()} if head.reads else {}
            answer[name] = head(replace(fused, said=said))
            for view in over if not head.reads else ():
                answer[name] = agreed(answer[name], head.turned(head(view)))
        return {name: answer[name] for name in self.heads}

    def encode_stream(self, index: int, stream: StreamBatch) -> Encoded:
        """Encode the blocks of the stream with that index."""
        seen = stream.valid & used_slots(stream, self.required_slots(self.streams[index].name))
        x = torch.where(seen.unsqueeze(-1), stream.values, 0.0)
        return Encoded(self.encoders[index](x, seen), seen)

    def _tokens(
        self, index: int, stream: StreamBatch, pooled: Pooled, symbol: Tensor | None
    ) -> Pooled:
        """The tokens of every decision of a stream."""
        tokens, mask = pooled
        if self.training and self.token_dropout > 0:
            mask = drop_tokens(mask, self.token_dropout)
        about = stream.present, stream.log_sigma, stream.age, symbol
        tokens, mask = self.embeddings(index, tokens, mask, *about)
        if self.streams[index].name not in self.forming_streams:
            return tokens, mask
        token, there = self._forming(index, stream, symbol)
        return torch.cat([tokens, token], dim=1), torch.cat([mask, there], dim=1)

    def _forming(
        self, index: int, stream: StreamBatch, symbol: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The token of the candle that is not closed yet; masked with its stream."""
        assert self.forming is not None
        assert stream.forming is not None
        assert stream.forming_there is not None
        there = (stream.present & stream.forming_there).unsqueeze(1)
        candle = torch.where(there, stream.forming, 0.0)
        origin = self.embeddings.origin(index, symbol)
        return self.forming(candle) + origin.unsqueeze(-2), there

    def _side(self, name: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """The token of a side input, which says itself where there is none."""
        reader, side = self.sides[name], batch.side.get(name)
        assert isinstance(reader, SideToken)
        token = reader.absent(batch.size) if side is None else reader(side.values, side.valid)
        return token, token.new_ones(token.shape[:2], dtype=torch.bool)

    def spans(self, index: int) -> Int64[Tensor, "token 2"]:
        """The spans of a stream's tokens (see ``mtf.model.tokens.Spans``)."""
        spans: Tensor = getattr(self, f"spans_{index}")
        return spans

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


__all__ = ["Encoded", "HybridModel", "Pooled", "used_slots"]
