"""The technical vector: forty classic indicators of one stream of the primary symbol."""

from __future__ import annotations

import numpy as np

from mtf.market.side.streams import primary_stream
from mtf.market.side.technical_kernels import technical_vectors
from mtf.market.side_input import Moments, SideContext, SideInput, Valid, Values

WINDOW = 512
"""Slots that are looked back on; exponential averages start there."""
CLIP = 8.0


def _elements() -> dict[str, str]:
    """Name → meaning, in the order of the kernel."""
    root = "over sigma and the root of the candles"
    returns = {f"return_{n}": f"log return over {n} candles {root}" for n in (1, 5, 15, 60, 240)}
    spread = {
        f"volatility_{n}": f"ln of the deviation of {n} log returns over sigma"
        for n in (15, 60, 240)
    }
    rsi = {f"rsi_{n}": f"Wilder's RSI of {n} candles, -1 … 1" for n in (7, 14, 28)}
    simple = {f"sma_{n}": f"ln(close / mean of {n} closes) {root}" for n in (10, 20, 50, 100, 200)}
    smooth = {
        f"ema_{n}": f"ln(close / exponential average of {n}) {root}" for n in (9, 21, 50, 100)
    }
    prices = {
        f"vwap_{n}": f"ln(close / mean price by volume of {n} candles) {root}" for n in (20, 100)
    }
    places = {
        f"range_{n}": f"place of the close in the range of {n} candles, -1 … 1" for n in (20, 100)
    }
    return {
        **returns,
        **spread,
        **rsi,
        "macd": "MACD (12, 26) over close and sigma",
        "macd_signal": "its average of 9, over close and sigma",
        "macd_histogram": "MACD less its signal, over close and sigma",
        **simple,
        **smooth,
        "bollinger_place": "place between the bands (20, 2 deviations), -1 lower, 1 upper",
        "bollinger_width": "ln of the deviation of 20 closes over close and sigma",
        "atr_14": "ln of the average true range over close and sigma",
        "adx_14": "strength of the trend (ADX), -1 … 1",
        "di_14": "its direction: +DI less -DI, -1 … 1",
        "stochastic_k": "stochastic %K of 14 candles, -1 … 1",
        "stochastic_d": "its mean over 3 candles, -1 … 1",
        "cci_20": "commodity channel index / 100",
        "money_flow_14": "money flow index, -1 … 1",
        "signed_volume_20": "volume of rising less that of falling candles over that of all",
        "volume_ratio": "ln of the last volume over the mean of 20",
        "volume_trend": "ln of the mean volume of 20 candles over that of 100",
        **prices,
        **places,
        "aroon_25": "Aroon oscillator: how much newer the high is than the low, -1 … 1",
    }


class Technical(SideInput):
    """Forty classic indicators of one stream of the primary symbol, brought to its own scale.

    Sigma is the stream's running volatility of a candle, so that an indicator means the same at 1s
    and at 1d; everything is clipped to ±8. Read are the candles that exist among the last 512
    slots, as if there were no gaps between them; averages start at the oldest of them like
    TA-Lib's. An element with too few candles is masked; all are with the stream.

    Args:
        stream: of the primary symbol; null: the one at the clock, or else the finest.
    """

    elements = _elements()

    def __init__(self, context: SideContext, *, stream: str | None = None) -> None:
        """Keep the options.

        Raises:
            ConfigError: no such stream of the primary symbol.
        """
        self.stream = primary_stream(context, stream)
        self.sources = dict.fromkeys(self.elements, (self.stream,))
        self.history = {self.stream: WINDOW}

    def at(self, moments: Moments) -> tuple[Values, Valid]:
        """The indicators of the candles known at each time."""
        stream, known = moments.world.streams[self.stream], moments.known[self.stream]
        candles = stream.candles
        late = candles.available_at
        found = np.empty((len(moments.times), len(self.elements)))
        technical_vectors(
            candles.ohlcv, candles.valid, np.empty(0, np.int64) if late is None else late,
            moments.times, known.last_slot + 1 - candles.first_slot, WINDOW, known.sigma, found,
        )  # fmt: skip
        valid = np.isfinite(found)
        values = np.where(valid, np.clip(found, -CLIP, CLIP), 0.0).astype(np.float32)
        return values[:, None], valid[:, None]


__all__ = ["Technical"]
