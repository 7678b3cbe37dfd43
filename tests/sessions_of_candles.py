"""Sessions in small: candles that arrive when they arrive, and an engine that decides on them.

What a live session does, without feed, gate and broker: everything that has arrived by
``t + decision_delay`` is given to the streaming engine, then it is asked about ``t``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from streams import Arrival, arrivals, give, streaming_of
from whole import raw_market

from mtf.config.schema import Config
from mtf.market.candles import Candles
from mtf.model.hybrid import HybridModel
from mtf.model.stream_beside import Sides
from mtf.model.streaming import Streaming
from mtf.realtime.batch_answers import said_of
from mtf.realtime.events import Key
from mtf.realtime.session_candles import given

NO_SIDES: Callable[[int, Streaming], Sides] = lambda time_ms, streaming: {}  # noqa: E731


def by_key(config: Config, raw: Mapping[str, Candles]) -> dict[Key, Candles]:
    """Candles by symbol and timeframe."""
    return {
        (spec.symbol, spec.timeframe): raw[spec.name]
        for spec in config.stream_specs()
        if spec.derived_from is None
    }


def by_stream(config: Config, candles: Mapping[Key, Candles]) -> dict[str, Candles]:
    """Candles by the name of their stream."""
    return {
        spec.name: given(candles, (spec.symbol, spec.timeframe))
        for spec in config.stream_specs()
        if spec.derived_from is None
    }


def market(config: Config, start_ms: int, end_ms: int) -> dict[Key, Candles]:
    """A part of the market with gaps and late candles, all of the hours before it."""
    raw = raw_market()
    return by_key(
        config,
        {
            name: candles.slice(0 if name == "1h" else start_ms, end_ms)
            for name, candles in raw.items()
        },
    )


def arriving(candles: Candles, after_close_ms: np.ndarray) -> Candles:
    """The same candles, each arriving some time after its close."""
    closes = candles.open_time() + candles.timeframe.duration_ms
    return replace(candles, available_at=closes + np.where(candles.valid, after_close_ms, 0))


def told(
    config: Config,
    model: HybridModel,
    arrived: Mapping[Key, Candles],
    times: np.ndarray,
    delay_ms: int,
    sides: Callable[[int, Streaming], Sides] = NO_SIDES,
    symbol: int | None = None,
) -> Iterator[dict[str, float]]:
    """What an engine says, decision by decision, of candles that come as they come."""
    streaming = streaming_of(config, model, compiled=False, symbol=symbol)
    coming: list[Arrival] = arrivals(by_stream(config, arrived))
    for time_ms in times.tolist():
        while coming and coming[0].time_ms <= time_ms + delay_ms:
            give(streaming, coming.pop(0))
        outputs = streaming.decide(time_ms, sides(time_ms, streaming))
        yield said_of(model.heads_by_name, outputs)
