"""Numba kernels of the synthetic worlds: random-number-free inner loops, one step after another.

Draws come in as arrays, state is carried in place, candles go out. Log prices inside, prices at
the border. An open is always the previous close, bit for bit.
"""

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit

# State of one symbol of the market, and its snapshot at every full minute.
PRICE, MOMENTUM, POOL, BURST, ACTIVITY, LAST = range(6)
STATE_SIZE = 6

# Numbers of the law for one symbol at one step (see Market.numbers).
(
    STEP_SD,
    SPECIFIC_SHARE,
    PASS_NOW,
    LAG_DECAY,
    MOMENTUM_GAIN,
    MOMENTUM_DECAY,
    BURST_DECAY,
    BURST_SD,
    ACTIVITY_DECAY,
    ACTIVITY_SD,
    VOLUME_ELASTICITY,
    TRADES,
    VOLUME,
    SIZE_SD,
    HALF_SPREAD,
    HALF_DEGREES,
    BETA,
) = range(17)
LAW_SIZE = 17


LOT = 2.0**-20
"""Volumes are multiples of this, so that sums are exact however candles are joined."""


@cached_njit()
def lots(volume):
    """Round to whole lots, one at least."""
    return max(np.floor(volume / LOT + 0.5), 1.0) * LOT


@cached_njit()
def ar1(noise, decay, sd, state):
    """Stationary AR(1) with standard deviation ``sd``, started at ``state``."""
    out = np.empty(len(noise))
    scale = sd * np.sqrt(1.0 - decay * decay)
    for i in range(len(noise)):
        state = decay * state + scale * noise[i]
        out[i] = state
    return out


@cached_njit()
def moving_average(noise, decay, sd, length):
    """AR(1) as a moving average over ``length`` shocks: the value depends on nothing earlier.

    Returns ``len(noise) - length + 1`` values, the first at ``noise[length - 1]``.
    """
    out = np.empty(len(noise) - length + 1)
    scale = sd * np.sqrt(1.0 - decay * decay)
    for i in range(len(out)):
        value = 0.0
        for k in range(length):
            value = decay * value + noise[i + k]
        out[i] = scale * value
    return out


@cached_njit()
def momentum_returns(noise, rho, moving, previous):
    """AR(1) returns, or MA(1) where ``moving``; ``previous``: the last return or the last shock."""
    out = np.empty(len(noise))
    for i in range(len(noise)):
        out[i] = rho * previous + noise[i]
        previous = noise[i] if moving else out[i]
    return out


@cached_njit()
def bridge(returns, noise, sd):
    """Split every return into equal steps that sum to it exactly in law: a Brownian bridge inside.

    ``noise`` has ``len(returns) * parts`` standard normals; ``sd`` is that of one part.
    """
    parts = len(noise) // len(returns)
    out = np.empty(len(noise))
    for i in range(len(returns)):
        mean = 0.0
        for k in range(i * parts, (i + 1) * parts):
            mean += noise[k]
        mean /= parts
        for k in range(i * parts, (i + 1) * parts):
            out[k] = returns[i] / parts + sd * (noise[k] - mean)
    return out


@cached_njit()
def walk_candles(returns, sd, uniforms, volume, log_price, last, ohlcv):
    """Candles along a path of log returns, with the extremes of a Brownian bridge in each step.

    Max of a bridge from 0 to r with variance s^2: (r + sqrt(r^2 - 2 s^2 ln U)) / 2.

    Returns the log price and the price at the end.
    """
    for i in range(len(returns)):
        r = returns[i]
        spread = 2.0 * sd[i] * sd[i]
        high = log_price + 0.5 * (r + np.sqrt(r * r - spread * np.log(1.0 - uniforms[0, i])))
        low = log_price + 0.5 * (r - np.sqrt(r * r - spread * np.log(1.0 - uniforms[1, i])))
        log_price += r
        close = np.exp(log_price)
        ohlcv[i, 0] = last
        ohlcv[i, 1] = max(np.exp(high), last, close)
        ohlcv[i, 2] = min(np.exp(low), last, close)
        ohlcv[i, 3] = close
        ohlcv[i, 4] = lots(volume[i])
        last = close
    return log_price, last


@cached_njit()
def market_day(
    normals, gammas, uniforms, log_volatility, leader, law, state, last, returns, variances, latent,
    ohlcv,
):  # fmt: skip
    """One day of one symbol of the market, candle by candle.

    Args:
        normals: [4, step] return, burst, activity, trade size.
        gammas: [step] gamma variates of half the degrees of freedom: the Student-t mixing.
        uniforms: [4, step] trade or none, bid or ask, high, low.
        log_volatility: [1440] of the symbol.
        leader: [2, step] returns and innovation variances of the leader; empty for the leader.
        law: numbers of the law (LAW_SIZE).
        state: (STATE_SIZE,), carried in place.
        last: the last price traded.
        returns: [step] out: efficient returns (without bounce).
        variances: [step] out: innovation variances before mixing.
        latent: [1440, STATE_SIZE] out: state at the end of every minute.
        ohlcv: [step, 5] out.

    Returns:
        The last price traded.
    """
    steps = len(returns)
    per_minute = steps // 1440
    follows = leader.shape[1] > 0
    burst_scale = law[BURST_SD] * np.sqrt(1.0 - law[BURST_DECAY] ** 2)
    activity_scale = law[ACTIVITY_SD] * np.sqrt(1.0 - law[ACTIVITY_DECAY] ** 2)
    burst_mean = law[BURST_SD] ** 2
    specific = law[STEP_SD] ** 2 * law[SPECIFIC_SHARE]
    late = 1.0 - law[PASS_NOW]
    passing = law[PASS_NOW] + late * (1.0 - law[LAG_DECAY])
    passing_variance = (law[BETA] * passing) ** 2
    for i in range(steps):
        state[BURST] = law[BURST_DECAY] * state[BURST] + burst_scale * normals[1, i]
        state[ACTIVITY] = law[ACTIVITY_DECAY] * state[ACTIVITY] + activity_scale * normals[2, i]
        log_sd = log_volatility[i // per_minute] + state[BURST] - burst_mean
        variance = specific * np.exp(2.0 * log_sd)
        variances[i] = variance
        shock = normals[0, i] * np.sqrt(variance * (law[HALF_DEGREES] - 1.0) / gammas[i])
        if follows:
            pool = state[POOL] + leader[0, i]
            state[POOL] = law[LAG_DECAY] * pool
            passed = law[PASS_NOW] * leader[0, i] + late * (pool - state[POOL])
            returns[i] = law[BETA] * passed + shock
            variance += passing_variance * leader[1, i]
        else:
            returns[i] = law[MOMENTUM_GAIN] * state[MOMENTUM] + shock
            state[MOMENTUM] = law[MOMENTUM_DECAY] * state[MOMENTUM] + shock
        state[PRICE] += returns[i]

        intensity = np.exp(law[VOLUME_ELASTICITY] * log_sd + state[ACTIVITY])
        traded = 1.0 - np.exp(-law[TRADES] * intensity)
        ohlcv[i, 0] = last
        if uniforms[0, i] < traded:
            side = law[HALF_SPREAD] if uniforms[1, i] < 0.5 else -law[HALF_SPREAD]
            log_close = state[PRICE] + side
            r = log_close - state[LAST]
            spread = 2.0 * variance
            high = 0.5 * (r + np.sqrt(r * r - spread * np.log(1.0 - uniforms[2, i])))
            low = 0.5 * (r - np.sqrt(r * r - spread * np.log(1.0 - uniforms[3, i])))
            close = np.exp(log_close)
            ohlcv[i, 1] = max(np.exp(state[LAST] + high), last, close)
            ohlcv[i, 2] = min(np.exp(state[LAST] + low), last, close)
            size = np.exp(law[SIZE_SD] * normals[3, i])
            ohlcv[i, 4] = lots(law[VOLUME] * intensity / traded * size)
            state[LAST] = log_close
            last = close
        else:
            ohlcv[i, 1] = last
            ohlcv[i, 2] = last
            ohlcv[i, 4] = 0.0
        ohlcv[i, 3] = last
        if (i + 1) % per_minute == 0:
            latent[i // per_minute] = state
    return last


@cached_njit()
def expected_variance(
    log_slow, slow_decay, slow_sd, hours, log_fast, fast_decay, fast_sd, daily, minute,
    burst, burst_decay, burst_sd, burst_minutes, weights, minute_weights,
):  # fmt: skip
    """Expected sum of weighted innovation variances (in units of their mean) after a minute.

    Every component of the log volatility is a Gaussian AR(1), so that the expectation of each
    exp(2 x) is exact.

    ``log_slow``, ``log_fast`` and ``burst`` are the components as they stand at the decision, each
    with its decay (an hour, a minute, a step) and standard deviation. ``hours`` is the hour since
    the epoch that ``log_slow`` belongs to, ``minute`` the one that begins at the decision,
    ``daily`` [1440] the log volatility by minute of the day. After ``burst_minutes`` the burst is
    forgotten. ``weights`` [step] are squared responses at the horizon, the nearest step first, and
    ``minute_weights`` their sums by minute.
    """
    minutes = len(minute_weights)
    per_minute = len(weights) // minutes
    total = 0.0
    for j in range(minutes):
        fade = fast_decay ** (j + 1)
        age = slow_decay ** ((minute + j) // 60 - hours)
        exponent = 2.0 * (daily[(minute + j) % 1440] + fade * log_fast + age * log_slow)
        exponent -= 2.0 * (fade * fade * fast_sd**2 + age * age * slow_sd**2)
        level = np.exp(exponent)
        share = minute_weights[j]
        if j < burst_minutes:
            share = 0.0
            for i in range(j * per_minute, (j + 1) * per_minute):
                decay = burst_decay ** (i + 1)
                excess = 2.0 * decay * burst - 2.0 * decay * decay * burst_sd**2
                share += weights[i] * np.exp(excess)
        total += level * share
    return total


@cached_njit()
def expected_variances(
    log_slow, slow_decay, slow_sd, hours, log_fast, fast_decay, fast_sd, daily, minute,
    burst, burst_decay, burst_sd, burst_minutes, weights, minute_weights,
):  # fmt: skip
    """``expected_variance`` of many decisions: components, ``hours``, ``minute`` are [decision]."""
    out = np.empty(len(log_slow))
    for d in range(len(out)):
        out[d] = expected_variance(
            log_slow[d], slow_decay, slow_sd, hours[d], log_fast[d], fast_decay, fast_sd,
            daily, minute[d],
            burst[d], burst_decay, burst_sd, burst_minutes, weights, minute_weights,
        )  # fmt: skip
    return out


@cached_njit()
def aggregate(ohlcv, factor):
    """Join every ``factor`` rows into one; an incomplete last bucket is left out."""
    out = np.empty((len(ohlcv) // factor, 5))
    for k in range(len(out)):
        first = k * factor
        high, low, volume = ohlcv[first, 1], ohlcv[first, 2], 0.0
        for i in range(first, first + factor):
            high = max(high, ohlcv[i, 1])
            low = min(low, ohlcv[i, 2])
            volume += ohlcv[i, 4]
        out[k, 0] = ohlcv[first, 0]
        out[k, 1] = high
        out[k, 2] = low
        out[k, 3] = ohlcv[first + factor - 1, 3]
        out[k, 4] = volume
    return out
