"""The naive next candle: the candle that is forming, taken as if it were finished.

At ``t`` the next candle of a stream is that of the slot with the smallest close time after ``t``.
Where part of the slot has elapsed, the finest present stream of the same symbol knows its open,
its high and low so far and the latest price; volume is scaled up by the share of the slot that has
elapsed. Where nothing has elapsed: flat at the last close, with the mean volume.

Everything here is known at ``t``. Values are the five channels of the next-candle label: log ratio
to the last close, in sigma; volume as log((v + εm) / (m + εm)).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.evaluation.kernels import forming_candles
from mtf.market.asof import Known
from mtf.market.candles import VOLUME, Candles
from mtf.market.channels import encode
from mtf.market.stream import Stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

Times = Int64[np.ndarray, " decision"]
Five = Float64[np.ndarray, "decision 5"]


def naive_candle(world: World, times: Times, stream: str) -> Five:
    """Forecast the next candle of a stream from what has been seen of it.

    0 (flat at the last close, mean volume) where nothing has been seen or its scale is not known.
    """
    known = world.known(times)
    candle, found = forming(world, times, stream, known)
    return np.where(found[:, None], np.nan_to_num(encode(candle, known[stream])), 0.0)


def forming(
    world: World, times: Times, stream: str, known: Mapping[str, Known] | None = None
) -> tuple[Five, Bool[np.ndarray, " decision"]]:
    """The forming candle of a stream, in prices, with its volume scaled to the whole slot.

    Args:
        world: the market.
        times: decision times in ms; ascending is fastest.
        stream: name of the stream.
        known: what is known at ``times``, where it has been asked already.

    Returns:
        The candle, and whether anything of it has been seen.
    """
    known = world.known(times) if known is None else known
    coarse = world.streams[stream]
    candle, found = np.zeros((len(times), 5)), np.zeros(len(times), dtype=bool)
    open_for = np.ones(len(times), dtype=bool)
    for name in finer_streams(world, coarse):
        chosen = open_for & known[name].present
        open_for &= ~chosen
        candle[chosen], found[chosen] = _seen(
            world.streams[name], coarse.spec.timeframe, times[chosen], known[name].last_slot[chosen]
        )
    return candle, found


def finer_streams(world: World, coarse: Stream) -> list[str]:
    """Streams of the same symbol whose candles tile those of ``coarse``, finest first."""
    duration = coarse.spec.timeframe.duration_ms
    finer = [
        (stream.spec.timeframe.duration_ms, name)
        for name, stream in world.streams.items()
        if stream.spec.symbol == coarse.spec.symbol
        and stream.spec.timeframe.duration_ms < duration
        and duration % stream.spec.timeframe.duration_ms == 0
    ]
    return [name for _, name in sorted(finer)]


def _seen(
    fine: Stream, timeframe: Timeframe, times: Times, last_slot: Times
) -> tuple[Five, Bool[np.ndarray, " decision"]]:
    """What the fine stream has seen of the coarse slot that holds each time."""
    candles, spec = fine.candles, fine.spec
    opened = timeframe.open_time(timeframe.slot(times))
    first = spec.timeframe.slot(opened) - candles.first_slot
    last = last_slot - candles.first_slot
    candle, found = forming_candles(
        candles.ohlcv, candles.valid, _available_at(candles, spec.latency_ms), times, first, last
    )
    elapsed = spec.timeframe.close_time(last_slot) - opened
    share = np.where(found, elapsed / timeframe.duration_ms, 1.0)
    candle[:, VOLUME] /= share
    return candle, found


def _available_at(candles: Candles, latency_ms: int) -> Int64[np.ndarray, " slot"]:
    if candles.available_at is not None:
        return candles.available_at
    return candles.open_time() + candles.timeframe.duration_ms + latency_ms
