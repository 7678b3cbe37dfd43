"""How a reference moved, and the primary symbol with it, at many decisions, compiled."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit

LEAST = 0.01  # of sigma: the least a volatility is taken for, so that it has a logarithm


@cached_njit()
def log_closes(candles, time, last, start, length):
    """Ln of the close of each of ``length`` rows; NaN where not known.

    Args:
        candles: ohlcv, valid, and available_at (empty = on time).
        time: at which they are known.
        last: the last row that may be known then.
        start: the first row.
        length: how many.
    """
    ohlcv, valid, available_at = candles
    found = np.full(length, np.nan)
    for row in range(max(start, 0), min(start + length, last + 1, len(valid))):
        if valid[row] and (len(available_at) == 0 or available_at[row] <= time):
            found[row - start] = np.log(ohlcv[row, 3])
    return found


@cached_njit()
def returns_over(close, now, horizons, sigma, out):
    """Log returns up to place ``now`` over some horizons, over sigma and their root."""
    for i, n in enumerate(horizons):
        if now >= n:
            out[i] = (close[now] - close[now - n]) / (sigma * np.sqrt(n))


@cached_njit()
def volatility_over(close, now, horizons, sigma, out):
    """Ln of the root mean square of a candle's log returns over sigma; half of them are enough."""
    for i, n in enumerate(horizons):
        total, count = 0.0, 0
        for k in range(max(now - n + 1, 1), now + 1):
            step = close[k] - close[k - 1]
            if not np.isnan(step):
                total += step * step
                count += 1
        if 2 * count >= n:
            out[i] = np.log(max(np.sqrt(total / count) / sigma, LEAST))


@cached_njit()
def together(close, own, now, n):
    """Correlation of the candles' log returns over n, and beta; half of them are enough."""
    x = y = xx = yy = xy = 0.0
    count = 0
    for k in range(max(now - n + 1, 1), now + 1):
        step, mine = close[k] - close[k - 1], own[k] - own[k - 1]
        if not np.isnan(step + mine):
            x += step
            y += mine
            xx += step * step
            yy += mine * mine
            xy += step * mine
            count += 1
    if 2 * count < n:
        return np.nan, np.nan
    varies, own_varies, both = xx - x * x / count, yy - y * y / count, xy - x * y / count
    if varies <= 0.0 or own_varies <= 0.0:
        return np.nan, np.nan
    return both / np.sqrt(varies * own_varies), both / varies


@cached_njit()
def market_vectors(reference, own, ahead, times, row, own_row, sigma, over, horizons, out):
    """Fill ``out [decision, element]``: returns, volatilities, correlations, betas.

    Args:
        reference: its candles: ohlcv, valid, and available_at (empty = on time).
        own: those of the primary symbol; maybe no rows.
        ahead: how many rows later a slot stands in ``own``.
        times: of the decisions.
        row: last known row of the reference at each; -1 = none.
        own_row: last row of the primary symbol that may be known.
        sigma: of the reference at each.
        over: horizons of the returns.
        horizons: of all else; the longest of both is looked back on.
        out: NaN where a figure is not known.
    """
    length = max(over.max(), horizons.max()) + 1
    first, second = len(over), len(over) + len(horizons)
    for d in range(len(times)):
        out[d] = np.nan
        if row[d] < 0:
            continue
        start, now = row[d] + 1 - length, length - 1
        close = log_closes(reference, times[d], row[d], start, length)
        returns_over(close, now, over, sigma[d], out[d, :first])
        volatility_over(close, now, horizons, sigma[d], out[d, first:second])
        mine = log_closes(own, times[d], own_row[d], start + ahead, length)
        for i, n in enumerate(horizons):
            pair = together(close, mine, now, n)
            out[d, second + i], out[d, second + len(horizons) + i] = pair
