"""A candle in the five channels of a stream, and back: the units of every next candle.

Prices are log ratios to the last close in sigmas of the stream, volume is
``log((v + 0.01 m) / (m + 0.01 m))``; last close, sigma and m are those known at t. These are the
``ohlcv`` features, unclipped.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from mtf.market.asof import Known
from mtf.market.candles import VOLUME
from mtf.market.kernels import VOLUME_SHARE

LARGEST_LOG = 50.0
"""Largest log ratio to the last close or the mean volume that a candle is decoded to."""


def encode(
    ohlcv: Float64[np.ndarray, "decision 5"], known: Known
) -> Float64[np.ndarray, "decision 5"]:
    """Candles to channels; NaN where the candle is no candle or the scale is not known."""
    prices = ohlcv[:, :VOLUME]
    usable = (known.sigma > 0) & (known.last_close > 0) & (prices > 0).all(axis=1)
    sigma = np.where(usable, known.sigma, 1.0)[:, None]
    reference = np.where(usable, known.last_close, 1.0)[:, None]
    channels = np.log(np.where(usable[:, None], prices, 1.0) / reference) / sigma
    mean = np.where(known.volume_mean > 0, known.volume_mean, 1.0)
    traded = np.where(usable, ohlcv[:, VOLUME], 0.0)
    volume = np.log((traded + VOLUME_SHARE * mean) / (mean + VOLUME_SHARE * mean))
    volume = np.where(known.volume_mean > 0, volume, 0.0)
    both = np.concatenate([channels, volume[:, None]], axis=1)
    return np.where(usable[:, None], both, np.nan)


def decode(
    candles: Float[np.ndarray, "decision 5"], known: Known
) -> Float64[np.ndarray, "decision 5"]:
    """Channels back to prices and volume: the inverse of ``encode``; NaN where unknown.

    Moves beyond e^±50 are cut off there: whatever a network says is finite, in float32, too.
    """
    channels = candles.astype(np.float64)
    moves = _cut(channels[:, :VOLUME] * known.sigma[:, None])
    prices = known.last_close[:, None] * np.exp(moves)
    share = np.exp(_cut(channels[:, VOLUME])) * (1 + VOLUME_SHARE) - VOLUME_SHARE
    volume = np.maximum(share, 0.0) * known.volume_mean
    return np.concatenate([prices, volume[:, None]], axis=1)


def _cut(log: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Within what a price or a volume can be multiplied by."""
    return np.asarray(np.clip(log, -LARGEST_LOG, LARGEST_LOG))
