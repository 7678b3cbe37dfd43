"""The socket for features: one scan with carried state (see ``mtf.plugins.contracts``)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Bool, Float32, Float64

Turned = tuple[tuple[int, int], ...]
"""Of each channel, upside down: the channel that it comes from, and its sign."""


class FeatureSet(ABC):
    """Per-candle features as one scan with carried state: the same step serves batch and live."""

    channels: tuple[str, ...]
    warmup: int
    """Slots of history before the first one used, after which the start hardly matters."""
    volatility_half_life: int = 60
    """Half-life (observed returns) of the stream's sigma."""
    turned: Turned | None = None
    """How the channels look where every price p is 1 / p; None = they can't be told."""

    @abstractmethod
    def initial_state(self) -> Float64[np.ndarray, " state"]:
        """The state before the first candle."""

    @abstractmethod
    def scan(
        self,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        state: Float64[np.ndarray, " state"],
    ) -> tuple[Float32[np.ndarray, "slot channel"], Bool[np.ndarray, " slot"]]:
        """Features of consecutive slots and whether each may be used; carries ``state`` on.

        Features are 0 where not usable (absent candle, warm-up). Scanning in pieces gives the same
        as scanning in one go, bit for bit. ``state`` is changed in place.
        """
