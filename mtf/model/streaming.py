"""Streaming inference: a new candle costs one step of the encoder, a decision one fusion.

The engine of live trading and replay. Every candle is given once, as it comes; a decision is what a
batch would say of the same time (``BatchBuilder`` and ``HybridModel`` in evaluation), to rounding.

Nothing shows before it may: a candle is seen from its close plus the stream's latency on, or from
``available_at`` where that is later, however early it was given. A slot without a candle is absent.
A candle that comes after later ones is put in its place and all from there on is found anew, as far
back as ``reach`` slots; an older one is refused, and so is another candle in the place of one that
is there (both are counted, see ``Outcome``). Memory is constant, however many candles come.

Knows nothing of feeds, clocks on the wall or orders. Not meant for training.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64

from mtf.errors import DataError, MtfError
from mtf.market.asof import Known
from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.flow import Flow, Outcome, check_candle
from mtf.market.flow_parts import Buckets
from mtf.market.resample import resample
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.model.answer import Answer, Outputs, answer_of
from mtf.model.hybrid import HybridModel
from mtf.model.stream_beside import Beside
from mtf.model.stream_encoding import advancing
from mtf.model.stream_kernels import END, LAST_SLOT
from mtf.model.stream_table import Table, Track, Turning
from mtf.model.tokens import pool
from mtf.plugins.contracts import Encoder

Candle = Float64[np.ndarray, " 5"]
Milliseconds = int | np.integer
THERE = np.ones(1, np.bool_)
Sides = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Side inputs by name: values and which are there, each ``[time, element]``."""


class Streaming:
    """A model that is fed candle by candle, and asked at any time that does not go back.

    Args:
        model: in evaluation; its weights are taken as they are now.
        feature_sets: of every stream.
        clock: the timeframe at whose closes decisions are made.
        symbol: which symbol of a panel it is about; None = no panel, or one that was not learned.
        reach: slots, before a stream's newest one, within which a late candle is still taken.
        compiled: let fusion and heads be answered by what is compiled, where that agrees.
    """

    def __init__(
        self,
        model: HybridModel,
        feature_sets: Mapping[str, FeatureSet],
        clock: Timeframe,
        *,
        symbol: int | None = None,
        reach: int = 1024,
        compiled: bool = True,
    ) -> None:
        if model.training:
            raise MtfError("found a model in training", "one in evaluation", "call model.eval()")
        self.model, self.clock, self.symbol = model, clock, symbol
        self.flows = {
            spec.name: Flow(spec, feature_sets[spec.name], model.required_slots(spec.name), reach)
            for spec in model.streams
        }
        self.table = Table(
            model, list(self.flows.values()), symbol, 1 if model.mirror is None else 2
        )
        self.tracks = [self._track(i) for i in range(len(model.streams))]
        self.buckets = {spec.name: self._derived(spec) for spec in model.streams}
        self.beside = Beside(model, self.flows, self.table, symbol)
        self.waiting: dict[str, list[tuple[int, int, list[float]]]] = {n: [] for n in self.flows}
        self.time_ms = -(2**62)
        self.identity = ""
        self._reach = np.full(len(self.flows), reach)
        self._by_window = np.flatnonzero(~self.table.chosen).tolist()
        self._windows: dict[int, tuple[int, int, int]] = {}
        self.answer: Answer = answer_of(model, self.table.tokens, self.table.shown, compiled)

    def update(
        self,
        stream: str,
        open_time_ms: Milliseconds,
        candle: Candle,
        available_at_ms: Milliseconds | None = None,
    ) -> Outcome:
        """Take a closed candle of a delivered stream.

        Args:
            stream: its name.
            open_time_ms: when it opens, ms UTC.
            candle: open, high, low, close, volume.
            available_at_ms: when it may be known, where that is later than its close and the
                stream's latency.

        Returns:
            What became of it; counted in ``counts``.

        Raises:
            DataError: no such stream, no candle of it, one that lies far ahead, or too many that
                wait.
        """
        flow = self._delivered(stream)
        candle = np.asarray(candle, np.float64)
        slot = flow.slot_of(int(open_time_ms))
        check_candle(stream, int(open_time_ms), candle)
        known_ms = self.time_ms if available_at_ms is None else int(available_at_ms)
        if known_ms > max(self.time_ms, self._due(flow, slot)):
            return self._wait(flow, known_ms, slot, candle)
        return self._take(flow, slot, candle)

    def extend(self, stream: str, candles: Candles) -> None:
        """Take the history of a delivered stream, faster than candle by candle.

        All of it counts as known by the timetable.

        Raises:
            DataError: no such stream, or candles that do not lie behind those that are there.
        """
        flow = self._delivered(stream)
        candles = candles.trim()
        if candles.timeframe != flow.spec.timeframe:
            raise DataError(
                f"stream {stream} is {flow.spec.timeframe}, its history {candles.timeframe}",
                f"candles of {flow.spec.symbol} at {flow.spec.timeframe}",
            )
        flow.take_all(candles)
        for buckets in self.buckets[stream]:
            self._extend_derived(buckets, candles)

    def decide(self, time_ms: Milliseconds, sides: Sides | None = None) -> Outputs:
        """What every head says at a time.

        Args:
            time_ms: decision time, ms UTC; never before that of an earlier decision.
            sides: side inputs that the caller knows; others count as missing.

        Returns:
            Head → output → array with one row, as ``HybridModel`` returns tensors.

        Raises:
            DataError: the time lies before an earlier decision, or further back than streams reach.
        """
        time_ms = int(time_ms)
        self._go_to(time_ms)
        table = self.table
        table.look(time_ms)
        behind = table.slots[:, LAST_SLOT] < table.standing[:, END] - self._reach
        if behind.any():
            raise self._too_early(time_ms, int(np.flatnonzero(behind)[0]))
        table.pool()
        for index in self._by_window:
            self._encode_window(index)
        table.dress()
        self.beside.fill(time_ms, sides or {})
        return self.answer()

    def forget(self) -> None:
        """Forget the tokens of the last decision; the next one finds all of them anew."""
        self.table.forget()
        self._windows.clear()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Candles of every stream by what became of them."""
        return {name: dict(flow.counts) for name, flow in self.flows.items()}

    @property
    def known(self) -> dict[str, Known]:
        """What was known of every stream at the last decision; rows count from its first slot."""
        return {name: self.table.known(i) for i, name in enumerate(self.flows)}

    def _track(self, index: int) -> Track:
        """What encodes a stream."""
        spec, encoder = self.model.streams[index], self.model.encoders[index]
        assert isinstance(encoder, Encoder)
        if not self.model.encode_once(spec.name)[0]:
            return Track(self.table, index, [])
        flow, views = self.flows[spec.name], len(self.table.tokens)
        encoding = [advancing(encoder, flow.features.shape[1]) for _ in range(views)]
        return Track(self.table, index, encoding, self._turning(spec.name))

    def _turning(self, stream: str) -> Turning | None:
        """How a stream looks upside down; None = it is not asked that way up."""
        if self.model.mirror is None:
            return None
        sources, signs = zip(*self.model.mirror.turned[stream], strict=True)
        return np.array(sources), np.array(signs, np.float32)

    def _derived(self, spec: StreamSpec) -> list[Buckets]:
        """The streams that are built from the candles of a delivered one."""
        specs = {one.name: one for one in self.model.streams}
        if spec.derived_from is not None:
            return []
        built = [one for one in specs.values() if one is not spec and root_of(one, specs) is spec]
        return [Buckets(spec.timeframe, self.flows[one.name]) for one in built]

    def _delivered(self, stream: str) -> Flow:
        """The rings of a delivered stream.

        Raises:
            DataError: there is none of that name.
        """
        flow = self.flows.get(stream)
        if flow is not None and flow.spec.derived_from is None:
            return flow
        delivered = [one.spec.name for one in self.flows.values() if one.spec.derived_from is None]
        built = "" if flow is None else f", which is built from {flow.spec.derived_from}"
        raise DataError(
            f"found a candle of stream {stream!r}{built}",
            f"a delivered stream: {', '.join(delivered)}",
        )

    def _take(self, flow: Flow, slot: int, candle: Candle) -> Outcome:
        """Take a candle that may be known, and what it completes."""
        outcome = flow.take(slot, candle)
        if outcome is Outcome.LATE:
            self.beside.late(flow.spec.name, slot, candle)
        if outcome in (Outcome.TAKEN, Outcome.LATE):
            for buckets in self.buckets[flow.spec.name]:
                for bucket, longer in buckets.add(slot, candle[None], THERE):
                    self._take_derived(buckets.flow, bucket, longer)
        return outcome

    def _take_derived(self, flow: Flow, slot: int, candle: Candle) -> None:
        if flow.take(slot, candle) is Outcome.LATE:
            self.beside.late(flow.spec.name, slot, candle)

    def _extend_derived(self, buckets: Buckets, candles: Candles) -> None:
        """Longer candles of a history: all at once, but for the newest, which may be continued."""
        flow, opened = buckets.flow, candles.open_time()
        longer = flow.spec.timeframe
        slots = longer.slot(opened)
        recent = int(np.searchsorted(slots, slots[-1] - flow.reach)) if len(slots) else 0
        if flow.end > flow.first or buckets.count.any():
            recent = 0  # a bucket may have begun before this history
        flow.take_all(
            resample(candles.slice(opened[0], opened[recent]), longer)
        ) if recent else None
        rest = candles.ohlcv[recent:], candles.valid[recent:]
        for slot, candle in buckets.add(candles.first_slot + recent, *rest):
            self._take_derived(flow, slot, candle)

    def _due(self, flow: Flow, slot: int) -> int:
        """When a candle may be known by the timetable."""
        return flow.spec.timeframe.close_time(slot) + flow.spec.latency_ms

    def _wait(self, flow: Flow, available_at_ms: int, slot: int, candle: Candle) -> Outcome:
        """Keep a candle until it may be known."""
        waiting = self.waiting[flow.spec.name]
        for _, other, kept in waiting:
            if other == slot:
                same = kept == candle.tolist()
                return flow.count(Outcome.REPEATED if same else Outcome.CONFLICTING)
        if len(waiting) >= flow.size:
            raise DataError(
                f"stream {flow.spec.name}: {len(waiting):,} candles wait until they may be known",
                f"a decision before there are more: it lets in what was known by its time, after "
                f"{iso(waiting[0][0])}",
                "ask for decisions in the order of time, or give the history by extend",
            )
        insort(waiting, (available_at_ms, slot, candle.tolist()))
        return Outcome.WAITING

    def _go_to(self, time_ms: int) -> None:
        """Let in what may be known by now.

        Raises:
            DataError: the time goes back.
        """
        if time_ms < self.time_ms:
            raise DataError(
                f"found decision time {iso(time_ms)} after {iso(self.time_ms)}",
                "decision times that do not go back",
                "ask another Streaming, or one restored from an earlier state",
            )
        self.time_ms = time_ms
        for name, waiting in self.waiting.items():
            while waiting and waiting[0][0] <= time_ms:
                _, slot, candle = waiting.pop(0)
                self._take(self.flows[name], slot, np.array(candle))

    def _too_early(self, time_ms: int, index: int) -> DataError:
        """What to say where a stream has gone too far ahead of a decision."""
        flow = self.table.flows[index]
        newest = flow.spec.timeframe.close_time(flow.end - 1)
        return DataError(
            f"found decision time {iso(time_ms)}, but stream {flow.spec.name} has candles up to "
            f"{iso(newest)}",
            f"a decision at most {flow.reach} slots before a stream's newest candle",
            "give candles and ask for decisions in the order of time, or raise reach",
        )

    def _encode_window(self, index: int) -> None:
        """Tokens of a stream whose windows are encoded by themselves, unless nothing changed."""
        flow, last_slot = self.table.flows[index], int(self.table.slots[index, LAST_SLOT])
        seen = last_slot, min(last_slot + 1, flow.end), flow.rescans
        if self._windows.get(index) == seen:
            return
        x, usable = flow.window_of(last_slot + 1, flow.window)
        tokens = self.table.tokens_of(index)
        for view in range(len(self.table.tokens)):
            track = self.tracks[index]
            pooled, mask = self._pooled(index, track.turned(view, x), usable)
            self.table.pooled[view, tokens], self.table.mask[tokens] = pooled, mask
        self._windows[index] = seen

    @torch.inference_mode()
    def _pooled(
        self, index: int, x: Float32[np.ndarray, "slot channel"], usable: Bool[np.ndarray, " slot"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode one window and take the means over its spans."""
        valid, place = torch.from_numpy(usable)[None], torch.zeros(1, dtype=torch.int64)
        encoded = self.model.encoders[index](torch.from_numpy(x)[None], valid)
        last = place + len(x) - 1
        tokens, mask = pool(encoded, valid, place, last, self.model.spans(index))
        return tokens[0].numpy(), mask[0].numpy()


def root_of(spec: StreamSpec, specs: Mapping[str, StreamSpec]) -> StreamSpec:
    """The delivered stream that a stream is built from, directly or not."""
    while spec.derived_from is not None:
        spec = specs[spec.derived_from]
    return spec


__all__ = ["Outcome", "Streaming"]
