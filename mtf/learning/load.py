"""From a config to a world: one request for all candles, then features and scales of every stream.

History before the first decision is loaded as far as lookback, receptive field and warm-up need it,
no further: the start of the history is part of the data's fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from mtf.config.build import build
from mtf.config.schema import Config
from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.resample import resample
from mtf.market.stream import Stream, StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import LABEL_HALF_LIFE, World, label_sigma
from mtf.plugins.contracts import DataSource, FeatureSet, Request

LABEL_WARMUP = 10 * LABEL_HALF_LIFE
"""Clock steps after which the start of the history hardly matters to the label volatility."""

Key = tuple[str, Timeframe]


@dataclass(frozen=True)
class Loaded:
    """A world and where it came from."""

    world: World
    source: DataSource
    fingerprint: str


def feature_sets(config: Config) -> dict[str, FeatureSet]:
    """The feature set of every stream, one object for all that have the same settings."""
    built: dict[str, FeatureSet] = {}
    sets = {}
    for name, stream in config.streams.items():
        spec = stream.features or config.features
        key = spec.model_dump_json()
        if key not in built:
            built[key] = build("feature", spec)
        sets[name] = built[key]
    return sets


def load_world(
    config: Config, sets: Mapping[str, FeatureSet], required_slots: Mapping[str, int]
) -> Loaded:
    """Load all candles of a config and compute its streams.

    Args:
        config: the run.
        sets: the feature set of every stream (``feature_sets``).
        required_slots: slots that a decision needs of every stream, the receptive field included.

    Raises:
        DataError: candles that are missing or can't be used.
    """
    specs = {spec.name: spec for spec in config.stream_specs()}
    clock = config.decisions.clock
    clock_key = (config.symbol, clock)
    starts = _history_starts(config, specs, sets, required_slots)
    source = build("data_source", config.data)
    requests = [Request(*key, start, config.decisions.end_ms) for key, start in starts.items()]
    delivered = dict(zip(starts, source.load(requests), strict=True))
    streams: dict[str, Stream] = {}
    for spec in _sources_first(specs):
        candles = _candles_of(spec, specs, delivered)
        streams[spec.name] = compute_stream(spec, candles, sets[spec.name])
        _check_enough(streams[spec.name])
    world = World(
        symbol=config.symbol,
        clock=clock,
        streams={name: streams[name] for name in specs},
        clock_candles=delivered[clock_key],
        label_sigma=label_sigma(delivered[clock_key]),
        clock_latency_ms=_clock_latency(specs, clock_key),
    )
    return Loaded(world, source, fingerprint(delivered))


def fingerprint(delivered: Mapping[Key, Candles]) -> str:
    """The sha256 over the fingerprints of all candles."""
    digest = hashlib.sha256()
    for key in sorted(delivered, key=str):
        digest.update(delivered[key].fingerprint().encode())
    return digest.hexdigest()


def _history_starts(
    config: Config,
    specs: Mapping[str, StreamSpec],
    sets: Mapping[str, FeatureSet],
    required_slots: Mapping[str, int],
) -> dict[Key, int]:
    """Earliest open time (ms) wanted of each symbol and timeframe; the clock's candles first."""
    first = config.decisions.start_ms
    clock = config.decisions.clock
    starts = {(config.symbol, clock): _back(clock, first, LABEL_WARMUP)}
    for spec in specs.values():
        root = _root(spec, specs)
        slots = required_slots[spec.name] + sets[spec.name].warmup
        start = _back(spec.timeframe, first - spec.latency_ms, slots)
        key = (root.symbol, root.timeframe)
        starts[key] = min(start, starts.get(key, start))
    return starts


def _back(timeframe: Timeframe, time_ms: int, slots: int) -> int:
    """Open time of the slot that lies ``slots`` before the one of ``time_ms``."""
    return timeframe.open_time(timeframe.slot(time_ms) - slots)


def _root(spec: StreamSpec, specs: Mapping[str, StreamSpec]) -> StreamSpec:
    """The natively delivered stream that a stream is derived from, directly or not."""
    while spec.derived_from is not None:
        spec = specs[spec.derived_from]
    return spec


def _sources_first(specs: Mapping[str, StreamSpec]) -> list[StreamSpec]:
    """The streams, finer ones before those derived from them."""
    return sorted(specs.values(), key=lambda spec: spec.timeframe)


def _candles_of(
    spec: StreamSpec, specs: Mapping[str, StreamSpec], delivered: Mapping[Key, Candles]
) -> Candles:
    """The delivered candles of a stream, or those resampled from its source."""
    root = _root(spec, specs)
    candles = delivered[root.symbol, root.timeframe]
    return candles if root is spec else resample(candles, spec.timeframe)


def _check_enough(stream: Stream) -> None:
    """A lookback that can never be filled is a mistake, not a mask.

    Raises:
        DataError: fewer usable candles than the lookback.
    """
    spec, have = stream.spec, int(stream.feature_valid.sum())
    if have < spec.lookback:
        candles = int(stream.candles.valid.sum())
        warm = f", {have} of them after the warm-up of its features" if have < candles else ""
        raise DataError(
            f"stream {spec.name} has {candles} candles ({spec.symbol} {spec.timeframe}){warm}",
            f"at least {spec.lookback + candles - have}, to fill its lookback of {spec.lookback} "
            "once",
            f"lower streams.{spec.name}.lookback, or bring more history before decisions.start",
        )


def _clock_latency(specs: Mapping[str, StreamSpec], clock_key: Key) -> int:
    """Latency of the stream that delivers the clock's candles; 0 where none does."""
    found = [s.latency_ms for s in specs.values() if (s.symbol, s.timeframe) == clock_key]
    return found[0] if found else 0
