"""Contracts of policies and engines: the built-in ones keep them, broken ones are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mtf.errors import ContractError
from mtf.predictions import Predictions
from mtf.testing.backtests import check_backtest
from mtf.testing.policies import check_policy
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.contracts import Backtest, Policy
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.policies import Argmax, Position, Proportional, Threshold
from mtf.trading.targets import Targets

RULES = {"holding_steps": 5, "cooldown_steps": 2, "stop_loss": 0.01, "long_only": True}


@pytest.mark.parametrize("policy", [Argmax, Threshold, Proportional, Position])
@pytest.mark.parametrize("options", [{}, RULES])
def test_built_in_policies_keep_their_contract(policy: Callable, options: dict) -> None:
    check_policy(partial(policy, **options))


def test_other_ways_to_look_keep_it_too() -> None:
    check_policy(partial(Threshold, by="expected_return"))
    check_policy(partial(Proportional, by="expected_return"))


class Broken(Policy):
    """Asks a function for the weights."""

    weights: Callable[[Predictions], np.ndarray]

    def targets(self, predictions: Predictions) -> Targets:
        weights = type(self).weights(predictions)
        return Targets.plain(predictions.times[: len(weights)], weights)


def ranked(predictions: Predictions) -> np.ndarray:
    said = predictions.arrays["price.prediction"]
    return (said > np.median(said)) * 1.0 if len(said) else said


@pytest.mark.parametrize(("weights", "words"), [
    (lambda p: p.arrays["price.prediction"][1:], "one target a decision"),
    (lambda p: np.full(len(p), np.inf), "weights that are infinite"),
    (lambda p: np.random.default_rng().random(len(p)), "is random"),
    (ranked, r"target \d+ moves when the rows from"),
    (lambda p: np.append(p.arrays["price.prediction"][1:], 0.0)[: len(p)], "moves when the rows"),
    (lambda p: p.arrays["price.label_target"], "reads what happened"),
])  # fmt: skip
def test_a_broken_policy_is_named(weights: Callable, words: str) -> None:
    policy = type("Mine", (Broken,), {"weights": staticmethod(weights)})
    with pytest.raises(ContractError, match=words) as told:
        check_policy(policy)
    assert "Mine" in str(told.value)


def test_the_built_in_engine_keeps_its_contract() -> None:
    check_backtest(Candle)


class Wrong(Backtest):
    """The built-in engine with something changed before or after."""

    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        return Candle().run(targets, bars, broker)


class AtTheClose(Wrong):
    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        ohlc = bars.ohlc.copy()
        ohlc[1:, 0] = ohlc[:-1, 3]
        return super().run(targets, replace(bars, ohlc=ohlc), broker)


class ShortsLoseWhatTheyWin(Wrong):
    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        return super().run(replace(targets, weight=np.abs(targets.weight)), bars, broker)


class CostsAtTheEnd(Wrong):
    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        outcome = super().run(targets, bars, broker)
        paid = outcome.commission.copy()
        late = np.append(np.zeros(len(paid) - 1), paid.sum())
        return replace(outcome, commission=late, equity=outcome.equity + np.cumsum(paid - late))


class NeverMarked(Wrong):
    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        outcome = super().run(targets, bars, broker)
        still = outcome.position[-1] == 0
        return outcome if still else replace(outcome, equity=np.full(len(bars), broker.capital))


class KnowsTheEnd(Wrong):
    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        outcome = super().run(targets, bars, broker)
        gift = 1e-12 * bars.ohlc[-1, 3] * (len(targets) > 2)
        return replace(outcome, equity=outcome.equity + gift)


@pytest.mark.parametrize(("engine", "words"), [
    (AtTheClose, r"equity of \+1 at bar 10"),
    (ShortsLoseWhatTheyWin, "equity of -1 at bar 10"),
    (CostsAtTheEnd, "costs in the equity at bar 10"),
    (NeverMarked, "with the position open"),
    (KnowsTheEnd, "equity before bar 31 moves"),
])  # fmt: skip
def test_a_broken_engine_is_named(engine: type[Backtest], words: str) -> None:
    with pytest.raises(ContractError, match=words) as told:
        check_backtest(engine)
    assert engine.__name__ in str(told.value)
