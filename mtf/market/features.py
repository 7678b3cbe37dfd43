"""Per-candle features: one causal scan each, in units of the stream's own recent past.

A feature of slot ``k`` is measured against what was known before ``k`` (sigma, mean volume, last
close), so that a doji at 1s looks like a doji at 1d. No statistic of the window or of the whole
series is used: such a feature could neither be streamed nor shared by overlapping windows.

"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64

from mtf.errors import ConfigError
from mtf.market import kernels
from mtf.market.feature_set import FeatureSet, Turned
from mtf.market.scale import decay_of, scale_state


class Ohlcv(FeatureSet):
    """Open, high, low and close as log ratios to the last close in sigmas, and log volume.

    Prices: ``log(price / last close) / sigma``, both as known before the candle; across a gap the
    last known close counts. Volume: ``log((v + 0.01 m) / (m + 0.01 m))`` with ``m`` the mean volume
    before the candle, 0 where ``m`` is 0. A candle without trades has prices 0, volume -4.615.
    Usable from the first candle whose sigma is known.

    Args:
        volatility_half_life: of sigma, in observed returns.
        volume_half_life: of the mean volume, in candles.
        clip: largest absolute value of a feature.
    """

    channels: tuple[str, ...] = ("open", "high", "low", "close", "volume")
    turned: Turned | None = ((0, -1), (2, -1), (1, -1), (3, -1), (4, 1))  # high is low

    def __init__(
        self, *, volatility_half_life: int = 60, volume_half_life: int = 60, clip: float = 8.0
    ) -> None:
        """Keep the options.

        Raises:
            ConfigError: an option that is not above 0.
        """
        require_positive(
            volatility_half_life=volatility_half_life,
            volume_half_life=volume_half_life,
            clip=clip,
        )
        self.volatility_half_life = volatility_half_life
        self.volume_half_life = volume_half_life
        self.clip = float(clip)
        self.warmup = 10 * max(volatility_half_life, volume_half_life)

    def initial_state(self) -> Float64[np.ndarray, " state"]:
        """The state before the first candle."""
        return scale_state()

    def scan(
        self,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        state: Float64[np.ndarray, " state"],
    ) -> tuple[Float32[np.ndarray, "slot 5"], Bool[np.ndarray, " slot"]]:
        """Features of consecutive slots and whether each is usable; carries ``state`` on."""
        values = np.zeros((len(valid), 5), np.float32)
        usable = np.zeros(len(valid), np.bool_)
        kernels.scan_ohlcv(
            ohlcv, valid, state, self.volatility_half_life, decay_of(self.volatility_half_life),
            decay_of(self.volume_half_life), self.clip, values, usable,
        )  # fmt: skip
        return values, usable


class Indicators(FeatureSet):
    """Nine classic indicators, brought to the scale of the stream.

    ===================  =========================================  ========================
    channel              plain (``raw``)                            as fed to a network
    ===================  =========================================  ========================
    returns              close / last close - 1                     / sigma
    log_returns          log(close / last close)                    / sigma
    volatility           population deviation of the log returns    / sigma
    volume_ratio         volume / its rolling mean                  its log, as in ``ohlcv``
    rsi                  Wilder's, 0..100; 50 where nothing moves   / 50 - 1
    macd, macd_signal    in price                                   / close / sigma
    spread               (high - low) / close                       / sigma
    vwap                 rolling, typical price, / close            log / sigma
    ===================  =========================================  ========================

    Sigma is the one before the candle. All but rsi are clipped. Averages start like TA-Lib's.

    Gaps: a window holds the last n candles that exist. The first candle after a gap takes its
    returns from the last known close; this change enters neither volatility nor rsi, which count
    changes from one slot to the next only. Usable once every window is full and sigma is known.

    Args:
        volatility_period: returns in volatility.
        volume_period: candles in the mean volume of volume_ratio.
        rsi_period: Wilder's period.
        macd_fast: period of the fast average.
        macd_slow: period of the slow average, longer than the fast one.
        macd_signal: period of the average of macd.
        vwap_period: candles in vwap.
        volatility_half_life: of sigma, in observed returns.
        volume_half_life: of the stream's mean volume, in candles.
        clip: largest absolute value of a feature.
    """

    channels: tuple[str, ...] = (
        "returns",
        "log_returns",
        "volatility",
        "volume_ratio",
        "rsi",
        "macd",
        "macd_signal",
        "spread",
        "vwap",
    )

    def __init__(
        self,
        *,
        volatility_period: int = 20,
        volume_period: int = 20,
        rsi_period: int = 14,
        macd_fast: int = 12,
        macd_slow: int = 26,
        macd_signal: int = 9,
        vwap_period: int = 20,
        volatility_half_life: int = 60,
        volume_half_life: int = 60,
        clip: float = 8.0,
    ) -> None:
        """Keep the options.

        Raises:
            ConfigError: an option that is not above 0, or a fast average slower than the slow one.
        """
        self.periods = (
            volatility_period,
            volume_period,
            rsi_period,
            macd_fast,
            macd_slow,
            macd_signal,
            vwap_period,
        )
        names = "volatility_period volume_period rsi_period macd_fast macd_slow macd_signal"
        require_positive(
            **dict(zip([*names.split(), "vwap_period"], self.periods, strict=True)),
            volatility_half_life=volatility_half_life,
            volume_half_life=volume_half_life,
            clip=clip,
        )
        if macd_fast >= macd_slow:
            raise ConfigError(
                f"found macd_fast {macd_fast} and macd_slow {macd_slow}",
                "macd_fast below macd_slow",
                "swap them, or leave both out for 12 and 26",
            )
        self.volatility_half_life = volatility_half_life
        self.volume_half_life = volume_half_life
        self.clip = float(clip)
        self.warmup = 10 * max(volatility_half_life, volume_half_life, *self.periods)

    def initial_state(self) -> Float64[np.ndarray, " state"]:
        """The state before the first candle."""
        rings = self.periods[0] + self.periods[1] + 2 * self.periods[6]
        blank = np.zeros(kernels.RINGS - kernels.SCALE_STATE + rings)
        return np.concatenate([scale_state(), blank])

    def scan(
        self,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        state: Float64[np.ndarray, " state"],
    ) -> tuple[Float32[np.ndarray, "slot 9"], Bool[np.ndarray, " slot"]]:
        """Features of consecutive slots and whether each is usable; carries ``state`` on."""
        values = np.zeros((len(valid), len(self.channels)), np.float32)
        return values, self._scan(ohlcv, valid, state, True, values)

    def raw(
        self,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        state: Float64[np.ndarray, " state"],
    ) -> tuple[Float64[np.ndarray, "slot 9"], Bool[np.ndarray, " slot"]]:
        """The same scan in plain units, unclipped: what other libraries call these indicators."""
        values = np.zeros((len(valid), len(self.channels)))
        return values, self._scan(ohlcv, valid, state, False, values)

    def _scan(
        self,
        ohlcv: np.ndarray,
        valid: np.ndarray,
        state: np.ndarray,
        scaled: bool,
        values: np.ndarray,
    ) -> np.ndarray:
        """Fill ``values``; return which rows are usable."""
        usable = np.zeros(len(valid), np.bool_)
        kernels.scan_indicators(
            ohlcv, valid, state, self.periods, self.volatility_half_life,
            decay_of(self.volatility_half_life), decay_of(self.volume_half_life), self.clip,
            scaled, values, usable,
        )  # fmt: skip
        return usable


def require_positive(**options: float) -> None:
    """Refuse options that are not above 0, by name.

    Raises:
        ConfigError: the first such option.
    """
    for name, value in options.items():
        if not value > 0:
            raise ConfigError(f"found {name} {value}", f"{name} above 0", f"mend or drop {name}")
