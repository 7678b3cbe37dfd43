"""Two views of the same market: which candles one knew at a time and the other did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.config.schema import Config
from mtf.market.candles import Candles
from mtf.market.stream import StreamSpec
from mtf.realtime.events import Key
from mtf.realtime.session_candles import given

NEVER_MS = 2**62


@dataclass(frozen=True)
class Apart:
    """The slots of a delivered stream in which two views are not the same at all times.

    Attributes:
        spec: of the stream.
        slot: ascending.
        known: when each may be known in each view (ms), by the timetable and by its arrival;
            ``NEVER_MS`` = there is no candle.
        other: whether both have a candle, and not the same one.
    """

    spec: StreamSpec
    slot: Int64[np.ndarray, " slot"]
    known: Int64[np.ndarray, "2 slot"]
    other: Bool[np.ndarray, " slot"]

    @classmethod
    def of(cls, spec: StreamSpec, own: Candles, research: Candles) -> Apart:
        """Compare two views of a stream."""
        some = [one for one in (own, research) if len(one)]
        first = min((one.first_slot for one in some), default=0)
        end = max((one.end_slot for one in some), default=0)
        slots = np.arange(first, end, dtype=np.int64)
        laid = [_laid(one, first, end, spec.latency_ms) for one in (own, research)]
        known = np.stack([known for known, _ in laid])
        other = (known < NEVER_MS).all(axis=0) & (laid[0][1] != laid[1][1]).any(axis=1)
        at = np.flatnonzero((known[0] != known[1]) | other)
        return cls(spec, slots[at], known[:, at], other[at])

    def at(self, time_ms: int) -> Iterator[tuple[int, str]]:
        """What the session lacked, or had other than research, at a time: when it closed, words."""
        seen = self.known <= time_ms
        apart = (seen[0] != seen[1]) | (seen.all(axis=0) & self.other)
        for row in np.flatnonzero(apart).tolist():
            slot, (own, research) = int(self.slot[row]), seen[:, row].tolist()
            words = self.words(own, research, int(self.known[0, row]) - time_ms)
            yield int(self.spec.timeframe.close_time(slot)), f"{self.name(slot)} {words}"

    def words(self, own: bool, research: bool, late_ms: int) -> str:
        """How a candle differs at a time at which one view knows it, or both do."""
        if own:
            return "was another one" if research else "was known, and research lacks it then"
        if late_ms > NEVER_MS // 2:
            return "never came"
        return f"came {late_ms / 1_000:g} s too late"

    def name(self, slot: int) -> str:
        """A candle in words."""
        spec = self.spec
        opened = clock_words(int(spec.timeframe.open_time(slot)))
        stream = f" (stream {spec.name})" if spec.name else ""
        return f"the candle {spec.symbol} {spec.timeframe} of {opened}{stream}"


class Views:
    """What a session knew, and what research takes as known, of all streams.

    Args:
        config: of the run.
        symbol: the primary one; None = the run's first.
        own: candles of the session, with the time from which on each is known.
        research: alike.

    Raises:
        DataError: candles of a stream are not among those given.
    """

    def __init__(
        self,
        config: Config,
        symbol: str | None,
        own: Mapping[Key, Candles],
        research: Mapping[Key, Candles],
    ) -> None:
        """Find where they differ, once."""

        def apart(spec: StreamSpec) -> Apart:
            key = spec.symbol, spec.timeframe
            return Apart.of(spec, given(own, key), given(research, key))

        specs = config.stream_specs(symbol)
        self.streams = [apart(spec) for spec in specs if spec.derived_from is None]
        clock = config.decisions.clock
        self.traded = apart(StreamSpec("", symbol or config.symbol, clock, "primary", 1))

    def why(self, time_ms: int) -> str:
        """Which candle explains that something else was said at a time; empty = none.

        The newest of them: those of long ago hardly count.
        """
        found = [one for apart in self.streams for one in apart.at(time_ms)]
        if not found:
            return ""
        more = f" (and {len(found) - 1} more such)" if len(found) > 1 else ""
        return max(found)[1] + more

    def why_traded(self, time_ms: int) -> str:
        """Which candle explains that something else was filled at a time; empty = none."""
        traded, slot = self.traded, int(self.traded.spec.timeframe.slot(time_ms))
        for row in np.flatnonzero(traded.slot == slot).tolist():
            own, research = (traded.known[:, row] < NEVER_MS).tolist()
            if traded.other[row] or own != research:
                words = traded.words(own, research, NEVER_MS)
                return f"{traded.name(slot)} {words}"
        return ""


def _laid(
    candles: Candles, first: int, end: int, latency_ms: int
) -> tuple[Int64[np.ndarray, " slot"], Float64[np.ndarray, "slot 5"]]:
    """When every slot's candle may be known, and the candles; ``NEVER_MS`` and 0 where none is."""
    known, ohlcv = np.full(end - first, NEVER_MS, np.int64), np.zeros((end - first, 5))
    there = candles.first_slot - first + np.flatnonzero(candles.valid)
    due = candles.timeframe.close_time(first + there) + latency_ms
    came = due if candles.available_at is None else candles.available_at[candles.valid]
    known[there] = np.maximum(due, came)
    ohlcv[there] = candles.ohlcv[candles.valid]
    return known, ohlcv


def clock_words(time_ms: int) -> str:
    """Date and time (UTC) to the second, and to the millisecond where it is between seconds."""
    words = f"{datetime.fromtimestamp(time_ms // 1_000, tz=UTC):%Y-%m-%d %H:%M:%S}"
    return f"{words}.{time_ms % 1_000:03d}" if time_ms % 1_000 else words


__all__ = ["Apart", "Views", "clock_words"]
