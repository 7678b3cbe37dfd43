"""What technical analysis calls indicators, of the newest of some candles, compiled.

Every function takes plain arrays, oldest first and without gaps, and returns the value at the end;
NaN where there are too few candles. Averages start at the oldest candle given, as TA-Lib's do.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit


@cached_njit()
def mean(x, n):
    """Mean of the last n."""
    return x[len(x) - n :].mean() if 0 < n <= len(x) else np.nan


@cached_njit()
def deviation(x, n):
    """Population standard deviation of the last n."""
    return x[len(x) - n :].std() if 0 < n <= len(x) else np.nan


@cached_njit()
def still(spread, middle):
    """Whether prices that differ so little from their mean are equal but for rounding."""
    return spread <= 1e-12 * middle


@cached_njit()
def change(x, n):
    """Difference to the value n before."""
    return x[-1] - x[-1 - n] if n < len(x) else np.nan


@cached_njit()
def averages(x, n, share):
    """Exponential averages at every place from n - 1 on; the first one is a plain mean."""
    if len(x) < n:
        return np.empty(0)
    found = np.empty(len(x) - n + 1)
    found[0] = x[:n].mean()
    for i in range(n, len(x)):
        found[i - n + 1] = found[i - n] + share * (x[i] - found[i - n])
    return found


@cached_njit()
def ema(x, n):
    """Exponential averages with a share of 2 / (n + 1)."""
    return averages(x, n, 2.0 / (n + 1))


@cached_njit()
def wilder(x, n):
    """Exponential averages with Wilder's share, 1 / n."""
    return averages(x, n, 1.0 / n)


@cached_njit()
def last(x):
    """The last value; NaN where there is none."""
    return x[-1] if len(x) > 0 else np.nan


@cached_njit()
def rsi(close, n):
    """Wilder's relative strength, 0 … 100; 50 where nothing moves."""
    moves = np.diff(close)
    gain, loss = last(wilder(np.maximum(moves, 0.0), n)), last(wilder(np.maximum(-moves, 0.0), n))
    if gain + loss == 0.0:
        return 50.0
    return 100.0 * gain / (gain + loss)


@cached_njit()
def macd(close, fast, slow, signal):
    """The difference of two averages, and its own average."""
    slower = ema(close, slow)
    if len(slower) == 0:
        return np.nan, np.nan
    faster = ema(close, fast)
    line = faster[len(faster) - len(slower) :] - slower
    return line[-1], last(ema(line, signal))


@cached_njit()
def true_range(high, low, close):
    """Of every candle but the first."""
    before = close[:-1]
    return np.maximum(high[1:], before) - np.minimum(low[1:], before)


@cached_njit()
def directional(high, low, close, n):
    """Wilder's +DI, -DI and ADX, 0 … 100."""
    up, down = np.diff(high), -np.diff(low)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    ranges = wilder(true_range(high, low, close), n)
    plus, minus = wilder(plus, n), wilder(minus, n)
    if len(ranges) == 0 or ranges[-1] == 0.0:
        return np.nan, np.nan, np.nan
    both = plus + minus
    index = np.where(both > 0, np.abs(plus - minus) / np.where(both > 0, both, 1.0), 0.0)
    return (
        100.0 * plus[-1] / ranges[-1],
        100.0 * minus[-1] / ranges[-1],
        100.0 * last(wilder(index, n)),
    )


@cached_njit()
def place(high, low, close, n, back):
    """Where the close of ``back`` candles ago stood in the range of n candles, 0 … 1."""
    end = len(close) - back
    if end < n:
        return np.nan
    top, bottom = high[end - n : end].max(), low[end - n : end].min()
    if top == bottom:
        return 0.5
    return (close[end - 1] - bottom) / (top - bottom)


@cached_njit()
def cci(typical, n):
    """Commodity channel index: distance from the mean in 0.015 mean absolute deviations."""
    if len(typical) < n:
        return np.nan
    recent = typical[len(typical) - n :]
    middle = recent.mean()
    spread = np.abs(recent - middle).mean()
    return 0.0 if still(spread, middle) else (recent[-1] - middle) / (0.015 * spread)


@cached_njit()
def money_flow(typical, volume, n):
    """Share of the money of the last n candles that moved up, 0 … 1; 0.5 where none moved."""
    if len(typical) <= n:
        return np.nan
    up = down = 0.0
    for i in range(len(typical) - n, len(typical)):
        money = typical[i] * volume[i]
        if typical[i] > typical[i - 1]:
            up += money
        elif typical[i] < typical[i - 1]:
            down += money
    return 0.5 if up + down == 0.0 else up / (up + down)


@cached_njit()
def signed_volume(close, volume, n):
    """Volume of rising less that of falling candles over that of all, of the last n."""
    if len(close) <= n:
        return np.nan
    total = volume[len(volume) - n :].sum()
    signed = 0.0
    for i in range(len(close) - n, len(close)):
        signed += np.sign(close[i] - close[i - 1]) * volume[i]
    return 0.0 if total == 0.0 else signed / total


@cached_njit()
def vwap(typical, volume, n):
    """Mean price of the last n candles by volume; the plain mean where nothing was traded."""
    if len(typical) < n:
        return np.nan
    prices, sizes = typical[len(typical) - n :], volume[len(volume) - n :]
    total = sizes.sum()
    return prices.mean() if total == 0.0 else (prices * sizes).sum() / total


@cached_njit()
def aroon(high, low, n):
    """Aroon oscillator, -1 … 1: how much newer the last n + 1 candles' high is than their low."""
    if len(high) <= n:
        return np.nan
    top = bottom = len(high) - n - 1
    for i in range(len(high) - n, len(high)):
        if high[i] >= high[top]:
            top = i
        if low[i] <= low[bottom]:
            bottom = i
    return (top - bottom) / n


@cached_njit()
def log_ratio(one, other, share):
    """``ln((one + share other) / (other + share other))``; 0 where ``other`` is 0."""
    return 0.0 if other == 0.0 else np.log((one + share * other) / (other + share * other))


@cached_njit()
def seen_candles(ohlcv, valid, available_at, time, end, length):
    """The candles of the ``length`` rows before ``end`` that are known at ``time``."""
    rows = np.empty(length, np.int64)
    count = 0
    for row in range(max(end - length, 0), min(end, len(valid))):
        if valid[row] and (len(available_at) == 0 or available_at[row] <= time):
            rows[count] = row
            count += 1
    return ohlcv[rows[:count]]
