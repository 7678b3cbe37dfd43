"""The candle that is forming: what has been seen at t of a slot that is not closed yet.

At ``t`` the next candle of a stream is that of the slot with the smallest close time after ``t``.
Where part of the slot has elapsed, the finest present stream of the same symbol knows its open,
its high and low so far, the latest price and the volume. Only candles known at ``t`` are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from mtf.market.asof import Known
from mtf.market.channels import encode
from mtf.market.forming_kernels import forming_candles
from mtf.market.stream import Stream, StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

Times = Int64[np.ndarray, " decision"]
CLIP = 8.0
"""Largest absolute value, as in the features."""
CHANNELS = 6
"""Open, high, low, latest price and volume like those of the next candle, and the elapsed share."""


@dataclass(frozen=True)
class Forming:
    """The forming candle of one stream at each decision.

    Attributes:
        candle: open, high and low so far, latest price, volume so far; 0 where not found.
        elapsed: share of the slot that it covers, in (0, 1); 0 where not found.
        found: whether anything of it has been seen.
    """

    candle: Float64[np.ndarray, "decision 5"]
    elapsed: Float64[np.ndarray, " decision"]
    found: Bool[np.ndarray, " decision"]


def forming(
    world: World,
    times: Times,
    stream: str,
    known: Mapping[str, Known],
    present: Mapping[str, Bool[np.ndarray, " decision"]],
    hidden: Mapping[str, Int64[np.ndarray, " decision"]] = MappingProxyType({}),
) -> Forming:
    """The forming candle of a stream, from the finest stream that is present.

    Args:
        world: the market.
        times: decision times in ms; ascending is fastest.
        stream: name of the stream.
        known: what is known of every stream at ``times``.
        present: which decisions have each stream.
        hidden: how many of a stream's last slots have not arrived at each decision, where that is
            not what the candles say.
    """
    specs = {name: one.spec for name, one in world.streams.items()}
    candle, elapsed = np.zeros((len(times), 5)), np.zeros(len(times))
    open_for = np.ones(len(times), dtype=bool)
    for name in finer_streams(specs.values(), specs[stream]):
        chosen = open_for & present[name]
        open_for &= ~chosen
        candle[chosen], elapsed[chosen] = _seen(
            world.streams[name],
            specs[stream].timeframe,
            times[chosen],
            known[name].last_slot[chosen],
            hidden[name][chosen] if name in hidden else 0,
        )
    return Forming(candle, elapsed, elapsed > 0)


def forming_channels(
    seen: Forming, known: Known
) -> tuple[Float32[np.ndarray, "decision 6"], Bool[np.ndarray, " decision"]]:
    """The forming candle in the units of the features, with the elapsed share; what is there.

    Clipped like the features; 0 where nothing has been seen or the scale is not known.
    """
    candle = encode(seen.candle, known)
    there = seen.found & np.isfinite(candle).all(axis=1)
    values = np.concatenate([np.clip(candle, -CLIP, CLIP), seen.elapsed[:, None]], axis=1)
    return np.where(there[:, None], values, 0.0).astype(np.float32), there


def finer_streams(specs: Iterable[StreamSpec], coarse: StreamSpec) -> list[str]:
    """Streams of the same symbol whose candles tile those of ``coarse``, finest first."""
    duration = coarse.timeframe.duration_ms
    finer = [
        (spec.timeframe.duration_ms, spec.name)
        for spec in specs
        if spec.symbol == coarse.symbol
        and spec.timeframe.duration_ms < duration
        and duration % spec.timeframe.duration_ms == 0
    ]
    return [name for _, name in sorted(finer)]


def _seen(
    fine: Stream, timeframe: Timeframe, times: Times, last_slot: Times, hidden: Times | int
) -> tuple[Float64[np.ndarray, "decision 5"], Float64[np.ndarray, " decision"]]:
    """What the fine stream has seen of the coarse slot that holds each time, and its share."""
    candles, spec = fine.candles, fine.spec
    opened = timeframe.open_time(timeframe.slot(times))
    first = spec.timeframe.slot(opened) - candles.first_slot
    last = last_slot - hidden - candles.first_slot
    by_timetable = np.empty(0, np.int64)
    available_at = by_timetable if candles.available_at is None else candles.available_at
    candle, found = forming_candles(candles.ohlcv, candles.valid, available_at, times, first, last)
    elapsed = spec.timeframe.close_time(last_slot) - opened
    return candle, np.where(found, elapsed / timeframe.duration_ms, 0.0)


__all__ = ["CHANNELS", "Forming", "finer_streams", "forming", "forming_channels"]
