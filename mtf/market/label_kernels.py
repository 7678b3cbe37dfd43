"""What labels are measured in and made of, as numba scans: volatility, extremes, paths, lines."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit


def ew_std_state() -> np.ndarray:
    """The state of ``ew_std`` before the first row: four sums, a count, the close before."""
    return np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.nan])


@cached_njit()
def ew_std(close, valid, state, half_life, minimum, floor, out):
    """Debiased exponentially weighted standard deviation of observed log returns, row by row.

    The definition of ``pandas.Series.ewm(halflife, ignore_na=True).std()``. A return is observed
    where the candle and the one before it are both there. NaN until ``minimum`` returns. Carries
    ``state`` on in place, so that a history may come in pieces.
    """
    keep = 0.5 ** (1.0 / half_life)
    weight, squared_weight, mean, spread, count, last = state
    for row in range(len(close)):
        before = last
        last = close[row] if valid[row] else np.nan
        if not (np.isnan(before) or np.isnan(last)):
            value = np.log(last / before)
            weight = keep * weight + 1.0
            squared_weight = keep * keep * squared_weight + 1.0
            step = value - mean
            mean += step / weight
            spread = keep * spread + step * (value - mean)
            count += 1
        if count < max(minimum, 2):
            out[row] = np.nan
        else:
            debias = weight * weight / (weight * weight - squared_weight)
            out[row] = max(floor, np.sqrt(max(spread / weight * debias, 0.0)))
    state[0], state[1], state[2] = weight, squared_weight, mean
    state[3], state[4], state[5] = spread, count, last


@cached_njit()
def extremes(high, low, first, last):
    """Highest high and lowest low of the rows ``first`` … ``last`` of each decision.

    Absent rows (NaN) are passed over; NaN where ``first`` is -1 or no row is there.
    """
    highest, lowest = np.full(len(first), np.nan), np.full(len(first), np.nan)
    for i in range(len(first)):
        if first[i] >= 0:
            for row in range(first[i], last[i] + 1):
                highest[i] = np.fmax(highest[i], high[row])
                lowest[i] = np.fmin(lowest[i], low[row])
    return highest, lowest


@cached_njit()
def squared_returns(open_, close, first, last):
    """Sum of squared log returns along the rows ``first`` … ``last`` of each decision.

    The first return is from the open of ``first`` to its close, the others from the last close
    that was there: a return across a gap is one return.

    Returns:
        The sums, and how many candles were there; 0 and 0 where ``first`` is -1 or after ``last``.
    """
    sums, counts = np.zeros(len(first)), np.zeros(len(first), dtype=np.int64)
    for i in range(len(first)):
        if first[i] < 0:
            continue
        before = open_[first[i]]
        for row in range(first[i], last[i] + 1):
            if not np.isnan(close[row]):
                step = np.log(close[row] / before)
                sums[i] += step * step
                counts[i] += 1
                before = close[row]
    return sums, counts


@cached_njit()
def lines(close, valid, first, length, least):
    """The least-squares line through the log closes of ``length`` rows from each ``first`` on.

    Rows that are missing are passed over, and so are those outside of the history.

    Returns:
        Slope in log price a row, and R² (0 where all closes are equal); NaN where fewer than
        ``least`` rows are there.
    """
    slopes, fits = np.full(len(first), np.nan), np.full(len(first), np.nan)
    for i in range(len(first)):
        count = 0
        base = x_sum = y_sum = xx = xy = yy = 0.0
        for row in range(max(first[i], 0), min(first[i] + length, len(close))):
            if valid[row]:
                if count == 0:
                    base = close[row]
                x = row - first[i] - 0.5 * (length - 1)
                y = np.log(close[row] / base)
                count += 1
                x_sum += x
                y_sum += y
                xx += x * x
                xy += x * y
                yy += y * y
        if count >= least:
            xx -= x_sum * x_sum / count
            xy -= x_sum * y_sum / count
            yy -= y_sum * y_sum / count
            slopes[i] = xy / xx
            fits[i] = min(xy * xy / (xx * yy), 1.0) if yy > 0.0 else 0.0
    return slopes, fits


@cached_njit()
def barriers(open_, high, low, first, last, take_profit, stop_loss):
    """Which trade takes its profit first along the rows ``first`` … ``last`` of each decision.

    Both trades enter at the open of ``first``. The long one takes profit at ``take_profit`` (log
    return) and is stopped at ``-stop_loss``, the short one the other way round. A candle that
    touches both barriers of a trade stops it.

    Returns:
        0 long, 1 short, 2 neither in time; 2, too, where both take profit within one candle.
    """
    out = np.full(len(first), 2)
    for i in range(len(first)):
        if first[i] < 0:
            continue
        entry = open_[first[i]]
        long_open = short_open = True
        for row in range(first[i], last[i] + 1):
            if np.isnan(high[row]):
                continue
            up, down = np.log(high[row] / entry), np.log(low[row] / entry)
            stops_long, stops_short = down <= -stop_loss[i], up >= stop_loss[i]
            long_wins = long_open and up >= take_profit[i] and not stops_long
            short_wins = short_open and down <= -take_profit[i] and not stops_short
            if long_wins or short_wins:
                if not (long_wins and short_wins):
                    out[i] = 0 if long_wins else 1
                break
            long_open, short_open = long_open and not stops_long, short_open and not stops_short
            if not (long_open or short_open):
                break
    return out
