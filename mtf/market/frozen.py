"""A stream whose feed hangs: its last candles repeat the close before them (see ``disturbed``).

The features of these candles, and the scale after them, are scanned from the state before them, at
every decision anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from mtf.market import kernels
from mtf.market.asof import Known
from mtf.market.candles import CLOSE, VOLUME, Candles
from mtf.market.disturbed import Disturbed, Tail, Times, fed_by
from mtf.market.forming import Forming, forming
from mtf.market.resample import resample
from mtf.market.scale import SAVE_EVERY, scale_state, scan_scale
from mtf.market.stream import Stream
from mtf.market.world import World


def frozen(
    world: World, times: Times, known: Mapping[str, Known], name: str, slots: int
) -> Disturbed:
    """The last ``slots`` candles of a delivered stream repeat the close before them.

    Args:
        world: the market; its streams have their saved states, as ``compute_stream`` keeps them.
        times: decision times in ms.
        known: what is known of every stream at ``times`` where nothing is frozen.
        name: of the stream.
        slots: how many of its candles.
    """
    seen, found = dict(known), Disturbed({})
    feed = _Feed(world.streams[name], slots)
    for other in fed_by(world, name):
        hung = _hung(world.streams[other], feed, times, known[name], known[other])
        seen[other], found.tails[other] = hung.known, hung.tail
        found.flat[other] = hung.flat
    return replace(found, known=seen)


def frozen_forming(
    world: World,
    times: Times,
    stream: str,
    known: Mapping[str, Known],
    present: Mapping[str, Bool[np.ndarray, " decision"]],
    disturbed: Disturbed,
) -> Forming:
    """The forming candle of a stream, as ``forming``, where a finer stream may be frozen.

    What the feed repeats leaves open, high, low and close as they are; where all of the slot so far
    is frozen, the candle is flat.
    """
    hidden = {name: tail.count[tail.row] for name, tail in disturbed.tails.items()}
    before = forming(world, times, stream, known, present, hidden)
    seen = forming(world, times, stream, known, present)
    close = next(iter(disturbed.flat.values()))
    flat = np.stack([close] * VOLUME + [np.zeros(len(close))], axis=1)
    only_flat = (seen.found & ~before.found)[:, None]
    return replace(seen, candle=np.where(only_flat, flat, before.candle))


@dataclass(frozen=True)
class _Hung:
    """What a frozen feed makes of one stream."""

    known: Known
    tail: Tail
    flat: Float64[np.ndarray, " decision"]


def _hung(stream: Stream, feed: _Feed, times: Times, of_feed: Known, known: Known) -> _Hung:
    """The frozen tail of a stream at every decision; equal moments are scanned once."""
    scans, rows = _Scans(stream), _Rows(stream)
    moment: dict[tuple[int, int, int], int] = {}
    of_decision = np.empty(len(times), np.int64)
    for decision in np.argsort(times, kind="stable"):
        last, own = int(of_feed.last_slot[decision]), int(known.last_slot[decision])
        waits = bool(of_feed.late[decision] | known.late[decision])
        time_ms = int(times[decision])
        key = last, own, time_ms if waits else -1
        if key not in moment:
            moment[key] = len(moment)
            first, candles, close = feed.tail(stream, last, own, time_ms)
            rows.add(scans.scan(candles, first, time_ms, waits), close)
        of_decision[decision] = moment[key]
    return rows.hung(known, of_decision)


class _Feed:
    """The candles of a delivered stream as they come once its feed hangs."""

    def __init__(self, stream: Stream, slots: int) -> None:
        self.stream, self.slots = stream, slots

    def tail(
        self, stream: Stream, last: int, own_last: int, time_ms: int
    ) -> tuple[int, Candles, float]:
        """First slot and candles that change in this stream or a derived one; the repeated close.

        Args:
            stream: this one, or one derived from it.
            last: last slot of this one.
            own_last: last slot of ``stream``.
            time_ms: of the decision.
        """
        timeframe = stream.spec.timeframe
        begin = last - self.slots + 1
        opened = self.stream.spec.timeframe.open_time(begin)
        first = min(int(timeframe.slot(opened)), own_last + 1)
        start = int(self.stream.spec.timeframe.slot(int(timeframe.open_time(first))))
        ohlcv, valid = visible_candles(self.stream, start, last + 1, time_ms)
        close = self._close_before(begin, time_ms)
        flat = np.flatnonzero(valid[begin - start :]) + begin - start
        ohlcv[flat] = close
        ohlcv[flat, VOLUME] = 0.0
        valid[flat] = np.isfinite(close)
        feed = self.stream.candles
        candles = Candles(feed.symbol, feed.timeframe, start, ohlcv, valid)
        if stream is not self.stream:
            candles = _laid(resample(candles, timeframe), first, own_last + 1)
        return first, candles, close

    def _close_before(self, slot: int, time_ms: int) -> float:
        """Close of the last candle known before a slot; NaN = none."""
        candles = self.stream.candles
        end = min(max(slot - candles.first_slot, 0), len(candles))
        row = int(self.stream.scale.last_valid[end - 1]) if end else -1
        arrives = candles.available_at
        while row >= 0 and arrives is not None and arrives[row] > time_ms:
            row = int(self.stream.scale.last_valid[row - 1]) if row else -1
        return float(candles.ohlcv[row, CLOSE]) if row >= 0 else np.nan


def visible_candles(
    stream: Stream, first: int, end: int, time_ms: int
) -> tuple[Float64[np.ndarray, "slot 5"], Bool[np.ndarray, " slot"]]:
    """Copies of the candles of some slots that are known at a time; NaN where there is none."""
    candles, length = stream.candles, max(end - first, 0)
    ohlcv, valid = np.full((length, 5), np.nan), np.zeros(length, np.bool_)
    low = max(first - candles.first_slot, 0)
    high = min(end - candles.first_slot, len(candles))
    if low < high:
        there = candles.valid[low:high]
        if candles.available_at is not None:
            there = there & (candles.available_at[low:high] <= time_ms)
        at = slice(low + candles.first_slot - first, high + candles.first_slot - first)
        valid[at] = there
        ohlcv[at] = np.where(there[:, None], candles.ohlcv[low:high], np.nan)
    return ohlcv, valid


def _laid(candles: Candles, first: int, end: int) -> Candles:
    """The candles of exactly these slots."""
    ohlcv, valid = np.full((max(end - first, 0), 5), np.nan), np.zeros(max(end - first, 0), bool)
    at = candles.first_slot - first + np.arange(len(candles))
    inside = (at >= 0) & (at < len(valid))
    ohlcv[at[inside]], valid[at[inside]] = candles.ohlcv[inside], candles.valid[inside]
    return Candles(candles.symbol, candles.timeframe, first, ohlcv, valid)


@dataclass(frozen=True)
class _Scanned:
    """Features and scale of a few slots."""

    features: Float32[np.ndarray, "slot channel"]
    usable: Bool[np.ndarray, " slot"]
    scale: tuple[float, float, float] | None
    """Sigma, mean volume and last close after them; None = no slot."""


class _Scans:
    """Goes on with a stream's scans from any of its slots, over candles that are not its own."""

    def __init__(self, stream: Stream) -> None:
        if stream.feature_set is None or stream.feature_states is None:
            raise ValueError(
                f"stream {stream.spec.name} has no saved states; build it with compute_stream, "
                "which keeps them"
            )
        assert stream.scale.states is not None
        self.stream, self.feature_set = stream, stream.feature_set
        self.feature_states, self.scale_states = stream.feature_states, stream.scale.states
        self.features, self.scale, self.row = np.empty(0), np.empty(0), 0
        self.waited = False
        self._start(0)

    def scan(self, candles: Candles, first: int, time_ms: int, waits: bool) -> _Scanned:
        """Scan candles that stand in for the stream's own from slot ``first`` on."""
        row = min(max(first - self.stream.candles.first_slot, 0), len(self.stream.candles))
        self._go_to(row, time_ms, waits)
        if not len(candles):
            return _Scanned(
                *self.feature_set.scan(candles.ohlcv, candles.valid, self.features), None
            )
        states = self.features.copy(), self.scale.copy()
        features, usable = self.feature_set.scan(candles.ohlcv, candles.valid, states[0])
        scale = self._scan_scale(candles.ohlcv, candles.valid, states[1], row)
        return _Scanned(features, usable, scale)

    def _go_to(self, row: int, time_ms: int, waits: bool) -> None:
        """Bring the scans to just before a row."""
        known = row
        if waits and self.stream.arrival is not None:
            known = int(np.searchsorted(self.stream.arrival[:row], time_ms, side="right"))
        if waits or self.waited or not self.row <= row < self.row + SAVE_EVERY:
            self._start(known // SAVE_EVERY)
        self.waited = waits  # what waits now may have arrived by the next decision
        first = self.stream.candles.first_slot
        ohlcv, valid = visible_candles(self.stream, first + self.row, first + row, time_ms)
        self.feature_set.scan(ohlcv, valid, self.features)
        self._scan_scale(ohlcv, valid, self.scale, self.row)
        self.row = row

    def _start(self, piece: int) -> None:
        """Take up the saved states of a piece; those before the first slot where none are saved."""
        piece = min(piece, len(self.feature_states) - 1)
        self.row = max(piece, 0) * SAVE_EVERY
        if piece < 0:
            self.features, self.scale = np.array(self.feature_set.initial_state()), scale_state()
            return
        self.features = self.feature_states[piece].copy()
        self.scale = self.scale_states[piece].copy()

    def _scan_scale(
        self, ohlcv: np.ndarray, valid: np.ndarray, state: np.ndarray, row: int
    ) -> tuple[float, float, float] | None:
        scale = self.stream.scale
        if not len(valid):
            return None
        found = scan_scale(ohlcv, valid, state, row, scale.half_life, scale.volume_half_life)
        ends = float(found.sigma[-1]), float(found.volume_mean[-1])
        return (*ends, float(state[kernels.LAST_CLOSE]))


class _Rows:
    """Collects the tails of a stream, one a moment."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.scanned: list[_Scanned] = []
        self.flat: list[float] = []

    def add(self, scanned: _Scanned, flat: float) -> None:
        """Take the tail of one more moment."""
        self.scanned.append(scanned)
        self.flat.append(flat)

    def hung(self, known: Known, row: Times) -> _Hung:
        """All of it, a row a moment, newest slot last."""
        count = np.array([len(one.usable) for one in self.scanned], np.int64)
        most = int(count.max(initial=0))
        values = np.zeros((len(count), most, self.stream.features.shape[1]), np.float32)
        valid = np.zeros((len(count), most), np.bool_)
        for index, one in enumerate(self.scanned):
            values[index, most - count[index] :] = one.features
            valid[index, most - count[index] :] = one.usable
        values[~valid] = 0.0
        tail = Tail(values, valid, count, row)
        return _Hung(self._known(known, row), tail, np.array(self.flat)[row])

    def _known(self, known: Known, row: Times) -> Known:
        """What was known, with the scale after the tail where there is one."""
        nothing = (np.nan, np.nan, np.nan)
        scale = np.array([one.scale or nothing for one in self.scanned])[row]
        there = np.array([one.scale is not None for one in self.scanned])[row]
        names = ("sigma", "volume_mean", "last_close")
        changed = {
            name: np.where(there, scale[:, index], getattr(known, name))
            for index, name in enumerate(names)
        }
        return replace(known, **changed)


__all__ = ["frozen", "frozen_forming", "visible_candles"]
