"""How far the run is: one bar for all epochs, or a few lines where nobody watches.

Time left = steps to go x seconds a step + epochs to go x seconds a validation, both as measured so
far. The very first step is left out: it pays for start-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from mtf.learning.log import Progress

LINES = 7
"""At most so many lines over a run where the output is no terminal."""
FIRST_LINE_AT = 0.02
"""Share of the run after which the first of them comes, with a first estimate of the time."""


@dataclass
class Figures:
    """What is shown of the figures that a run reports: losses, and skill against the prior.

    Attributes:
        priors: what the prior scores on the validation part, by the name of the figure, such as
            ``{"action/log_loss": 1.09}``.
    """

    priors: Mapping[str, float] = field(default_factory=dict)
    _shown: dict[str, str] = field(default_factory=dict)

    def trained(self, figures: Mapping[str, float]) -> None:
        """Take the figures of a step."""
        if "train/loss" in figures:
            self._shown["loss"] = f"{figures['train/loss']:.4g}"

    def validated(self, figures: Mapping[str, float]) -> None:
        """Take the figures of a validation."""
        if "loss" in figures:
            self._shown["validation"] = f"{figures['loss']:.4g}"
        for name, prior in self.priors.items():
            if name in figures and prior > 0:
                head = "" if len(self.priors) == 1 else f"{name.split('/')[0]} "
                self._shown[f"{head}skill vs prior"] = f"{1 - figures[name] / prior:+.2%}"

    def __str__(self) -> str:
        """All of it on one line."""
        skill_first = sorted(self._shown, key=lambda name: "skill" not in name)
        return "  ".join(f"{name} {self._shown[name]}" for name in skill_first)


@dataclass
class Pace:
    """How fast the run is and when it will end.

    Attributes:
        steps: training steps of the whole run.
        epochs: validations of the whole run.
        clock: seconds, from any start.
        step: steps done.
    """

    steps: int
    epochs: int
    clock: Callable[[], float] = time.monotonic
    step: int = 0
    _epochs_done: int = 0
    _timed_steps: int = 0
    _samples: int = 0
    _training: float = 0.0
    _validating: float = 0.0
    _timed_epochs: int = 0
    _last: float | None = None

    def stepped(self, step: int, samples: int) -> None:
        """A training step is done. A resumed run starts with a step beyond the first."""
        now = self.clock()
        if self._last is not None:
            self._training += now - self._last
            self._timed_steps += max(step - self.step, 0)
            self._samples += samples
        self.step, self._last = step, now

    def validated(self, epoch: int) -> None:
        """A validation is done."""
        now = self.clock()
        if self._last is not None:
            self._validating += now - self._last
            self._timed_epochs += 1
        self._epochs_done, self._last = epoch, now

    @property
    def share(self) -> float:
        """Share of the steps done."""
        return min(self.step / max(self.steps, 1), 1.0)

    @property
    def samples_per_second(self) -> float:
        """Training speed, validations left out; 0 before the second step."""
        return self._samples / self._training if self._training > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time to the end of the last epoch; None before the second step."""
        if not self._timed_steps:
            return None
        a_step = self._training / self._timed_steps
        a_validation = self._validating / self._timed_epochs if self._timed_epochs else 0.0
        epochs_left = max(self.epochs - self._epochs_done, 0)
        return max(self.steps - self.step, 0) * a_step + epochs_left * a_validation


def progress(
    steps: int,
    epochs: int,
    console: Console,
    priors: Mapping[str, float] | None = None,
    first_epoch: int = 0,
) -> Progress:
    """A bar on a terminal, a few lines elsewhere.

    Args:
        steps: training steps of the whole run.
        epochs: of the whole run.
        console: where to show it.
        priors: what the prior scores, by the name of the figure; see ``Figures``.
        first_epoch: epochs done before, in a resumed run.
    """
    pace = Pace(steps, epochs, _epochs_done=first_epoch)
    figures = Figures(priors or {})
    return (Bar if console.is_terminal else Lines)(pace, console, figures)


@dataclass
class Lines:
    """At most ``LINES`` lines over the run.

    A line that is due waits for the next event, so that one due at the end of an epoch shows what
    the validation found.
    """

    pace: Pace
    console: Console
    figures: Figures = field(default_factory=Figures)
    _printed: int = 0
    _due: bool = False

    def update(self, step: int, samples: int, figures: Mapping[str, float]) -> None:
        """Count a step."""
        if self._due:
            self._print()
        self.pace.stepped(step, samples)
        self.figures.trained(figures)
        self._due = self.pace.share >= self._next_mark()

    def epoch(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """Take what the validation found."""
        self.pace.validated(epoch)
        self.figures.validated(figures)
        if self._due:
            self._print()

    def close(self) -> None:
        """Say where it stands if that has not been said."""
        if self._due:
            self._print()

    def _next_mark(self) -> float:
        if not self._printed:
            return FIRST_LINE_AT
        # the last mark lies beyond the end: close() must not repeat a line
        return self._printed / (LINES - 1) if self._printed < LINES else 2.0

    def _print(self) -> None:
        self._due = False
        share = self.pace.share
        self._printed = max(self._printed + 1, int(share * (LINES - 1)) + 1)
        text = f"{share:4.0%}  step {self.pace.step}/{self.pace.steps}  {describe(self.pace)}"
        self.console.print(f"{text}  {self.figures}", soft_wrap=True, highlight=False)


class Bar:
    """One bar for the whole run."""

    def __init__(self, pace: Pace, console: Console, figures: Figures) -> None:
        """Show an empty bar."""
        self.pace, self.figures = pace, figures
        self._bar = RichProgress(
            TextColumn("{task.percentage:3.0f} %", table_column=Column(min_width=5)),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True)),
            console=console,
        )
        self._task: TaskID = self._bar.add_task("", total=pace.steps, text="first step")
        self._bar.start()

    def update(self, step: int, samples: int, figures: Mapping[str, float]) -> None:
        """Count a step."""
        self.pace.stepped(step, samples)
        self.figures.trained(figures)
        self._show()

    def epoch(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """Take what the validation found."""
        self.pace.validated(epoch)
        self.figures.validated(figures)
        self._show()

    def close(self) -> None:
        """Leave the bar where it stands."""
        self._bar.stop()

    def _show(self) -> None:
        text = f"{describe(self.pace)}  {self.figures}"
        self._bar.update(self._task, completed=self.pace.step, text=text)


def describe(pace: Pace) -> str:
    """Speed and time left in words."""
    left = pace.seconds_left
    when = "time left unknown" if left is None else f"{duration(left)} left"
    speed = f"{pace.samples_per_second:,.0f} samples/s  " if pace.samples_per_second else ""
    return f"{speed}{when}"


def duration(seconds: float) -> str:
    """``m:ss``, from an hour ``h:mm:ss``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
