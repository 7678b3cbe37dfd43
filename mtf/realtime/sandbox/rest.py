"""The HTTP side: limits, faults of the answer, and the envelope around every result."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mtf.realtime.sandbox.account import Account
from mtf.realtime.sandbox.exchange import Exchange
from mtf.realtime.sandbox.faults import REPLY_FAULTS, Fault, Schedule
from mtf.realtime.sandbox.limits import Limits, Window
from mtf.realtime.sandbox.public import PublicAnswers, RefusalError

KEPT_REQUESTS = 100_000
MESSAGES = {
    10000: "Server Timeout",
    10002: "invalid request, please check your server timestamp or recv_window param",
    10006: "Too many visits!",
    10016: "Internal Server Error",
}
PRIVATE = ("/v5/account/", "/v5/position/", "/v5/order/", "/v5/execution/", "/v5/user/")


@dataclass(frozen=True)
class Request:
    """One request that came, without its headers."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    wall_s: float


class Rest:
    """Answers HTTP requests.

    Attributes:
        requests: what came, refused ones too.
    """

    def __init__(
        self, exchange: Exchange, schedule: Schedule, account: Account, limits: Limits
    ) -> None:
        """Join what is answered with what goes wrong."""
        self.exchange = exchange
        self.schedule = schedule
        self.account = account
        self.public = PublicAnswers(exchange, schedule)
        self.requests: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self._window = Window(limits.requests, limits.requests_s, limits.ban_s)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or let it fail as planned."""
        query = tuple(request.query.items())
        self.requests.append(Request(request.method, request.path, query, time.monotonic()))
        if not self._window.allows():
            return web.Response(status=403, text="access too frequent")
        now_ms = self.exchange.clock.now_ms()
        fault = self.schedule.take(REPLY_FAULTS, request.path, now_ms)
        if fault is not None:
            return await self._fail(request, fault)
        if self.schedule.active("silent", request.query.get("symbol", ""), now_ms):
            return _page(500, "500")
        return await self._answer(request)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """What the exchange says."""
        try:
            return self._envelope(await self._result(request))
        except RefusalError as refusal:
            return self._envelope({}, refusal.code, refusal.message)
        except LookupError:
            return web.Response(status=404, text="404 page not found")

    async def _result(self, request: web.Request) -> dict[str, Any]:
        """The result of an endpoint.

        Raises:
            RefusalError: the exchange's own error.
            LookupError: no such endpoint.
        """
        if request.path.startswith(PRIVATE):
            reads = request.method == "GET"
            payload = request.rel_url.raw_query_string if reads else await request.text()
            return self.account.answer(request.method, request.path, payload, request.headers)
        if request.method != "GET":
            raise LookupError(request.path)
        params = dict(request.query)
        if len(params) < len(request.query):
            raise RefusalError(10001, "params error: a parameter is there twice")
        return self.public.paths[request.path](params)

    def _envelope(
        self, result: dict[str, Any], code: int = 0, message: str = "OK", **headers: str
    ) -> web.Response:
        """The frame that every result comes in."""
        body = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": self.exchange.server_ms(),
        }
        return web.json_response(body, headers=headers)

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """One way in which an answer goes wrong."""
        name, _, number = fault.kind.partition("_")
        if name == "http":
            return self._status(request, int(number), fault)
        if name == "code":
            return self._code(int(number), fault)
        if fault.kind == "html":
            return web.Response(
                text="<html><body>maintenance</body></html>", content_type="text/html"
            )
        if fault.kind == "json_list":
            return web.json_response([])
        if fault.kind == "cut":
            return await self._cut(request)
        if fault.kind == "reset":
            return _reset(request)
        await asyncio.sleep(float(fault.value or 1.0))
        return await self._answer(request)

    def _status(self, request: web.Request, status: int, fault: Fault) -> web.Response:
        """A page with a status other than 200."""
        if status == 302:
            elsewhere = str(fault.value or f"{request.scheme}://{request.host}/elsewhere")
            return web.Response(status=302, headers={"Location": elsewhere})
        return _page(status, str(status))

    def _code(self, code: int, fault: Fault) -> web.Response:
        """Status 200 and a code of the exchange; 10006 says when to come again."""
        if code != 10006:
            return self._envelope({}, code, MESSAGES[code])
        reset = time.time_ns() // 1_000_000 + fault.whole(1_000)
        headers = {
            "X-Bapi-Limit": "120",
            "X-Bapi-Limit-Status": "0",
            "X-Bapi-Limit-Reset-Timestamp": str(reset),
        }
        return self._envelope({}, code, MESSAGES[code], **headers)

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        """Half of the body, though all of it was announced."""
        whole = await self._answer(request)
        body = whole.body if isinstance(whole, web.Response) else b""
        text = bytes(body) if isinstance(body, bytes | bytearray) else b""
        half = web.StreamResponse(headers={"Content-Type": "application/json"})
        half.content_length = len(text)
        await half.prepare(request)
        await half.write(text[: len(text) // 2])
        if request.transport is not None:
            request.transport.close()
        return half


def _page(status: int, words: str) -> web.Response:
    """A page for people, which no client expects."""
    text = f"<html><body>{words}</body></html>"
    return web.Response(status=status, text=text, content_type="text/html")


def _reset(request: web.Request) -> web.Response:
    """No answer: the connection is reset."""
    abort(request.transport)
    return web.Response()


def abort(transport: asyncio.Transport | None) -> None:
    """Reset a connection: what is on its way is lost, and the other side sees an error."""
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):  # it is closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def dumps(message: dict[str, Any]) -> str:
    """JSON as short as it can be."""
    return json.dumps(message, separators=(",", ":"))
