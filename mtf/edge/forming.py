"""The candle that is not closed yet, as a finer stream of the same symbol sees it."""

from __future__ import annotations

import math

from mtf.edge.features import VOLUME_SHARE, Scale, clipped
from mtf.edge.frame import Frame
from mtf.edge.history import History, Known

CLIP = 8.0
NOTHING = [0.0] * 6


class Forming:
    """Open, running high and low, latest price, volume and elapsed share of a coarse slot.

    Goes on where it stopped; what comes late makes it begin anew.

    Args:
        coarse: timeframe of the candle that forms.
        fine: the stream that sees it.
    """

    def __init__(self, coarse: Frame, fine: History) -> None:
        """Nothing seen."""
        self.coarse, self.fine = coarse, fine
        self._start = self._next = 0
        self._seen: list[float] | None = None
        fine.followers.append(self)

    def at(self, t: int, known: Known) -> tuple[list[float], float] | None:
        """The candle as far as it is known at ``t``, and the share of its slot; None = nothing.

        Args:
            t: of the last ``advance`` of the fine stream.
            known: of the fine stream at ``t``.
        """
        frame = self.fine.spec.frame
        opened = self.coarse.open_time(self.coarse.slot(t))
        start = frame.slot(opened)
        if start != self._start:
            self._start = self._next = start
            self._seen = None
        for slot in range(self._next, known.last_slot + 1):
            candle = self.fine.candles.get(slot)
            if candle is not None and candle.available_at <= t:
                self._take(*candle[:5])
        self._next = max(self._next, known.last_slot + 1)
        if self._seen is None:
            return None
        elapsed = frame.close_time(known.last_slot) - opened
        return self._seen, elapsed / self.coarse.duration_ms

    def go_back(self, slot: int) -> None:
        """Begin anew where what was seen holds no more."""
        if slot < self._next:
            self._next, self._seen = self._start, None

    def _take(self, start: float, high: float, low: float, close: float, volume: float) -> None:
        if self._seen is None:
            self._seen = [start, high, low, close, volume]
            return
        seen = self._seen
        seen[1], seen[2] = max(seen[1], high), min(seen[2], low)
        seen[3], seen[4] = close, seen[4] + volume


def channels(candle: list[float], elapsed: float, scale: Scale) -> list[float] | None:
    """The forming candle in the units of the features, then its elapsed share.

    None where the scale is not known.
    """
    if not (scale.sigma > 0 and scale.last_close > 0):
        return None
    prices = [math.log(price / scale.last_close) / scale.sigma for price in candle[:4]]
    mean, volume = scale.volume_mean, 0.0
    if mean > 0:
        volume = math.log((candle[4] + VOLUME_SHARE * mean) / (mean + VOLUME_SHARE * mean))
    return [*(clipped(value, CLIP) for value in (*prices, volume)), elapsed]


__all__ = ["NOTHING", "Forming", "channels"]
