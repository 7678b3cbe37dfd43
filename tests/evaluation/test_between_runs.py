from __future__ import annotations

import math

import numpy as np
import pytest

from mtf.errors import DataError
from mtf.evaluation.between_runs import between, losses, shared, targets
from mtf.predictions import Predictions

DAY = 86_400_000
HOUR = 3_600_000


def said(
    times: np.ndarray, right: float, happened: np.ndarray, symbol: str = "ETHUSDT"
) -> Predictions:
    """Puts ``right`` on the class that happened, the rest on the others; a close of 0."""
    classes = np.where(np.isfinite(happened), happened, 0).astype(int)
    probs = np.full((len(times), 3), (1 - right) / 2)
    probs[np.arange(len(times)), classes] = right
    columns = {f"action.prob_{side}": probs[:, i] for i, side in enumerate(("buy", "sell", "hold"))}
    columns["action.label_class"] = happened
    columns["price.prediction"] = np.zeros(len(times))
    columns["price.label_target"] = happened - 1
    return Predictions(times, symbol, "test", columns)


TIMES = np.arange(0, 30 * DAY, HOUR, dtype=np.int64)
HAPPENED = np.arange(len(TIMES)) % 3.0


def test_the_surer_run_wins_on_the_decisions_that_both_have() -> None:
    first = said(TIMES, 0.5, HAPPENED)
    second = said(TIMES[24:], 0.4, HAPPENED[24:])
    action, price = between([first], [second])
    assert (action.target, action.metric, action.n, action.days) == ("action", "log_loss", 696, 29)
    assert action.first == pytest.approx(-math.log(0.5))
    assert action.second == pytest.approx(-math.log(0.4))
    assert action.comparison.difference == pytest.approx(math.log(0.4 / 0.5))
    assert action.comparison.p_two_sided < 0.01
    assert (price.metric, price.comparison.difference) == ("mse", 0.0)


def test_equal_runs_are_no_news() -> None:
    first = said(TIMES, 0.5, HAPPENED)
    action, _ = between([first], [first])
    assert action.comparison.difference == 0
    assert action.comparison.p_two_sided == 1.0


def test_a_decision_without_a_label_costs_nothing() -> None:
    happened = HAPPENED.copy()
    happened[:10] = np.nan
    loss = losses("action", said(TIMES, 0.5, happened).arrays)
    assert np.isnan(loss[:10]).all()
    assert loss[10:] == pytest.approx(-math.log(0.5))


def test_another_label_is_said_and_not_compared() -> None:
    other = said(TIMES, 0.5, HAPPENED[::-1].copy())
    action, _ = between([said(TIMES, 0.5, HAPPENED)], [other])
    assert action.differ == int((HAPPENED[::-1] != HAPPENED).sum())
    assert math.isnan(action.first)


def test_a_label_on_the_threshold_is_left_out() -> None:
    happened = HAPPENED.copy()
    happened[0] = 2
    action, _ = between([said(TIMES, 0.5, HAPPENED)], [said(TIMES, 0.5, happened)])
    assert (action.differ, action.n) == (0, len(TIMES) - 1)


def test_runs_without_a_common_decision_are_refused() -> None:
    first, second = said(TIMES, 0.5, HAPPENED), said(TIMES + 100 * DAY, 0.5, HAPPENED)
    with pytest.raises(DataError, match="share no decision: ETHUSDT 1970-01-01 00:00 to") as told:
        between([first], [second])
    assert "decisions.start" in told.value.todo
    with pytest.raises(DataError, match="share no decision"):
        between([first], [said(TIMES, 0.5, HAPPENED, "SOLUSDT")])


def test_symbols_are_joined_one_after_the_other() -> None:
    panel = [said(TIMES, 0.5, HAPPENED, symbol) for symbol in ("ETHUSDT", "SOLUSDT")]
    times, ours, theirs = shared(panel, panel[::-1])
    assert len(times) == len(ours["action.prob_buy"]) == len(theirs["price.prediction"])
    assert len(times) == 2 * len(TIMES)
    action, _ = between(panel, panel)
    assert action.days == 30  # both symbols of a day are one group


def test_a_head_that_cannot_be_scored_is_left_out() -> None:
    arrays = {"trend.1m.label_class": TIMES, "action.label_class": TIMES}
    assert targets(arrays) == {}
