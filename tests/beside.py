"""What processes beside a test do: a fresh process finds it by its name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from mtf.errors import DataError


def well(config: str, place: int, ready: Callable[[], None]) -> None:
    """Does its work."""
    ready()


def fails_before(config: str, place: int, ready: Callable[[], None]) -> None:
    """Can't read its data."""
    if place == 2:
        raise DataError("no candles", "candles", "bring some")
    time.sleep(600)


def fails_after(config: str, place: int, ready: Callable[[], None]) -> None:
    """The second fails while it works, the first loses it."""
    ready()
    if place == 1:
        time.sleep(0.1)
        raise RuntimeError("[gloo] Connection closed by peer")
    raise KeyError(config)


def killed(config: str, place: int, ready: Callable[[], None]) -> None:
    """Is killed, as for its memory."""
    ready()
    os.kill(os.getpid(), signal.SIGKILL)


def endless(config: str, place: int, ready: Callable[[], None]) -> None:
    """Never ends."""
    ready()
    time.sleep(600)
