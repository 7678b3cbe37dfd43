"""Sees a trade topic that fell silent alone: seconds look quiet, but a candle says there was trade.

Nothing else in the public stream tells such seconds from those in which nobody traded. It takes a
candle to see it, so a minute of them has been told by then; a new connection mends what comes.
"""

from __future__ import annotations

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.realtime.events import Closed, FeedFault
from mtf.realtime.live_trades import SECOND

KIND = "silent trades"
KEPT = 5
"""So many candles may one side be ahead of the other."""
VOLUME = 4


class SilentTrades:
    """Compares the 1s candles of a symbol with candles that the exchange made.

    Args:
        timeframe: of the exchange's candles.
    """

    def __init__(self, timeframe: Timeframe) -> None:
        """Nothing was told yet."""
        self.timeframe = timeframe
        self._quiet: dict[int, int] = {}
        self._traded: dict[int, float] = {}

    def take(self, event: Closed) -> list[FeedFault]:
        """Take candles of the symbol; what is wrong is told once both sides are there."""
        if event.timeframe == SECOND:
            self._count(event)
        elif event.timeframe == self.timeframe:
            last = zip(event.open_ms[-KEPT:], event.ohlcv[-KEPT:, VOLUME], strict=True)
            self._traded.update({int(open_ms): float(volume) for open_ms, volume in last})
        else:
            return []
        whole = self.timeframe.duration_ms // SECOND.duration_ms
        both = [open_ms for open_ms in self._traded if self._quiet.get(open_ms) == whole]
        faults = [self._fault(event, at, self._traded[at]) for at in both if self._traded[at] > 0]
        for open_ms in both:
            del self._quiet[open_ms], self._traded[open_ms]
        self._forget()
        return faults

    def _count(self, event: Closed) -> None:
        """Count the seconds without a trade, by the candle that they are part of."""
        quiet = event.open_ms[event.ohlcv[:, VOLUME] == 0]
        opens = [self.timeframe.open_time(self.timeframe.slot(int(second))) for second in quiet]
        for open_ms, count in zip(*np.unique(opens, return_counts=True), strict=True):
            self._quiet[int(open_ms)] = self._quiet.get(int(open_ms), 0) + int(count)

    def _forget(self) -> None:
        """Keep the newest of both sides."""
        for side in (self._quiet, self._traded):
            for open_ms in sorted(side)[:-KEPT]:
                del side[open_ms]

    def _fault(self, event: Closed, open_ms: int, volume: float) -> FeedFault:
        """Something to be told."""
        words = (
            f"{event.symbol} 1s: no trade came in the {self.timeframe} from {iso(open_ms)} on, "
            f"of which the candle says {volume:g}"
        )
        return FeedFault(event.arrived_ms, KIND, words)
