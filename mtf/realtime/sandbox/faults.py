"""What goes wrong, when and where: faults are put on a schedule, and those injected are counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mtf.errors import MtfError
from mtf.plugins.registry import did_you_mean

REPLY_FAULTS = {
    "http_500": "the server failed",
    "http_502": "a gateway failed",
    "http_429": "too many requests, said by a gateway",
    "http_403": "the address is banned",
    "http_302": "sent elsewhere; value: the address (default: this server)",
    "code_10006": "over the limit; value: ms until the reset, negative = past (default 1000)",
    "code_10016": "the service is restarting",
    "code_10000": "the server timed out",
    "code_10002": "the time of the request is outside of its window",
    "reset": "the connection is reset before an answer",
    "cut": "the connection ends in the middle of the body",
    "html": "a page instead of JSON, with status 200",
    "json_list": "a JSON list instead of an object",
    "slow": "the answer comes late; value: seconds (default 1)",
}
ROW_FAULTS = {
    "duplicate": "a candle twice",
    "shuffle": "candles out of order",
    "gap": "a candle left out",
    "nan": "a close that is no number",
    "inf": "a high without end",
    "negative": "a low below 0",
    "high_below_low": "high and low exchanged",
    "open_last": "the open candle too, though it was not asked for",
    "seconds": "open times in seconds",
}
FRAME_FAULTS = {
    "drop": "the connection is lost without a word",
    "close": "the server closes; value: the close code (default 1001)",
    "bad_frame": "a text that is no JSON",
    "unknown_frame": "a topic that nobody subscribed to",
    "twice": "a message twice",
    "late": "a message after the next one of its topic",
    "lose": "a message left out",
    "book_reset": "the book anew with u = 1",
}
HANDSHAKE_FAULTS = {"refuse_handshake": "no websocket; value: the status (default 503)"}
SUBSCRIPTION_FAULTS = {"refuse_subscription": "a subscription is refused"}
SPAN_FAULTS = {
    "downtime": "nothing listens, all connections are lost; lasts lasts_ms",
    "stall": "no data of these topics while pings are answered; lasts lasts_ms",
    "frozen": "these symbols do not trade, in whole minutes; lasts lasts_ms",
    "silent": "nobody tells these symbols: no stream, and REST answers 500; lasts lasts_ms",
    "clock": "the server's clock is off; value: ms ahead; lasts lasts_ms, 0 = for good",
}
KINDS = (
    REPLY_FAULTS | ROW_FAULTS | FRAME_FAULTS | HANDSHAKE_FAULTS | SUBSCRIPTION_FAULTS | SPAN_FAULTS
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: one of ``KINDS``.
        where: pattern of the place: a path such as ``/v5/market/kline``; a topic such as
            ``kline.1.ETHUSDT``, to which a closed candle adds ``/closed``; a symbol where the
            fault is ``frozen`` or ``silent``.
        nth: at the n-th event of that kind of place, counted from when it was put on the schedule
            or from ``at_ms``; no meaning for what lasts.
        at_ms: not before that market time; None = at once.
        count: at how many events in a row.
        lasts_ms: market time, of what lasts.
        value: what the kind says.
    """

    kind: str
    where: str = "*"
    nth: int = 1
    at_ms: int | None = None
    count: int = 1
    lasts_ms: int = 0
    value: float | str | None = None

    def __post_init__(self) -> None:
        """Refuse what can't happen.

        Raises:
            MtfError: an unknown kind, or what lasts without a time.
        """
        if self.kind not in KINDS:
            raise MtfError(
                f"unknown fault {self.kind!r}",
                f"one of {', '.join(KINDS)}",
                did_you_mean(self.kind, list(KINDS)),
            )
        if self.kind in SPAN_FAULTS and self.kind != "clock" and self.lasts_ms <= 0:
            raise MtfError(
                f"found {self.kind} with lasts_ms={self.lasts_ms}",
                "how long it lasts, in ms of market time",
                f"such as Fault({self.kind!r}, lasts_ms=60_000)",
            )

    def whole(self, default: int) -> int:
        """The value as a whole number."""
        return default if self.value is None else int(self.value)


@dataclass(frozen=True)
class Injected:
    """A fault that happened: what, where, and at what market time."""

    kind: str
    where: str
    at_ms: int


@dataclass
class Armed:
    """A fault on the schedule, with what is left of it."""

    fault: Fault
    seen: int = 0
    left: int = 1


class Schedule:
    """Faults that are to come; may be used from several threads."""

    def __init__(self) -> None:
        """Nothing is planned."""
        self._armed: list[Armed] = []
        self._spans: list[Fault] = []
        self._injected: list[Injected] = []
        self._lock = threading.Lock()

    def add(self, faults: Iterable[Fault], now_ms: int) -> None:
        """Plan faults; what lasts and has no time begins now."""
        with self._lock:
            for fault in faults:
                if fault.kind in SPAN_FAULTS and fault.at_ms is None:
                    fault = replace(fault, at_ms=now_ms)
                left = 1 if fault.kind in SPAN_FAULTS else fault.count
                self._armed.append(Armed(fault, left=left))

    def take(self, kinds: Iterable[str], place: str, now_ms: int) -> Fault | None:
        """The fault of an event, if one is due; it is written down and counts as injected."""
        wanted = set(kinds)
        with self._lock:
            due = [
                armed
                for armed in self._armed
                if armed.fault.kind in wanted
                and fnmatchcase(place, armed.fault.where)
                and (armed.fault.at_ms is None or armed.fault.at_ms <= now_ms)
            ]
            for armed in due:
                armed.seen += 1
            first = next((armed for armed in due if armed.seen >= armed.fault.nth), None)
            if first is None:
                return None
            self._use(first, place, now_ms)
            return first.fault

    def begin(self, now_ms: int) -> list[Fault]:
        """What lasts and is to begin by now."""
        with self._lock:
            due = [
                armed
                for armed in self._armed
                if armed.fault.kind in SPAN_FAULTS and (armed.fault.at_ms or 0) <= now_ms
            ]
            for armed in due:
                self._use(armed, armed.fault.where, now_ms)
                self._spans.append(armed.fault)
            return [armed.fault for armed in due]

    def end(self, now_ms: int) -> list[Fault]:
        """What lasted and is over by now."""
        with self._lock:
            over = [span for span in self._spans if span.lasts_ms and _end(span) <= now_ms]
            self._spans = [span for span in self._spans if span not in over]
            return over

    def active(self, kind: str, place: str, time_ms: int) -> bool:
        """Whether something that lasts holds at a place and time."""
        with self._lock:
            return any(
                span.kind == kind
                and fnmatchcase(place, span.where)
                and (span.at_ms or 0) <= time_ms < _end(span)
                for span in self._spans
            )

    def times(self, after_ms: int, until_ms: int) -> list[int]:
        """When something begins or ends in a stretch of time."""
        with self._lock:
            begins = [armed.fault.at_ms for armed in self._armed]
            ends = [_end(span) for span in self._spans if span.lasts_ms]
            planned = [_end(armed.fault) for armed in self._armed if armed.fault.lasts_ms]
            times = {time for time in (*begins, *ends, *planned) if time is not None}
            return sorted(time for time in times if after_ms < time < until_ms)

    @property
    def injected(self) -> tuple[Injected, ...]:
        """All that happened, in order."""
        with self._lock:
            return tuple(self._injected)

    @property
    def counts(self) -> Counter[str]:
        """How often each kind happened."""
        return Counter(injected.kind for injected in self.injected)

    @property
    def waiting(self) -> int:
        """Faults that are still to come."""
        with self._lock:
            return len(self._armed)

    def _use(self, armed: Armed, place: str, now_ms: int) -> None:
        """Count a fault down and write down that it happened."""
        armed.left -= 1
        if armed.left <= 0:
            self._armed.remove(armed)
        self._injected.append(Injected(armed.fault.kind, place, now_ms))


def _end(span: Fault) -> int:
    """When what lasts is over."""
    return (span.at_ms or 0) + span.lasts_ms
