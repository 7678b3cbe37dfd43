"""Ctrl-C, or a system that ends us, held back until the state of a run is whole: between two steps.

An interrupt in the middle of a step would leave weights of one step beside the optimiser of
another, and a run that goes on from there is another run.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[Callable[[], bool]]:
    """Within the block, the first Ctrl-C or SIGTERM is only noted; a second one comes through.

    Outside of the main thread, or where the process ignores Ctrl-C, nothing changes.

    Yields:
        Whether there was one.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before in (signal.SIG_IGN, None):
        yield lambda: False
        return
    pressed = threading.Event()

    def note(number: int, frame: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    others = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed.is_set
    finally:
        for number, other in others.items():
            signal.signal(number, other)
