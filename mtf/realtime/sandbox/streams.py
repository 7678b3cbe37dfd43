"""The websocket side: subscriptions, the pump that tells what happens, and what goes wrong."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Any

from aiohttp import web

from mtf.realtime.sandbox.connection import Connection, Ending
from mtf.realtime.sandbox.exchange import Exchange
from mtf.realtime.sandbox.faults import (
    FRAME_FAULTS,
    HANDSHAKE_FAULTS,
    SUBSCRIPTION_FAULTS,
    Fault,
    Schedule,
)
from mtf.realtime.sandbox.limits import Limits, Window
from mtf.realtime.sandbox.rest import dumps
from mtf.realtime.sandbox.topics import BookTopic, Message, Topic, TradeTopic

PATH = "/v5/public/linear"
KEPT_CONNECTS = 100_000
DRAIN_S = 5.0
"""How long is waited for a client that does not read."""
BAD_FRAME = '{"topic": "kline'
UNKNOWN_FRAME = {"topic": "unheard.of", "type": "snapshot", "ts": 0, "data": []}


class Streams:
    """All websockets.

    Attributes:
        connects: when each handshake came (seconds of ``time.monotonic``), refused ones too.
    """

    def __init__(self, exchange: Exchange, schedule: Schedule, limits: Limits) -> None:
        """Nobody listens yet."""
        self.exchange = exchange
        self.schedule = schedule
        self.connects: deque[float] = deque(maxlen=KEPT_CONNECTS)
        self._connections: set[Connection] = set()
        self._topics: dict[str, Topic] = {}
        self._late: dict[str, str] = {}
        self._window = Window(limits.connects, limits.connects_s)

    @property
    def subscribed(self) -> tuple[str, ...]:
        """The topics that are listened to now, each as often as somebody does."""
        return tuple(sorted(name for one in self._connections for name in one.topics))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take a websocket, and listen to it until it ends."""
        self.connects.append(time.monotonic())
        if not self._window.allows():
            return web.Response(status=403, text="too many connections")
        now = self.exchange.clock.now_ms()
        fault = self.schedule.take(HANDSHAKE_FAULTS, request.path, now)
        if fault is not None:
            elsewhere = {"Location": f"ws://{request.host}/elsewhere"}  # heeded with a 302 alone
            return web.Response(status=fault.whole(503), text="refused", headers=elsewhere)
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        connection = Connection(socket, request.transport)
        self._connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            while (requests := await connection.requests()) is not None:
                for asked in requests:
                    self._obey(connection, asked)
        finally:
            self._connections.discard(connection)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
        return socket

    def tell(self, after_ms: int, until_ms: int) -> None:
        """Put on its way what happened with ``after_ms < time <= until_ms``."""
        used = set(self.subscribed)
        self._topics = {name: topic for name, topic in self._topics.items() if name in used}
        topics = [topic for _, topic in sorted(self._topics.items())]
        said = [(topic, each) for topic in topics for each in topic.messages(after_ms, until_ms)]
        said.sort(key=_order)
        ended: set[str] = set()
        for topic, message in said:
            if topic.name not in ended and not self._send(topic, message):
                ended.add(topic.name)
        for name in self._late.keys() - used:
            del self._late[name]

    async def drained(self) -> None:
        """Wait until everything has been sent to whoever reads."""
        waits = [asyncio.create_task(one.drained()) for one in self._connections]
        try:
            if waits:
                await asyncio.wait(waits, timeout=DRAIN_S)
        finally:
            for wait in waits:
                wait.cancel()

    def abort(self) -> None:
        """Lose all connections."""
        for connection in tuple(self._connections):
            connection.abort()

    def _obey(self, connection: Connection, request: dict[str, Any]) -> None:
        """Do what a client asks for."""
        operation, names = request.get("op"), request.get("args") or []
        if operation == "ping":
            connection.pong(request)
        elif operation == "subscribe" and isinstance(names, list):
            self._subscribe(connection, request, [str(name) for name in names])
        elif operation == "unsubscribe" and isinstance(names, list):
            connection.topics -= {str(name) for name in names}
            connection.answer(request)
        else:
            connection.answer(request, f"error:unknown operation,op:{operation}")

    def _subscribe(self, connection: Connection, request: dict[str, Any], names: list[str]) -> None:
        """All topics of a request, or none of them."""
        topics = {name: self._topic(name) for name in names}
        for name, topic in topics.items():
            if topic is None:
                return connection.answer(request, f"error:handler not found,topic:{name}")
            if name in connection.topics:
                return connection.answer(request, f"error:already subscribed,topic:{name}")
        now = self.exchange.clock.now_ms()
        for name in names:
            if self.schedule.take(SUBSCRIPTION_FAULTS, name, now) is not None:
                return connection.answer(request, f"error:handler not found,topic:{name}")
        connection.answer(request)
        for name, topic in topics.items():
            if topic is not None:
                self._topics[name] = topic
                connection.topics.add(name)
                for message in topic.first():
                    connection.send(dumps(message.content))
        return None

    def _topic(self, name: str) -> Topic | None:
        """The topic that others listen to already, or a new one; None = there is none."""
        return self._topics.get(name) or Topic.parse(name, self.exchange)

    def _unheard(self, topic: Topic, time_ms: int) -> bool:
        """Whether nothing of a topic is told at a time."""
        silent = self.schedule.active("silent", topic.instrument.symbol, time_ms)
        return silent or self.schedule.active("stall", topic.name, time_ms)

    def _send(self, topic: Topic, message: Message) -> bool:
        """Send a message to all that listen, with what goes wrong; whether they still do."""
        if self._unheard(topic, message.time_ms):
            return True
        fault = self.schedule.take(FRAME_FAULTS, message.place, message.time_ms)
        out: list[str | Ending] = [dumps(message.content)]
        if fault is not None:
            out = self._spoil(topic, out, fault)
        if topic.name in self._late and not (fault and fault.kind == "late"):
            out.append(self._late.pop(topic.name))
        for connection in tuple(self._connections):
            if topic.name in connection.topics:
                for part in out:
                    connection.send(part)
        return fault is None or fault.kind not in ("drop", "close")

    def _spoil(self, topic: Topic, out: list[str | Ending], fault: Fault) -> list[str | Ending]:
        """What is sent instead of a message."""
        if fault.kind == "drop":
            return [Ending()]
        if fault.kind == "close":
            return [Ending(fault.whole(1001))]
        if fault.kind == "bad_frame":
            return [BAD_FRAME, *out]
        if fault.kind == "unknown_frame":
            return [dumps(UNKNOWN_FRAME), *out]
        if fault.kind == "twice":
            return [*out, *out]
        if fault.kind == "late":
            before = self._late.pop(topic.name, None)
            self._late[topic.name] = str(out[0])
            return [before] if before is not None else []
        if fault.kind == "book_reset" and isinstance(topic, BookTopic):
            return [dumps(topic.reset().content)]
        return []


def _order(said: tuple[Topic, Message]) -> tuple[int, bool]:
    """By time, as it happened: no candle overtakes the trades that it is made of."""
    topic, message = said
    return message.time_ms, not isinstance(topic, TradeTopic)
