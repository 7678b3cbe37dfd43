"""What a run prints: plain where nobody watches, and a loss is called a loss."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from mtf.evaluation.bootstrap import Comparison, Estimate
from mtf.evaluation.permutation import Permuted
from mtf.evaluation.results import BaselineResult, Results, TargetResult
from mtf.report.terminal import Terminal, number, related, verdict


def estimate(value: float, n: int = 6480, n_distinct: int = 432) -> Estimate:
    """A figure, give or take a hundredth."""
    return Estimate(value, value - 0.01, value + 0.01, n, n_distinct)


def beside(difference: float, p: float, beaten: bool | None) -> BaselineResult:
    """A baseline and how the model did against it."""
    return BaselineResult({"log_loss": estimate(1.09)}, Comparison(difference, p, p / 2), beaten)


def results() -> Results:
    """Action beats the prior and loses to logistic regression; five next candles."""
    figures = {name: estimate(0.1) for name in ("accuracy", "macro_f1", "mcc", "calibration_error")}
    action = TargetResult(
        "log_loss",
        {**figures, "log_loss": estimate(1.0687), "rank_ic": estimate(0.092)},
        {
            "class_prior": beside(-0.02, 0.003, True),
            "momentum": beside(-0.01, 0.31, True),
            "logistic": beside(0.004, 0.021, False),
        },
        Permuted(0.004, 432, 8),
    )
    candle = TargetResult(
        "mse",
        {"mse": estimate(0.9, n_distinct=4), "skill": estimate(0.12, n_distinct=4)},
        {"naive_candle": beside(-0.1, 0.04, True), "mean_candle": beside(0.0, 1.0, False)},
    )
    candles = dict.fromkeys(("1s", "1m", "1h", "1d", "btc"), candle)
    heads = {"action": {"action": action}, "next_candle": candles}
    return Results(heads, {}, frozenset({"action"}))


def printed(terminal: bool) -> str:
    """What is printed of the results."""
    text = io.StringIO()
    screen = Terminal(Console(file=text, force_terminal=terminal, width=140, color_system=None))
    screen.results(results())
    return text.getvalue()


def test_the_log_of_a_run_fits_on_a_screen() -> None:
    text = printed(terminal=False)
    assert len(text.splitlines()) == 8
    assert not set("│┃━─") & set(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_beaten_and_what_is_lost_to_is_said(terminal: bool) -> None:
    text = printed(terminal)
    assert "beats class prior (p=0.003)" in text
    assert "beats momentum (p=0.31, may be chance)" in text
    assert "loses to logistic (p=0.021)" in text
    assert "equals mean candle" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_whether_anything_is_related_is_said_first(terminal: bool) -> None:
    assert "not by chance (permutation p=0.004), beats class prior" in printed(terminal)


def test_what_may_be_chance_or_was_not_tested_is_said() -> None:
    def said(permuted: Permuted | None) -> list[str]:
        return related(TargetResult("mse", {"mse": estimate(1.0)}, {}, permuted))

    assert said(Permuted(0.3)) == ["no better than chance (permutation p=0.3)"]
    assert said(Permuted(np.nan, reason="one outcome")) == [
        "not tested against chance (one outcome)"
    ]
    assert said(None) == []


@pytest.mark.parametrize("terminal", [True, False])
def test_distinct_targets_are_counted(terminal: bool) -> None:
    text = printed(terminal)
    assert "432 distinct" in text
    assert text.count("4 distinct") >= 5


def test_the_primary_metric_and_its_interval_come_first() -> None:
    line = printed(terminal=False).splitlines()[1]
    assert line.startswith("action: log_loss 1.0687 [1.0587, 1.0787]  ")
    assert "rank_ic 0.0920" in line


def test_a_table_has_every_metric_and_baseline() -> None:
    text = printed(terminal=True)
    for word in ("calibration error", "class prior", "naive candle", "1.0587 … 1.0787", "1d"):
        assert word in text


def test_what_can_not_be_compared_is_said() -> None:
    assert verdict("momentum", beside(np.nan, np.nan, None)) == "can't be compared with momentum"


def test_a_part_without_labels_is_said() -> None:
    text = io.StringIO()
    nothing = Results({"next_candle": {"1d": TargetResult("mse", {}, {})}}, {})
    for terminal in (True, False):
        Terminal(Console(file=text, force_terminal=terminal, width=100)).results(nothing)
    assert text.getvalue().count("no decision has a label here") == 2


def test_numbers_have_four_decimals_and_no_negative_zero() -> None:
    values = (0.06128, -0.00001, 12345.6, np.nan)
    assert [number(value) for value in values] == ["0.0613", "0.0000", "1.235e+04", "-"]
