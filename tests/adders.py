"""A job for processes that are started anew: they find it here, not in a test."""

from __future__ import annotations

import os
import signal


class Adder:
    """Adds to a number; 13 ends its process as a system without memory does."""

    def __init__(self, summand: int) -> None:
        self.summand = summand

    def __call__(self, job: int) -> tuple[int, str | None]:
        if job == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return job + self.summand, os.environ.get("OMP_NUM_THREADS")
