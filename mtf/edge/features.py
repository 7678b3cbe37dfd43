"""Per-candle features: one causal scan with carried state, candle by candle.

A feature is measured against what was known before the candle: sigma, mean volume, last close. The
state is a plain object that ``copy`` saves, so that a scan can go back to where it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from mtf.edge.candle import Candle
from mtf.edge.errors import RunnerError

SIGMA_FLOOR = 1e-5
VOLUME_SHARE = 0.01
NAN = float("nan")


@runtime_checkable
class Features(Protocol):
    """A scan in the middle of a stream; ``scale`` is what the stream is measured in by now."""

    channels: int
    scale: Scale

    def step(self, candle: Candle) -> list[float] | None:
        """Take the next candle; its features, or None while they are not known."""
        ...

    def skip(self) -> None:
        """Take a slot without a candle."""
        ...

    def copy(self) -> Features:
        """The scan as it is now."""
        ...


class Scale:
    """Sigma and mean volume: bias-corrected, exponentially weighted.

    Args:
        half_life: of sigma, in observed returns; also how many of them it takes to be known.
        volume_half_life: of the mean volume, in candles.
    """

    def __init__(self, half_life: int, volume_half_life: int) -> None:
        """Before the first candle."""
        self.half_life = half_life
        self.decay, self.volume_decay = 0.5 ** (1 / half_life), 0.5 ** (1 / volume_half_life)
        self.squares = self.weight = 0.0
        self.returns = 0
        self.volumes = self.volume_weight = 0.0
        self.last_close = NAN
        self.adjacent = False

    @property
    def sigma(self) -> float:
        """Root of the mean squared log return; NaN until enough of them were observed."""
        if self.returns < self.half_life:
            return NAN
        return max(math.sqrt(self.squares / self.weight), SIGMA_FLOOR)

    @property
    def volume_mean(self) -> float:
        """NaN before the first candle."""
        return self.volumes / self.volume_weight if self.volume_weight else NAN

    def observe(self, log_return: float, candle: Candle) -> None:
        """Take one candle; the return over a gap is no observed return."""
        if self.adjacent:
            self.squares = self.decay * self.squares + log_return * log_return
            self.weight = self.decay * self.weight + 1
            self.returns += 1
        self.volumes = self.volume_decay * self.volumes + candle.volume
        self.volume_weight = self.volume_decay * self.volume_weight + 1
        self.last_close, self.adjacent = candle.close, True

    def copy(self) -> Scale:
        """The scale as it is now."""
        other = Scale.__new__(Scale)
        other.__dict__.update(self.__dict__)
        return other


class Ohlcv:
    """Open, high, low and close as log ratios to the last close in sigmas, and log volume."""

    channels = 5

    def __init__(self, *, volatility_half_life: int, volume_half_life: int, clip: float) -> None:
        """Before the first candle."""
        self.scale, self.clip = Scale(volatility_half_life, volume_half_life), clip

    def step(self, candle: Candle) -> list[float] | None:
        """The five features of the next candle."""
        scale, found = self.scale, None
        sigma, last = scale.sigma, scale.last_close
        if sigma > 0:
            logs = [math.log(price / last) / sigma for price in candle[:4]]
            logs.append(log_volume(candle.volume, scale.volume_mean))
            found = [clipped(value, self.clip) for value in logs]
        scale.observe(math.log(candle.close / last), candle)
        return found

    def skip(self) -> None:
        """Take a slot without a candle."""
        self.scale.adjacent = False

    def copy(self) -> Ohlcv:
        """The scan as it is now."""
        other = Ohlcv.__new__(Ohlcv)
        other.__dict__.update(self.__dict__)
        other.scale = self.scale.copy()
        return other


def log_volume(volume: float, mean: float) -> float:
    """Volume against its mean; 0 where there has never been any."""
    if not mean > 0:
        return 0.0
    return math.log((volume + VOLUME_SHARE * mean) / (mean + VOLUME_SHARE * mean))


def clipped(value: float, most: float) -> float:
    """The value within ``[-most, most]``."""
    return min(max(value, -most), most)


def features_of(name: str, settings: Mapping[str, Any]) -> Features:
    """The scan of that name.

    Raises:
        RunnerError: it is none of those that this runner knows.
    """
    from mtf.edge.indicators import Indicators

    known: dict[str, Any] = {"ohlcv": Ohlcv, "indicators": Indicators}
    if name not in known:
        raise RunnerError(f"found features {name!r}", f"one of {', '.join(known)}")
    made: Features = known[name](**settings)
    return made


__all__ = ["VOLUME_SHARE", "Features", "Ohlcv", "Scale", "clipped", "features_of", "log_volume"]
