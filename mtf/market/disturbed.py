"""What would be known at t if a stream's feed were late, or frozen. The timetable stays as it is.

*Late by k*: the last k slots of the stream have not arrived. What is known of it (age of the last
candle, sigma, staleness) is as of the candle before them.

*Frozen for k*: the candles that are there among the last k slots repeat the close before them,
without volume, as a feed does that hangs. They are valid, so the stream does not look old; sigma
and the mean volume take them in.

What is derived from the stream is late or frozen with it. Labels are of what truly happens, so they
are not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from mtf.market.asof import Known, as_of
from mtf.market.stream import Stream
from mtf.market.world import World

Times = Int64[np.ndarray, " decision"]


@dataclass(frozen=True)
class Tail:
    """The last slots of a stream as a frozen feed delivers them.

    Attributes:
        values: features, newest last; 0 where not usable.
        valid: which may be used.
        count: how many of the newest slots stand in for those of the stream.
        row: the row of each decision in these arrays.
    """

    values: Float32[np.ndarray, "row slot channel"]
    valid: Bool[np.ndarray, "row slot"]
    count: Int64[np.ndarray, " row"]
    row: Int64[np.ndarray, " decision"]


@dataclass(frozen=True)
class Disturbed:
    """What is known at each decision of a world whose feed of one stream is late or frozen.

    Attributes:
        known: of every stream.
        hidden: by stream: how many of the last slots have not arrived.
        tails: by stream: the slots that are frozen.
        flat: by stream: the close that a frozen feed repeats; NaN = none was known.
    """

    known: dict[str, Known]
    hidden: dict[str, Times] = field(default_factory=dict)
    tails: dict[str, Tail] = field(default_factory=dict)
    flat: dict[str, Float64[np.ndarray, " decision"]] = field(default_factory=dict)


def late(
    world: World, times: Times, known: Mapping[str, Known], name: str, slots: int
) -> Disturbed:
    """The last ``slots`` candles of a delivered stream have not arrived.

    Args:
        world: the market.
        times: decision times in ms.
        known: what is known of every stream at ``times`` where nothing is late.
        name: of the stream.
        slots: how many of its candles.
    """
    delay_ms = slots * world.streams[name].spec.timeframe.duration_ms
    seen, hidden = dict(known), {}
    for other in fed_by(world, name):
        seen[other], hidden[other] = _delayed(world.streams[other], times, known[other], delay_ms)
    return Disturbed(_with_sources(world, seen), hidden)


def delayed_world(world: World, name: str, slots: int) -> World:
    """The same market with every candle of a delivered stream, and those derived, so much later.

    For what reads candles by their arrival: side inputs.
    """
    delay_ms = slots * world.streams[name].spec.timeframe.duration_ms
    streams = dict(world.streams)
    for other in fed_by(world, name):
        spec, candles = streams[other].spec, streams[other].candles
        on_time = candles.open_time() + spec.timeframe.duration_ms + spec.latency_ms
        arrives = on_time if candles.available_at is None else candles.available_at
        later = np.maximum(arrives, on_time + delay_ms)
        streams[other] = replace(streams[other], candles=replace(candles, available_at=later))
    return replace(world, streams=streams)


def fed_by(world: World, name: str) -> list[str]:
    """The stream, and those that are derived from it."""
    streams = world.streams.items()
    return [name, *(other for other, one in streams if one.spec.derived_from == name)]


def _with_sources(world: World, known: dict[str, Known]) -> dict[str, Known]:
    """A derived stream is absent where its source is."""
    for name, stream in world.streams.items():
        if (source := stream.spec.derived_from) is not None:
            present = known[name].present & known[source].present
            known[name] = replace(known[name], present=present)
    return known


def _delayed(stream: Stream, times: Times, known: Known, delay_ms: int) -> tuple[Known, Times]:
    """What is known of a stream whose candles come later, and how many of the last slots wait."""
    spec = stream.spec
    latency_ms = spec.latency_ms + delay_ms
    hidden = known.last_slot - spec.timeframe.last_slot(times, latency_ms)
    arrays = {name: array.copy() for name, array in vars(known).items()}
    for count in np.unique(hidden):
        chosen = hidden == count
        left = max(spec.lookback - int(count), 0)
        later = replace(stream, spec=replace(spec, latency_ms=latency_ms, lookback=max(left, 1)))
        for name, array in vars(as_of(later, times[chosen])).items():
            arrays[name][chosen] = array
        arrays["present"][chosen] &= left > 0
    return replace(Known(**arrays), last_slot=known.last_slot), hidden


__all__ = ["Disturbed", "Tail", "delayed_world", "fed_by", "late"]
