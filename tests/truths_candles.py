"""A market of two symbols, written out, in which every channel of the next candle is half foreseen.

All in units of one minute's standard deviation of 1e-3, with independent standard normal shocks:

    BTC close:   r(k) = 0.6 r(k-1) + 0.8 shock
    ETH close:   r(k) = 0.6 BTC's r(k-1) + 0.8 shock: ETH follows BTC by a minute
    log volume:  v(k) = 0.8 v(k-1) + 0.6·0.8 shock, so that its standard deviation is 0.8
    wicks:       beyond open and close, up and down, each exponential with mean 0.6 exp(v(k-1) / 2)

The open is the last close. So given the candles to k-1 the close is normal, high and low are the
mean of the larger or smaller of 0 and that normal plus the mean wick, and the volume is log-normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from scipy.stats import norm
from truths import MINUTE, START_MS

from mtf.market.asof import Known
from mtf.market.candles import CLOSE, HIGH, LOW, VOLUME
from mtf.market.kernels import VOLUME_SHARE

UNIT = 1e-3
FOLLOWS, SHOCK, WICK = 0.6, 0.8, 0.6
STAYS, VOLUME_SHOCK = 0.8, 0.48

Reals = Float64[np.ndarray, " minute"]


@dataclass(frozen=True)
class Symbol:
    """The state of a symbol at the close of every minute.

    Attributes:
        returns: in units of 1e-3.
        leads: the returns that its next return follows: BTC's.
        log_volume: of the minute's candle.
    """

    returns: Reals
    leads: Reals
    log_volume: Reals

    def best(
        self, times: Int64[np.ndarray, " decision"], known: Known
    ) -> Float64[np.ndarray, "decision 5"]:
        """The mean next candle given the state at ``times``, in the head's channels."""
        row = (times - START_MS) // MINUTE - 1
        ahead, v = FOLLOWS * self.leads[row], self.log_volume[row]
        wick = WICK * np.exp(v / 2)
        above = ahead * norm.cdf(ahead / SHOCK) + SHOCK * norm.pdf(ahead / SHOCK)
        candle = np.zeros((len(times), 5))
        candle[:, HIGH], candle[:, LOW] = above + wick, ahead - above - wick
        candle[:, CLOSE] = ahead
        candle *= (UNIT / known.sigma)[:, None]
        candle[:, VOLUME] = _mean_log_volume(STAYS * v, known.volume_mean)
        return candle


def _mean_log_volume(
    middle: Float64[np.ndarray, " decision"], mean: Float64[np.ndarray, " decision"]
) -> Float64[np.ndarray, " decision"]:
    """Mean of log((V + εm) / (m + εm)) of a log-normal volume V, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    volume = np.exp(middle[:, None] + VOLUME_SHOCK * nodes)
    floor = VOLUME_SHARE * mean[:, None]
    channel = np.log((volume + floor) / (mean[:, None] + floor))
    return np.asarray(channel @ weights / weights.sum())


def write_market(folder: Path, days: int, seed: int) -> dict[str, Symbol]:
    """Write both symbols' minutes from the start of 2024 as csv files; return their states."""
    rng, count = np.random.default_rng(seed), days * 1440
    btc = _follow(None, rng.standard_normal(count))
    eth = _follow(btc, rng.standard_normal(count))
    symbols = {}
    for name, returns, price in (("BTCUSDT", btc, 60_000.0), ("ETHUSDT", eth, 3_000.0)):
        log_volume, shocks = np.zeros(count), VOLUME_SHOCK * rng.standard_normal(count)
        for k in range(1, count):
            log_volume[k] = STAYS * log_volume[k - 1] + shocks[k]
        symbols[name] = Symbol(returns, btc, log_volume)
        wicks = rng.exponential(WICK * np.exp(np.append(0.0, log_volume[:-1]) / 2), (2, count))
        _write(folder / f"{name}_1m_2024.csv", price, symbols[name], wicks)
    return symbols


def write_told(file: Path, days: int, seed: int) -> Reals:
    """Write minutes whose volume tells the volatility of the next; one symbol, no wicks.

    Returns:
        Log of the deviation of the returns of every minute, and of one more.
    """
    rng, count = np.random.default_rng(seed), days * 1440
    told = math.log(UNIT) + 0.7 * rng.standard_normal(count + 1)
    returns = np.exp(told[:-1]) / UNIT * rng.standard_normal(count)
    symbol = Symbol(returns, returns, told[1:] - math.log(UNIT))
    _write(file, 2_000.0, symbol, np.zeros((2, count)))
    return told


def _follow(leads: Reals | None, shocks: Reals) -> Reals:
    """Returns that follow the last return of ``leads``, or their own."""
    if leads is not None:
        return SHOCK * shocks + FOLLOWS * np.append(0.0, leads[:-1])
    returns = SHOCK * shocks
    for k in range(1, len(returns)):
        returns[k] += FOLLOWS * returns[k - 1]
    return returns


def _write(
    file: Path, price: float, symbol: Symbol, wicks: Float64[np.ndarray, "2 minute"]
) -> None:
    """One symbol's candles."""
    log = np.log(price) + UNIT * np.append(0.0, np.cumsum(symbol.returns))
    opening, close = log[:-1], log[1:]
    frame = pd.DataFrame({"time": START_MS // 1000 + 60 * np.arange(len(close))})
    frame["open"], frame["close"] = np.exp(opening), np.exp(close)
    frame["high"] = np.exp(np.maximum(opening, close) + UNIT * wicks[0])
    frame["low"] = np.exp(np.minimum(opening, close) - UNIT * wicks[1])
    frame["volume"] = np.exp(symbol.log_volume)
    frame.to_csv(file, index=False)
