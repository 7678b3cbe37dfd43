"""Bars and orders written out, for tests of money. One bar is one minute, the first opens at 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

MINUTE = 60_000
FREE: dict[str, Any] = {"commission": 0.0, "used": 1.0, "capital": 1_000.0}
"""Terms under which figures stay round."""

Prices = tuple[float, float, float, float]


def bars_of(
    candles: Sequence[Prices | None],
    funding: Mapping[float, float] | None = None,
    timeframe: str = "1m",
    fine: Bars | None = None,
) -> Bars:
    """Bars from open, high, low, close; None is a missing one.

    Args:
        candles: one after the other from time 0.
        funding: minute → rate.
        timeframe: of the candles.
        fine: finer ones.
    """
    frame = Timeframe.parse(timeframe)
    valid = np.array([one is not None for one in candles], dtype=np.bool_)
    ohlc = np.array([one or (np.nan,) * 4 for one in candles], dtype=np.float64).reshape(-1, 4)
    opens = np.arange(len(candles), dtype=np.int64) * frame.duration_ms
    times = np.array([int(minute * MINUTE) for minute in funding or {}], dtype=np.int64)
    rates = np.array(list((funding or {}).values()), dtype=np.float64)
    return Bars("ETHUSDT", frame, opens, ohlc, valid, times, rates, fine)


def targets_of(
    weights: Mapping[float, float],
    stop_loss: float = np.nan,
    take_profit: float = np.nan,
    confidence: float = np.nan,
) -> Targets:
    """Decisions: minute → weight, all with the same stop and take-profit."""
    times = np.array([int(minute * MINUTE) for minute in weights], dtype=np.int64)
    count = len(times)
    return Targets(
        times,
        np.array(list(weights.values()), dtype=np.float64),
        np.full(count, confidence),
        np.full(count, stop_loss),
        np.full(count, take_profit),
    )


def traded(
    candles: Sequence[Prices | None] | Bars,
    weights: Mapping[float, float] | Targets,
    **terms: Any,
) -> Outcome:
    """What trading these weights on these candles comes to; without costs unless told."""
    bars = candles if isinstance(candles, Bars) else bars_of(candles)
    targets = weights if isinstance(weights, Targets) else targets_of(weights)
    return Candle().run(targets, bars, Broker(**{**FREE, **terms}))


def flat(price: float) -> Prices:
    """A candle in which nothing moves."""
    return (price,) * 4
