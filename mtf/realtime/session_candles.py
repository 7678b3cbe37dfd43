"""The candles of a session as research reads them: plain ``Candles`` that say what was known when.

A session decides at ``t + decision_delay`` on what closed by ``t``. Research knows no such delay:
it asks what was known at ``t``. ``as_decided`` brings the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import DataSource, Request
from mtf.realtime.events import Closed, Key


def candles_of(closed: Iterable[Closed], keys: Iterable[Key]) -> dict[Key, Candles]:
    """What a session was told of each key, history too; ``available_at`` is when it arrived.

    Args:
        closed: all that was told, in any order.
        keys: what is wanted; a key of which nothing was told has no candle.

    Raises:
        DataError: the same candle told with different values, or rows that are no candles.
    """
    told: dict[Key, list[Closed]] = {key: [] for key in keys}
    for one in closed:
        if one.key in told:
            told[one.key].append(one)
    return {key: _joined(key, events) for key, events in told.items()}


def _joined(key: Key, events: Sequence[Closed]) -> Candles:
    """The candles of one key."""
    events = [one for one in events if len(one.open_ms)]
    if not events:
        return Candles.empty(*key)
    opens = np.concatenate([one.open_ms for one in events])
    arrived = np.repeat([one.arrived_ms for one in events], [len(one.open_ms) for one in events])
    return Candles.from_rows(
        *key,
        opens,
        np.concatenate([one.ohlcv for one in events]),
        # Clocks differ by some ms: what seems to have come before its close came with it.
        available_at=np.maximum(arrived.astype(np.int64), opens + key[1].duration_ms),
        origin=f"{key[0]} {key[1]} of the session",
    )


def as_decided(arrived: Mapping[Key, Candles], decision_delay_ms: int) -> dict[Key, Candles]:
    """The same candles, known at ``t`` exactly where a session's decision at ``t`` saw them.

    The decision at ``t`` sees a candle if two things hold: by the timetable it may be known
    (``close + latency <= t``), and it had arrived when the decision was made
    (``arrival <= t + decision_delay``). Research sees it where ``close + latency <= t`` and
    ``available_at <= t``; so ``available_at`` is ``arrival - decision_delay``, or the close where
    that is later. What came within the delay was in time, and a latency counts by itself.

    Args:
        arrived: with arrivals in ``available_at``; without, they came by the timetable.
        decision_delay_ms: from ``t`` until the decision is made.
    """
    return {key: _decided(one, decision_delay_ms) for key, one in arrived.items()}


def _decided(candles: Candles, delay_ms: int) -> Candles:
    if candles.available_at is None:
        return candles
    closes = candles.open_time() + candles.timeframe.duration_ms
    return replace(candles, available_at=np.maximum(candles.available_at - delay_ms, closes))


def on_time(candles: Mapping[Key, Candles]) -> dict[Key, Candles]:
    """The same candles as a backtest takes them: every one known by the timetable."""
    return {key: replace(one, available_at=None) for key, one in candles.items()}


class Given(DataSource):
    """Candles that are in memory, laid on the whole time asked for; what is not there is absent.

    Args:
        candles: by symbol and timeframe.
    """

    def __init__(self, candles: Mapping[Key, Candles]) -> None:
        """Keep them."""
        self.candles = candles

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """The candles of each request, every slot of it.

        Raises:
            DataError: nothing is known of a symbol or timeframe.
        """
        return [self._of(request) for request in requests]

    def _of(self, request: Request) -> Candles:
        frame, found = request.timeframe, given(self.candles, (request.symbol, request.timeframe))
        first, end = _slots_from(frame, request.start_ms), _slots_from(frame, request.end_ms)
        ohlcv = np.full((max(end - first, 0), 5), np.nan)
        valid = np.zeros(len(ohlcv), np.bool_)
        low, high = max(first, found.first_slot), min(end, found.end_slot)
        if low < high:
            into = slice(low - first, high - first)
            rows = slice(low - found.first_slot, high - found.first_slot)
            ohlcv[into], valid[into] = found.ohlcv[rows], found.valid[rows]
        return Candles(request.symbol, frame, first, ohlcv, valid)


def given(candles: Mapping[Key, Candles], key: Key) -> Candles:
    """The candles of a key.

    Raises:
        DataError: it is not among them.
    """
    if key not in candles:
        there = ", ".join(f"{symbol} {frame}" for symbol, frame in candles)
        raise DataError(
            f"no candles of {key[0]} {key[1]} were given, but of {there or 'nothing'}",
            "all that the run's streams are delivered as, and the clock's",
            "give Candles.empty for one of which none came",
        )
    return candles[key]


def _slots_from(frame: Timeframe, time_ms: int) -> int:
    """The first slot that opens at a time or later."""
    return int(frame.slot(time_ms + frame.duration_ms - 1))


__all__ = ["Given", "as_decided", "candles_of", "given", "on_time"]
