"""What is added to a token so that the fusion knows where it comes from, and from when.

Summed: its timeframe, role and symbol; the ages of its newest and oldest slot; and what its stream
reports of itself, the log of its sigma and the age of its last candle. A stream that is absent
shows one learned vector instead of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.market.stream import StreamSpec
from mtf.model import token_kernels
from mtf.model.batch import StreamBatch
from mtf.model.encoded import Encoded
from mtf.model.fusion import learned
from mtf.model.layers import arrays_of
from mtf.model.tokens import Spans, by_block

POSITIONS = ("span", "none")
AGE_SCALE = 10.0
"""log1p of an age in seconds: 10 is about six hours, 16 a hundred days."""
SMALL = 0.1


class TokenEmbeddings(nn.Module):
    """Adds the embeddings of one stream's tokens.

    Args:
        streams: all streams in order.
        spans: the tokens of each stream.
        embed_dim: size of a token.
        position: ``span`` (learned from the ages of a token's slots) or ``none``.
        panel: the primary symbols where they are several: tokens of primary streams are then told
            each decision's own symbol, or by one more vector that it is none of these.
    """

    panel_rows: Tensor

    def __init__(
        self,
        streams: Sequence[StreamSpec],
        spans: Sequence[Spans],
        embed_dim: int,
        position: str,
        panel: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if position not in POSITIONS:
            raise ConfigError(f"found position {position!r}", f"one of {', '.join(POSITIONS)}")
        kinds = [[s.timeframe.name for s in streams]]
        kinds += [[s.role for s in streams], [s.symbol for s in streams]]
        names = [sorted({*kind, *more}) for kind, more in zip(kinds, ((), (), panel), strict=True)]
        self.index = [
            tuple(known.index(kind[i]) for known, kind in zip(names, kinds, strict=True))
            for i in range(len(streams))
        ]
        counts = [len(names[0]), len(names[1]), len(names[2]) + bool(panel)]
        self.timeframe, self.role, self.symbol = (learned(count, embed_dim) for count in counts)
        self.varying = [bool(panel) and spec.role == "primary" for spec in streams]
        rows = [*map(names[2].index, panel), len(names[2])]  # -1 finds the last: none of these
        self.register_buffer("panel_rows", torch.tensor(rows), persistent=False)
        self.span = small_linear(embed_dim) if position == "span" else None
        self.report = nn.ModuleList(small_linear(embed_dim) for _ in streams)
        self.missing = learned(embed_dim)
        for i, (stream, tokens) in enumerate(zip(streams, spans, strict=True)):
            self.register_buffer(f"ages_{i}", span_ages(stream, tokens), persistent=False)

    def forward(
        self,
        stream: int,
        tokens: Float[Tensor, "decision token dim"],
        mask: Bool[Tensor, "decision token"],
        present: Bool[Tensor, " decision"],
        log_sigma: Float[Tensor, " decision"],
        age: Float[Tensor, " decision"],
        symbol: Int64[Tensor, " decision"] | None = None,
    ) -> tuple[Float[Tensor, "decision token dim"], Bool[Tensor, "decision token"]]:
        """Embed the tokens of the stream with that index; return them and their mask.

        A stream that is absent, or none of whose tokens has a valid slot, shows the learned
        "missing" vector as its first token and nothing else.
        """
        origin = self.origin(stream, symbol)
        shown = present & mask.any(1)
        report = self._report(stream, shown, log_sigma, age)
        tokens = tokens + (origin.unsqueeze(-2) + self._position(stream)) + report.unsqueeze(1)
        absent = ~shown.unsqueeze(-1)
        first = torch.where(absent, self.missing + origin, tokens[:, 0])
        tokens = torch.cat([first.unsqueeze(1), tokens[:, 1:]], dim=1)
        mask = torch.cat([mask[:, :1] | absent, mask[:, 1:] & ~absent], dim=1)
        return tokens, mask

    def origin(
        self, stream: int, symbol: Int64[Tensor, " decision"] | None = None
    ) -> Float[Tensor, "*decision dim"]:
        """What says which timeframe, role and symbol a token of the stream is of.

        One vector for all decisions, or one a decision where its symbol is told (see ``Batch``).
        """
        timeframe, role, row = self.index[stream]
        origin = self.timeframe[timeframe] + self.role[role]
        if not self.varying[stream]:
            return origin + self.symbol[row]
        told = self.panel_rows[-1] if symbol is None else self.panel_rows[symbol]
        return origin + self.symbol[told]

    def write(
        self,
        stream: int,
        seen: StreamBatch,
        encoded: Encoded,
        edges: tuple[Tensor, Tensor, Tensor],
        symbol: Int64[Tensor, " decision"] | None,
        into: tuple[Float32[Tensor, "decision all dim"], Bool[Tensor, "decision all"], int],
    ) -> None:
        """Write the tokens and their mask among those of all streams, on CPU and without gradient.

        The same, bit for bit, as ``forward`` of their means, in one pass; 0 where masked.

        Args:
            stream: index of the stream.
            seen: where its decisions look.
            encoded: its blocks.
            edges: of the spans, see ``span_edges``.
            symbol: as of ``forward``.
            into: tokens and mask of all streams, and the place of this one's first.
        """
        (tokens, mask, first), (start, stop, count) = into, edges
        there = count > 0
        shown = seen.present & there.any(1)
        own = self._report(stream, shown, seen.log_sigma, seen.age)
        origin = self.origin(stream, symbol).view(-1, tokens.shape[-1])
        place = torch.as_tensor(self._position(stream)).expand(start.shape[1], own.shape[1])
        added = arrays_of(shown, place, origin, own, self.missing + origin)
        blocks = by_block(seen.block, len(encoded.values), start, stop, count)
        given = arrays_of(encoded.values, encoded.seen)
        token_kernels.write_tokens(*given, *blocks, *added, tokens.numpy(), first)
        own_mask = mask[:, first : first + start.shape[1]]
        torch.logical_and(there, shown.unsqueeze(1), out=own_mask)
        own_mask[:, 0] |= ~shown

    def _report(self, stream: int, shown: Tensor, log_sigma: Tensor, age: Tensor) -> Tensor:
        """What the stream says of itself, one vector a decision that it is shown to."""
        report = torch.stack([log_sigma, age], dim=-1)
        report = torch.where(shown.unsqueeze(-1), report, 0.0)
        return self.report[stream](report)  # type: ignore[no-any-return]

    def _position(self, stream: int) -> Tensor | float:
        return 0.0 if self.span is None else self.span(getattr(self, f"ages_{stream}"))


def small_linear(embed_dim: int) -> nn.Linear:
    """Two figures to a vector, small at first: what a token holds must not drown in it."""
    linear = nn.Linear(2, embed_dim)
    nn.init.normal_(linear.weight, std=SMALL)
    nn.init.zeros_(linear.bias)
    return linear


def span_ages(stream: StreamSpec, spans: Spans) -> Float32[Tensor, "token 2"]:
    """Log ages (scaled) of the newest and oldest slot of each token, counted from slot closes."""
    seconds = stream.timeframe.duration_ms / 1000
    ages = [
        [math.log1p(newest * seconds), math.log1p((oldest - 1) * seconds)]
        for newest, oldest in spans
    ]
    return torch.tensor(ages) / AGE_SCALE


__all__ = ["TokenEmbeddings", "span_ages"]
