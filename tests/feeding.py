"""Feeds from the exchange's stand-in: with waits short enough for tests, and what they gave."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtf.realtime.bybit_client import BybitClient
from mtf.realtime.bybit_stream import StreamFactory
from mtf.realtime.events import Closed, Event, Key, Message, NoCandle
from mtf.realtime.feed import Feed
from mtf.realtime.inbox import Inbox
from mtf.realtime.kline import PAGE, ask_candles
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.rest import Rest
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.supervisor import Backoff

PATIENCE_S = 30.0


class MarketTime:
    """The stand-in's own clock as time that passes outside: moved by hand, it moves ours."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def monotonic(self) -> float:
        return self.wall_ms() / 1_000

    def wall_ms(self) -> int:
        return self._sandbox.clock.now_ms()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps by the market's time")


class HandClock(LiveClock):
    """The clock of a stand-in that stands still until it is moved: waits are looked at often."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(time=MarketTime(sandbox))

    def wait_until(
        self, at_ms: int, sign: threading.Event | threading.Condition, at_most_s: float = 60.0
    ) -> None:
        super().wait_until(at_ms, sign, min(at_most_s, 0.005))


class Letters:
    """Takes what is in an inbox, and keeps it."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.messages: list[Message] = []

    def wait(self, done: Callable[[list[Message]], object]) -> list[Message]:
        """All messages as soon as they are what is waited for."""
        end = time.monotonic() + PATIENCE_S
        while not done(self.messages):
            if time.monotonic() > end:
                raise AssertionError(f"not within {PATIENCE_S} s, but {self.messages[-5:]}")
            self.messages += self.inbox.take(2**60, 0.02)[0]
        return self.messages

    def states(self) -> list[str]:
        """What was said of the connection."""
        return [each.content["state"] for each in self.messages if each.kind == "state"]

    def whys(self) -> list[str]:
        """The reasons."""
        return [each.content["why"] for each in self.messages if each.kind == "state"]


def quick(**options: Any) -> Backoff:
    """A wait that tests can bear; a second between two connects stays."""
    return Backoff(**{"first_s": 0.05, "longest_s": 0.5, "steady_s": 5.0, "seed": 0, **options})


def asking_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those for ``Rest``, taken out of others."""
    own: dict[str, Any] = {
        name: options.pop(name) for name in ("attempts", "ban_s") if name in options
    }
    return {"attempts": 3, **own}


@contextmanager
def feeding(
    sandbox: Sandbox, intake: Any, clock: LiveClock | None = None, **options: Any
) -> Iterator[Feed]:
    """A feed from a stand-in."""
    clock = clock or (LiveClock(sandbox.clock.speed) if sandbox.clock.speed else HandClock(sandbox))
    rest = Rest(BybitClient(sandbox.url, timeout_s=3.0), seed=0, **asking_options(options))
    stream = StreamFactory(sandbox.websocket_url)
    more = {"backoff": quick(), "again_s": 0.05, "longest_again_s": 0.5, **options}
    with Feed(intake, rest=rest, stream=stream, clock=clock, **more) as feed:
        yield feed


def take_until(
    feed: Feed, done: Callable[[Sequence[Event]], object], before: list[Event] | None = None
) -> list[Event]:
    """All events, with those before, as soon as they are what is waited for."""
    events = [] if before is None else before
    end = time.monotonic() + PATIENCE_S
    while not done(events):
        if time.monotonic() > end:
            last = [repr(each)[:300] for each in events[-5:]]
            raise AssertionError(f"not within {PATIENCE_S} s, but {last}")
        events += feed.take(2**60, 0.02)
    return events


def candles_of(events: Sequence[Event], key: Key) -> tuple[list[int], np.ndarray]:
    """Open times and values of the candles of a key, in the order in which they were told."""
    closed = [each for each in events if isinstance(each, Closed) and each.key == key]
    times = [time for each in closed for time in each.open_ms.tolist()]
    return times, np.concatenate([np.empty((0, 5)), *(each.ohlcv for each in closed)])


def assert_whole(
    events: Sequence[Event], sandbox: Sandbox, since_ms: Mapping[Key, int], end_ms: int
) -> int:
    """Every candle that closed by a time is there once, in order, as REST has it; how many."""
    assert not [each for each in events if isinstance(each, NoCandle)]
    rest = Rest(BybitClient(sandbox.url))
    count = 0
    for (symbol, frame), since in since_ms.items():
        times, values = candles_of(events, (symbol, frame))
        end = frame.open_time(frame.slot(end_ms))
        inside = sum(time < end for time in times)
        assert times[:inside] == list(range(since, end, frame.duration_ms)), (symbol, frame)
        assert times == sorted(set(times))
        for start in range(since, end, PAGE * frame.duration_ms):
            until = min(start + PAGE * frame.duration_ms, end)
            there = ask_candles(rest, "linear", symbol, frame, start, until)
            first = (start - since) // frame.duration_ms
            told = values[:inside][first : first + PAGE]
            assert np.array_equal(there.ohlcv, told), (symbol, frame)
        count += inside
    rest.close()
    return count


def handles() -> int:
    """Files and sockets that are open."""
    return len(os.listdir("/proc/self/fd"))
