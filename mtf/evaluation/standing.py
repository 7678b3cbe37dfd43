"""Where one trial stands among all that were tried: is its Sharpe ratio more than the luckiest one?

Trials are compared that are of the same market, a common symbol, and a part that overlaps in time,
whatever they read: the fingerprint of candles changes with the lookback, so it can't bound what was
tried on a stretch. What was done twice is one trial, and two looks. Nulls are neither: nothing is
chosen by them. Does not know of trials that nobody recorded, so it can only be too kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from mtf.evaluation.ledger import Records
from mtf.evaluation.trial import Trial
from mtf.market.finding import counted
from mtf.trading.aligned import aligned
from mtf.trading.overfitting import Overfitting, probability_of_overfitting
from mtf.trading.sharpe import DeflatedSharpe, deflated

ENOUGH = 0.95
"""Deflated Sharpe ratio from which on a result is taken for more than luck."""
LOOKED_AT = ("test", "out_of_sample")
"""Parts that nothing may be chosen by: those of a run, and of a walk-forward."""
SHARED = 0.9
"""Share of a trial's days on which others are compared with it at least."""
A_YEAR = math.sqrt(365)
"""From the Sharpe ratio of a day to that of a year; crypto trades every day."""

NOTHING = DeflatedSharpe(math.nan, math.nan, math.nan, math.nan, 0, math.nan)
"""Of a trial without returns."""

Days = Int64[np.ndarray, " day"]
Matrix = Float64[np.ndarray, "trial day"]


@dataclass(frozen=True)
class Standing:
    """One trial among all.

    Attributes:
        trials: what was tried, each once; the one that is judged first.
        sharpe: deflated by them, with their effective number; None without two days of returns.
        overfitting: probability of it, where enough of the trials share the days.
        looks: how often the test part was looked at, this time included where it is recorded.
        passed_over: files of the ledger that could not be read: trials that may be missing here.
    """

    trials: tuple[Trial, ...]
    sharpe: DeflatedSharpe | None
    overfitting: Overfitting
    looks: int
    passed_over: int = 0

    @property
    def beyond_luck(self) -> bool:
        """Whether the Sharpe ratio is more than what luck gives the best of as many trials."""
        return self.sharpe is not None and self.sharpe.value >= ENOUGH

    def text(self) -> str:
        """The standing in one line."""
        return "; ".join([self._luck(), self._overfitting(), self._looks()]) + "."

    def as_dict(self) -> dict[str, Any]:
        """The content of standing.json: ratios of a year, null for what can't be told."""
        found, told = self.sharpe or NOTHING, self.overfitting
        return {
            "verdict": self.text(),
            "num_trials": len(self.trials),
            "effective_trials": _number(found.effective_trials),
            "aligned_trials": told.num_trials,
            "aligned_days": told.num_days,
            "sharpe_ratio_of_days": _number(found.sharpe * A_YEAR),
            "luckiest_sharpe_ratio": _number(found.expected_maximum * A_YEAR),
            "probabilistic_sharpe_ratio": _number(found.probabilistic),
            "deflated_sharpe_ratio": _number(found.value),
            "probability_of_overfitting": told.probability,
            "why_no_probability": told.reason or None,
            "looks_at_test": self.looks,
            "unreadable_records": self.passed_over,
        }

    def _luck(self) -> str:
        found, count = self.sharpe or NOTHING, counted(len(self.trials), "trial")
        if not math.isfinite(found.value):
            return f"{count}, of which this one has no Sharpe ratio to deflate"
        verdict = "more than luck" if self.beyond_luck else f"not more than luck (< {ENOUGH:g})"
        return (
            f"{count} worth {found.effective_trials:.1f}: Sharpe ratio "
            f"{found.sharpe * A_YEAR:.2f} a year, the luckiest of as many without skill has "
            f"{found.expected_maximum * A_YEAR:.2f}; deflated {found.value:.3f}, {verdict}"
        )

    def _overfitting(self) -> str:
        told = self.overfitting
        known = told.reason if told.probability is None else f"{told.probability:.2f}"
        return f"probability of overfitting {known}"

    def _looks(self) -> str:
        lost = f", {counted(self.passed_over, 'unreadable record')}" if self.passed_over else ""
        return f"test part looked at {counted(self.looks, 'time')}{lost}"


def standing(records: Records, trial: Trial) -> Standing:
    """Judge a trial by all that was recorded, itself included whether it is or not."""
    family = rivals(records.trials, trial)
    trials = distinct([trial, *family])
    _, matrix = shared_days(trial, trials)
    returns = np.nan_to_num(trial.net_return)
    sharpe = deflated(returns, matrix, len(trials)) if len(returns) > 1 else None
    told = probability_of_overfitting(matrix)
    seen = looks(records.trials, trial)
    return Standing(trials, sharpe, told, seen, len(records.passed_over))


def rivals(trials: Sequence[Trial], trial: Trial) -> list[Trial]:
    """Those that were chosen among on the same stretch: neither nulls nor figures of training."""
    return [
        one for one in trials if one.kind != "null" and one.part != "train" and _meets(one, trial)
    ]


def looks(trials: Sequence[Trial], trial: Trial) -> int:
    """How often a test part that overlaps with the trial's was looked at, each time counted.

    A walk-forward is one look, whatever the number of its folds and seeds.
    """
    family = rivals(trials, trial)
    return sum(one.part in LOOKED_AT and one.kind != "fold" for one in family)


def distinct(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Each trial once, as it came last, those with returns in front.

    A record without returns (a training, a look) is no trial beside one that has some of the same
    model, and one together with others without.
    """
    earning = {one.key: one for one in trials if len(one.days)}
    models = {one.trained for one in earning.values()}
    idle = {one.trained: one for one in trials if one.trained not in models}
    return (*earning.values(), *idle.values())


def shared_days(trial: Trial, trials: Sequence[Trial]) -> tuple[Days, Matrix]:
    """The days of a trial that the most others have too, and what all these earned on them.

    Others are taken in by the days that they share with the trial, the most first, as long as nine
    tenths of its days are left.

    Returns:
        Days, and net returns by trial: those that have all of the days, the trial first.
    """
    days = trial.days
    least = SHARED * len(days)
    shared = [np.intersect1d(days, one.days, assume_unique=True) for one in trials]
    for own in sorted(shared, key=len, reverse=True):
        left = np.intersect1d(days, own, assume_unique=True)
        if len(left) >= least:
            days = left
    others = [one for one in trials if one.key != trial.key]
    return days, aligned(days, [(one.days, one.net_return) for one in (trial, *others)])


def rows(trials: Sequence[Trial], most: int = 200) -> list[dict[str, str | float | int | None]]:
    """A table of trials for a report, the best Sharpe ratio first, at most so many."""
    best = sorted(trials, key=_sharpe, reverse=True)
    return [
        {
            "recorded": one.time[:16].replace("T", " ") or None,
            "kind": one.kind,
            "name": one.name,
            "seed": one.seed,
            "part": one.part,
            "days": len(one.days),
            "sharpe_ratio": _number(_sharpe(one)),
            "run": one.run or None,
        }
        for one in best[:most]
    ]


def _meets(one: Trial, trial: Trial) -> bool:
    return one.meets(trial.market, trial.symbols, trial.start_ms, trial.end_ms)


def _sharpe(trial: Trial) -> float:
    value = trial.figures.get("sharpe_ratio", math.nan)
    return value if math.isfinite(value) else -math.inf


def _number(value: float) -> float | None:
    """A number as JSON has it."""
    return value if math.isfinite(value) else None


__all__ = ["Standing", "distinct", "looks", "rivals", "rows", "shared_days", "standing"]
