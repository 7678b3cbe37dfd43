"""The state of a key, judged from what of it is there, what is missing and what time it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mtf.market.times import iso
from mtf.realtime.events import State, StreamState
from mtf.realtime.in_order import InOrder
from mtf.realtime.live_trades import LiveSeconds

Series = InOrder | LiveSeconds


@dataclass(frozen=True)
class KeyView:
    """What there is to see of one key.

    Attributes:
        state: as ``StreamState`` tells it.
        since_ms: since when.
        why: in words.
        last_open_ms: open of the last candle told; None = none yet.
        heard_ms: when the stream last said anything of it; None = not yet.
        counts: candles told by the ``stream`` and by an ``answer``, those that came again
            (``repeated``), and faults by their kind.
    """

    state: State
    since_ms: int
    why: str
    last_open_ms: int | None
    heard_ms: int | None
    counts: Counter[str]


class KeyState:
    """Follows the state of one key."""

    def __init__(self, series: Series) -> None:
        """Nothing is known yet."""
        self.series = series
        self.heard_ms: int | None = None
        self._now = StreamState(series.symbol, series.timeframe, "starting", 0, "nothing yet")

    def view(self) -> KeyView:
        """What there is to see."""
        now, series = self._now, self.series
        counts = Counter(series.counts)
        return KeyView(now.state, now.since_ms, now.why, series.last_open_ms, self.heard_ms, counts)

    def judge(self, lost: str, now_ms: int) -> list[StreamState]:
        """The state, where it is another one than before.

        Args:
            lost: why there is no connection; empty = there is one.
            now_ms: the time.
        """
        state, why = _judged(self.series, lost, now_ms)
        if state == self._now.state and self._now.since_ms:
            return []
        self._now = StreamState(self.series.symbol, self.series.timeframe, state, now_ms, why)
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
    if now_ms - series.next_ms >= series.stale_ms:
        return "stale", f"nothing came for more than two intervals; {told}"
    if not series.complete(now_ms):
        return "filling", f"asked for what is missing; {told}"
    if series.frozen:
        return "frozen", f"nothing traded for two intervals; {told}"
    return "live", told
