"""From a config to its worlds: one request for all candles, then features and scales of streams.

Every primary symbol has a world of its own; streams that several worlds read are one in memory.
History before the first decision is loaded as far as lookback, receptive field and warm-up need it,
no further: the start of the history is part of the data's fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mtf.config.build import build
from mtf.config.schema import Config
from mtf.errors import DataError
from mtf.market import mapped
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
    """The world of every primary symbol, by symbol, and where they came from."""

    worlds: dict[str, World]
    source: DataSource
    fingerprint: str

    @property
    def world(self) -> World:
        """That of the first symbol."""
        return next(iter(self.worlds.values()))


@dataclass(frozen=True)
class _Delivery:
    """All candles of a config, and the streams that were computed from them so far."""

    candles: Mapping[Key, Candles]
    sets: Mapping[str, FeatureSet]
    computed: dict[StreamSpec, Stream] = field(default_factory=dict)


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


def load_worlds(
    config: Config,
    sets: Mapping[str, FeatureSet],
    required_slots: Mapping[str, int],
    symbols: Sequence[str] = (),
) -> Loaded:
    """Load all candles of a config and compute its streams.

    Args:
        config: the run.
        sets: the feature set of every stream (``feature_sets``).
        required_slots: slots that a decision needs of every stream, the receptive field included.
        symbols: the primary symbols; empty = those of the config.

    Raises:
        DataError: candles that are missing or can't be used.
    """
    primaries = tuple(symbols) or tuple(config.decisions.symbols)
    first_ms, end_ms = config.decisions.start_ms, config.decisions.end_ms
    starts: dict[Key, int] = {}
    for symbol in primaries:
        for key, start in history_starts(config, symbol, sets, required_slots, first_ms).items():
            starts[key] = min(start, starts.get(key, start))
    source = build("data_source", config.data)
    requests = [Request(*key, start, end_ms) for key, start in starts.items()]
    candles = dict(zip(starts, source.load(requests), strict=True))
    worlds = worlds_of(config, sets, candles, primaries)
    for world in worlds.values():
        for stream in world.streams.values():
            _check_enough(stream)
    return Loaded(worlds, source, fingerprint(candles))


def worlds_of(
    config: Config,
    sets: Mapping[str, FeatureSet],
    candles: Mapping[Key, Candles],
    symbols: Sequence[str],
) -> dict[str, World]:
    """The world of every primary symbol, from candles that are there already, however few.

    Args:
        config: the run.
        sets: the feature set of every stream (``feature_sets``).
        candles: of all that is delivered (``history_starts`` names it).
        symbols: the primary symbols.
    """
    delivery = _Delivery(candles, sets)
    return {symbol: _world(config, symbol, delivery) for symbol in symbols}


def _world(config: Config, symbol: str, delivery: _Delivery) -> World:
    """The world of one primary symbol."""
    specs = {spec.name: spec for spec in config.stream_specs(symbol)}
    clock_key = (symbol, config.decisions.clock)
    for spec in _sources_first(specs):
        if spec not in delivery.computed:
            candles = _candles_of(spec, specs, delivery.candles)
            delivery.computed[spec] = compute_stream(spec, candles, delivery.sets[spec.name])
    clock_candles = delivery.candles[clock_key]
    return World(
        symbol=symbol,
        clock=config.decisions.clock,
        streams={name: delivery.computed[spec] for name, spec in specs.items()},
        clock_candles=clock_candles,
        label_sigma=label_sigma(clock_candles),
        clock_latency_ms=_clock_latency(specs, clock_key),
    )


def fingerprint(delivered: Mapping[Key, Candles]) -> str:
    """The sha256 over the fingerprints of all candles."""
    digest = hashlib.sha256()
    for key in sorted(delivered, key=str):
        digest.update(delivered[key].fingerprint().encode())
    return digest.hexdigest()


def history_starts(
    config: Config,
    symbol: str,
    sets: Mapping[str, FeatureSet],
    required_slots: Mapping[str, int],
    first_ms: int,
) -> dict[Key, int]:
    """Earliest open time (ms) wanted of each symbol and timeframe; the clock's candles first.

    Args:
        config: the run.
        symbol: the primary symbol.
        sets: the feature set of every stream (``feature_sets``).
        required_slots: slots that a decision needs of every stream, the receptive field included.
        first_ms: the first decision.
    """
    specs = {spec.name: spec for spec in config.stream_specs(symbol)}
    clock = config.decisions.clock
    starts = {(symbol, clock): _back(clock, first_ms, LABEL_WARMUP)}
    for spec in specs.values():
        root = _root(spec, specs)
        slots = required_slots[spec.name] + sets[spec.name].warmup
        start = _back(spec.timeframe, first_ms - spec.latency_ms, slots)
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
    spec, have = stream.spec, mapped.count(stream.feature_valid)
    if have < spec.lookback:
        candles = mapped.count(stream.candles.valid)
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
