"""One websocket of a client: what it asks for, and what is on its way to it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiohttp import WSMsgType, web

from mtf.realtime.sandbox.rest import abort, dumps

MOST_WAITING = 20_000
"""Messages on their way; a client that reads no more is cut off, as the exchange does."""


@dataclass(frozen=True)
class Ending:
    """The end of a connection; without a code it is lost without a word."""

    code: int | None = None


class Connection:
    """A client's websocket with its topics.

    Attributes:
        topics: names of those subscribed.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        """Nothing is subscribed yet."""
        self.identity = str(uuid4())
        self.topics: set[str] = set()
        self._socket = socket
        self._transport = transport
        self._waiting: asyncio.Queue[str | Ending] = asyncio.Queue(MOST_WAITING)

    def send(self, message: str | Ending) -> None:
        """Put a message, or the end, behind all that is on its way."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.abort()

    def answer(self, request: dict[str, Any], refusal: str = "") -> None:
        """Say whether a request succeeded."""
        self.send(
            dumps(
                {
                    "success": not refusal,
                    "ret_msg": refusal,
                    "conn_id": self.identity,
                    "req_id": request.get("req_id", ""),
                    "op": request.get("op", ""),
                }
            )
        )

    def pong(self, request: dict[str, Any]) -> None:
        """Answer a ping."""
        self.send(
            dumps(
                {
                    "success": True,
                    "ret_msg": "pong",
                    "conn_id": self.identity,
                    "req_id": request.get("req_id", ""),
                    "op": "ping",
                }
            )
        )

    def abort(self) -> None:
        """Lose the connection."""
        self.topics.clear()
        abort(self._transport)

    async def drained(self) -> None:
        """Wait until everything has been sent."""
        await self._waiting.join()

    async def requests(self) -> list[dict[str, Any]] | None:
        """The next request; an empty list = something that is none; None = there is no more."""
        message = await self._socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return None
        if message.type != WSMsgType.TEXT:
            return []
        try:
            request = json.loads(message.data)
        except ValueError:
            return []
        return [request] if isinstance(request, dict) else []

    async def write(self) -> None:
        """Send what waits, in order, until the end; nobody waits for what is left then."""
        try:
            while True:
                await self._write(await self._waiting.get())
        finally:
            while not self._waiting.empty():
                self._waiting.get_nowait()
                self._waiting.task_done()

    async def _write(self, message: str | Ending) -> None:
        """Send one message, or end."""
        try:
            if isinstance(message, Ending):
                await self._end(message)
            elif not self._socket.closed:
                await self._socket.send_str(message)
        except (ConnectionError, RuntimeError):
            self.topics.clear()
        finally:
            self._waiting.task_done()

    async def _end(self, ending: Ending) -> None:
        """Close with a code, or lose the connection."""
        if ending.code is None:
            self.abort()
            return
        self.topics.clear()
        await self._socket.close(code=ending.code, message=b"closed by the stand-in")
