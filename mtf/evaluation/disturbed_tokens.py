"""Tokens of a stream that is late or frozen, from what was encoded while nothing was.

The outputs of a causal encoder do not change where later candles are taken away, so a late stream
is only gathered anew. Of a frozen one, the last candles are encoded anew, with as many before them
as the encoder reads. Other encoders look at the whole window, and that is encoded anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mtf.market.disturbed import Disturbed, Tail
from mtf.model.batch import StreamBatch
from mtf.model.hybrid import Encoded, HybridModel, Pooled
from mtf.model.tokens import pool, valid_counts


@dataclass(frozen=True)
class Windows:
    """The last slots of some decisions, each different window once.

    Attributes:
        values: features, newest last.
        valid: which may be used.
        row: the window of each decision.
    """

    values: Float[Tensor, "row slot channel"]
    valid: Bool[Tensor, "row slot"]
    row: Int64[Tensor, " decision"]


def disturbed_tokens(
    model: HybridModel,
    index: int,
    stream: StreamBatch,
    encoded: Encoded,
    disturbed: Disturbed,
) -> Pooled:
    """The bare tokens of the stream with that index.

    Args:
        model: in evaluation mode.
        index: of a stream that is late or frozen.
        stream: its blocks as they were encoded.
        encoded: these blocks, encoded while nothing was late or frozen.
        disturbed: what is known now.
    """
    spec, encoder, device = model.streams[index], model.encoders[index], stream.last.device
    tail = disturbed.tails.get(spec.name)
    if tail is None:
        hidden = torch.from_numpy(disturbed.hidden[spec.name]).to(device)
        if encoder.causal:
            return pool_without(encoded, stream, model.spans(index), hidden)
        windows = late_windows(stream, hidden, model.required_slots(spec.name))
        return _encoded_windows(model, index, windows)
    if not model.encode_once(spec.name)[0]:
        width = model.required_slots(spec.name)
        return _encoded_windows(model, index, frozen_windows(stream, tail, width))
    newest = min(tail.values.shape[1], spec.lookback)
    width = model.required_slots(spec.name) - spec.lookback + newest
    windows = frozen_windows(stream, tail, width)
    count = torch.from_numpy(tail.count[tail.row]).to(device)
    return _pool_both(model, index, stream, encoded, windows, count)


def pool_without(
    encoded: Encoded,
    stream: StreamBatch,
    spans: Int64[Tensor, "token 2"],
    hidden: Int64[Tensor, " decision"],
) -> Pooled:
    """The tokens of each decision without its last ``hidden`` slots."""
    return _pool_clipped(encoded, stream.block, stream.last, spans, hidden, newer=False)


def late_windows(stream: StreamBatch, hidden: Int64[Tensor, " decision"], width: int) -> Windows:
    """The windows of all decisions without their last ``hidden`` slots."""
    keys = torch.stack([stream.block, stream.last, hidden], dim=1)
    at, row = _first_of_each(keys)
    values, valid = _cut(stream, at, width)
    valid = valid & (torch.arange(width, device=row.device) < width - hidden[at].unsqueeze(1))
    return Windows(values, valid, row)


def frozen_windows(stream: StreamBatch, tail: Tail, width: int) -> Windows:
    """The windows of all decisions with the frozen slots in place of theirs."""
    row = torch.from_numpy(tail.row).to(stream.last.device)
    at, of_decision = _first_of_each(torch.stack([row, stream.last * 0], dim=1))
    values, valid = _cut(stream, at, width)
    chosen = row[at].cpu().numpy()
    newest = min(tail.values.shape[1], width)
    there = np.arange(newest) >= newest - tail.count[chosen][:, None]
    start = tail.values.shape[1] - newest
    for whole, part in ((values, tail.values), (valid, tail.valid)):
        new = torch.from_numpy(part[chosen, start:]).to(whole.device)
        taken = torch.from_numpy(there).to(whole.device)
        old = whole[:, width - newest :]
        taken = taken.unsqueeze(-1) if whole.ndim == 3 else taken
        whole[:, width - newest :] = torch.where(taken, new, old)
    return Windows(values, valid, of_decision)


def _first_of_each(keys: Tensor) -> tuple[Tensor, Tensor]:
    """A decision of each different row of keys, and which of these each decision equals."""
    _, row = torch.unique(keys, dim=0, return_inverse=True)
    at = row.new_zeros(int(row.max()) + 1).scatter_(0, row, torch.arange(len(row)).to(row))
    return at, row


def _cut(stream: StreamBatch, at: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The ``width`` slots up to the last one of some decisions; invalid outside the blocks."""
    slot = stream.last[at].unsqueeze(1) + torch.arange(1 - width, 1, device=at.device)
    inside = (slot >= 0) & (slot < stream.valid.shape[1])
    place = stream.block[at].unsqueeze(1), slot.clamp(0, stream.valid.shape[1] - 1)
    valid = inside & stream.valid[place]
    return torch.where(valid.unsqueeze(-1), stream.values[place], 0.0), valid


def _encode(model: HybridModel, index: int, windows: Windows) -> Encoded:
    """Windows through the stream's encoder."""
    rows, width = windows.valid.shape
    block = torch.arange(rows, device=windows.row.device)
    shown = torch.ones_like(block, dtype=torch.bool)
    nothing = torch.zeros(rows, device=block.device)
    last = torch.full_like(block, width - 1)
    return model.encode_stream(
        index, StreamBatch(windows.values, windows.valid, block, last, shown, nothing, nothing)
    )


def _encoded_windows(model: HybridModel, index: int, windows: Windows) -> Pooled:
    """The tokens of windows that are encoded anew."""
    encoded = _encode(model, index, windows)
    last = torch.full_like(windows.row, encoded.seen.shape[1] - 1)
    return pool(encoded.values, encoded.seen, windows.row, last, model.spans(index))


def _pool_both(
    model: HybridModel,
    index: int,
    stream: StreamBatch,
    encoded: Encoded,
    windows: Windows,
    count: Int64[Tensor, " decision"],
) -> Pooled:
    """Means over the newest ``count`` slots as windows have them and the others as encoded."""
    spans, anew = model.spans(index), _encode(model, index, windows)
    last = torch.full_like(windows.row, anew.seen.shape[1] - 1)
    old, _ = _pool_clipped(encoded, stream.block, stream.last, spans, count, newer=False)
    new, _ = _pool_clipped(anew, windows.row, last, spans, count, newer=True)
    old_count = _count_clipped(encoded.seen, stream.block, stream.last, spans, count, newer=False)
    new_count = _count_clipped(anew.seen, windows.row, last, spans, count, newer=True)
    total = old_count + new_count
    share = (new_count / total.clamp(min=1)).unsqueeze(-1).to(new.dtype)
    return torch.lerp(old, new, share), total > 0


def _clipped(spans: Tensor, count: Tensor, newer: bool) -> Tensor:
    """The part of each decision's spans that lies among its newest slots, or before them."""
    edge = count.reshape(-1, 1, 1)
    return torch.minimum(spans, edge) if newer else torch.maximum(spans, edge)


def _pool_clipped(
    encoded: Encoded, block: Tensor, last: Tensor, spans: Tensor, count: Tensor, *, newer: bool
) -> Pooled:
    """Tokens over a part of the spans; decisions with the same ``count`` in one go."""
    tokens = encoded.values.new_zeros(len(last), len(spans), encoded.values.shape[-1])
    mask = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    for one in torch.unique(count):
        at = torch.nonzero(count == one).squeeze(1)
        part = _clipped(spans, one, newer)[0]
        tokens[at], mask[at] = pool(encoded.values, encoded.seen, block[at], last[at], part)
    return tokens, mask


def _count_clipped(
    seen: Tensor, block: Tensor, last: Tensor, spans: Tensor, count: Tensor, *, newer: bool
) -> Int64[Tensor, "decision token"]:
    """Valid slots in a part of the spans."""
    part, time = _clipped(spans, count, newer), seen.shape[1]
    newest, oldest = part[..., 0], part[..., 1]
    start = (last.unsqueeze(1) - oldest + 1).clamp(0, time)
    stop = (last.unsqueeze(1) - newest + 1).clamp(0, time)
    return valid_counts(seen, block, start, stop)


__all__ = ["Windows", "disturbed_tokens", "frozen_windows", "late_windows", "pool_without"]
