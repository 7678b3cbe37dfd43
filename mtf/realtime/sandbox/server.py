"""The stand-in as a whole: a server on 127.0.0.1 in a thread of its own, and its handles."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from aiohttp import web

from mtf.errors import MtfError
from mtf.realtime.sandbox.account import Account
from mtf.realtime.sandbox.clock import MarketClock
from mtf.realtime.sandbox.exchange import MINUTE_MS, Exchange
from mtf.realtime.sandbox.faults import Fault, Injected, Schedule
from mtf.realtime.sandbox.limits import Limits
from mtf.realtime.sandbox.market import Market
from mtf.realtime.sandbox.rest import Request, Rest, abort
from mtf.realtime.sandbox.streams import PATH, Streams

HOST = "127.0.0.1"
TICK_S = 0.1
PATIENCE_S = 30.0

T = TypeVar("T")


class Sandbox:
    """Serves a market to clients of Bybit on this machine, while used in a ``with`` block.

    With ``speed`` 0 the market stands still until ``advance``, and the same steps tell the same
    messages; else it runs, and the streams speak ten times a second and whenever a minute closes.

    Args:
        market: candles, past and to come.
        start_ms: when the market's clock starts; None = where the market says.
        speed: market seconds a second.
        port: to listen on; 0 = any free one.
        faults: what is to go wrong; ``inject`` adds more.
        limits: of requests and connections.
        keys: API key to secret, of the private endpoints.
    """

    def __init__(
        self,
        market: Market,
        *,
        start_ms: int | None = None,
        speed: float = 0.0,
        port: int = 0,
        faults: tuple[Fault, ...] = (),
        limits: Limits | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        """Join the parts; nothing listens yet."""
        self.clock = MarketClock(market.start_ms if start_ms is None else start_ms, speed)
        self.exchange = Exchange(market, self.clock)
        self.schedule = Schedule()
        self.schedule.add(faults, self.clock.now_ms())
        limits = limits or Limits()
        account = Account(keys or {}, lambda: self.exchange.offset_ms)
        self.rest = Rest(self.exchange, self.schedule, account, limits)
        self.streams = Streams(self.exchange, self.schedule, limits)
        self.port = port
        self._told_ms = self.clock.now_ms()
        self._lock: asyncio.Lock
        self._loop: asyncio.AbstractEventLoop
        self._runner: web.AppRunner
        self._server: asyncio.Server | None = None
        self._pump: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Sandbox:
        """Listen.

        Raises:
            MtfError: the port is taken.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()
        try:
            self._call(self._start())
        except OSError as error:
            self._join()
            raise MtfError(
                f"can't listen on {HOST}:{self.port}: {error.strerror or error}",
                "a port that is free",
                "choose another port, or 0 for any free one",
            ) from None
        except BaseException:
            self._join()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Lose all connections and end; what failed inside is raised here."""
        try:
            self._call(self._stop())
        finally:
            self._join()

    @property
    def url(self) -> str:
        """Of REST, for ``session.endpoint``."""
        return f"http://{HOST}:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Of the streams, without their path."""
        return f"ws://{HOST}:{self.port}"

    @property
    def injected(self) -> tuple[Injected, ...]:
        """The faults that happened, in order."""
        return self.schedule.injected

    @property
    def counts(self) -> Counter[str]:
        """How often each kind of fault happened."""
        return self.schedule.counts

    @property
    def requests(self) -> tuple[Request, ...]:
        """The HTTP requests that came, in order."""
        return tuple(self.rest.requests)

    @property
    def connects(self) -> tuple[float, ...]:
        """When each websocket was asked for, in seconds of ``time.monotonic``."""
        return tuple(self.streams.connects)

    @property
    def subscribed(self) -> tuple[str, ...]:
        """The topics that are listened to now, each as often as somebody does."""
        return self._call(_later(lambda: self.streams.subscribed))

    def inject(self, *faults: Fault) -> None:
        """Plan more faults; what has no time and lasts begins at once."""
        self.schedule.add(faults, self.clock.now_ms())
        self._call(self._told())

    def advance(self, step_ms: int) -> int:
        """Move the market on, tell all that happens, and return the time when it is all sent."""
        self.clock.advance(step_ms)
        return self._call(self._told())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def _run(self) -> None:
        """The server's thread."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)  # of clients that went in the middle of an answer
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _join(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    async def _start(self) -> None:
        """Open the port, and let the streams speak where the market runs."""
        self._lock = asyncio.Lock()
        application = web.Application(client_max_size=1 << 20)
        application.router.add_get(PATH, self.streams.handle)
        application.router.add_route("*", "/{path:.*}", self.rest.handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await self._listen()
        if self.clock.speed > 0:
            self._pump = asyncio.create_task(self._keep_telling())

    async def _stop(self) -> None:
        """Close everything; the pump's own failure is raised."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.wait([pump])
        self._close()
        await self._runner.cleanup()
        if pump is not None and not pump.cancelled() and pump.exception():
            raise pump.exception() or AssertionError

    async def _listen(self) -> None:
        """Open the port: the same one after the first time."""
        assert self._runner.server is not None
        # In two steps: whoever is cancelled in the second one leaves a server that can be closed.
        self._server = await self._loop.create_server(
            self._runner.server, HOST, self.port, reuse_address=True, start_serving=False
        )
        self.port = self._server.sockets[0].getsockname()[1]
        await self._server.start_serving()

    def _close(self) -> None:
        """Close the port and lose all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.streams.abort()
        if self._runner.server is not None:
            for handler in self._runner.server.connections:
                abort(handler.transport)

    async def _keep_telling(self) -> None:
        """Speak as time goes by."""
        while True:
            await asyncio.sleep(self._pause_s())
            await self._tell()

    def _pause_s(self) -> float:
        """Until it speaks again: a tick, or less where a minute closes before."""
        left_ms = MINUTE_MS - self.clock.now_ms() % MINUTE_MS
        until_close_s = (left_ms + 1) / 1_000 / self.clock.speed
        quick = MINUTE_MS / 1_000 / self.clock.speed < TICK_S  # several close in a tick
        return TICK_S if quick else min(TICK_S, until_close_s)

    async def _tell(self) -> int:
        """Tell what happened since the last time, with all that begins and ends on the way."""
        async with self._lock:
            now = self.clock.now_ms()
            for until in (*self.schedule.times(self._told_ms, now), now):
                begun = self.schedule.begin(until)
                self._begin(begun)
                self.streams.tell(self._told_ms, until)
                if any(fault.kind == "downtime" for fault in begun):
                    await self.streams.drained()
                    self._close()
                self._told_ms = until
                await self._end(self.schedule.end(until))
            return now

    async def _told(self) -> int:
        """Tell, and wait until it is all sent; the market that runs does not wait for that."""
        now = await self._tell()
        await self.streams.drained()
        return now

    def _begin(self, begun: list[Fault]) -> None:
        """Let what lasts begin."""
        for fault in begun:
            if fault.kind == "frozen":
                self.exchange.freeze(fault.where, fault.at_ms or 0, fault.lasts_ms)
            elif fault.kind == "clock":
                self.exchange.offset_ms = fault.whole(0)

    async def _end(self, over: list[Fault]) -> None:
        """Let what lasted end."""
        for fault in over:
            still = self.schedule.active("downtime", PATH, self.clock.now_ms())
            if fault.kind == "downtime" and self._server is None and not still:
                await self._listen()
            elif fault.kind == "clock":
                self.exchange.offset_ms = 0


async def _later(work: Callable[[], T]) -> T:
    """A plain call as one that is awaited."""
    return work()
