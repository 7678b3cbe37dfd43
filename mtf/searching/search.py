"""The search: draw trials, have their trainings done, write down what came of them.

This process alone writes the study, the ledger and the results; workers write their trainings'
folders. Each is written before the next thing is done, so whatever stops the sweep, the same
command goes on: a trial that is done is not trained again, one that is recorded not recorded
again, and one whose worker was killed goes on from its last checkpoint with the values it had.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mtf.config.schema import Config
from mtf.config.sweep_file import SweepPlan
from mtf.errors import ConfigError, MtfError
from mtf.evaluation.ledger import Ledger
from mtf.evaluation.trial import trial_of
from mtf.searching.job import Job, Outcome, outcome_of
from mtf.searching.pool import Pool
from mtf.searching.results import told, write_results
from mtf.searching.study import Drawn, Study

RESTARTS = 3
"""So often a training is started again whose worker was killed; then its trial is given up."""
HOPELESS = 3
"""After so many failures and no success the sweep stops: what fails is not the trial."""


@dataclass
class Search:
    """A sweep while it goes on.

    Attributes:
        plan: what is searched.
        folder: of the sweep.
        study: the trials.
        ledger: takes every trial that was trained.
        say: prints a line.
    """

    plan: SweepPlan
    folder: Path
    study: Study
    ledger: Ledger
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """Read what the ledger has of this sweep: nothing is recorded twice."""
        self._recorded = {(one.run, *one.trained) for one in self.ledger.read().trials}
        self._waiting: deque[Job] = deque()
        self._parts: dict[int, dict[int | None, Outcome]] = {}
        self._count: dict[int, int] = {}
        self._lost: Counter[str] = Counter()

    def run(self, pool: Pool) -> None:
        """Do all trials that are not done.

        Raises:
            MtfError: the first trials all failed, or a file can't be written.
            KeyboardInterrupt: what was trained so far is kept.
        """
        self._take_up()
        running = 0
        while True:
            while running < pool.size and (job := self._next()) is not None:
                pool.submit(job)
                running += 1
            if not running:
                return
            job, outcome = pool.wait()
            running -= 1
            if outcome is None:
                self._again(job)
            else:
                self._take(job, outcome)

    @property
    def restarts(self) -> int:
        """How often a worker was killed, and its training started again."""
        return self._lost.total()

    def _take_up(self) -> None:
        """Begin with what an earlier process left undone."""
        for drawn in self.study.unfinished():
            self._begin(drawn)

    def _next(self) -> Job | None:
        """A training to do now; None where nothing is left to begin."""
        while not self._waiting:
            drawn = self.study.draw()
            if drawn is None:
                return None
            self._begin(drawn)
        return self._waiting.popleft()

    def _begin(self, drawn: Drawn) -> None:
        """Queue the trainings of a trial; those that are done already are taken as they are."""
        try:
            config = self.plan.candidate(drawn.params)
            jobs = self._jobs(drawn.number, config)
        except ConfigError as error:
            self._end(drawn.number, Outcome(wrong=str(error)))
            return
        self._parts[drawn.number], self._count[drawn.number] = {}, len(jobs)
        for job in jobs:
            done = outcome_of(job.folder)
            if done is None:
                self._waiting.append(job)
            else:
                self._take(job, done)

    def _jobs(self, number: int, config: Config) -> list[Job]:
        """The trainings of a trial."""
        folder = self.folder / "trials" / f"{number:04d}"
        goal, home = self.study.goal(), Path.cwd()
        if not self.plan.sweep.walk_forward:
            return [Job(number, None, home, folder, config, goal)]
        return [
            Job(number, fold, home, folder / f"fold{fold}", config, goal)
            for fold in range(1, config.walk_forward.folds + 1)
        ]

    def _again(self, job: Job) -> None:
        """Have a training done whose worker was killed: the same trial, the same values."""
        if self._lost[str(job)] >= RESTARTS:
            why = f"its worker was killed {RESTARTS + 1} times, as a system without memory does"
            self._take(job, Outcome(wrong=why))
            return
        self._lost[str(job)] += 1
        self.say(f"{job}: its worker was killed; started again")
        self._waiting.appendleft(job)

    def _take(self, job: Job, outcome: Outcome) -> None:
        """Keep what came of a training; with the last one of a trial the trial ends."""
        parts = self._parts.get(job.number)
        if parts is None:  # given up: another fold of it failed
            return
        parts[job.fold] = outcome
        if outcome.wrong or len(parts) == self._count[job.number]:
            del self._parts[job.number]
            self._waiting = deque(one for one in self._waiting if one.number != job.number)
            self._end(job.number, joined(list(parts.values())))

    def _end(self, number: int, outcome: Outcome) -> None:
        """Record a trial, then tell the study: in between, a kill leaves it recorded and undone."""
        self._record(outcome)
        self.study.tell(number, outcome)
        write_results(self.folder, self.plan, self.study)
        self.say(told(self.study, number, outcome))
        states = Counter(trial.state.name for trial in self.study.trials)
        if states["FAIL"] >= HOPELESS and not states["COMPLETE"] + states["PRUNED"]:
            raise MtfError(
                f"all of the first {states['FAIL']} trials failed, the last one with:\n"
                f"{outcome.wrong}",
                "trials that can be trained",
                f"mend it, remove {self.folder} and start again",
            )

    def _record(self, outcome: Outcome) -> None:
        """Write a trial that was trained into the ledger, once."""
        if not outcome.record:
            return
        trial = trial_of(outcome.record)
        key = (trial.run, *trial.trained)
        if key not in self._recorded:
            self.ledger.record(trial)
            self._recorded.add(key)


def joined(parts: list[Outcome]) -> Outcome:
    """One outcome of the trainings of a trial: the mean of their values, or what went wrong."""
    wrong = next((one.wrong for one in parts if one.wrong), "")
    if wrong:
        return replace(parts[-1], wrong=wrong)
    value = math.fsum(one.value for one in parts) / len(parts)
    found = parts[0] if len(parts) == 1 else _mean(parts, value)
    if not math.isfinite(value):
        return replace(found, wrong="its metric is not a number")
    return found


def _mean(parts: list[Outcome], value: float) -> Outcome:
    """A trial of several folds, with one record for the ledger."""
    first = parts[0].record
    record = {
        **first,
        "start_ms": min(one.record["start_ms"] for one in parts),
        "figures": dict.fromkeys(first["figures"], value if math.isfinite(value) else None),
    }
    return Outcome(
        values=[value],
        kept=0,
        starts=max(one.starts for one in parts),
        seconds=sum(one.seconds for one in parts),
        record=record,
    )


__all__ = ["HOPELESS", "RESTARTS", "Search", "joined"]
