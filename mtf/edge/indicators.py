"""Nine classic indicators in units of the stream, one causal scan.

Averages start like TA-Lib's. A window holds the last n candles that exist; changes over a gap enter
neither volatility nor rsi. No rolling sum is kept, so nothing drifts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from mtf.edge.candle import Candle
from mtf.edge.features import Scale, clipped, log_volume


class Average:
    """Exponential smoothing that starts with the plain mean of its first ``period`` values."""

    def __init__(self, period: int, weight: float) -> None:
        """Before the first value."""
        self.period, self.weight = period, weight
        self.value, self.count = 0.0, 0

    def take(self, value: float) -> None:
        """One value more."""
        self.count += 1
        share = 1 / self.count if self.count <= self.period else self.weight
        self.value += share * (value - self.value)

    def copy(self) -> Average:
        """The average as it is now."""
        other = Average(self.period, self.weight)
        other.value, other.count = self.value, self.count
        return other


class Indicators:
    """Returns, log returns, volatility, volume ratio, rsi, macd, its signal, spread and vwap."""

    channels = 9

    def __init__(
        self,
        *,
        volatility_period: int,
        volume_period: int,
        rsi_period: int,
        macd_fast: int,
        macd_slow: int,
        macd_signal: int,
        vwap_period: int,
        volatility_half_life: int,
        volume_half_life: int,
        clip: float,
    ) -> None:
        """Before the first candle."""
        self.scale, self.clip = Scale(volatility_half_life, volume_half_life), clip
        self.changes_needed = max(volatility_period, rsi_period)
        self.candles_needed = max(volume_period, vwap_period, macd_slow + macd_signal - 1)
        self.late_start = macd_slow - macd_fast
        self.candles = self.changes = 0
        self.gain, self.loss = (Average(rsi_period, 1 / rsi_period) for _ in range(2))
        self.fast, self.slow, self.signal = (
            Average(period, 2 / (period + 1)) for period in (macd_fast, macd_slow, macd_signal)
        )
        self.log_returns: deque[float] = deque(maxlen=volatility_period)
        self.volumes: deque[float] = deque(maxlen=volume_period)
        self.traded: deque[tuple[float, float]] = deque(maxlen=vwap_period)

    def step(self, candle: Candle) -> list[float] | None:
        """The nine features of the next candle."""
        scale = self.scale
        sigma, last = scale.sigma, scale.last_close
        log_return = math.log(candle.close / last)
        if scale.adjacent:
            self._change(candle.close - last, log_return)
        self._candle(candle)
        warm = self.changes >= self.changes_needed and self.candles >= self.candles_needed
        found = self._features(candle, sigma, last, log_return) if warm and sigma > 0 else None
        scale.observe(log_return, candle)
        return found

    def skip(self) -> None:
        """Take a slot without a candle."""
        self.scale.adjacent = False

    def copy(self) -> Indicators:
        """The scan as it is now."""
        other = Indicators.__new__(Indicators)
        parts = self.__dict__.items()
        other.__dict__.update({k: v.copy() if hasattr(v, "copy") else v for k, v in parts})
        return other

    def _change(self, change: float, log_return: float) -> None:
        """A change from one slot to the next."""
        self.changes += 1
        self.log_returns.append(log_return)
        self.gain.take(max(change, 0.0))
        self.loss.take(max(-change, 0.0))

    def _candle(self, candle: Candle) -> None:
        """A candle, behind a gap or not."""
        self.candles += 1
        self.volumes.append(candle.volume)
        typical = candle.high + candle.low + candle.close
        self.traded.append((candle.volume, candle.volume * typical / 3))
        if self.candles > self.late_start:  # the last candles that start the slow average
            self.fast.take(candle.close)
        self.slow.take(candle.close)
        if self.candles >= self.slow.period:
            self.signal.take(self.fast.value - self.slow.value)

    def _features(
        self, candle: Candle, sigma: float, last: float, log_return: float
    ) -> list[float]:
        close, macd = candle.close, self.fast.value - self.slow.value
        volume = sum(traded for traded, _ in self.traded)
        vwap = sum(amount for _, amount in self.traded) / volume if volume > 0 else close
        in_sigmas = {
            0: close / last - 1,
            1: log_return,
            2: deviation(self.log_returns),
            5: macd / close,
            6: self.signal.value / close,
            7: (candle.high - candle.low) / close,
            8: math.log(vwap / close),
        }
        found = [0.0] * self.channels
        for channel, value in in_sigmas.items():
            found[channel] = clipped(value / sigma, self.clip)
        found[3] = clipped(log_volume(candle.volume, mean(self.volumes)), self.clip)
        found[4] = self._rsi(close) / 50 - 1
        return found

    def _rsi(self, close: float) -> float:
        """Wilder's index in 0..100; 50 where nothing moves."""
        total = self.gain.value + self.loss.value
        return 100 * self.gain.value / total if total > 1e-12 * close else 50.0


def mean(values: Iterable[float]) -> float:
    """The plain mean."""
    found = list(values)
    return sum(found) / len(found)


def deviation(values: Iterable[float]) -> float:
    """The population standard deviation."""
    found = list(values)
    middle = mean(found)
    return math.sqrt(sum((value - middle) ** 2 for value in found) / len(found))


__all__ = ["Average", "Indicators"]
