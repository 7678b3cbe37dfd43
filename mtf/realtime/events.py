"""What comes in from the exchange, and what a session is told: plain values with a time of arrival.

``Message`` is the only way in: frames of the websocket, answers of REST, the state of the
connection, the clock. It is what is recorded and what is replayed; all else follows from it.
All times are the exchange's, in ms UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.market.timeframe import UNIT_MS, Timeframe

Key = tuple[str, Timeframe]
"""Symbol and timeframe of candles that are delivered."""
MessageKind = Literal["frame", "answer", "state", "clock", "session"]
Source = Literal["stream", "answer"]
HOUR_MS = UNIT_MS["h"]
State = Literal["starting", "live", "filling", "stale", "frozen", "lost"]


@dataclass(frozen=True)
class Message:
    """One thing that arrived.

    Attributes:
        at_ms: when.
        kind: ``frame``: a text of the websocket, as it came, in ``content["text"]``.
            ``answer``: what REST said: ``content["ask"]`` is ``candles``, ``trades`` or
            ``funding``, with ``symbol``, for candles ``timeframe``, ``start_ms``, ``end_ms``, and
            the raw ``rows``.
            ``state``: of the connection: ``content["state"]`` is ``open``, ``lost`` or
            ``refused``, with ``why``; or REST ``failed``, or of one ``topic`` the subscription.
            ``clock``: ``content["offset_ms"]``, what the exchange's clock is ahead of ours.
            ``session``: what the session itself notes, in ``content["what"]`` and beside it.
        content: plain values that JSON can hold.
    """

    at_ms: int
    kind: MessageKind
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Closed:
    """Closed candles of one key, one behind the other: each is told once, in order.

    Attributes:
        open_ms: when each opens.
        ohlcv: open, high, low, close, volume (base coin).
        arrived_ms: when the last of them was known.
        source: whether the stream told it or an answer.
    """

    symbol: str
    timeframe: Timeframe
    open_ms: Int64[np.ndarray, " candle"]
    ohlcv: Float64[np.ndarray, "candle 5"]
    arrived_ms: int
    source: Source

    @property
    def key(self) -> Key:
        """Symbol and timeframe."""
        return self.symbol, self.timeframe

    def only(self, wanted: Bool[np.ndarray, " candle"]) -> Closed:
        """Some of these candles."""
        return replace(self, open_ms=self.open_ms[wanted], ohlcv=self.ohlcv[wanted])


@dataclass(frozen=True)
class NoCandle:
    """Slots that the exchange has no candle of: a gap that is certain.

    Attributes:
        start_ms: open of the first of them.
        end_ms: end of the last.
    """

    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    arrived_ms: int


@dataclass(frozen=True)
class FundingRate:
    """A funding payment: longs pay positive rates."""

    symbol: str
    time_ms: int
    rate: float
    arrived_ms: int


@dataclass(frozen=True)
class FundingKnown:
    """All payments of a symbol that are stamped before a time are told, or there are none."""

    symbol: str
    end_ms: int
    arrived_ms: int


def next_payment_ms(time_ms: int) -> int:
    """When funding may be paid next, at a time or after it: payments are stamped by full hours."""
    return -(-time_ms // HOUR_MS) * HOUR_MS


@dataclass(frozen=True)
class StreamState:
    """The state of one key changed, or why it is lost.

    Attributes:
        state: ``starting``: history is being asked for. ``live``: complete up to the last close.
            ``filling``: something is missing and was asked for. ``stale``: for more than two
            intervals nothing closed. ``frozen``: nothing traded for two intervals. ``lost``: there
            is no connection.
        since_ms: since when.
        why: in words.
    """

    symbol: str
    timeframe: Timeframe
    state: State
    since_ms: int
    why: str


@dataclass(frozen=True)
class FeedFault:
    """Something went wrong and was dealt with.

    Attributes:
        kind: such as ``bad candle``, ``conflict``, ``lost connection``, ``REST``.
        words: what.
    """

    at_ms: int
    kind: str
    words: str


@dataclass(frozen=True)
class ClockMeasured:
    """What the exchange's clock is ahead of ours."""

    at_ms: int
    offset_ms: int


Traded = Closed | NoCandle | FundingRate | FundingKnown
"""What an account is traded on."""
Event = Traded | StreamState | FeedFault | ClockMeasured


@dataclass(frozen=True)
class Ask:
    """What REST is to be asked.

    Attributes:
        what: ``candles`` with ``start_ms <= open < end_ms``; ``trades``: the newest ones;
            ``funding``: rates stamped ``start_ms <= time < end_ms``.
        why: in words.
    """

    what: Literal["candles", "trades", "funding"]
    symbol: str
    timeframe: Timeframe | None
    start_ms: int
    end_ms: int
    why: str = field(default="", compare=False)


__all__ = [
    "HOUR_MS",
    "Ask",
    "ClockMeasured",
    "Closed",
    "Event",
    "FeedFault",
    "FundingKnown",
    "FundingRate",
    "Key",
    "Message",
    "NoCandle",
    "StreamState",
    "Traded",
    "next_payment_ms",
]
