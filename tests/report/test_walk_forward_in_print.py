"""A walk-forward as it is printed: one lucky seed or fold is seen."""

from __future__ import annotations

import io

from rich.console import Console

from mtf.evaluation.bootstrap import Comparison, Estimate
from mtf.evaluation.results import BaselineResult, Results, TargetResult
from mtf.evaluation.walk_results import FoldFigures, WalkResults
from mtf.learning.splits import Part
from mtf.report.terminal import Terminal
from mtf.report.walk_forward import print_walk_forward

DAY = 86_400_000


def results(loss: float) -> Results:
    """One head, better than its baseline below a loss of 1.1."""
    figure = {"log_loss": Estimate(loss, loss - 0.1, loss + 0.1, 10, 5)}
    beside = BaselineResult({}, Comparison(loss - 1.1, 0.01, 0.01), loss < 1.1)
    target = TargetResult("log_loss", figure, {"class_prior": beside})
    return Results({"action": {"action": target}}, {}, frozenset({"action"}), "out_of_sample")


def walk(seeds: int) -> WalkResults:
    """Two folds, of which one is lucky."""
    every = {seed: results(1.05 + 0.1 * seed) for seed in range(seeds)}
    folds = [
        FoldFigures(
            fold, {"test": Part("test", fold * DAY, (fold + 1) * DAY)}, results(loss), every
        )
        for fold, loss in ((1, 0.9), (2, 1.2))
    ]
    return WalkResults(results(1.07), every, folds)


def printed(walk: WalkResults, *, terminal: bool) -> str:
    file = io.StringIO()
    print_walk_forward(walk, Terminal(Console(file=file, force_terminal=terminal, width=200)))
    return file.getvalue()


def test_lines_where_nobody_watches() -> None:
    lines = printed(walk(2), terminal=False).splitlines()
    assert lines[0] == "out of sample: 2 folds in one piece, mean answer of 2 seeds"
    assert lines[-5:] == [
        "seed 0 alone: action log_loss 1.0500 [0.9500, 1.1500]",
        "seed 1 alone: action log_loss 1.1500 [1.0500, 1.2500] (loses to class prior)",
        "mean ± sd over 2 seeds: action log_loss 1.1000 ± 0.0707",
        "fold 1, 1970-01-02 00:00 to 1970-01-03 00:00: action log_loss 0.9000 [0.8000, 1.0000]",
        "fold 2, 1970-01-03 00:00 to 1970-01-04 00:00: action log_loss 1.2000 [1.1000, 1.3000] "
        "(loses to class prior)",
    ]


def test_one_seed_has_no_spread() -> None:
    text = printed(walk(1), terminal=False)
    assert "one seed" in text
    assert "±" not in text


def test_tables_on_a_terminal() -> None:
    text = printed(walk(2), terminal=True)
    assert "1.1000 ± 0.0707" in text
    assert "0.9000 [0.8000, 1.0000] ± 0.0707" in text
    assert "(loses to class prior) ± 0.0707" in text
