"""From messages to events: the same in a live session and in its replay.

No clock, no thread, no network: what is told follows from the messages and from the times that
``advance`` is given. What REST should be asked is said here, too, and whoever can asks it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mtf.market.timeframe import Timeframe
from mtf.realtime.download import SETTLE_MS
from mtf.realtime.events import Ask, ClockMeasured, Closed, Event, FeedFault, Key, Message
from mtf.realtime.frames import read_frame
from mtf.realtime.funding_due import FundingDue
from mtf.realtime.in_order import GRACE_MS, InOrder
from mtf.realtime.key_state import KeyState, Series
from mtf.realtime.kline import interval_of
from mtf.realtime.live_trades import GRACE_MS as TRADE_GRACE_MS
from mtf.realtime.live_trades import PATIENCE_MS, QUIET_MS, SECOND, LiveSeconds
from mtf.realtime.order_book import book_topic
from mtf.realtime.silent_trades import SilentTrades
from mtf.realtime.store import check_symbol

FAULT_KINDS = {"lost": "lost connection", "refused": "refused connection", "failed": "REST"}


class Intake:
    """All keys of a session.

    Args:
        since_ms: of each key the first open time that is wanted. Keys of 1s are built from trades.
        funding: symbols with the time from which their funding rates are wanted.
        funding_every_ms: of a symbol, the time between two payments. A rate that is due is asked
            for until it is there, or is late; of symbols that are not here, once after each hour.
        books: symbols whose order book is heard too; a ``BookRecorder`` keeps it.
        grace_ms: a candle that closed so long ago and did not come is asked for.
        settle_ms: a candle that closed so lately and is not there may still come.
        trade_grace_ms: trades of a second may be sent so late.
        quiet_ms: a second without a later trade is flat once something was sent so long after it.
        patience_ms: so long REST may take to tell the newest trades.

    Attributes:
        topics: of the websocket.

    Raises:
        ConfigError: a timeframe that the exchange does not have.
        MtfError: a symbol that is none.
    """

    def __init__(
        self,
        since_ms: Mapping[Key, int],
        *,
        funding: Mapping[str, int] | None = None,
        funding_every_ms: Mapping[str, int] | None = None,
        books: Sequence[str] = (),
        grace_ms: int = GRACE_MS,
        settle_ms: int = SETTLE_MS,
        trade_grace_ms: int = TRADE_GRACE_MS,
        quiet_ms: int = QUIET_MS,
        patience_ms: int = PATIENCE_MS,
    ) -> None:
        """Nothing has come yet."""
        self._keys: dict[Key, KeyState] = {}
        self._by_topic: dict[str, KeyState | None] = {book_topic(name): None for name in books}
        for key, since in since_ms.items():
            symbol, timeframe = check_symbol(key[0]), key[1]
            series: Series
            if timeframe == SECOND:
                topic = f"publicTrade.{symbol}"
                series = LiveSeconds(
                    symbol,
                    since,
                    grace_ms=trade_grace_ms,
                    quiet_ms=quiet_ms,
                    patience_ms=patience_ms,
                )
            else:
                topic = f"kline.{interval_of(timeframe)}.{symbol}"
                series = InOrder(symbol, timeframe, since, grace_ms=grace_ms, settle_ms=settle_ms)
            self._keys[key] = self._by_topic[topic] = KeyState(series)
        self.topics = sorted(self._by_topic)
        self._silent = _silent_trades(since_ms)
        every = funding_every_ms or {}
        self._funding = {
            name: FundingDue(name, since, every.get(name, 0))
            for name, since in (funding or {}).items()
        }
        self._lost = ""
        self._heard_ms = 0

    def take(self, message: Message) -> list[Event]:
        """What a message tells.

        Whatever the exchange sent, nothing is raised: what is no good is told as a fault.
        """
        events: list[Event]
        if message.kind == "frame":
            events = self._frame(message)
        elif message.kind == "answer":
            events = self._answer(message)
        elif message.kind == "state":
            events = self._state(message)
        elif message.kind == "clock":
            events = [ClockMeasured(message.at_ms, int(message.content["offset_ms"]))]
        else:
            events = []
        return self._compared(events) + self.advance(message.at_ms)

    def advance(self, now_ms: int) -> list[Event]:
        """What time alone changes."""
        events: list[Event] = []
        for key in self._keys.values():
            events += key.series.advance(now_ms, self._heard_ms)
            events += key.judge(self._lost, now_ms)
        return self._compared(events)

    def wanted(self, now_ms: int) -> list[Ask]:
        """What REST should be asked now: the same until it is answered."""
        asks = [ask for key in self._keys.values() for ask in key.series.wanted(now_ms)]
        return asks + [ask for due in self._funding.values() for ask in due.wanted(now_ms)]

    def caught_up(self, now_ms: int, keys: Collection[Key] | None = None) -> bool:
        """Whether all that closed by now is told, or known not to exist.

        Args:
            now_ms: the time.
            keys: to look at; None = all.
        """
        looked_at = self._keys if keys is None else keys
        return all(self._keys[key].series.caught_up(now_ms) for key in looked_at)

    def _compared(self, events: list[Event]) -> list[Event]:
        """Events, and what candles of one symbol say about each other."""
        closed = [one for one in events if isinstance(one, Closed) and one.symbol in self._silent]
        return events + [fault for one in closed for fault in self._silent[one.symbol].take(one)]

    def _frame(self, message: Message) -> list[Event]:
        """A text of the websocket.

        When it was sent is what the exchange says, but never after its arrival; where nothing that
        can be is said, the text tells nothing of time.
        """
        try:
            frame = read_frame(message.content["text"])
        except ValueError as error:
            return [FeedFault(message.at_ms, "bad frame", str(error))]
        if frame is None:
            return []
        if frame.topic not in self._by_topic:
            return [FeedFault(message.at_ms, "unknown topic", f"topic {frame.topic[:60]!r}")]
        self._heard_ms = max(self._heard_ms, min(frame.sent_ms, message.at_ms))
        key = self._by_topic[frame.topic]
        if key is None:
            return []
        return key.series.frame(frame.data, message.at_ms)

    def _answer(self, message: Message) -> list[Event]:
        """An answer of REST."""
        content, at_ms = message.content, message.at_ms
        symbol, rows = content["symbol"], content["rows"]
        span = (int(content["start_ms"]), int(content["end_ms"]))
        if content["ask"] == "funding":
            due = self._funding.get(symbol)
            return [] if due is None else due.answer(rows, *span, at_ms)
        name = SECOND.name if content["ask"] == "trades" else str(content["timeframe"])
        for key in self._keys.values():
            if (key.series.symbol, key.series.timeframe.name) == (symbol, name):
                return key.series.answer(rows, *span, at_ms)
        return []

    def _state(self, message: Message) -> list[Event]:
        """The connection opened or was lost, REST failed, or a topic was refused."""
        state, why = message.content["state"], str(message.content.get("why", ""))
        events: list[Event] = []
        if "topic" in message.content:
            # Its trades will not come, and seconds without them must not pass for quiet ones.
            key = self._by_topic.get(str(message.content["topic"]))
            events = [] if key is None else key.series.lost(message.at_ms)
            return [*events, FeedFault(message.at_ms, "refused topic", why)]
        if state in FAULT_KINDS:
            events.append(FeedFault(message.at_ms, FAULT_KINDS[state], why))
        if state == "failed":
            return events
        self._lost = "" if state == "open" else why or FAULT_KINDS[state]
        self._heard_ms = 0
        for key in self._keys.values():
            change = key.series.opened if state == "open" else key.series.lost
            events += change(message.at_ms)
        return events


def _silent_trades(keys: Collection[Key]) -> dict[str, SilentTrades]:
    """Of each symbol with seconds, what compares them with its shortest other candles."""
    others: dict[str, list[Timeframe]] = {symbol: [] for symbol, frame in keys if frame == SECOND}
    for symbol, timeframe in keys:
        if symbol in others and timeframe != SECOND:
            others[symbol].append(timeframe)
    return {
        symbol: SilentTrades(min(frames, key=lambda frame: frame.duration_ms))
        for symbol, frames in others.items()
        if frames
    }
