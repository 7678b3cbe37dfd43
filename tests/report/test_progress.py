"""The time left is right early on, and a log file stays short."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mtf.report.progress import LINES, Bar, Figures, Lines, Pace, duration, progress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    """A console that writes into memory."""
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=80), text


def run_until(pace: Pace, clock: Clock, share: float, epochs: int, steps: int) -> float:
    """Half a second a step after 3 s of start-up, 4 s a validation; returns the true rest."""
    done, total = 0, epochs * (steps * 0.5 + 4.0)
    spent = 0.0
    for epoch in range(epochs):
        for step in range(steps):
            clock.now += 0.5 + (3.0 if not done else 0.0)
            spent += 0.5
            done += 1
            pace.stepped(done, 16)
            if done >= share * epochs * steps and (epoch or step == steps - 1 or share < 0.1):
                return total - spent
        clock.now += 4.0
        spent += 4.0
        pace.validated(epoch + 1)
    return 0.0


def test_the_time_left_is_within_a_fifth_after_a_tenth() -> None:
    clock = Clock()
    pace = Pace(steps=2000, epochs=20, clock=clock)
    true = run_until(pace, clock, 0.1, 20, 100)
    assert pace.seconds_left == pytest.approx(true, rel=0.2)


def test_before_the_first_validation_it_is_still_within_a_fifth() -> None:
    # of 8 epochs a tenth is over before anything was validated
    clock = Clock()
    pace = Pace(steps=320, epochs=8, clock=clock)
    for step in range(1, 33):
        clock.now += 0.5 if step > 1 else 3.0
        pace.stepped(step, 256)
    true = 288 * 0.5 + 8 * 2.0
    assert pace.seconds_left == pytest.approx(true, rel=0.2)
    assert pace.samples_per_second == pytest.approx(512)


def test_a_resumed_run_counts_only_what_it_did_itself() -> None:
    clock = Clock()
    pace = Pace(steps=100, epochs=1, clock=clock)
    for step in (61, 62, 63):
        clock.now += 2.0
        pace.stepped(step, 10)
    assert pace.seconds_left == pytest.approx(37 * 2.0)
    assert pace.samples_per_second == pytest.approx(5.0)


def test_nothing_is_claimed_before_the_second_step() -> None:
    pace = Pace(steps=10, epochs=1, clock=Clock())
    pace.stepped(1, 16)
    assert pace.seconds_left is None
    assert pace.samples_per_second == 0.0


@pytest.mark.parametrize(("epochs", "steps"), [(8, 40), (1, 2400), (100, 3), (3, 1), (1, 1)])
def test_a_log_file_stays_short(epochs: int, steps: int) -> None:
    out, text = console()
    lines = Lines(Pace(epochs * steps, epochs, clock=Clock()), out)
    for epoch in range(epochs):
        for step in range(steps):
            lines.update(epoch * steps + step + 1, 16, {"train/loss": 1.0, "lr": 0.1})
        lines.epoch(epoch + 1, (epoch + 1) * steps, {"loss": 1.1})
    lines.close()
    printed = text.getvalue().splitlines()
    assert 1 <= len(printed) <= LINES
    assert printed[-1].startswith("100%")
    assert "validation 1.1" in printed[-1]


def test_an_interrupted_run_says_where_it_stands_once() -> None:
    out, text = console()
    lines = Lines(Pace(100, 1, clock=Clock()), out)
    for step in range(1, 3):
        lines.update(step, 16, {})
    lines.close()
    lines.close()
    assert len(text.getvalue().splitlines()) == 1


def test_skill_is_against_the_prior() -> None:
    figures = Figures({"action/log_loss": 1.1})
    figures.trained({"train/loss": 2.0, "lr": 1e-3})
    figures.validated({"loss": 1.5, "action/log_loss": 1.067, "action/accuracy": 0.5})
    assert str(figures) == "skill vs prior +3.00%  loss 2  validation 1.5"


def test_two_heads_are_told_apart() -> None:
    figures = Figures({"action/log_loss": 1.0, "trend/log_loss": 1.0})
    figures.validated({"action/log_loss": 0.9, "trend/log_loss": 1.1})
    assert str(figures) == ("action skill vs prior +10.00%  trend skill vs prior -10.00%")


def test_a_terminal_gets_a_bar() -> None:
    out, text = console(terminal=True)
    bar = progress(4, 2, out, {"action/log_loss": 1.0})
    assert isinstance(bar, Bar)
    for step in range(1, 5):
        bar.update(step, 16, {"train/loss": 1.0})
    bar.epoch(2, 4, {"action/log_loss": 0.9})
    bar.close()
    assert "100 %" in text.getvalue()
    assert "samples/s" in text.getvalue()
    assert "skill vs prior +10.00%" in text.getvalue()


def test_elsewhere_there_is_none() -> None:
    assert isinstance(progress(4, 2, console()[0]), Lines)


def test_durations_are_spoken_as_clocks_do() -> None:
    assert [duration(s) for s in (0, 59.6, 61, 3600 + 125)] == ["0:00", "1:00", "1:01", "1:02:05"]
