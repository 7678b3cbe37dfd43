"""The exchange's limits on one address: requests in a few seconds, connections in minutes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bybit's own figures unless said otherwise; seconds are those of the wall clock.

    Attributes:
        requests: in ``requests_s``; one more is answered with 403, and so is all that follows
            within ``ban_s``.
        connects: websocket handshakes in ``connects_s``; one more is refused.
    """

    requests: int = 600
    requests_s: float = 5.0
    ban_s: float = 600.0
    connects: int = 500
    connects_s: float = 300.0


class Window:
    """At most so many events in so many seconds."""

    def __init__(
        self,
        most: int,
        seconds: float,
        ban_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing has happened yet."""
        self.most, self.seconds, self.ban_s = most, seconds, ban_s
        self._monotonic = monotonic
        self._times: deque[float] = deque()
        self._banned_until = float("-inf")

    def allows(self) -> bool:
        """Count an event; False = one too many, or one during the ban that follows."""
        now = self._monotonic()
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if now < self._banned_until:
            return False
        if len(self._times) >= self.most:
            self._banned_until = now + self.ban_s
            return False
        self._times.append(now)
        return True
