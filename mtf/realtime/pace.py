"""How fast the exchange is asked, by a clock that tests can hand in."""

from __future__ import annotations

import threading
import time
from typing import Protocol, runtime_checkable

from mtf.errors import MtfError

PER_SECOND = 50.0
"""Requests a second, where the exchange allows 600 in 5 seconds to an address."""


@runtime_checkable
class Time(Protocol):
    """Time as it passes outside; tests have their own."""

    def monotonic(self) -> float:
        """Seconds from any start."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class RealTime:
    """This machine's clock; ``stop`` ends every sleep."""

    def __init__(self) -> None:
        """Nobody sleeps yet."""
        self._stopped = threading.Event()

    def monotonic(self) -> float:
        """Seconds from any start."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait, or until it is stopped."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Let nobody sleep any more."""
        self._stopped.set()


class Pace:
    """Requests of all threads together, evenly spread.

    Args:
        per_second: how many.
        time: as it passes.
    """

    def __init__(self, per_second: float, time: Time) -> None:
        """The first may go at once.

        Raises:
            MtfError: none at all, or more than the exchange bears.
        """
        if not 0 < per_second <= 100:
            raise MtfError(
                f"found {per_second:g} requests a second",
                "more than 0, at most 100: the exchange bans an address for 600 in 5 seconds",
                f"{PER_SECOND:g} is a good rate",
            )
        self._step, self._time = 1.0 / per_second, time
        self._next = float("-inf")
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._step
        if turn > now:
            self._time.sleep(turn - now)
