"""Longer candles from shorter ones: a bucket that is not complete is not a candle."""

from __future__ import annotations

from mtf.edge.candle import Candle
from mtf.edge.frame import Frame


class Buckets:
    """Collects the candles of one stream into those of a longer timeframe.

    Args:
        fine: of the candles that come in.
        coarse: of those that are built.
        latency_ms: from the close of a built candle until it may be known.
        most: unfinished buckets that are kept: a candle that comes later completes none.
    """

    def __init__(self, fine: Frame, coarse: Frame, latency_ms: int, most: int) -> None:
        """Nothing collected."""
        self.fine, self.coarse, self.latency_ms, self.most = fine, coarse, latency_ms, most
        self.count = coarse.duration_ms // fine.duration_ms
        self._open: dict[int, dict[int, Candle]] = {}

    def add(self, slot: int, candle: Candle) -> tuple[int, Candle] | None:
        """Take a fine candle; the slot and candle that it completes, known when all of it is."""
        target = self.coarse.slot(self.fine.open_time(slot))
        parts = self._open.setdefault(target, {})
        parts[slot] = candle
        if len(parts) < self.count:
            if len(self._open) > self.most:
                del self._open[min(self._open)]
            return None
        in_order = [parts[one] for one in sorted(self._open.pop(target))]
        return target, self._joined(target, in_order)

    def _joined(self, target: int, parts: list[Candle]) -> Candle:
        on_time = self.coarse.close_time(target) + self.latency_ms
        return Candle(
            open=parts[0].open,
            high=max(part.high for part in parts),
            low=min(part.low for part in parts),
            close=parts[-1].close,
            volume=sum(part.volume for part in parts),
            available_at=max(on_time, *(part.available_at for part in parts)),
        )


__all__ = ["Buckets"]
