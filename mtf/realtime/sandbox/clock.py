"""The time of the market: it runs at any speed, or stands still and is moved by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mtf.errors import MtfError


class MarketClock:
    """What time it is on the exchange, in ms UTC.

    Args:
        start_ms: the time when the clock is made.
        speed: market seconds a second; 0 = it stands still until ``advance``.
        monotonic: seconds that pass outside; another one is for tests.
    """

    def __init__(
        self,
        start_ms: int,
        speed: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start it.

        Raises:
            MtfError: a speed below 0, or none at all.
        """
        if not 0 <= speed <= 1e6:
            raise MtfError(
                f"found speed {speed}",
                "0 to 1,000,000 market seconds a second",
                "1 is real time, 60 an hour a minute",
            )
        self.speed = speed
        self._monotonic = monotonic
        self._started = monotonic()
        self._offset_ms = start_ms
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """The time."""
        with self._lock:
            passed = self._monotonic() - self._started
            return self._offset_ms + int(passed * 1_000 * self.speed)

    def advance(self, step_ms: int) -> int:
        """Move it on by hand and return the time; time never goes back.

        Raises:
            MtfError: a step below 0.
        """
        if step_ms < 0:
            raise MtfError(f"found a step of {step_ms} ms", "0 or more", "time never goes back")
        with self._lock:
            self._offset_ms += step_ms
        return self.now_ms()
