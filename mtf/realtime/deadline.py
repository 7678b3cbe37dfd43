"""An end for what would wait on and on: a socket's own time-out begins anew with every byte.

Who waits in a call of a library is helped by nothing but the end of its socket. So somebody else
looks at the clock, and ends it. Looking up a host's name and connecting have no socket yet that
could be ended: these have their own time-outs.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOOK_S = 0.1


@contextmanager
def at_most(
    seconds: float, end: Callable[[], None], stopped: threading.Event | None = None
) -> Iterator[None]:
    """Let the block take no longer.

    Args:
        seconds: of the wall clock.
        end: ends what the block waits for. It is called again and again until the block is over,
            since at first there may be nothing to be ended; afterwards never.
        stopped: once it is set, the time is over.

    Raises:
        TimeoutError: the time was over, whatever else came of the block.
    """
    lock, done, late = threading.Lock(), threading.Event(), threading.Event()
    until_s = time.monotonic() + seconds

    def look() -> None:
        while not done.wait(LOOK_S):
            with lock:
                over = time.monotonic() >= until_s or (stopped is not None and stopped.is_set())
                if over and not done.is_set():
                    late.set()
                    end()

    threading.Thread(target=look, name="deadline", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            done.set()
        if late.is_set():
            raise TimeoutError(f"not done within {seconds:g} s, or not wanted any more") from None


def shut(one: socket.socket | None) -> None:
    """End a connection under whoever waits for it; it is for them to close it.

    TLS takes no part: its own way would change what the other thread is using.
    """
    if one is not None:
        with suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)
