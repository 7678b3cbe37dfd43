"""The elements of the technical vector at many decisions, compiled."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit
from mtf.market.side import kernels as of

ELEMENTS = 40
VOLUME_SHARE = 0.01  # of a mean volume, so that no volume has a logarithm
LEAST = 0.01  # of sigma: the least a volatility is taken for, so that it has a logarithm


@cached_njit()
def technical_vectors(ohlcv, valid, available_at, times, end, length, sigma, out):
    """Fill ``out [decision, element]`` from the ``length`` rows before ``end``; NaN = not there."""
    for d in range(len(times)):
        seen = of.seen_candles(ohlcv, valid, available_at, times[d], end[d], length)
        out[d] = np.nan
        if len(seen) > 1:
            high, low = seen[:, 1].copy(), seen[:, 2].copy()
            close, volume = seen[:, 3].copy(), seen[:, 4].copy()
            log_close = np.log(close)
            moves(log_close, sigma[d], out[d, 0:8])
            momentum(close, sigma[d], out[d, 8:14])
            distances(close, sigma[d], out[d, 14:25])
            ranges(high, low, close, sigma[d], out[d, 25:31])
            volumes(high, low, close, volume, sigma[d], out[d, 31:37])
            extremes(high, low, close, out[d, 37:40])


@cached_njit()
def moves(log_close, sigma, out):
    """Returns over 1, 5, 15, 60, 240 candles; volatility over 15, 60, 240."""
    for i, n in enumerate((1, 5, 15, 60, 240)):
        out[i] = of.change(log_close, n) / (sigma * np.sqrt(n))
    returns = np.diff(log_close)
    for i, n in enumerate((15, 60, 240)):
        out[5 + i] = np.log(max(of.deviation(returns, n) / sigma, LEAST))


@cached_njit()
def momentum(close, sigma, out):
    """RSI 7, 14, 28; MACD, its signal, their difference."""
    for i, n in enumerate((7, 14, 28)):
        out[i] = of.rsi(close, n) / 50 - 1
    line, signal = of.macd(close, 12, 26, 9)
    unit = close[-1] * sigma
    out[3], out[4], out[5] = line / unit, signal / unit, (line - signal) / unit


@cached_njit()
def distances(close, sigma, out):
    """From plain means over 10, 20, 50, 100, 200; exponential 9, 21, 50, 100; Bollinger's bands."""
    for i, n in enumerate((10, 20, 50, 100, 200)):
        out[i] = np.log(close[-1] / of.mean(close, n)) / (sigma * np.sqrt(n))
    for i, n in enumerate((9, 21, 50, 100)):
        out[5 + i] = np.log(close[-1] / of.last(of.ema(close, n))) / (sigma * np.sqrt(n))
    mean, spread = of.mean(close, 20), of.deviation(close, 20)
    out[9] = 0.0 if of.still(spread, mean) else (close[-1] - mean) / (2 * spread)
    out[10] = np.log(max(spread / (mean * sigma), LEAST))


@cached_njit()
def ranges(high, low, close, sigma, out):
    """ATR, ADX, +DI - -DI, stochastic %K and %D, CCI."""
    size = of.last(of.wilder(of.true_range(high, low, close), 14))
    out[0] = np.log(max(size / (close[-1] * sigma), LEAST))
    plus, minus, strength = of.directional(high, low, close, 14)
    out[1], out[2] = strength / 50 - 1, (plus - minus) / 100
    stochastic = np.array([of.place(high, low, close, 14, back) for back in range(3)])
    out[3], out[4] = 2 * stochastic[0] - 1, 2 * stochastic.mean() - 1
    out[5] = of.cci((high + low + close) / 3, 20) / 100


@cached_njit()
def volumes(high, low, close, volume, sigma, out):
    """Money flow, signed volume, volume against its means, distance from the mean price."""
    typical = (high + low + close) / 3
    out[0] = 2 * of.money_flow(typical, volume, 14) - 1
    out[1] = of.signed_volume(close, volume, 20)
    recent = of.mean(volume, 20)
    out[2] = of.log_ratio(volume[-1], recent, VOLUME_SHARE)
    out[3] = of.log_ratio(recent, of.mean(volume, 100), VOLUME_SHARE)
    for i, n in enumerate((20, 100)):
        out[4 + i] = np.log(close[-1] / of.vwap(typical, volume, n)) / (sigma * np.sqrt(n))


@cached_njit()
def extremes(high, low, close, out):
    """Place in the range of 20 and 100 candles, Aroon."""
    out[0] = 2 * of.place(high, low, close, 20, 0) - 1
    out[1] = 2 * of.place(high, low, close, 100, 0) - 1
    out[2] = of.aroon(high, low, 25)
