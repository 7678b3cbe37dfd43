"""A stream: one symbol at one timeframe in one role, with its candles, features and scale.

``StreamSpec`` is what the config says; ``Stream`` is that with the data. Row ``i`` of every array
is slot ``candles.first_slot + i``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from mtf.market import mapped
from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.scale import SAVE_EVERY, Scale, compute_scale
from mtf.market.timeframe import Timeframe


@dataclass(frozen=True)
class StreamSpec:
    """What a config says of one stream.

    Attributes:
        name: the key in the config, such as ``1m`` or ``btc``.
        symbol: such as ETHUSDT.
        role: ``primary`` or ``reference``.
        lookback: slots that the model sees, ending at the last one.
        latency_ms: from a candle's close until it may be known.
        max_age: above this age of its last candle (in durations) the whole stream is masked.
        derived_from: name of the finer stream that it is resampled from; None = delivered natively.
    """

    name: str
    symbol: str
    timeframe: Timeframe
    role: str
    lookback: int
    latency_ms: int = 0
    max_age: float = 3.0
    derived_from: str | None = None


@dataclass(frozen=True)
class Stream:
    """A stream with its data.

    Attributes:
        features: per-candle features, 0 where not usable.
        feature_valid: whether the features of the slot may be used (present and warmed up).
        scale: sigma, mean volume and last candle after every slot.
        feature_set: what computed the features; asked again only where a candle came late.
        feature_states: its state before row 0, ``SAVE_EVERY``, 2 x ``SAVE_EVERY``, …
    """

    spec: StreamSpec
    candles: Candles
    features: Float32[np.ndarray, "slot channel"]
    feature_valid: Bool[np.ndarray, " slot"]
    scale: Scale
    feature_set: FeatureSet | None = field(default=None, compare=False, repr=False)
    feature_states: Float64[np.ndarray, "piece state"] | None = field(
        default=None, compare=False, repr=False
    )

    @cached_property
    def arrival(self) -> Int64[np.ndarray, " slot"] | None:
        """When all candles up to each slot have arrived (ms); None = as the timetable says.

        The timetable holds as well: none is known before its close plus the latency.
        """
        if self.candles.available_at is None:
            return None
        return arrival_of(self.candles.valid, self.candles.available_at)


def arrival_of(
    valid: Bool[np.ndarray, " slot"], available_at: Int64[np.ndarray, " slot"]
) -> Int64[np.ndarray, " slot"]:
    """When all candles up to each slot have arrived (ms); a slot without one is not waited for."""
    arrival = mapped.empty(len(valid), np.int64)
    latest = np.iinfo(np.int64).min
    for rows in mapped.pieces(len(valid)):
        some = np.where(valid[rows], available_at[rows], latest)
        some[:1] = np.maximum(some[:1], latest)
        np.maximum.accumulate(some, out=arrival[rows])
        latest = arrival[rows.stop - 1]
        mapped.release(arrival[rows], valid[rows], available_at[rows])
    return arrival


def compute_stream(spec: StreamSpec, candles: Candles, feature_set: FeatureSet) -> Stream:
    """Scan the candles of a stream into its features and scale.

    Raises:
        ValueError: the candles are of another timeframe than the stream.
    """
    if spec.timeframe != candles.timeframe:
        raise ValueError(f"stream {spec.name} is {spec.timeframe}, its candles {candles.timeframe}")
    state = np.array(feature_set.initial_state(), np.float64)
    features = mapped.empty((len(candles), len(feature_set.channels)), np.float32)
    feature_valid = mapped.empty(len(candles), np.bool_)
    states = mapped.empty((-(-len(candles) // SAVE_EVERY), len(state)))
    for rows in mapped.pieces(len(candles)):
        for start in range(rows.start, rows.stop, SAVE_EVERY):
            states[start // SAVE_EVERY] = state
            cut = slice(start, min(start + SAVE_EVERY, rows.stop))
            features[cut], feature_valid[cut] = feature_set.scan(
                candles.ohlcv[cut], candles.valid[cut], state
            )
        mapped.release(features[rows], feature_valid[rows], candles.ohlcv[rows])
    mapped.release(candles.valid, states)
    volume_half_life = getattr(feature_set, "volume_half_life", 60)
    scale = compute_scale(candles, feature_set.volatility_half_life, volume_half_life)
    return Stream(spec, candles, features, feature_valid, scale, feature_set, states)
