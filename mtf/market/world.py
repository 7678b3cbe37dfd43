"""One primary symbol with everything around it: its streams, its clock, its label volatility.

A ``World`` answers questions about any decision time: what is known of each stream (``known``),
and in which volatility its labels are measured (``label_volatility``). It holds no window and no
label; memory is a few arrays a candle, whatever the lookback or the number of decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from mtf.market import mapped
from mtf.market.asof import Known, as_of
from mtf.market.candles import CLOSE, Candles
from mtf.market.label_kernels import ew_std, ew_std_state
from mtf.market.pivots import Pivots
from mtf.market.stream import Stream, arrival_of
from mtf.market.timeframe import Timeframe

LABEL_HALF_LIFE = 240
LABEL_MIN_RETURNS = 60
VOLATILITY_FLOOR = 1e-5
RESCAN = 20 * LABEL_HALF_LIFE
"""Clock candles that are scanned anew where one is awaited."""


@dataclass(frozen=True)
class World:
    """A primary symbol, its streams and its clock.

    Attributes:
        symbol: the primary symbol, whose candles labels are made of.
        clock: the timeframe at whose closes decisions are made.
        streams: all streams by name, in the order of the config.
        clock_candles: the primary symbol's candles at the clock's timeframe.
        label_sigma: s after every slot of ``clock_candles``; NaN until 60 observed returns.
        clock_latency_ms: when a clock candle may be known after its close.
    """

    symbol: str
    clock: Timeframe
    streams: Mapping[str, Stream]
    clock_candles: Candles
    label_sigma: Float64[np.ndarray, " slot"]
    clock_latency_ms: int = 0

    def known(self, times: Int64[np.ndarray, " decision"]) -> dict[str, Known]:
        """What is known of every stream at each of ``times`` (ms).

        A stream derived from another is absent when that one is. What was read of a long history
        for other decisions is given back first (``release``).
        """
        self.release()
        known = {name: as_of(stream, times) for name, stream in self.streams.items()}
        for name, stream in self.streams.items():
            source = stream.spec.derived_from
            if source is not None:
                present = known[name].present & known[source].present
                known[name] = replace(known[name], present=present)
        return known

    def label_volatility(
        self, times: Int64[np.ndarray, " decision"]
    ) -> Float64[np.ndarray, " decision"]:
        """The volatility s (log return a clock step) as of each time; NaN where not known yet."""
        candles = self.clock_candles
        row = self.clock.last_slot(times, self.clock_latency_ms) - candles.first_slot
        inside = (row >= 0) & (len(candles) > 0)
        row = np.clip(row, 0, max(len(candles) - 1, 0))
        values = self.label_sigma[row] if len(candles) else np.empty(len(times))
        if candles.available_at is not None:
            pending = inside & (self._arrival[row] > times)
            for decision in np.flatnonzero(pending):
                values[decision] = self._sigma_as_then_known(
                    int(row[decision]), int(times[decision])
                )
        return np.where(inside, values, np.nan)

    def _sigma_as_then_known(self, row: int, time_ms: int) -> float:
        """The label volatility while candles are awaited: without them, as if they never came.

        Scanned from 20 half-lives back, before which a return weighs less than 1e-6.
        """
        candles = self.clock_candles
        recent = slice(max(0, row + 1 - RESCAN), row + 1)
        seen = candles.valid[recent] & (self._available_at[recent] <= time_ms)
        return float(_ew_std(candles.ohlcv[recent, CLOSE], seen)[-1])

    def row_at_or_after(
        self, row: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The first clock row with a candle at or after ``row``; -1 = none."""
        there = self._there
        if not len(there):
            return np.full(len(row), -1)
        at = np.searchsorted(there, _as_rows(row))
        return np.where(at < len(there), there[np.minimum(at, len(there) - 1)], -1).astype(np.int64)

    def row_at_or_before(
        self, row: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The last clock row with a candle at or before ``row``; -1 = none."""
        there = self._there
        if not len(there):
            return np.full(len(row), -1)
        at = np.searchsorted(there, _as_rows(row), side="right") - 1
        return np.where(at >= 0, there[np.maximum(at, 0)], -1).astype(np.int64)

    def candles_between(
        self, first: Int64[np.ndarray, " decision"], end: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """How many clock rows from ``first`` up to but not including ``end`` hold a candle."""
        there = self._there
        return np.searchsorted(there, _as_rows(end)) - np.searchsorted(there, _as_rows(first))

    def release(self) -> None:
        """Give back the memory of what was read so far of arrays that lie in files.

        It comes back when it is read again. Without this the whole history would be resident once
        training has seen it.
        """
        mapped.release(*self._in_files, vars(self).get("_there"))

    @cached_property
    def _in_files(self) -> tuple[np.ndarray, ...]:
        """The arrays that lie in files; none of a short history."""
        found: list[np.ndarray | None] = [self.label_sigma]
        for candles in (self.clock_candles, *(one.candles for one in self.streams.values())):
            found += [candles.ohlcv, candles.valid, candles.available_at]
        for stream in self.streams.values():
            scale = stream.scale
            found += [stream.features, stream.feature_valid, stream.feature_states]
            found += [scale.sigma, scale.volume_mean, scale.last_valid, scale.states]
        return tuple(one for one in found if one is not None and mapped.is_mapped(one))

    @cached_property
    def pivots(self) -> Pivots:
        """The pivots of ``clock_candles``, found when first asked for; only labels may look."""
        return Pivots(self.clock_candles)

    @cached_property
    def _available_at(self) -> Int64[np.ndarray, " slot"]:
        """When each clock candle is known, never before its close plus the latency."""
        candles = self.clock_candles
        assert candles.available_at is not None
        known = mapped.empty(len(candles), np.int64)
        for rows in mapped.pieces(len(candles)):
            slots = candles.first_slot + np.arange(rows.start, rows.stop)
            on_time = self.clock.close_time(slots) + self.clock_latency_ms
            known[rows] = np.maximum(candles.available_at[rows], on_time)
            mapped.release(known[rows], candles.available_at[rows])
        return known

    @cached_property
    def _arrival(self) -> Int64[np.ndarray, " slot"]:
        """When all clock candles up to each slot are known."""
        return arrival_of(self.clock_candles.valid, self._available_at)

    @cached_property
    def _there(self) -> Int32[np.ndarray, " candle"]:
        """Rows of ``clock_candles`` that hold a candle."""
        valid = self.clock_candles.valid
        there = mapped.empty(mapped.count(valid), np.int32)
        end = 0
        for rows in mapped.pieces(len(valid)):
            some = np.flatnonzero(valid[rows]) + rows.start
            start, end = end, end + len(some)
            there[start:end] = some
            mapped.release(there[start:end], valid[rows])
        return there


def _as_rows(row: Int64[np.ndarray, " decision"]) -> Int32[np.ndarray, " decision"]:
    """Rows of the type of ``World._there``: a search for others would first copy all of it."""
    limits = np.iinfo(np.int32)
    rows: np.ndarray = np.clip(row, limits.min, limits.max).astype(np.int32)
    return rows


def label_sigma(candles: Candles) -> Float64[np.ndarray, " slot"]:
    """The label volatility s after every slot: exponentially weighted standard deviation."""
    return _ew_std(candles.ohlcv[:, CLOSE], candles.valid)


def _ew_std(
    close: Float64[np.ndarray, " slot"], valid: Bool[np.ndarray, " slot"]
) -> Float64[np.ndarray, " slot"]:
    """The scan with the settings of labels."""
    sigma, state = mapped.empty(len(close)), ew_std_state()
    settings = LABEL_HALF_LIFE, LABEL_MIN_RETURNS, VOLATILITY_FLOOR
    for rows in mapped.pieces(len(close)):
        ew_std(close[rows], valid[rows], state, *settings, sigma[rows])
        mapped.release(close[rows], valid[rows], sigma[rows])
    return sigma
