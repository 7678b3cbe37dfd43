from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import reports
from rich.console import Console

from mtf.evaluation.between_runs import Between
from mtf.evaluation.bootstrap import Comparison
from mtf.report.comparison import (
    Compared,
    between_table,
    compared_sections,
    config_table,
    differences,
    sentence,
)
from mtf.report.figures import Lines, Note
from mtf.report.html import page_of
from mtf.report.tables import print_sections

WON = Between("action", "log_loss", 1000, 20, 1.0, 1.1, Comparison(-0.1, 0.01, 0.005))
OTHER = Between("price", "mse", 900, 0, differ=600)
CONFIGS = [
    {"seed": 0, "heads": {"price": {"horizon": 15}}, "name": "a"},
    {"seed": 0, "heads": {"price": {"horizon": 60}, "action": {"horizon": 15}}, "name": "b"},
]


def compared() -> Compared:
    first = reports.material(name="a")
    second = replace(first, name="b", money=(), metrics=None)
    return Compared([first, second], CONFIGS, [[WON, OTHER]])


def test_only_keys_that_differ_are_shown() -> None:
    assert differences(CONFIGS) == {
        "name": ["a", "b"],
        "heads.price.horizon": ["15", "60"],
        "heads.action.horizon": ["–", "15"],
    }
    same = replace(compared(), configs=[CONFIGS[0]] * 2)
    assert config_table(same) == Note("The configs are the same.")


def test_the_winner_is_named_with_its_p() -> None:
    assert sentence(compared()) == "a is better than b in action log loss (p=0.01)."


def test_another_label_stands_where_the_figures_would() -> None:
    table = between_table("a", "b", [WON, OTHER], ["heads.price.horizon"])
    assert table.rows[0][4:7] == ["1.0000", "1.1000", "-0.1000"]
    told = "not compared: labels differ on 600 decisions (heads.price.horizon)"
    assert table.rows[1][-1] == told


def test_runs_that_share_nothing_are_said_to() -> None:
    found = replace(compared(), between=["the runs share no decision"])
    assert sentence(found) == "a and b can't be compared: the runs share no decision."


def test_figures_stand_side_by_side_and_equity_is_drawn() -> None:
    shared, metrics, money, _ = compared_sections(compared())
    assert isinstance(shared.content[-1], Note)
    rows = metrics.content[0].rows  # type: ignore[union-attr]
    assert rows[1] == ["action", "log loss", "1.0500 [0.9000, 1.2000]", "–"]
    figure = money.content[1]
    assert isinstance(figure, Lines)
    assert [line.name for line in figure.lines] == ["a"]
    assert figure.lines[0].y[0] == 1.0


def test_the_terminal_cuts_nothing_and_reads_no_markup() -> None:
    out = io.StringIO()
    found = replace(compared(), material=[reports.material(name="[bold]a"), reports.material()])
    print_sections(compared_sections(found), Console(file=out, width=40))
    text = out.getvalue()
    assert "[bold]a" in text
    assert "1.0500 [0.9000, 1.2000]" in text
    assert "…" not in text


def test_the_page_has_the_same() -> None:
    text = page_of("a beside b", sentence(compared()), compared_sections(compared()))
    assert "labels differ on 600 decisions" in text
    assert np.char.count(text, "data-figure='") == 1
