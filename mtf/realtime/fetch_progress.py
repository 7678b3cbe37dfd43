"""How far the fetching is: a bar on a terminal, a few lines elsewhere, both with the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES = 10
"""At most so many lines where nobody watches, after one that says how much there is."""


class FetchProgress:
    """Counts candles of time that are done; several threads may tell.

    Args:
        console: where to; None = standard error.
        clock: seconds from any start.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show nothing yet."""
        self.console = console or Console(stderr=True)
        self._clock = clock
        self._total = self._done = self._lines = 0
        self._began = 0.0
        self._lock = threading.Lock()
        self._bar: Progress | None = None

    def planned(self, candles: int) -> None:
        """So many are to be fetched."""
        self._total, self._began = candles, self._clock()
        if candles and not self.console.is_terminal:
            self._say(f"{candles:,} candles to fetch")
        elif candles:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("candles"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.add_task("", total=candles)
            self._bar.start()

    def fetched(self, series: str, candles: int) -> None:
        """So many more are done."""
        with self._lock:
            self._done += candles
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._done, description=series)
            elif self._done * LINES >= (self._lines + 1) * self._total:
                self._lines = self._done * LINES // max(self._total, 1)
                self._print(series)

    def close(self) -> None:
        """Leave it as it stands."""
        if self._bar is not None:
            self._bar.stop()

    def _print(self, series: str) -> None:
        """One line."""
        passed = self._clock() - self._began
        left = passed * (self._total - self._done) / max(self._done, 1)
        share = self._done / max(self._total, 1)
        text = f"{share:4.0%}  {self._done:,} of {self._total:,} candles  {series}"
        minutes, seconds = divmod(round(left), 60)
        self._say(f"{text}  {minutes}:{seconds:02} left")

    def _say(self, text: str) -> None:
        """A line as it is."""
        self.console.print(text, highlight=False, soft_wrap=True)
