"""What a policy wants, decision by decision: what it would say of all of them at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import DataError
from mtf.predictions import Predictions
from mtf.realtime.wanting import Wanting
from mtf.trading.contracts import Policy
from mtf.trading.policies import Argmax, Proportional

MINUTE = 60_000


def said(buy: float, sell: float) -> dict[str, float]:
    return {
        "action.prob_buy": buy,
        "action.prob_sell": sell,
        "action.prob_hold": 1 - buy - sell,
    }


@settings(max_examples=60, deadline=None)
@given(
    probs=st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=30),
    holding=st.integers(0, 4),
    cooldown=st.integers(0, 3),
    proportional=st.booleans(),
)
def test_one_by_one_equals_all_at_once(
    probs: list[tuple[float, float]], holding: int, cooldown: int, proportional: bool
) -> None:
    policy: Policy = Argmax(holding_steps=holding, cooldown_steps=cooldown, stop_loss=0.02)
    if proportional:
        policy = Proportional(gain=3.0, holding_steps=holding, cooldown_steps=cooldown)
    wanting, weights = Wanting("ETHUSDT", policy), []
    for minute, (buy, sell) in enumerate(probs):
        wanting.tell(minute * MINUTE, said(buy, sell))
        weights.append(wanting.wanted())
    columns = {name: np.array([said(*one)[name] for one in probs]) for name in said(0, 0)}
    times = MINUTE * np.arange(len(probs))
    targets = policy.targets(Predictions(times, "ETHUSDT", "live", columns))
    np.testing.assert_array_equal([one.weight for one in weights], targets.weight)
    np.testing.assert_array_equal([one.confidence for one in weights], targets.confidence)
    np.testing.assert_array_equal([one.stop_loss for one in weights], targets.stop_loss)


def test_without_a_policy_nothing_is_wanted() -> None:
    wanting = Wanting("ETHUSDT", None)
    wanting.tell(0, said(0.5, 0.2))
    assert np.isnan(wanting.wanted().weight)
    assert len(wanting) == 1


def test_other_columns_are_another_model() -> None:
    wanting = Wanting("ETHUSDT", Argmax())
    wanting.tell(0, said(0.5, 0.2))
    with pytest.raises(DataError, match="columns") as raised:
        wanting.tell(MINUTE, {"price.prediction": 1.0})
    assert "--new" in raised.value.todo


def test_what_the_policy_reads_must_be_said() -> None:
    wanting = Wanting("ETHUSDT", Argmax(head="other"))
    wanting.tell(0, said(0.5, 0.2))
    with pytest.raises(DataError, match="other"):
        wanting.wanted()
