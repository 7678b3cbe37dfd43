"""The runner's policies beside those of mtf, decision after decision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.edge.errors import RunnerError
from mtf.edge.policy import SIGNALS, Policy
from mtf.exported import POLICIES
from mtf.plugins import registry
from mtf.plugins.signature import options
from mtf.predictions import Predictions


def said(seed: int, decisions: int) -> Predictions:
    """What a model might say, nothing now and then."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (decisions, 3)).round(1)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probs[rng.random(decisions) < 0.05] = np.nan
    arrays = {f"action.prob_{side}": probs[:, i] for i, side in enumerate(("buy", "sell", "hold"))}
    arrays["price.prediction"] = rng.normal(0, 0.5, decisions)
    arrays["volatility.prediction"] = rng.normal(0, 0.3, decisions)
    arrays["position.weight"] = rng.uniform(-1, 1, decisions).round(1)
    if seed % 2:
        arrays["confidence.confidence"] = rng.uniform(0.3, 1, decisions)
    return Predictions(np.arange(decisions) * 60_000, "ETHUSDT", "test", arrays)


RULES = st.fixed_dictionaries(
    {
        "holding_steps": st.integers(0, 4),
        "cooldown_steps": st.integers(0, 3),
        "long_only": st.booleans(),
        "size": st.sampled_from([1.0, 0.5]),
        "min_confidence": st.sampled_from([0.0, 0.5]),
        "stop_loss": st.sampled_from([None, 0.02]),
    }
)
OWN: dict[str, list[dict[str, Any]]] = {
    "argmax": [{}, {"hold": "keep"}],
    "threshold": [{"hold": "keep", "threshold": 0.45}, {"by": "expected_return"}],
    "proportional": [{"gain": 2.0, "dead_band": 0.3}, {"by": "expected_return", "cap": 0.7}],
    "position": [{"dead_band": 0.4}],
}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    chosen=st.sampled_from([(name, own) for name, some in OWN.items() for own in some]),
    rules=RULES,
)
def test_every_policy_holds_what_that_of_mtf_holds(
    seed: int, chosen: tuple[str, dict[str, Any]], rules: dict[str, Any]
) -> None:
    name, own = chosen
    predictions = said(seed, 40)
    oracle = POLICIES[name](**own, **rules)
    targets = oracle.targets(predictions)
    plugin = {option.name: option.default for option in options(registry.find("policy", name))}
    policy = Policy(name, {**plugin, **own, **rules, "head": oracle.head})
    for row in range(40):
        found = policy.target({key: float(of[row]) for key, of in predictions.arrays.items()})
        assert found.weight == pytest.approx(targets.weight[row])
        assert found.confidence == pytest.approx(targets.confidence[row], nan_ok=True)
        assert found.stop_loss == rules["stop_loss"]


def test_every_built_in_policy_is_known() -> None:
    assert set(registry.names("policy")) >= set(SIGNALS)
    for name, policy in POLICIES.items():
        assert registry.load("policy", name) is policy


def test_a_head_that_says_nothing_is_a_message() -> None:
    policy = Policy("position", {"head": "position"})
    with pytest.raises(RunnerError, match=r"the policy reads 'position\.weight'"):
        policy.target({"action.prob_buy": 0.5})
