"""Small made-up histories for the tests of the market."""

from __future__ import annotations

import numpy as np

from mtf.market.candles import Candles
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")


def walk(rows: int, seed: int, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A random walk of candles; some slots are missing, and some candles have no trades."""
    random = np.random.default_rng(seed)
    moves = random.normal(0, 1e-3, rows) * (random.random(rows) > 0.1)
    close = 100 * np.exp(np.cumsum(moves))
    opens = np.concatenate([[100.0], close[:-1]])[:rows]
    high = np.maximum(opens, close) * np.exp(np.abs(moves) / 2)
    low = np.minimum(opens, close) * np.exp(-np.abs(moves) / 2)
    volume = random.exponential(5.0, rows) * (random.random(rows) > 0.1)
    ohlcv = np.stack([opens, high, low, close, volume], axis=1)
    valid = random.random(rows) >= missing
    return np.where(valid[:, None], ohlcv, np.nan), valid


def candles(
    ohlcv: np.ndarray,
    valid: np.ndarray | None = None,
    timeframe: Timeframe = MINUTE,
    first_slot: int = 1_000,
    available_at: np.ndarray | None = None,
) -> Candles:
    """Candles laid on the grid as they are."""
    valid = np.ones(len(ohlcv), np.bool_) if valid is None else valid
    return Candles("ETHUSDT", timeframe, first_slot, ohlcv, valid, available_at)


def closes(prices: list[float], volume: float = 1.0) -> np.ndarray:
    """Candles that open where the last one closed, without wicks; NaN is a missing candle."""
    rows, last = [], prices[0]
    for price in prices:
        rows.append([last, max(last, price), min(last, price), price, volume])
        last = last if np.isnan(price) else price
    ohlcv = np.array(rows, np.float64)
    ohlcv[np.isnan(prices)] = np.nan
    return ohlcv


def spec(
    timeframe: Timeframe = MINUTE, *, lookback: int = 10, latency_ms: int = 0, max_age: float = 3.0
) -> StreamSpec:
    """A primary stream."""
    return StreamSpec("x", "ETHUSDT", timeframe, "primary", lookback, latency_ms, max_age)
