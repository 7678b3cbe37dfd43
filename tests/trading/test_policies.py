"""Policies: what a model said, and what is to be held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtf.errors import ConfigError, DataError
from mtf.predictions import Predictions
from mtf.trading.contracts import Policy
from mtf.trading.policies import Argmax, Position, Proportional, Threshold

NAN = float("nan")


def said(**columns: list[float]) -> Predictions:
    """Predictions of one decision a minute; ``__`` in a name stands for the dot."""
    arrays = {name.replace("__", "."): np.array(one) for name, one in columns.items()}
    count = len(next(iter(arrays.values())))
    return Predictions(np.arange(count, dtype=np.int64) * 60_000, "ETHUSDT", "test", arrays)


def probs(*rows: tuple[float, float, float], head: str = "action") -> dict[str, list[float]]:
    """Columns of a head with classes."""
    buy, sell, hold = (list(one) for one in zip(*rows, strict=True))
    return {f"{head}__prob_buy": buy, f"{head}__prob_sell": sell, f"{head}__prob_hold": hold}


BUY, SELL, HOLD = (0.6, 0.1, 0.3), (0.2, 0.5, 0.3), (0.3, 0.3, 0.4)


def weights(policy: Policy, predictions: Predictions) -> list[float]:
    found: list[float] = policy.targets(predictions).weight.tolist()
    return found


def test_argmax_takes_the_likeliest_side() -> None:
    rows = said(**probs(HOLD, BUY, HOLD, SELL, (NAN, NAN, NAN), BUY))
    assert weights(Argmax(), rows) == [0, 1, 0, -1, -1, 1]
    assert weights(Argmax(hold="keep"), rows) == [0, 1, 1, -1, -1, 1]
    assert weights(Argmax(long_only=True, size=0.5), rows) == [0, 0.5, 0, 0, 0, 0.5]


def test_confidence_is_that_head_or_the_largest_probability() -> None:
    rows = probs(BUY, SELL)
    assert Argmax().targets(said(**rows)).confidence.tolist() == [0.6, 0.5]
    told = said(**rows, confidence__confidence=[0.4, 0.9])
    assert Argmax().targets(told).confidence.tolist() == [0.4, 0.9]
    assert weights(Argmax(min_confidence=0.55), said(**rows)) == [1, 0]
    assert weights(Argmax(min_confidence=0.55, hold="keep"), said(**rows)) == [1, 1]
    assert weights(Argmax(min_confidence=0.55), told) == [0, -1]


def test_calibrated_probabilities_come_from_another_head() -> None:
    rows = said(**probs(BUY), **probs(SELL, head="confidence"))
    assert weights(Argmax(head="confidence"), rows) == [-1]


def test_threshold_on_a_probability() -> None:
    rows = said(**probs(BUY, SELL, HOLD, (0.55, 0.4, 0.05), (NAN, 0.9, 0.1)))
    assert weights(Threshold(threshold=0.55), rows) == [1, 0, 0, 1, 1]
    assert weights(Threshold(threshold=0.3), rows) == [1, -1, 0, 1, 1]
    assert weights(Threshold(threshold=0.55, hold="keep"), rows) == [1, 1, 1, 1, 1]


def test_threshold_on_the_expected_return() -> None:
    rows = said(price__prediction=[0.3, 0.1, -0.2, -0.1, NAN])
    assert weights(Threshold(by="expected_return", threshold=0.2), rows) == [1, 0, -1, 0, 0]
    assert np.isnan(Threshold(by="expected_return").targets(rows).confidence).all()


def test_proportional_to_the_difference_of_probabilities() -> None:
    rows = said(**probs(BUY, (0.55, 0.1, 0.35), SELL, (0.35, 0.65, 0.0)))
    assert weights(Proportional(gain=2, cap=0.8, dead_band=0.2), rows) == pytest.approx(
        [0.8, 0.8, -0.6, -0.6]
    )
    assert weights(Proportional(dead_band=0.0), rows) == pytest.approx([0.5, 0.45, -0.3, -0.3])


def test_proportional_to_the_expected_return_over_the_variance() -> None:
    columns = {"price__prediction": [0.4, -0.1], "volatility__prediction": [np.log(2.0), 0.0]}
    policy = Proportional(by="expected_return", dead_band=0.0)
    assert weights(policy, said(**columns)) == pytest.approx([0.1, -0.1])
    assert weights(policy, said(price__prediction=[0.4, -3.0])) == pytest.approx([0.4, -1])


def test_position_is_the_weight_of_its_head() -> None:
    rows = said(position__weight=[0.2, 0.25, -0.5, NAN, 0.0])
    assert weights(Position(), rows) == [0.2, 0.25, -0.5, -0.5, 0]
    assert weights(Position(dead_band=0.1, long_only=True, size=2), rows) == [0.4, 0.4, 0, 0, 0]


def test_stops_go_with_every_decision() -> None:
    targets = Argmax(stop_loss=0.02, take_profit=None).targets(said(**probs(BUY, SELL)))
    assert targets.stop_loss.tolist() == [0.02, 0.02]
    assert np.isnan(targets.take_profit).all()


def test_float32_and_no_rows() -> None:
    rows = {name: np.array(one, np.float32) for name, one in probs(BUY).items()}
    few = Predictions(np.zeros(1, np.int64), "ETHUSDT", "test", {
        name.replace("__", "."): one for name, one in rows.items()
    })  # fmt: skip
    assert weights(Argmax(), few) == [1]
    assert weights(Argmax(), few.rows(0, 0)) == []


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"argmax reads 'actoin\.prob_buy'.*nearest: 'action"):
        Argmax(head="actoin").targets(said(**probs(BUY)))
    with pytest.raises(DataError, match=r"position reads 'position\.weight'"):
        Position().targets(said(**probs(BUY)))


@pytest.mark.parametrize(("policy", "options", "words"), [
    (Argmax, {"holding_steps": -1}, "holding_steps -1"),
    (Argmax, {"cooldown_steps": -1}, "cooldown_steps -1"),
    (Position, {"stop_loss": 0.0}, "stop_loss 0.0"),
    (Position, {"size": -1.0}, "size -1.0"),
    (Proportional, {"dead_band": -0.1}, "dead_band -0.1"),
    (Proportional, {"gain": -1.0}, "gain -1.0"),
    (Threshold, {"threshold": -1.0}, "threshold -1.0"),
])  # fmt: skip
def test_keys_that_make_no_sense_are_refused(
    policy: type[Policy], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        policy(**options)
