from __future__ import annotations

import numpy as np
import reports

from mtf.report.figures import Candles, Estimates, HeatMap, Interval, Lines, Note, Table
from mtf.report.figures_of_money import amount, fall, money_sections
from mtf.report.figures_of_trades import timed, window


def test_the_fall_is_from_the_highest_so_far_the_capital_among_them() -> None:
    equity = np.array([90.0, 120.0, 60.0, 130.0])
    assert fall(equity, 100.0).tolist() == [1 - 0.9, 0.0, 0.5, 0.0]


def test_fractions_are_told_in_percent_and_counts_as_counts() -> None:
    assert amount("total_return", Interval(-0.04, -0.1, 0.02)) == "-4.00 % [-10.00, 2.00]"
    assert amount("num_trades", Interval(1204.0)) == "1,204"
    assert amount("sharpe_ratio", Interval(-1.0, -3.0, 1.0)) == "-1.00 [-3.00, 1.00]"
    assert amount("costs", Interval(18_342.2)) == "18,342"
    assert amount("cagr", Interval(float("nan"))) == "-"
    assert amount("cagr", Interval(2.8e12)) == "2.8e+14 %"
    assert amount("cagr", None) == ""


def test_a_backtest_is_a_table_curves_grids_and_candles() -> None:
    (section,) = money_sections(reports.material())
    assert section.title == "Money: ETHUSDT, test part"
    kinds = [type(one) for one in section.content]
    assert kinds[:5] == [Table, Lines, Lines, HeatMap, Lines]
    assert Estimates in kinds
    titles = [one.title for one in section.content if isinstance(one, Candles)]
    assert titles == ["ETHUSDT with trades", "Best trade", "Worst trade", "Last trade"]


def test_losing_to_a_baseline_is_told_with_its_p() -> None:
    (section,) = money_sections(reports.material())
    table = section.content[0]
    assert isinstance(table, Table)
    told = "Loses to buy and hold in mean net return of days (p=0.2, may be chance)."
    assert told in table.note


def test_the_cost_grid_is_in_percent() -> None:
    (section,) = money_sections(reports.material())
    grid = next(one for one in section.content if isinstance(one, HeatMap))
    assert grid.texts() == [["+2.00", "+1.00"], ["-1.00", "-3.00"]]
    assert grid.rows == ["0 bps", "10 bps"]


def test_confidence_chosen_in_hindsight_is_said() -> None:
    (section,) = money_sections(reports.material())
    curve = next(one for one in section.content if getattr(one, "x_label", "").startswith("decis"))
    assert isinstance(curve, Lines)
    assert "hindsight" in curve.note
    assert curve.lines[0].x.tolist() == [10.0, 100.0]


def test_without_a_backtest_the_section_says_how_to_get_one() -> None:
    (section,) = money_sections(reports.material(money=()))
    (note,) = section.content
    assert isinstance(note, Note)
    assert "mtf backtest RUN" in note.text


def test_a_window_holds_the_trade_and_marks_entry_and_exit() -> None:
    money = reports.money()
    found = window(money, timed(money.trades), 1, "Worst trade")
    assert (found.time[0], found.time[-1]) == (
        reports.START + 175 * reports.MINUTE,
        reports.START + 325 * reports.MINUTE,
    )
    marks = {one.name: one for one in found.marks}
    assert marks["short entry"].x.tolist() == [reports.START + 200 * reports.MINUTE]
    assert marks["exit"].y.tolist() == [100.0]
    assert "pnl -1.00" in marks["exit"].told[0]
