"""From decision times to a batch: blocks of candles, and where each decision looks in them.

Two layouts, one model. *Encode once*: decisions that lie close together share a block of a stream,
so each of its candles is encoded once for all of them. *Window*: every decision has a block of its
own, for encoders that are not causal or have no finite receptive field. Decisions for which a
candle came late always have their own block, scanned as things were known then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

from mtf.learning.kernels import cover, gather_blocks
from mtf.learning.targets import Labels, labels_of
from mtf.market.asof import NEVER_MS, Known, window
from mtf.market.forming import forming, forming_channels
from mtf.market.side_input import Moments, Presence, SideInput, Valid, Values, checked, masked
from mtf.market.stream import Stream
from mtf.market.world import World
from mtf.model.batch import Batch, SideBatch, StreamBatch, TargetBatch
from mtf.plugins.contracts import Head

MAX_BLOCK_SLOTS = 8_192
"""No block is longer: running sums restart with every block, and memory stays bounded."""


@dataclass(frozen=True)
class Layout:
    """How the decisions of one stream lie in blocks.

    Attributes:
        start: first slot of each block.
        length: slots of every block.
        block: block of each decision.
    """

    start: Int64[np.ndarray, " block"]
    length: int
    block: Int64[np.ndarray, " decision"]


@dataclass(frozen=True)
class BatchBuilder:
    """Builds batches of one world.

    Attributes:
        world: the market.
        heads: the heads whose labels go with the batch.
        required_slots: slots up to the last one that a decision needs of each stream.
        once: streams that are encoded once; the others take the window path.
        forming: streams whose forming candle goes with the batch.
        sides: side inputs by name.
        symbol: which symbol of a panel the world is about; None = one that it has not learned.
    """

    world: World
    heads: Mapping[str, Head]
    required_slots: Mapping[str, int]
    once: Mapping[str, bool]
    forming: tuple[str, ...] = ()
    sides: Mapping[str, SideInput] = field(default_factory=dict)
    symbol: int | None = None

    def build(
        self,
        times: Int64[np.ndarray, "group member"],
        end_ms: int | None,
        dropped: Bool[np.ndarray, "decision input"] | None = None,
        labels: Labels | None = None,
        *,
        training: bool = False,
        given: Mapping[str, tuple[Values, Valid]] | None = None,
        widths: Mapping[str, int] | None = None,
    ) -> Batch:
        """The batch of ``times``, flattened group by group.

        Args:
            times: decision times in ms.
            end_ms: end of the part, where labels are purged; None = no border.
            dropped: streams taken away from each decision, and after them side inputs.
            labels: of these decisions, where they are known already.
            training: whether the model learns from the batch (see ``Moments``).
            given: side inputs that the caller knows better, such as the true position; they are
                masked with nothing.
            widths: of the blocks of each stream, see ``lay_out``; None = those with fewest slots.
        """
        flat = times.reshape(-1)
        known = self.world.known(flat)
        present = self._present(known, dropped)
        wide = widths or {}
        streams = {
            name: self._stream(name, times, known[name], present[name], wide.get(name))
            for name in known
        }
        for name in self.forming:
            seen = forming(self.world, flat, name, known, present)
            values, there = map(torch.from_numpy, forming_channels(seen, known[name]))
            streams[name] = replace(streams[name], forming=values, forming_there=there)
        if labels is None:
            labels = labels_of(self.heads, self.world, flat, end_ms)
        side = self.side_batches(Moments(self.world, flat, known, training), present, given or {})
        if dropped is not None:
            side = _without(side, dropped[:, len(known) :])
        told = None if self.symbol is None else torch.full((len(flat),), self.symbol)
        return Batch(streams, targets_of(labels), side, told)

    def side_batches(
        self, moments: Moments, present: Presence, given: Mapping[str, tuple[Values, Valid]]
    ) -> dict[str, SideBatch]:
        """Every side input, masked with the streams that it is computed from."""
        found = {}
        for name, side in self.sides.items():
            if name in given:
                values, valid = checked(name, side, *given[name], len(moments.times))
            else:
                values, valid = checked(name, side, *side.at(moments), len(moments.times))
                valid = masked(side, valid, present)
            values = np.where(valid, values, np.float32(0))
            found[name] = SideBatch(torch.from_numpy(values), torch.from_numpy(valid))
        return found

    def _present(
        self, known: Mapping[str, Known], dropped: Bool[np.ndarray, "decision input"] | None
    ) -> dict[str, Bool[np.ndarray, " decision"]]:
        """Presence of each stream after dropping; what is derived goes with its source."""
        present = {name: answer.present for name, answer in known.items()}
        if dropped is None:
            return present
        lost = {name: dropped[:, index] for index, name in enumerate(known)}
        for name, stream in self.world.streams.items():
            source = stream.spec.derived_from
            gone = lost[name] if source is None else lost[name] | lost[source]
            present[name] = present[name] & ~gone
        return present

    def _stream(
        self,
        name: str,
        times: Int64[np.ndarray, "group member"],
        known: Known,
        present: Bool[np.ndarray, " decision"],
        width: int | None,
    ) -> StreamBatch:
        """One stream of the batch."""
        stream, need = self.world.streams[name], self.required_slots[name]
        layout = lay_out(known.last_slot.reshape(times.shape), need, self.once[name], width)
        start = layout.start - stream.candles.first_slot
        values, valid = gather_blocks(stream.features, stream.feature_valid, start, layout.length)
        block = layout.block
        late = np.flatnonzero(known.late & present)
        if len(late):
            block = block.copy()
            block[late] = len(values) + np.arange(len(late))
            values, valid = _append_late(stream, times.reshape(-1)[late], values, valid)
        last = known.last_slot - layout.start[layout.block]
        last[late] = layout.length - 1
        return StreamBatch(
            values=torch.from_numpy(values),
            valid=torch.from_numpy(valid),
            block=torch.from_numpy(block),
            last=torch.from_numpy(last),
            present=torch.from_numpy(present),
            log_sigma=torch.from_numpy(log_sigma(known)),
            age=torch.from_numpy(log_age(known, stream)),
        )


def lay_out(
    last_slot: Int64[np.ndarray, "group member"], need: int, once: bool, width: int | None = None
) -> Layout:
    """Blocks that hold the ``need`` slots up to each decision's last one.

    Encoded once, decisions share blocks, within a group and across groups: a year of random
    minutes has each of its 365 daily candles in one block. The wider a block, the more decisions
    share it and the more candles may lie in it that nobody asked for, so several widths are tried
    and the one with the fewest slots is taken; that of the groups themselves is among them.
    No block is longer than ``MAX_BLOCK_SLOTS``. On the window path only equal windows are one.
    ``width``: by how much the last slots of a block's decisions may differ, where that is settled.
    """
    wanted, of_decision = np.unique(last_slot, return_inverse=True)
    widths = _widths(last_slot, need, once) if width is None else [width]
    tried = [_cover(wanted, one) for one in widths]
    first, end = min(tried, key=lambda blocks: len(blocks[0]) * (need + _extent(*blocks)))
    length = need + _extent(first, end)
    block = np.searchsorted(end, wanted)[of_decision.reshape(-1)].astype(np.int64)
    return Layout(end - length + 1, length, block)


def _widths(last_slot: Int64[np.ndarray, "group member"], need: int, once: bool) -> list[int]:
    """The widths to try."""
    widest = max(MAX_BLOCK_SLOTS - need, 0) if once else 0
    width = min(int(np.ptp(last_slot, axis=1).max()), widest)
    tried = [0, width]
    while width < min(widest, int(np.ptp(last_slot))):
        width = min(max(2 * width, 1), widest)
        tried.append(width)
    return list(dict.fromkeys(tried))


def _cover(
    wanted: Int64[np.ndarray, " slot"], width: int
) -> tuple[Int64[np.ndarray, " block"], Int64[np.ndarray, " block"]]:
    """First and last slot of the fewest intervals, each up to ``width`` + 1, that cover slots."""
    first, last = cover(wanted, width)
    return wanted[first], wanted[last]


def _extent(first: Int64[np.ndarray, " block"], end: Int64[np.ndarray, " block"]) -> int:
    """What the longest interval adds to the slots that one decision needs."""
    return int((end - first).max())


def _without(
    sides: Mapping[str, SideBatch], dropped: Bool[np.ndarray, "decision side"]
) -> dict[str, SideBatch]:
    """Side inputs without those that some decisions lose; ``dropped`` may have no columns."""
    left = dict(sides)
    for index, name in enumerate(sides if dropped.shape[1] else ()):
        kept = torch.from_numpy(~dropped[:, index])[:, None, None]
        left[name] = SideBatch(sides[name].values * kept, sides[name].valid & kept)
    return left


def log_sigma(known: Known) -> Float32[np.ndarray, " decision"]:
    """``(ln sigma_bps - 2) / 2``: near 0 for usual volatilities; 0 where unknown."""
    there = np.isfinite(known.sigma)
    sigma_bps = np.where(there, known.sigma, 1.0) * 1e4
    return np.where(there, (np.log(sigma_bps) - 2) / 2, 0.0).astype(np.float32)


def log_age(known: Known, stream: Stream) -> Float32[np.ndarray, " decision"]:
    """``log(1 + age of the last candle in durations)``; 0 where there is none."""
    there = known.age_ms < NEVER_MS
    age = np.where(there, known.age_ms, 0) / stream.spec.timeframe.duration_ms
    return np.log1p(np.maximum(age, 0)).astype(np.float32)


def _append_late(
    stream: Stream,
    times: Int64[np.ndarray, " late"],
    values: Float32[np.ndarray, "block time channel"],
    valid: Bool[np.ndarray, "block time"],
) -> tuple[Float32[np.ndarray, "blocks time channel"], Bool[np.ndarray, "blocks time"]]:
    """The blocks with one more for each late decision, scanned as known at its time."""
    assert stream.feature_set is not None
    length = values.shape[1]
    seen = [window(stream, stream.feature_set, int(time), length) for time in times]
    return (
        np.concatenate([values, np.stack([features for features, _, _ in seen])]),
        np.concatenate([valid, np.stack([usable for _, usable, _ in seen])]),
    )


def targets_of(labels: Labels) -> dict[str, dict[str, TargetBatch]]:
    """Labels as tensors, in float32 where they are real numbers."""
    return {
        head: {
            target: TargetBatch(
                {name: _tensor(value) for name, value in label.values.items()},
                torch.from_numpy(label.present),
            )
            for target, label in targets.items()
        }
        for head, targets in labels.items()
    }


def _tensor(value: np.ndarray) -> torch.Tensor:
    """Float32 for real numbers, int64 for classes."""
    return torch.from_numpy(value.astype(np.float32 if value.dtype.kind == "f" else np.int64))
