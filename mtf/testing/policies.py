"""The contract of a policy, tried out: one target a decision, and nothing from the future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from mtf.errors import DataError
from mtf.predictions import Predictions
from mtf.testing.contract import Check, require
from mtf.testing.probe import defect
from mtf.trading.contracts import Policy
from mtf.trading.targets import Targets

DECISIONS = 200
MINUTE = 60_000
LABEL = ".label_"
"""In the name of a column that says what happened."""

MakePolicy = Callable[[], Policy]


def check_policy(policy: MakePolicy, predictions: Predictions | None = None) -> None:
    """Try whether a policy keeps its contract.

    Args:
        policy: builds it, such as the class.
        predictions: what it is tried on; default: made-up ones of the built-in heads.

    Raises:
        ContractError: not one target a decision; weights or stops that can't be traded; random;
            rows that know later rows, or what happened.
    """
    require(checks_of_policy(policy, predictions))


def checks_of_policy(
    policy: MakePolicy, predictions: Predictions | None = None, *, seed: int = 0
) -> tuple[Check, ...]:
    """The promises of a policy, one by one."""
    trial = PolicyTrial(policy, predictions or made_up(seed), seed)
    return (
        Check("targets", trial.targets, vital=True, seed=seed),
        Check("values", trial.values, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("causality", trial.causality, seed=seed),
        Check("labels", trial.labels, seed=seed),
    )


class PolicyTrial:
    """A policy, and predictions to try it on.

    Args:
        policy: builds it.
        predictions: of some decisions.
        seed: of the changes made to them.
    """

    def __init__(self, policy: MakePolicy, predictions: Predictions, seed: int = 0) -> None:
        self.policy, self.predictions = policy, predictions
        self.rng = np.random.default_rng(seed)

    def decide(self, predictions: Predictions) -> Targets:
        """What a fresh policy makes of predictions."""
        return self.policy().targets(predictions)

    def targets(self) -> str:
        """One a decision, at its time; none of none."""
        for given in (self.predictions, self.predictions.rows(0, 0)):
            found = self.decide(given)
            lengths = {len(getattr(found, one.name)) for one in fields(found)}
            if lengths != {len(given)} or not np.array_equal(found.times, given.times):
                raise defect(
                    self.policy,
                    f"{sorted(lengths)} values for {len(given)} decisions, or other times",
                    "one target a decision, in the order of predictions.times",
                )
        return ""

    def values(self) -> str:
        """Weights that are finite or NaN, distances above 0, confidence from 0 to 1."""
        found = self.decide(self.predictions)
        told = {
            "weights that are infinite": np.isinf(found.weight),
            "stops that are not above 0": found.stop_loss <= 0,
            "take-profits that are not above 0": found.take_profit <= 0,
            "confidence outside of [0, 1]": (found.confidence < 0) | (found.confidence > 1),
        }
        for what, wrong in told.items():
            if wrong.any():
                raise defect(self.policy, f"has {what}", "numbers that can be traded, or NaN")
        return f"mean |weight| {np.nan_to_num(np.abs(found.weight)).mean():.3g}"

    def determinism(self) -> str:
        """The same twice."""
        if differ(self.decide(self.predictions), self.decide(self.predictions)).any():
            raise defect(self.policy, "is random: two calls differ", "the same for the same input")
        return ""

    def causality(self) -> str:
        """A row does not know whether there are later rows, nor what they say."""
        whole = self.decide(self.predictions)
        for end in (1, len(self.predictions) // 3, len(self.predictions) // 2):
            ended = self.predictions.rows(0, end)
            later = self.changed(end)
            for what, other in (("end", ended), ("change", later)):
                moved = np.flatnonzero(differ(whole, self.decide(other), end))
                if len(moved):
                    raise defect(
                        self.policy,
                        f"target {moved[0]} moves when the rows from {end} on {what}",
                        "row k depends on rows up to k alone",
                        "no mean, rank or quantile over all rows; no shift backwards",
                    )
        return ""

    def changed(self, start: int) -> Predictions:
        """The predictions with the rows from ``start`` on in another order."""
        order = np.arange(len(self.predictions))
        order[start:] = self.rng.permutation(order[start:])
        arrays = {name: array[order] for name, array in self.predictions.arrays.items()}
        return replace(self.predictions, arrays=arrays)

    def labels(self) -> str:
        """What happened is not read."""
        hidden = {
            name: np.full(len(array), np.nan) if LABEL in name else array
            for name, array in self.predictions.arrays.items()
        }
        try:
            found = self.decide(replace(self.predictions, arrays=hidden))
            same = not differ(self.decide(self.predictions), found).any()
        except DataError:
            same = False
        if not same:
            raise defect(
                self.policy,
                "reads what happened: its targets change with the columns of labels",
                "columns of what was said",
                f"read no column with {LABEL!r} in its name",
            )
        return ""


def differ(one: Targets, other: Targets, end: int | None = None) -> np.ndarray:
    """Which of the first rows are not the same."""
    apart = np.zeros(len(one) if end is None else end, dtype=np.bool_)
    for part in fields(one):
        pair = (getattr(targets, part.name)[:end] for targets in (one, other))
        left, right = pair
        apart |= ~((left == right) | (np.isnan(left) & np.isnan(right)))
    return apart


def made_up(seed: int) -> Predictions:
    """What the built-in heads could say of 200 minutes, and what could have happened."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([1.0, 1.0, 1.0], DECISIONS)
    columns = {f"prob_{side}": probs[:, k] for k, side in enumerate(("buy", "sell", "hold"))}
    arrays = {f"{head}.{name}": one for head in ("action", "confidence") for name, one in
              columns.items()}  # fmt: skip
    arrays |= {
        "action.label_class": rng.integers(0, 3, DECISIONS).astype(np.float64),
        "action.label_log_return": rng.normal(0, 1e-3, DECISIONS),
        "confidence.confidence": probs.max(axis=1),
        "price.prediction": rng.normal(0, 0.5, DECISIONS),
        "price.label_target": rng.normal(0, 1, DECISIONS),
        "volatility.prediction": rng.normal(0, 0.3, DECISIONS),
        "position.weight": rng.uniform(-1, 1, DECISIONS),
    }
    times = np.arange(1, DECISIONS + 1, dtype=np.int64) * MINUTE
    return Predictions(times, "ETHUSDT", "test", arrays)


__all__ = ["check_policy", "checks_of_policy"]
