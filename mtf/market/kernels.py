"""The scans over candles, compiled: one step serves a whole history, a piece of it and live.

Every scan carries one float64 vector of state and changes it in place; nothing else is remembered,
so scanning in pieces gives the same bits as scanning in one go. A slot that is not valid is never
read. No rolling sum is kept: windows are summed anew from a ring, so nothing drifts.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit

SIGMA_FLOOR = 1e-5
VOLUME_SHARE = 0.01  # of the mean volume, added to both sides so that no volume has a logarithm

# State of the scale. Every other state starts with it.
RETURN_SUM, RETURN_WEIGHT, RETURN_COUNT = 0, 1, 2
VOLUME_SUM, VOLUME_WEIGHT = 3, 4
LAST_CLOSE, LAST_ROW, ADJACENT = 5, 6, 7  # ADJACENT: the slot before had a candle
SCALE_STATE = 8

# State of the indicators behind that; then the rings of log returns, volumes and prices x volumes.
CANDLES, CHANGES = 8, 9
GAIN, LOSS = 10, 11
FAST, SLOW, SIGNAL = 12, 13, 14
RINGS = 15


@cached_njit()
def sigma_of(state, half_life):
    """Root of the bias-corrected mean square; NaN until ``half_life`` returns were observed."""
    if state[RETURN_COUNT] < half_life:
        return np.nan
    return max(np.sqrt(state[RETURN_SUM] / state[RETURN_WEIGHT]), SIGMA_FLOOR)


@cached_njit()
def volume_mean_of(state):
    """Bias-corrected mean volume; NaN before the first candle."""
    if state[VOLUME_WEIGHT] == 0.0:
        return np.nan
    return state[VOLUME_SUM] / state[VOLUME_WEIGHT]


@cached_njit()
def observe(state, log_return, close, volume, decay, volume_decay):
    """Take one candle into the scale. The return over a gap is no observed return."""
    if state[ADJACENT] != 0.0:
        state[RETURN_SUM] = decay * state[RETURN_SUM] + log_return * log_return
        state[RETURN_WEIGHT] = decay * state[RETURN_WEIGHT] + 1.0
        state[RETURN_COUNT] += 1.0
    state[VOLUME_SUM] = volume_decay * state[VOLUME_SUM] + volume
    state[VOLUME_WEIGHT] = volume_decay * state[VOLUME_WEIGHT] + 1.0
    state[LAST_CLOSE] = close
    state[ADJACENT] = 1.0


@cached_njit()
def log_volume(volume, mean):
    """Volume against its mean; 0 where there has never been any."""
    if not mean > 0.0:
        return 0.0
    return np.log((volume + VOLUME_SHARE * mean) / (mean + VOLUME_SHARE * mean))


@cached_njit()
def clipped(value, clip):
    """The value within ``[-clip, clip]``."""
    return min(max(value, -clip), clip)


@cached_njit()
def scan_scale(ohlcv, valid, state, first_row, half_life, decay, volume_decay, every, saved, out):
    """Scale after every slot into ``out`` (sigma, volume mean, last valid row).

    ``saved[i]`` becomes the state before row ``i * every`` (of this call).
    """
    sigma, volume_mean, last_valid = out
    for i in range(len(valid)):
        if i % every == 0:
            saved[i // every] = state
        if valid[i]:
            close = ohlcv[i, 3]
            step = np.log(close / state[LAST_CLOSE])  # NaN, and unused, at the first candle
            observe(state, step, close, ohlcv[i, 4], decay, volume_decay)
            state[LAST_ROW] = first_row + i
        else:
            state[ADJACENT] = 0.0
        sigma[i] = sigma_of(state, half_life)
        volume_mean[i] = volume_mean_of(state)
        last_valid[i] = np.int32(state[LAST_ROW])


@cached_njit()
def scan_ohlcv(ohlcv, valid, state, half_life, decay, volume_decay, clip, values, usable):
    """Channels of ``Ohlcv`` into ``values`` and ``usable``, both handed in as zeros."""
    for i in range(len(valid)):
        if not valid[i]:
            state[ADJACENT] = 0.0
            continue
        last, close, volume = state[LAST_CLOSE], ohlcv[i, 3], ohlcv[i, 4]
        step = np.log(close / last)
        sigma = sigma_of(state, half_life)  # of the past alone: before this candle is observed
        if sigma > 0.0:
            for j in range(3):
                values[i, j] = clipped(np.log(ohlcv[i, j] / last) / sigma, clip)
            values[i, 3] = clipped(step / sigma, clip)
            values[i, 4] = clipped(log_volume(volume, volume_mean_of(state)), clip)
            usable[i] = True
        observe(state, step, close, volume, decay, volume_decay)


@cached_njit()
def ring_moments(ring):
    """Mean and population standard deviation of a ring, in two passes."""
    mean = 0.0
    for value in ring:
        mean += value
    mean /= len(ring)
    square = 0.0
    for value in ring:
        square += (value - mean) ** 2
    return mean, np.sqrt(square / len(ring))


@cached_njit()
def smooth(state, slot, value, count, period, weight):
    """Exponential smoothing that starts with the plain mean of its first ``period`` values."""
    if count <= period:
        state[slot] += (value - state[slot]) / count
    else:
        state[slot] += weight * (value - state[slot])


@cached_njit()
def step_macd(state, close, count, fast, slow, signal):
    """Advance the averages of MACD by one candle, its number being ``count`` (from 1).

    The fast average starts with the last of the candles that start the slow one, as in TA-Lib.
    """
    if count > slow - fast:
        smooth(state, FAST, close, count - (slow - fast), fast, 2.0 / (fast + 1.0))
    smooth(state, SLOW, close, count, slow, 2.0 / (slow + 1.0))
    if count >= slow:
        macd = state[FAST] - state[SLOW]
        smooth(state, SIGNAL, macd, count - slow + 1.0, signal, 2.0 / (signal + 1.0))


@cached_njit()
def rsi_of(state, close):
    """Wilder's index in 0..100; 50 where nothing moves."""
    total = state[GAIN] + state[LOSS]
    if not total > 1e-12 * close:
        return 50.0
    return 100.0 * state[GAIN] / total


@cached_njit()
def scan_indicators(
    ohlcv, valid, state, periods, half_life, decay, volume_decay, clip, scaled, values, usable
):
    """Channels of ``Indicators`` into ``values`` (zeros at first), scaled or plain."""
    volatility_n, volume_n, rsi_n, fast, slow, signal, vwap_n = periods
    ends = np.cumsum(np.array([RINGS, volatility_n, volume_n, vwap_n, vwap_n]))
    returns, volumes = state[ends[0] : ends[1]], state[ends[1] : ends[2]]
    vwap_volumes, amounts = state[ends[2] : ends[3]], state[ends[3] : ends[4]]
    for i in range(len(valid)):
        if not valid[i]:
            state[ADJACENT] = 0.0
            continue
        high, low, close, volume = ohlcv[i, 1], ohlcv[i, 2], ohlcv[i, 3], ohlcv[i, 4]
        last = state[LAST_CLOSE]
        step = np.log(close / last)
        sigma = sigma_of(state, half_life)
        if state[ADJACENT] != 0.0:
            returns[int(state[CHANGES]) % volatility_n] = step
            state[CHANGES] += 1.0
            count = state[CHANGES]
            smooth(state, GAIN, max(close - last, 0.0), count, rsi_n, 1.0 / rsi_n)
            smooth(state, LOSS, max(last - close, 0.0), count, rsi_n, 1.0 / rsi_n)
        place = int(state[CANDLES])
        volumes[place % volume_n] = volume
        vwap_volumes[place % vwap_n] = volume
        amounts[place % vwap_n] = volume * (high + low + close) / 3.0
        state[CANDLES] += 1.0
        step_macd(state, close, state[CANDLES], fast, slow, signal)
        warm = (
            state[CHANGES] >= max(volatility_n, rsi_n)
            and state[CANDLES] >= max(volume_n, vwap_n, slow + signal - 1)
            and sigma > 0.0
        )
        if warm:
            _, volatility = ring_moments(returns)
            volume_mean, _ = ring_moments(volumes)
            traded = vwap_volumes.sum()
            vwap = amounts.sum() / traded if traded > 0.0 else close
            rsi, macd = rsi_of(state, close), state[FAST] - state[SLOW]
            if scaled:
                values[i, 0] = clipped((close / last - 1.0) / sigma, clip)
                values[i, 1] = clipped(step / sigma, clip)
                values[i, 2] = clipped(volatility / sigma, clip)
                values[i, 3] = clipped(log_volume(volume, volume_mean), clip)
                values[i, 4] = rsi / 50.0 - 1.0
                values[i, 5] = clipped(macd / close / sigma, clip)
                values[i, 6] = clipped(state[SIGNAL] / close / sigma, clip)
                values[i, 7] = clipped((high - low) / close / sigma, clip)
                values[i, 8] = clipped(np.log(vwap / close) / sigma, clip)
            else:
                values[i, 0] = close / last - 1.0
                values[i, 1] = step
                values[i, 2] = volatility
                values[i, 3] = volume / volume_mean if volume_mean > 0.0 else 1.0
                values[i, 4] = rsi
                values[i, 5] = macd
                values[i, 6] = state[SIGNAL]
                values[i, 7] = (high - low) / close
                values[i, 8] = vwap / close
            usable[i] = True
        observe(state, step, close, volume, decay, volume_decay)


@cached_njit()
def any_usable(usable, low, high):
    """Whether a row of ``low <= row < high`` is usable; the bounds may lie outside the history."""
    for row in range(min(high, len(usable)) - 1, max(low, 0) - 1, -1):  # noqa: SIM110
        if usable[row]:
            return True
    return False


@cached_njit()
def look(times, last_row, lookback, ohlcv, available_at, arrival, usable, scale, out):
    """What of a stream is known at each decision, as far as the scans in order can tell.

    ``ordered`` becomes the number of rows known without a hole: the scans hold for these. ``row``
    becomes the last known row; if it is not below ``ordered``, the rest must be scanned anew.
    """
    sigma, volume_mean, last_valid = scale
    ordered, row, known_sigma, known_mean, last_close, found = out
    for d in range(len(times)):
        end = max(min(last_row[d] + 1, len(last_valid)), 0)
        last = np.int64(last_valid[end - 1]) if end > 0 else np.int64(-1)
        if end > 0 and len(arrival) > 0 and arrival[end - 1] > times[d]:
            end = np.searchsorted(arrival[:end], times[d], side="right")
            while last >= 0 and available_at[last] > times[d]:
                last = np.int64(last_valid[last - 1]) if last > 0 else np.int64(-1)
        ordered[d], row[d] = end, last
        known_sigma[d] = sigma[end - 1] if end > 0 else np.nan
        known_mean[d] = volume_mean[end - 1] if end > 0 else np.nan
        last_close[d] = ohlcv[last, 3] if last >= 0 else np.nan
        found[d] = any_usable(usable, last_row[d] - lookback + 1, end)
