"""The exchange's time: measured through REST again and again, and never going back.

Between two measurements it goes on as time passes (``monotonic``), so that it does not matter who
sets this machine's clock. What the exchange's clock is ahead of that one is told, since orders are
stamped by it. A rehearsal against a stand-in has a time of its own, in any year and at any speed:
there the offset is what later measurements find beyond the first.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque

from mtf.errors import ConfigError, MtfError
from mtf.realtime.inbox import Inbox
from mtf.realtime.pace import RealTime, Time
from mtf.realtime.rest import Rest, StoppedError

EVERY_S = 60.0
"""Of the market's time, between two measurements."""
LEAST_S = 2.0
"""Of the wall clock, between two measurements."""
AWAY_MS = 1_000
"""A message's own time this far from ours asks for a measurement, or this machine's clock that was
set so far."""
LOOK_S = 1.0
"""How often this machine's clock is looked at, in seconds of the wall clock."""
DELAY_S = 0.25
"""What a message may take on its way; in a quick rehearsal that is much of the market's time."""
FAR_MS = 5_000
"""A measurement this far from all before is believed when the next one agrees."""
SURE_MS = 600_000
"""A clock that jumped ahead is believed when it still says so after that time."""
TS = re.compile(r'"ts":\s?(\d{1,15})[,}]')
FIRST = 3
"""Measurements at the start; the quickest of those that agree counts."""
OFF = 1.25
"""A stand-in whose time passes so many times as fast as it should, or as slowly, runs at another
speed than was said."""
RATE_S = 1.0
"""How long it is looked at, in seconds of the wall clock, before it is said at which."""

Measured = tuple[int, float, float]
"""The exchange's time, what ``machine_ms`` said then, and how far off at most that is."""


class LiveClock:
    """What time it is on the exchange, in ms UTC; may be used from several threads.

    Args:
        speed: market seconds a second; the exchange's own is 1.
        time: as it passes outside; tests hand in their own.
        rehearsal: whether the first measurement says what time it is; None = at any speed but 1.

    Attributes:
        offset_ms: what the exchange's clock is ahead of this machine's, as last measured.

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
        self._own_ms = self._anchor_ms = 0.0 if self.rehearsal else float(self._time.wall_ms())
        self._doubted_ms: float | None = None
        self._anchors: deque[tuple[float, float]] = deque()
        self._last_ms = 0
        self._lock = threading.Lock()

    def machine_ms(self) -> float:
        """How much of the market's time passed since the start, whatever any clock says."""
        return (self._time.monotonic() - self._started_s) * 1_000 * self.speed

    def now_ms(self) -> int:
        """The exchange's time; where its clock was put back, time stands still until it is true."""
        with self._lock:
            self._last_ms = max(self._last_ms, round(self.machine_ms() + self._anchor_ms))
            return self._last_ms

    def surely_ms(self) -> int:
        """The time that it is at least: a clock that jumped ahead is not believed at once.

        What is closed by this time is closed, whatever a few measurements say.
        """
        with self._lock:
            least_ms = min((anchor for _, anchor in self._anchors), default=self._anchor_ms)
            return round(self.machine_ms() + least_ms)

    def set(self, server_ms: int, at_ms: float | None = None, unsure_ms: float = 0.0) -> bool:
        """Take a measurement.

        Args:
            server_ms: the exchange's time.
            at_ms: what ``machine_ms`` said then; None = now.
            unsure_ms: how far off it may be; a measurement that finds less says nothing new.

        Returns:
            Whether it is believed: one that is far from all before needs a second that agrees.
        """
        with self._lock:
            now_ms = self.machine_ms()
            at_ms = now_ms if at_ms is None else at_ms
            if not self._believes(server_ms - at_ms, unsure_ms):
                return False
            if not self.rehearsal:
                self._own_ms = self._time.wall_ms() - now_ms
            elif not self._anchors:
                self._own_ms = self._anchor_ms
            self.offset_ms = round(self._anchor_ms - self._own_ms)
            self._remember(at_ms)
            return True

    def _believes(self, found_ms: float, unsure_ms: float) -> bool:
        """Whether a measurement is believed; what was measured is the anchor then."""
        doubted, far = self._doubted_ms, max(FAR_MS, unsure_ms)
        alone = doubted is None or abs(found_ms - doubted) > far
        if self._anchors and abs(found_ms - self._anchor_ms) > far and alone:
            self._doubted_ms = found_ms
            return False
        self._doubted_ms = None
        if not self._anchors or abs(found_ms - self._anchor_ms) > unsure_ms:
            self._anchor_ms = found_ms
        return True

    def _remember(self, at_ms: float) -> None:
        """Keep what was believed of late."""
        self._anchors.append((at_ms, self._anchor_ms))
        while len(self._anchors) > 1 and self._anchors[1][0] <= at_ms - SURE_MS:
            self._anchors.popleft()
        if not self.rehearsal and abs(self.offset_ms) <= FAR_MS:
            # Two clocks agree that it is so late: no time passed here while this machine slept.
            least = self._anchor_ms - FAR_MS
            self._anchors = deque(each for each in self._anchors if each[1] >= least)

    def was_set(self) -> bool:
        """Whether somebody set this machine's clock since the last measurement."""
        if self.rehearsal:
            return False
        with self._lock:
            moved_ms = self._time.wall_ms() - self.machine_ms() - self._own_ms
            return abs(moved_ms) > AWAY_MS

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
    """Measures the exchange's clock, in a thread, now and then and whenever there is a reason to.

    Such as the time of a message that is far from ours, or a machine whose clock somebody set.

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
            ConfigError: a stand-in whose time runs at another speed.
        """
        measured = [self._ask() for _ in range(FIRST)]
        if self._clock.rehearsal:
            self._check_rate(measured[0], measured[-1])
        median = sorted(server - at for server, at, _ in measured)[FIRST // 2]
        agreeing = [each for each in measured if abs(each[0] - each[1] - median) <= FAR_MS]
        self._clock.set(*min(agreeing, key=lambda each: each[2]))
        self._tell()
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

    def _ask(self) -> Measured:
        """One measurement.

        Raises:
            ExchangeError: no answer.
        """
        return self._rest.server_time(self._clock.machine_ms)

    def _check_rate(self, first: Measured, second: Measured) -> None:
        """See that a stand-in's time runs at the speed that was said.

        A clock that was put on in between looks alike, but not twice.

        Raises:
            ConfigError: it runs at another one.
            ExchangeError: no answer.
        """
        off = _off(first, second)
        if off == 0:
            return
        self._stopped.wait(RATE_S)
        third = self._ask()
        if _off(second, third) == off:
            rate = self._clock.speed * (third[0] - second[0]) / (third[1] - second[1])
            runs = f"{float(f'{rate:.2g}'):g}"  # measured: more digits would be invented
            raise ConfigError(
                f"found --speed {self._clock.speed:g}, but the exchange's time runs at {runs}x",
                "the speed that the stand-in was started with",
                f"say --speed {runs}",
            )

    def _keep(self) -> None:
        """The thread."""
        while not self._stopped.wait(self._least_s):
            self._wait()
            self._asked.clear()
            if self._stopped.is_set():
                return
            try:
                self._measure()
            except StoppedError:
                return
            except MtfError as error:
                self._inbox.put("state", {"state": "failed", "why": f"clock: {error.found}"})

    def _wait(self) -> None:
        """Until it is time, or there is a reason."""
        end = time.monotonic() + self._rest_s
        while (left := end - time.monotonic()) > 0 and not self._clock.was_set():
            if self._asked.wait(min(left, LOOK_S)):
                return

    def _measure(self) -> None:
        """Measure, once more where the first result is doubted, and tell what is believed.

        Raises:
            ExchangeError: no answer.
        """
        for _ in range(2):
            if self._clock.set(*self._ask()):
                return self._tell()
        return None

    def _tell(self) -> None:
        """Tell what came out."""
        self._inbox.put("clock", {"offset_ms": self._clock.offset_ms})


def _off(first: Measured, second: Measured) -> int:
    """Whether the exchange's time surely passed too fast (1) or too slowly (-1) in between.

    Its clock was read at any moment of a question; what that leaves open counts for it. A time that
    stands still is moved by hand, and passes at no speed at all.
    """
    passed, ours, unsure = second[0] - first[0], second[1] - first[1], first[2] + second[2]
    if passed - 1 > OFF * (ours + unsure):  # it is told in whole ms
        return 1
    return -int(passed > 1 and OFF * (passed + 1) < ours - unsure)
