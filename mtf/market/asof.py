"""What is known at t: the one answer that training, backtest, evaluation and live all use.

At ``t`` a stream shows exactly the slots with ``available_at <= t``. By the timetable that is every
slot up to ``last_slot(t, latency)``; a candle that comes later than the timetable says stays unseen
until it arrives, and what was computed from it stays unseen with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from mtf.market import kernels
from mtf.market.feature_set import FeatureSet
from mtf.market.scale import SAVE_EVERY, scan_scale
from mtf.market.stream import Stream

NEVER_MS = np.int64(2**62)
"""The age of a candle that never came."""


@dataclass(frozen=True)
class Known:
    """What is known of one stream at each decision time.

    Attributes:
        last_slot: the last slot by the timetable, whether its candle is there or not.
        row: row of the last known candle in ``stream.candles``; -1 = none yet.
        age_ms: from that candle's close to ``t``; ``NEVER_MS`` = none yet.
        present: there is a usable candle in the lookback and its age is at most ``max_age``.
        late: a slot of the timetable had not arrived at ``t``: features of these decisions are as
            then known and take the window path (see ``window``).
        sigma: of the stream, the last closed return included; NaN = not known yet.
        volume_mean: mean volume, the last known candle included; NaN = not known yet.
        last_close: close of the last known candle; NaN = none yet.
    """

    last_slot: Int64[np.ndarray, " decision"]
    row: Int64[np.ndarray, " decision"]
    age_ms: Int64[np.ndarray, " decision"]
    present: Bool[np.ndarray, " decision"]
    late: Bool[np.ndarray, " decision"]
    sigma: Float64[np.ndarray, " decision"]
    volume_mean: Float64[np.ndarray, " decision"]
    last_close: Float64[np.ndarray, " decision"]


def as_of(stream: Stream, times: Int64[np.ndarray, " decision"]) -> Known:
    """What is known of a stream at each decision time, in any order of times.

    Args:
        stream: its ``feature_set`` is asked where a candle came late and later ones did not.
        times: int64 ms.
    """
    spec = stream.spec
    last_slot = spec.timeframe.last_slot(times, spec.latency_ms)
    last_row = last_slot - stream.candles.first_slot
    ordered, row, sigma, volume_mean, last_close, usable = _look(stream, times, last_row)
    late = ordered < np.clip(last_row + 1, 0, len(stream.candles))
    disordered = np.flatnonzero(row >= ordered)
    if len(disordered):
        scan = LateScan(stream, stream.feature_set)
        for d in disordered:
            scan.follow(int(times[d]), int(ordered[d]), int(last_row[d]) + 1)
            sigma[d], volume_mean[d] = scan.sigma, scan.volume_mean
            usable[d] |= scan.last_usable >= max(last_row[d] - spec.lookback + 1, 0)
    close_time = spec.timeframe.close_time(stream.candles.first_slot + row)
    age_ms = np.where(row >= 0, times - close_time, NEVER_MS)
    present = usable & (age_ms <= spec.max_age * spec.timeframe.duration_ms)
    return Known(last_slot, row, age_ms, present, late, sigma, volume_mean, last_close)


def window(
    stream: Stream, feature_set: FeatureSet, t: int, length: int
) -> tuple[Float32[np.ndarray, "slot channel"], Bool[np.ndarray, " slot"], Known]:
    """The features of the ``length`` slots that end at the last slot of ``t``, as known at ``t``.

    Returns:
        values (0 where not usable), which slots are usable, and ``as_of`` of the one time. Slots
        outside the history are not usable.
    """
    known = as_of(stream, np.array([t], np.int64))
    end = int(known.last_slot[0]) - stream.candles.first_slot + 1
    values = np.zeros((length, stream.features.shape[1]), np.float32)
    valid = np.zeros(length, np.bool_)
    _lay(values, valid, end - length, 0, stream.features, stream.feature_valid, end)
    if known.late[0]:
        ordered = int(_look(stream, np.array([t], np.int64), np.array([end - 1]))[0][0])
        scan = LateScan(stream, feature_set)
        features, usable = scan.follow(t, ordered, end)
        _lay(values, valid, end - length, scan.start, features, usable, end)
    return values, valid, known


class LateScan:
    """The stream as it was known while a candle was late and later ones were there.

    Starts from the saved states before the late candle. As long as nothing that was late arrives,
    going on in time costs the new slots only.
    """

    def __init__(self, stream: Stream, feature_set: FeatureSet | None) -> None:
        """Start before all time.

        Raises:
            ValueError: the stream lacks the feature set or the saved states.
        """
        if feature_set is None or stream.feature_states is None or stream.scale.states is None:
            raise ValueError(
                f"stream {stream.spec.name} has late candles but no saved states; build it with "
                "compute_stream, which keeps them"
            )
        self.stream, self.feature_set = stream, feature_set
        self.feature_states, self.scale_states = stream.feature_states, stream.scale.states
        self.time = self.next_arrival = -int(NEVER_MS)
        self.start = self.end = 0
        self.last_usable = -1
        self.sigma = self.volume_mean = float("nan")

    def follow(
        self, t: int, ordered: int, end: int
    ) -> tuple[Float32[np.ndarray, "row channel"], Bool[np.ndarray, " row"]]:
        """Scan on to row ``end`` as known at ``t``.

        Args:
            t: decision time.
            ordered: number of rows known without a hole.
            end: one past the last row of the timetable.

        Returns:
            Features of the rows ``start`` to ``end`` that this call scanned, and their validity.
        """
        end = min(end, len(self.stream.candles))
        if not self.time <= t < self.next_arrival:
            self._restart(ordered // SAVE_EVERY)
        self.time, self.start, self.end = t, self.end, end
        ohlcv, visible = self._visible(slice(self.start, end))
        self._scan_scale(ohlcv, visible)
        features, usable = self.feature_set.scan(ohlcv, visible, self.feature_state)
        if usable.any():
            self.last_usable = self.start + int(np.flatnonzero(usable)[-1])
        return features, usable

    def _restart(self, piece: int) -> None:
        """Go back to the saved states of a piece, which lies before everything late."""
        self.feature_state = self.feature_states[piece].copy()
        self.scale_state = self.scale_states[piece].copy()
        self.end = piece * SAVE_EVERY
        self.next_arrival, self.last_usable = int(NEVER_MS), -1

    def _visible(
        self, rows: slice
    ) -> tuple[Float64[np.ndarray, "row 5"], Bool[np.ndarray, " row"]]:
        """Candles known at the time of this scan; the others are absent like any absent candle."""
        candles = self.stream.candles
        assert candles.available_at is not None  # else nothing is late
        there = candles.available_at[rows] <= self.time
        waiting = candles.available_at[rows][candles.valid[rows] & ~there]
        self.next_arrival = int(waiting.min(initial=self.next_arrival))
        visible = candles.valid[rows] & there
        return np.where(visible[:, None], candles.ohlcv[rows], np.nan), visible

    def _scan_scale(self, ohlcv: np.ndarray, visible: np.ndarray) -> None:
        """Carry on sigma and the mean volume."""
        scale = self.stream.scale
        if not len(visible):
            return
        scanned = scan_scale(
            ohlcv, visible, self.scale_state, self.start, scale.half_life, scale.volume_half_life
        )
        self.sigma, self.volume_mean = float(scanned.sigma[-1]), float(scanned.volume_mean[-1])


def _look(
    stream: Stream, times: np.ndarray, last_row: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Run the kernel ``look``: ordered, row, sigma, volume mean, last close, usable."""
    candles, scale, n = stream.candles, stream.scale, len(times)
    none = np.empty(0, np.int64)
    out = (
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n, np.bool_),
    )
    kernels.look(
        times, last_row, stream.spec.lookback, candles.ohlcv,
        none if candles.available_at is None else candles.available_at,
        none if stream.arrival is None else stream.arrival,
        stream.feature_valid, (scale.sigma, scale.volume_mean, scale.last_valid), out,
    )  # fmt: skip
    return out


def _lay(
    values: np.ndarray,
    valid: np.ndarray,
    first: int,
    start: int,
    features: np.ndarray,
    usable: np.ndarray,
    end: int,
) -> None:
    """Lay rows of ``features``, the first being ``start``, on a window that begins at ``first``."""
    low, high = max(first, start), min(end, start + len(usable))
    if low < high:
        values[low - first : high - first] = features[low - start : high - start]
        valid[low - first : high - first] = usable[low - start : high - start]
