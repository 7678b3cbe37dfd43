"""The sweep's Optuna study, in a file of its folder: what was drawn, and what came of it.

Trial n draws with a seed of its own, so a sweep that was stopped goes on as it would have. One
process writes (``mtf.run_folder.locked`` sees to it). What Optuna itself brings to a file such as
``study.log`` (its dashboard, its plots) works on it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtf.config.sweep_file import SweepPlan
from mtf.errors import ConfigError
from mtf.searching.job import Goal, Outcome
from mtf.searching.space import distributions, grid, values_of

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

FILE = "study.log"
STARTUP = 5
"""Trials that are drawn anywhere before tpe begins, and complete ones before the pruner does."""


@dataclass(frozen=True)
class Drawn:
    """A trial as it was drawn.

    Attributes:
        number: counted from 0, as Optuna does.
        params: key of the config → value.
    """

    number: int
    params: Mapping[str, Any]


class Study:
    """The trials of a sweep.

    Args:
        plan: what is searched.
        folder: of the sweep; the study is made there, or gone on with.

    Raises:
        ConfigError: Optuna is not installed.
    """

    def __init__(self, plan: SweepPlan, folder: Path) -> None:
        """Open the file; a lock that a killed process left there is nobody's."""
        optuna = needed("optuna")
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.plan = plan
        self.distributions = distributions(plan.space)
        sweep = plan.sweep
        self.points = grid(plan.space, sweep.trials) if sweep.sampler == "grid" else None
        (folder / f"{FILE}.lock").unlink(missing_ok=True)
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(folder / FILE))),
            sampler=self._sampler(0),
            study_name="sweep",
            direction=plan.sweep.direction,
            load_if_exists=True,
        )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials so far, by number."""
        found: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
        return found

    @property
    def planned(self) -> int:
        """How many trials there will be."""
        wanted = self.plan.sweep.trials
        return wanted if self.points is None else min(wanted, len(self.points))

    def drawn(self, trial: FrozenTrial) -> Drawn:
        """The values of a trial."""
        values = values_of(self.plan.space, trial.params) if self._is_whole(trial) else {}
        return Drawn(trial.number, values)

    def unfinished(self) -> list[Drawn]:
        """Trials that were drawn before the sweep was stopped, and of which nothing came yet.

        One that was stopped while it was drawn is given up.
        """
        found = []
        for trial in self.trials:
            if trial.state.name != "RUNNING":
                continue
            if self._is_whole(trial):
                found.append(self.drawn(trial))
            else:
                self.tell(trial.number, Outcome(wrong="stopped while it was drawn"))
        return found

    def draw(self) -> Drawn | None:
        """The next trial; None once there are as many as planned."""
        trials = self.trials
        drawn = [trial.params for trial in trials if self._is_whole(trial)]
        if len(drawn) >= self.planned:
            return None
        waiting = any(trial.state.name == "WAITING" for trial in trials)  # queued and then stopped
        if self.points is not None and not waiting:
            self._study.enqueue_trial(next(one for one in self.points if one not in drawn))
        self._study.sampler = self._sampler(len(drawn))
        trial = self._study.ask(self.distributions)
        return Drawn(trial.number, values_of(self.plan.space, trial.params))

    def tell(self, number: int, outcome: Outcome) -> None:
        """Write down what came of a trial."""
        from optuna.trial import TrialState

        trial = self._trial(number)
        known = self.trials[number].intermediate_values
        for epoch, value in enumerate(outcome.values):
            if epoch not in known and math.isfinite(value):
                trial.report(value, epoch)
        for name in ("kept", "starts", "seconds", "wrong"):
            trial.set_user_attr(name, getattr(outcome, name))
        if outcome.wrong:
            self._study.tell(number, state=TrialState.FAIL)
        elif outcome.pruned:
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, outcome.value)

    def goal(self) -> Goal:
        """What a trial that starts now is measured by."""
        sweep = self.plan.sweep
        minimize = sweep.direction == "minimize"
        bar = self._medians() if sweep.pruner == "median" else ()
        return Goal(sweep.metric, minimize, bar)

    def best(self) -> FrozenTrial | None:
        """The complete trial with the best value, the first of equal ones."""
        complete = [trial for trial in self.trials if trial.state.name == "COMPLETE"]
        sign = 1 if self.plan.sweep.direction == "minimize" else -1
        return min(complete, key=lambda trial: sign * float(trial.value or 0), default=None)

    def _medians(self) -> tuple[float, ...]:
        """After each epoch the median of the complete trials' values, as Optuna's median pruner."""
        complete = [one for one in self.trials if one.state.name == "COMPLETE"]
        if len(complete) < STARTUP:
            return ()
        curves = [one.intermediate_values for one in complete]
        medians = []
        for epoch in range(max(map(len, curves))):
            there = [curve[epoch] for curve in curves if epoch in curve]
            medians.append(float(np.median(there)) if there else math.nan)
        return tuple(medians)

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Whether every key was drawn."""
        return trial.params.keys() == self.distributions.keys()

    def _sampler(self, number: int) -> BaseSampler:
        """What draws a trial; seeded by its number, so that going on repeats no draw."""
        from optuna.samplers import RandomSampler, TPESampler

        words = np.random.SeedSequence([self.plan.sweep.seed, number]).generate_state(1)
        seed = int(words[0])
        if self.plan.sweep.sampler == "tpe":
            return TPESampler(n_startup_trials=STARTUP, seed=seed)
        return RandomSampler(seed)

    def _trial(self, number: int) -> Trial:
        """A trial to report to, also one of an earlier process."""
        from optuna import Trial

        return Trial(self._study, self.trials[number]._trial_id)


def needed(package: str) -> Any:
    """Import what the extra ``sweep`` brings.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"mtf sweep needs {package}, which can't be imported ({error})",
            "the packages of the extra `sweep`: optuna and ray",
            'pip install "mtf[sweep]"',
        ) from error


__all__ = ["FILE", "Drawn", "Study", "needed"]
