"""All streams of a model in the same arrays: what is known of each at a time, and its tokens.

Rows of a stream's rings lie one behind the other with those of the others, so that one compiled
call serves all streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import nn

from mtf.market.asof import Known
from mtf.market.flow import NO_SLOT, PIECE, Flow
from mtf.model import stream_kernels as kernels
from mtf.model.hybrid import HybridModel
from mtf.model.stream_encoding import Advancing

Turning = tuple[np.ndarray, np.ndarray]
"""Channels as they are upside down: where each comes from, and its sign."""


class Table:
    """What decisions read.

    Args:
        model: whose streams they are.
        flows: rings of every stream, in order.
        symbol: of a panel.
        views: 2 where the model is asked both ways up.

    Attributes:
        tokens: ``[view, token, dim]``: of the last decision, those beside the streams left to fill.
        shown: ``[token]``: where they are.
        slots: what is known of every stream: see ``stream_kernels``.
        figures: the same.
    """

    def __init__(
        self, model: HybridModel, flows: Sequence[Flow], symbol: int | None, views: int
    ) -> None:
        self.flows = list(flows)
        offsets = np.cumsum([0, *(flow.size for flow in flows)])
        self.plan, self.spans, tokens = plan_of(model, flows, offsets)
        self.max_age = np.array(
            [flow.spec.max_age * flow.spec.timeframe.duration_ms for flow in flows]
        )
        rows, dim = int(offsets[-1]), model.embeddings.missing.shape[0]
        self.offsets = offsets.tolist()
        self.scale = np.full((rows, 3), np.nan)
        self.last = np.zeros(rows, np.int64)
        self.count = np.zeros(rows, np.int64)
        self.sums = np.zeros((views, rows, dim))
        self.standing = np.zeros((len(flows), kernels.STANDING), np.int64)
        self.forget()
        for flow, start in zip(flows, self.offsets, strict=False):
            flow.lodge(self.scale[start : start + flow.size], self.last[start : start + flow.size])
        self.slots = np.zeros((len(flows), 3), np.int64)
        self.figures = np.zeros((len(flows), 6))
        self.pooled = np.zeros((views, len(self.spans), dim), np.float32)
        self.mask = np.zeros(len(self.spans), np.bool_)
        self.tokens = np.zeros((views, tokens, dim), np.float32)
        self.shown = np.ones(tokens, np.bool_)
        self.chosen = np.array([model.encode_once(flow.spec.name)[0] for flow in flows])
        self.place, self.about = embedded(model, symbol)
        pieces = max(flow.size for flow in flows) // PIECE + 2
        self._room = np.zeros((pieces, dim)), np.zeros((2, dim))

    def forget(self) -> None:
        """No stream has been pooled."""
        self.standing[:, kernels.POOLED_LAST :] = -1

    def look(self, time_ms: int) -> None:
        """Find what is known of every stream."""
        kernels.look(
            time_ms, self.plan, self.standing, self.max_age, self.scale, self.last, self.count,
            self.slots, self.figures,
        )  # fmt: skip

    def pool(self) -> None:
        """Take the means over the spans of streams that are encoded once."""
        kernels.pool_streams(
            self.chosen, self.plan, self.standing, self.slots, self.spans, self.sums, self.count,
            *self._room, self.pooled, self.mask,
        )  # fmt: skip

    def dress(self) -> None:
        """Embed what was pooled."""
        for view in range(len(self.tokens)):
            kernels.dress(
                self.plan, self.slots, self.figures, self.spans, self.pooled[view], self.mask,
                self.place, self.about, self.tokens[view], self.shown,
            )  # fmt: skip

    def tokens_of(self, index: int) -> slice:
        """The pooled tokens of a stream."""
        first = int(self.plan[index, kernels.TOKEN])
        return slice(first, first + int(self.plan[index, kernels.TOKENS]))

    def present(self) -> Bool[np.ndarray, " stream"]:
        """Which streams the last decision had."""
        there: np.ndarray = self.slots[:, kernels.PRESENT] != 0
        return there

    def known(self, index: int) -> Known:
        """What was known of a stream at the last decision."""
        slots, figures = self.slots[index], self.figures[index]
        flow = self.flows[index]
        seen = int(slots[kernels.ROW_SLOT])
        row = seen - flow.first if seen != NO_SLOT else -1
        late = flow.first <= int(slots[kernels.LAST_SLOT]) and not flow.holds(
            int(slots[kernels.LAST_SLOT])
        )
        return Known(
            last_slot=slots[kernels.LAST_SLOT, None].copy(),
            row=np.array([row]),
            age_ms=figures[kernels.AGE_MS, None].astype(np.int64),
            present=slots[kernels.PRESENT, None] != 0,
            late=np.array([late]),
            sigma=figures[kernels.SIGMA, None].copy(),
            volume_mean=figures[kernels.VOLUME_MEAN, None].copy(),
            last_close=figures[kernels.LAST_CLOSE, None].copy(),
        )


class Track:
    """Encodes a stream's slots as they come, and keeps running sums of what was encoded.

    Args:
        table: whose sums they are.
        index: of the stream.
        encoding: one for each view; none where windows are encoded instead.
        turning: how the stream looks in the second view.
    """

    def __init__(
        self,
        table: Table,
        index: int,
        encoding: Sequence[Advancing],
        turning: Turning | None = None,
    ) -> None:
        self.flow, self.encoding, self.turning = table.flows[index], list(encoding), turning
        rows = slice(table.offsets[index], table.offsets[index + 1])
        self.count, self.standing = table.count[rows], table.standing[index]
        self.sums = [table.sums[view, rows] for view in range(len(self.encoding))]
        if not self.encoding:
            self.sums = [table.sums[0, rows, :0]]
        self.at = 0
        self._nothing = np.zeros((PIECE, 0), np.float32)
        self.flow.followers.append(self.follow)
        self.stand()

    def stand(self) -> None:
        """Say where the stream stands."""
        flow = self.flow
        self.standing[:3] = flow.first, flow.end, flow.rescans

    def follow(self, start: int, end: int) -> None:
        """Encode slots of one piece."""
        flow = self.flow
        self.standing[:3] = flow.first, flow.end, flow.rescans
        rows = flow.rows(start, end)
        x, usable = flow.features[rows], flow.usable[rows]
        counted = int(self.count[rows.start - 1]) if start > flow.first else 0
        fresh = int(start % PIECE == 0 or start == flow.first), counted
        if not self.encoding:
            kernels.add_rows(rows.start, self._nothing, usable, fresh, self.sums[0], self.count)
            return
        if start != self.at:
            self._restart(start)
        for view, encoding in enumerate(self.encoding):
            encoded = encoding.advance(self.turned(view, x), usable)
            kernels.add_rows(rows.start, encoded, usable, fresh, self.sums[view], self.count)
        self.at = end

    def _restart(self, start: int) -> None:
        """Go to another slot than the next one."""
        for view, encoding in enumerate(self.encoding):
            x, usable = self.flow.window_of(start, encoding.context)
            encoding.restart(self.turned(view, x), usable)

    def turned(self, view: int, x: Float32[np.ndarray, "slot channel"]) -> np.ndarray:
        """Features as a view has them."""
        if view == 0 or self.turning is None:
            return x
        sources, signs = self.turning
        turned: np.ndarray = x[:, sources] * signs
        return turned


def plan_of(
    model: HybridModel, flows: Sequence[Flow], offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """What does not change of every stream, and every token: its span, its place among all tokens.

    Returns:
        Plan and spans as ``stream_kernels`` reads them, and the number of all tokens.
    """
    names = [flow.spec.name for flow in flows]
    plan, place = np.zeros((len(flows), kernels.PLAN), np.int64), 0
    spans: list[tuple[int, int, int]] = []
    for i, flow in enumerate(flows):
        spec, own = flow.spec, model.spans(i).tolist()
        source = -1 if spec.derived_from is None else names.index(spec.derived_from)
        plan[i] = (
            *(spec.timeframe.duration_ms, spec.timeframe.anchor_ms, spec.latency_ms),
            *(spec.lookback, offsets[i], flow.size, len(spans), len(own), source),
        )
        spans += [(newest, oldest, place + j) for j, (newest, oldest) in enumerate(own)]
        place += len(own) + (spec.name in model.forming_streams)
    return plan, np.array(spans, np.int64), place + len(model.sides)


@torch.no_grad()
def embedded(model: HybridModel, symbol: int | None) -> tuple[np.ndarray, np.ndarray]:
    """What embeddings add: to each token, and by stream (see ``stream_kernels.dress``)."""
    told = None if symbol is None else torch.tensor([symbol])
    place, about, own = [], [], model.embeddings
    for i in range(len(model.streams)):
        origin = own.origin(i, told).reshape(-1)
        tokens = torch.zeros(1, len(model.spans(i)), len(origin))
        there, nothing = torch.ones(1, dtype=torch.bool), torch.zeros(1)
        plain, _ = own(i, tokens, there.expand(tokens.shape[:2]), there, nothing, nothing, told)
        report = own.report[i]
        assert isinstance(report, nn.Linear)
        place.append(plain[0])
        about.append(torch.stack([*report.weight.unbind(1), own.missing + origin]))
    return torch.cat(place).numpy(), torch.stack(about).numpy()


__all__ = ["Table", "Track", "Turning"]
