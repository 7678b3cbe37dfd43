"""The state of a key, judged from what of it is there, what is missing and what time it is."""

from __future__ import annotations

from mtf.market.times import iso
from mtf.realtime.events import State, StreamState
from mtf.realtime.in_order import InOrder
from mtf.realtime.live_trades import LiveSeconds

Series = InOrder | LiveSeconds


class KeyState:
    """Follows the state of one key."""

    def __init__(self, series: Series) -> None:
        """Nothing is known yet."""
        self.series = series
        self._now = StreamState(series.symbol, series.timeframe, "starting", 0, "nothing yet")

    def judge(self, lost: str, now_ms: int) -> list[StreamState]:
        """The state, where it is another one than before; lost for another reason is told, too.

        Args:
            lost: why there is no connection; empty = there is one.
            now_ms: the time.
        """
        state, why = _judged(self.series, lost, now_ms)
        since_ms = now_ms
        if state == self._now.state and self._now.since_ms:
            if state != "lost" or why == self._now.why:
                return []
            since_ms = self._now.since_ms
        self._now = StreamState(self.series.symbol, self.series.timeframe, state, since_ms, why)
        return [self._now]


def _judged(series: Series, lost: str, now_ms: int) -> tuple[State, str]:
    """The state, and why: what is worse comes first."""
    told = f"all before {iso(series.next_ms)} is told"
    if lost:
        return "lost", lost
    if not series.started:
        return "starting", "history is being asked for"
    if series.refilling:
        return "filling", f"asked for what there was without a connection; {told}"
    if series.stale(now_ms):
        return "stale", f"nothing came for more than two intervals; {told}"
    if not series.complete(now_ms):
        return "filling", f"asked for what is missing; {told}"
    if series.frozen:
        return "frozen", f"nothing traded for two intervals; {told}"
    return "live", told
