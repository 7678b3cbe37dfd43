"""The search: each trial once in study and ledger, whoever is killed; workers here are made up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweeps import small_sweep, table, told

from mtf.errors import MtfError
from mtf.evaluation.ledger import Ledger
from mtf.evaluation.trial import Trial
from mtf.searching.job import Job, Outcome
from mtf.searching.pool import Pool
from mtf.searching.search import RESTARTS, Search, joined
from mtf.searching.study import Study

LR = "training.optimizer.lr"
FOLDER = Path("sweep")


class MadeUp(Pool):
    """Does jobs by a function, the newest first, as workers may; None stands for a killed one."""

    def __init__(self, does: Callable[[Job], Outcome | None], size: int = 2) -> None:
        self.size, self.does = size, does
        self.jobs: deque[Job] = deque()
        self.done: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        assert len(self.jobs) <= self.size

    def wait(self) -> tuple[Job, Outcome | None]:
        job = self.jobs.pop()
        self.done.append(job)
        return job, self.does(job)


def outcome(job: Job) -> Outcome:
    """A loss that is the learning rate, as a worker leaves it on the disk."""
    rate = job.config.training.optimizer.lr
    trial = Trial("train", str(job.folder), "x", f"{rate}", "x", "x", ("X",), 0, "validation", 0, 9)
    found = Outcome([rate], 0, seconds=1.0, record=trial.as_dict())
    job.folder.mkdir(parents=True)
    found.save(job.folder)
    return found


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir()


def search_of(say: Callable[[str], None] = lambda line: None, **keys: Any) -> Search:
    plan = small_sweep(Path.cwd(), **{"trials": 4, **keys})
    return Search(plan, FOLDER, Study(plan, FOLDER), Ledger(Path("ledger")), say)


def recorded() -> list[str]:
    return sorted(one.run for one in Ledger(Path("ledger")).read().trials)


def test_every_trial_is_trained_told_and_recorded_once() -> None:
    lines: list[str] = []
    search, pool = search_of(lines.append), MadeUp(outcome)
    search.run(pool)
    assert sorted(job.number for job in pool.done) == [0, 1, 2, 3]
    assert recorded() == [f"sweep/trials/000{number}" for number in range(4)]
    rates = {job.number: job.config.training.optimizer.lr for job in pool.done}
    best = min(rates, key=lambda number: rates[number])
    assert told(FOLDER)["best"]["trial"] == best
    assert told(FOLDER)["best"]["params"][LR] == rates[best]
    assert [float(row["value"]) for row in table(FOLDER)] == [rates[one] for one in range(4)]
    assert len(lines) == 4
    assert lines[-1].endswith(f"best {rates[best]:.4f} (trial {best}) (4 of 4)")


def test_a_killed_worker_s_trial_is_started_again_with_its_number_and_values() -> None:
    kills = 2
    lines: list[str] = []

    def does(job: Job) -> Outcome | None:
        nonlocal kills
        if job.number == 1 and kills:
            kills -= 1
            return None
        return outcome(job)

    search, pool = search_of(lines.append), MadeUp(does)
    search.run(pool)
    again = [job for job in pool.done if job.number == 1]
    assert len(again) == 3
    assert again[0] == again[1] == again[2]
    assert search.restarts == 2
    assert lines.count("trial 1: its worker was killed; started again") == 2
    assert told(FOLDER)["complete"] == 4
    assert len(recorded()) == 4


def test_a_training_whose_workers_are_always_killed_is_given_up() -> None:
    search = search_of()
    pool = MadeUp(lambda job: None if job.number == 0 else outcome(job))
    search.run(pool)
    assert sum(job.number == 0 for job in pool.done) == RESTARTS + 1
    rows = table(FOLDER)
    assert [row["state"] for row in rows] == ["failed", "complete", "complete", "complete"]
    assert "without memory" in rows[0]["wrong"]
    assert len(recorded()) == 3, "one that was not trained is no trial"


def test_stopped_and_started_again_it_goes_on() -> None:
    done: list[int] = []

    def does(job: Job) -> Outcome:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.number)
        return outcome(job)

    with pytest.raises(KeyboardInterrupt):
        search_of().run(MadeUp(does))
    pool = MadeUp(outcome)
    search_of().run(pool)
    assert sorted(done + [job.number for job in pool.done]) == [0, 1, 2, 3]
    assert len(recorded()) == 4
    search_of().run(MadeUp(lambda job: pytest.fail("trained again")))
    assert len(recorded()) == 4
    search_of(trials=6).run(MadeUp(outcome))
    assert len(recorded()) == 6


@pytest.mark.parametrize("where", ["record", "tell"])
def test_killed_after_a_training_nothing_is_done_or_recorded_twice(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Ledger if where == "record" else Study, where, killed)
        with pytest.raises(KilledError):
            search_of(trials=1).run(MadeUp(outcome))
    assert len(recorded()) == (where == "tell")
    search_of(trials=1).run(MadeUp(lambda job: pytest.fail("trained again")))
    assert recorded() == ["sweep/trials/0000"]
    assert told(FOLDER)["complete"] == 1


def test_folds_are_trainings_of_their_own_and_their_mean_is_the_trial() -> None:
    def does(job: Job) -> Outcome:
        assert job.fold is not None
        found = outcome(replace(job, folder=job.folder))
        record = {**found.record, "run": str(job.folder.parent), "start_ms": job.fold}
        return replace(found, values=[float(job.fold)], record=record)

    pool = MadeUp(does, size=3)
    search_of(walk_forward=True, trials=2, overrides=["walk_forward.folds=3"]).run(pool)
    assert sorted((job.number, job.fold) for job in pool.done) == [
        (number, fold) for number in (0, 1) for fold in (1, 2, 3)
    ]
    assert [float(row["value"]) for row in table(FOLDER)] == [2.0, 2.0]
    trials = Ledger(Path("ledger")).read().trials
    assert [(one.start_ms, dict(one.figures)) for one in trials] == [(1, {}), (1, {})]
    assert recorded() == ["sweep/trials/0000", "sweep/trials/0001"]


def test_with_a_fold_that_fails_the_others_of_the_trial_are_left_undone() -> None:
    def does(job: Job) -> Outcome:
        fails = job.number == 1 and job.fold == 1
        return Outcome(wrong="no") if fails else outcome(job)

    pool = MadeUp(does, size=1)
    search_of(walk_forward=True, trials=2, overrides=["walk_forward.folds=3"]).run(pool)
    assert [(job.number, job.fold) for job in pool.done] == [(0, 1), (0, 2), (0, 3), (1, 1)]
    assert [row["state"] for row in table(FOLDER)] == ["complete", "failed"]


def test_values_that_do_not_fit_together_fail_without_a_training() -> None:
    search = {
        "model.embed_dim": {"choices": [16, 18]},
        "model.fusion.num_heads": {"choices": [2, 3]},
    }
    pool = MadeUp(outcome)
    search_of(search=search, sampler="grid").run(pool)
    states = [row["state"] for row in table(FOLDER)]
    assert states == ["complete", "failed", "complete", "complete"]
    assert "not divisible" in table(FOLDER)[1]["wrong"]
    assert len(pool.done) == 3


def test_where_nothing_works_the_sweep_stops_and_says_why() -> None:
    pool = MadeUp(lambda job: Outcome(wrong="the disk is full"), size=1)
    with pytest.raises(MtfError, match="all of the first 3 trials failed") as caught:
        search_of(trials=50).run(pool)
    assert "the disk is full" in str(caught.value)
    assert len(pool.done) == 3


def nan(values: Iterable[float]) -> list[Outcome]:
    return [Outcome([value], 0, record={"figures": {"x": 1}, "start_ms": 1}) for value in values]


def test_a_metric_that_is_no_number_is_a_failure_that_was_tried() -> None:
    alone, folds = joined(nan([float("nan")])), joined(nan([1.0, float("nan")]))
    assert alone.wrong == folds.wrong == "its metric is not a number"
    assert alone.record
    assert folds.record["figures"] == {"x": None}
