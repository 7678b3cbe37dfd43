"""The first sentence, for one story each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mtf.trading.baselines import AgainstRandom, Paired
from mtf.trading.metrics import Figure
from mtf.trading.resamples import Difference
from mtf.trading.sharpe import DeflatedSharpe
from mtf.trading.verdict import something_is_left, verdict

HOLDING = {"cagr": Figure(0.03), "total_return": Figure(0.03)}
AHEAD = Difference(0.001, 0.0005, 0.0015, 0.004, 0.002)
BETTER = Paired(AHEAD, AHEAD, "days", 400)
RARE = AgainstRandom(99, 0.01, 0.01)
SURE = DeflatedSharpe(0.97, 0.999, 0.1, 0.05, 12, 5.0)


def earned(low: float, value: float, high: float, days: float = 400, trades: float = 70) -> dict:
    figure = Figure(value, low, high, "days")
    return {
        "days": Figure(days),
        "cagr": figure,
        "total_return": figure,
        "num_trades": Figure(trades),
    }


def test_something_is_left() -> None:
    said = verdict(
        earned(0.05, 0.2, 0.4),
        buy_and_hold=HOLDING,
        against_hold=BETTER,
        against_random=RARE,
        deflated=SURE,
    )
    assert said == (
        "Something is left after costs: +20.0 % net a year (95 % interval +5.0 % to +40.0 %), buy "
        "and hold +3.0 %, deflated Sharpe 0.97 of 12 trials; better than buy and hold by Sharpe "
        "ratio (p = 0.002) and than the same trades at random times (p = 0.01)."
    )


def test_nothing_is_left() -> None:
    said = verdict(
        earned(-0.2, -0.123, -0.05), buy_and_hold=HOLDING, deflated=replace(SURE, value=0.02)
    )
    assert said == (
        "Nothing is left after costs: -12.3 % net a year (95 % interval -20.0 % to -5.0 %), buy "
        "and hold +3.0 %, deflated Sharpe 0.02 of 12 trials."
    )


def test_a_gain_that_may_be_luck_is_not_left() -> None:
    said = verdict(
        earned(-0.1, 0.2, 0.4),
        against_hold=replace(BETTER, sharpe=replace(AHEAD, p_better=0.3)),
        against_random=AgainstRandom(99, 0.1, 0.2),
        deflated=replace(SURE, value=0.4),
    )
    assert said.startswith("Nothing certain is left after costs: +20.0 % net a year")
    assert said.endswith(
        "the interval reaches below 0, not better than buy and hold by Sharpe ratio (p = 0.3), not "
        "better than the same trades at random times (p = 0.2) and the deflated Sharpe ratio is "
        "below 0.95."
    )


@pytest.mark.parametrize("missing", ["against_hold", "against_random", "deflated"])
def test_what_was_not_measured_does_not_speak_for_it(missing: str) -> None:
    given = {"against_hold": BETTER, "against_random": RARE, "deflated": SURE}
    assert something_is_left(earned(0.05, 0.2, 0.4), **given)  # type: ignore[arg-type]
    without = {**given, missing: None}
    assert not something_is_left(earned(0.05, 0.2, 0.4), **without)  # type: ignore[arg-type]
    said = verdict(earned(0.05, 0.2, 0.4), **without)  # type: ignore[arg-type]
    assert said.startswith("Nothing certain is left after costs")


def test_the_deflated_ratio_is_rounded_down() -> None:
    said = verdict(earned(0.05, 0.2, 0.4), deflated=replace(SURE, value=0.9487))
    assert "deflated Sharpe 0.94 of 12 trials" in said
    assert "the deflated Sharpe ratio is below 0.95" in said


def test_no_trade() -> None:
    said = verdict(earned(0, 0, 0, trades=0), buy_and_hold=HOLDING)
    assert said.startswith("Nothing was traded, so nothing is left after costs")


def test_a_month_is_not_blown_up_to_a_year() -> None:
    metrics = {**earned(0.01, 0.02, 0.03, days=37), "cagr": Figure(0.22)}
    assert "+2.0 % net in 37 days" in verdict(metrics)
    assert "22" not in verdict(metrics)


def test_unknown_figures() -> None:
    nothing = {**earned(np.nan, np.nan, np.nan, days=0), "num_trades": Figure(np.nan)}
    assert verdict(nothing).startswith("Nothing was traded")
    short = verdict(earned(np.nan, 0.2, np.nan), deflated=replace(SURE, value=np.nan))
    assert "too short for an interval" in short
    assert "no deflated Sharpe ratio" in short
