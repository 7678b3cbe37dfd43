"""The exchange's time: measured through REST again and again, and never going back.

Against the exchange it is this machine's clock and what the exchange's is ahead of it. A rehearsal
against a stand-in has a time of its own, in any year and at any speed: there the first measurement
says what time it is, and the offset is what later ones find beyond that.
"""

from __future__ import annotations

import re
import threading
from collections import deque

from mtf.errors import MtfError
from mtf.realtime.inbox import Inbox
from mtf.realtime.pace import RealTime, Time
from mtf.realtime.rest import Rest, StoppedError

EVERY_S = 60.0
"""Of the market's time, between two measurements."""
LEAST_S = 2.0
"""Of the wall clock, between two measurements."""
AWAY_MS = 1_000
"""A message's own time this far from ours asks for a measurement."""
DELAY_S = 0.25
"""What a message may take on its way; in a quick rehearsal that is much of the market's time."""
SURE_MS = 600_000
"""A clock that jumped ahead is believed when it still says so after that time."""
TS = re.compile(r'"ts":\s?(\d{1,15})[,}]')
FIRST = 3
"""Measurements at the start; the quickest counts."""


class LiveClock:
    """What time it is on the exchange, in ms UTC; may be used from several threads.

    Args:
        speed: market seconds a second; the exchange's own is 1.
        time: as it passes outside; tests hand in their own.
        rehearsal: whether the first measurement says what time it is; None = at any speed but 1.

    Attributes:
        offset_ms: what the exchange's clock is ahead of ours, as last measured.

    Raises:
        MtfError: a speed at which no time passes.
    """

    def __init__(
        self, speed: float = 1.0, time: Time | None = None, *, rehearsal: bool | None = None
    ) -> None:
        """Nothing is measured yet."""
        if not 0 < speed <= 1e6:
            raise MtfError(
                f"found speed {speed}",
                "more than 0, at most 1,000,000 market seconds a second",
                "1 is real time; a rehearsal has the speed of its stand-in",
            )
        self.speed = speed
        self.rehearsal = speed != 1 if rehearsal is None else rehearsal
        self.offset_ms = 0
        self._time = time or RealTime()
        self._started_s = self._time.monotonic()
        self._anchor_ms: float | None = None if self.rehearsal else 0.0
        self._offsets: deque[tuple[float, int]] = deque()
        self._last_ms = 0
        self._lock = threading.Lock()

    def machine_ms(self) -> float:
        """What our own clock says: the wall's, or the time of the rehearsal so far."""
        if self.rehearsal:
            return (self._time.monotonic() - self._started_s) * 1_000 * self.speed
        return float(self._time.wall_ms())

    def now_ms(self) -> int:
        """The exchange's time; where its clock was put back, time stands still until it is true."""
        with self._lock:
            self._last_ms = max(self._last_ms, self._base_ms() + self.offset_ms)
            return self._last_ms

    def surely_ms(self) -> int:
        """The time that it is at least: a clock that jumped ahead is not believed at once.

        What is closed by this time is closed, whatever a few measurements say.
        """
        with self._lock:
            return self._base_ms() + min((offset for _, offset in self._offsets), default=0)

    def set(self, server_ms: int, at_ms: float | None = None, unsure_ms: float = 0.0) -> None:
        """Take a measurement.

        Args:
            server_ms: the exchange's time.
            at_ms: what ``machine_ms`` said then; None = now.
            unsure_ms: how far off it may be; a measurement that finds less says nothing new.
        """
        at_ms = self.machine_ms() if at_ms is None else at_ms
        with self._lock:
            if self._anchor_ms is None:
                self._anchor_ms = server_ms - at_ms
            offset = round(server_ms - at_ms - self._anchor_ms)
            if abs(offset - self.offset_ms) > unsure_ms:
                self.offset_ms = offset
            self._offsets.append((at_ms, self.offset_ms))
            while len(self._offsets) > 1 and self._offsets[1][0] <= at_ms - SURE_MS:
                self._offsets.popleft()

    def _base_ms(self) -> int:
        """The time before any offset."""
        return int(self.machine_ms() + (self._anchor_ms or 0.0))

    def seconds(self, market_ms: float) -> float:
        """How long some of the market's time takes, in seconds of the wall clock."""
        return market_ms / 1_000 / self.speed

    def wait_until(
        self, at_ms: int, sign: threading.Event | threading.Condition, at_most_s: float = 60.0
    ) -> None:
        """Wait until a time, or a sign, or for so many seconds, whichever is first."""
        left_s = self.seconds(at_ms - self.now_ms())
        if left_s > 0:
            sign.wait(min(left_s, at_most_s))


class ClockKeeper:
    """Measures the exchange's clock, in a thread, and whenever a message's time is far from ours.

    Args:
        clock: to be set.
        rest: asks.
        inbox: told of every measurement.
        every_s: of the market's time, between two.
        least_s: of the wall clock, between two.
    """

    def __init__(
        self,
        clock: LiveClock,
        rest: Rest,
        inbox: Inbox,
        *,
        every_s: float = EVERY_S,
        least_s: float = LEAST_S,
    ) -> None:
        """Measure nothing yet."""
        self._clock, self._rest, self._inbox = clock, rest, inbox
        self._least_s = least_s
        self._rest_s = max(clock.seconds(1_000 * every_s) - least_s, 0.0)
        self._away_ms = max(AWAY_MS, 1_000 * DELAY_S * clock.speed)
        self._asked, self._stopped = threading.Event(), threading.Event()

    def start(self) -> threading.Thread:
        """Measure for the first time, and go on in a thread.

        Raises:
            ExchangeError: no answer.
        """
        measured = [self._rest.server_time(self._clock.machine_ms) for _ in range(FIRST)]
        self._take(*min(measured, key=lambda each: each[2]))
        return self._inbox.thread("clock", self._keep)

    def hear(self, text: str, at_ms: int) -> None:
        """Compare the time that a message was sent with the time when it arrived."""
        sent = TS.search(text)
        if sent is not None and abs(int(sent[1]) - at_ms) > self._away_ms:
            self._asked.set()

    def stop(self) -> None:
        """Measure no more."""
        self._stopped.set()
        self._asked.set()

    def _keep(self) -> None:
        """The thread."""
        while not self._stopped.wait(self._least_s):
            self._asked.wait(self._rest_s)
            self._asked.clear()
            if self._stopped.is_set():
                return
            try:
                self._take(*self._rest.server_time(self._clock.machine_ms))
            except StoppedError:
                return
            except MtfError as error:
                self._inbox.put("state", {"state": "failed", "why": f"clock: {error.found}"})

    def _take(self, server_ms: int, at_ms: float, unsure_ms: float) -> None:
        """Set the clock, and tell what came out."""
        self._clock.set(server_ms, at_ms, unsure_ms)
        self._inbox.put("clock", {"offset_ms": self._clock.offset_ms})
