"""Where all threads put what arrived, and one takes it out: one lock stamps and queues.

So the queue is in order of time, and whoever takes all that arrived by a time has all of it:
nothing that is put later gets an earlier stamp.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from mtf.realtime.events import Message, MessageKind


@runtime_checkable
class Clock(Protocol):
    """The exchange's time."""

    def now_ms(self) -> int:
        """What time it is; never goes back."""

    def wait_until(
        self, at_ms: int, sign: threading.Event | threading.Condition, at_most_s: float = ...
    ) -> None:
        """Wait until then, or a sign, or for so many seconds of the wall clock."""


class Inbox:
    """Messages in the order of their arrival.

    Args:
        clock: says when that is.
    """

    def __init__(self, clock: Clock) -> None:
        """Nothing has arrived."""
        self._clock = clock
        self._queue: deque[Message] = deque()
        self._taken_ms = 0
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def now_ms(self) -> int:
        """The time that a message would be stamped with now."""
        with self._changed:
            return self._now_ms()

    def put(self, kind: MessageKind, content: Mapping[str, Any]) -> Message:
        """Stamp and queue what arrived."""
        with self._changed:
            message = Message(self._now_ms(), kind, content)
            self._queue.append(message)
            self._changed.notify_all()
            return message

    def take(self, until_ms: int, wait_s: float) -> tuple[list[Message], bool]:
        """What arrived by a time; waits for something, for that time, or for so many seconds.

        Returns:
            The messages, and whether there can't be any more of them: the time is over.

        Raises:
            BaseException: what ended one of the threads.
        """
        with self._changed:
            end = time.monotonic() + wait_s
            while not self._ready(until_ms) and (left := end - time.monotonic()) > 0:
                self._clock.wait_until(until_ms, self._changed, left)
            if self._failure is not None:
                raise self._failure
            over = self._now_ms() >= until_ms
            if over:
                self._taken_ms = max(self._taken_ms, until_ms)
            messages = []
            while self._queue and self._queue[0].at_ms <= until_ms:
                messages.append(self._queue.popleft())
            return messages, over

    def rest(self) -> list[Message]:
        """All that is left, whenever it arrived."""
        with self._changed:
            messages = list(self._queue)
            self._queue.clear()
            return messages

    def thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Start a thread; what ends it otherwise than by its own will is raised by ``take``."""
        thread = threading.Thread(target=self._guard, args=(work,), name=f"feed {name}")
        thread.daemon = True
        thread.start()
        return thread

    def _guard(self, work: Callable[[], None]) -> None:
        """Do the work of a thread."""
        try:
            work()
        except BaseException as error:  # a defect of ours: it must not end in silence
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _now_ms(self) -> int:
        """The time, after all that was taken already."""
        return max(self._clock.now_ms(), self._taken_ms + 1)

    def _ready(self, until_ms: int) -> bool:
        """Whether there is something to take, or no use in waiting."""
        return bool(self._queue) or self._failure is not None or self._now_ms() >= until_ms
