"""A worker: trains a trial to its end whatever stops it on the way, and sees no test part."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tasks import small_config

from mtf.evaluation.standing import looks, rivals
from mtf.evaluation.trial import Trial, trial_of
from mtf.learning.checkpoint import read_newest
from mtf.learning.finish import take_best
from mtf.learning.fit import Fitting
from mtf.learning.log import Quiet
from mtf.learning.sweep import sweep_pieces
from mtf.learning.task import prepare
from mtf.run import load
from mtf.searching.job import PROGRESS, RESULT, Goal, Job, Outcome, outcome_of
from mtf.searching.worker import parts_of, work

TRAINING = {"epochs": 3, "checkpoint_every": 3}
LOSS = Goal("loss", True)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the worker runs after it."""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What comes of a trial that nothing disturbs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("whole"))
        return work(job_in("trial"))


def job_in(folder: str, goal: Goal = LOSS, fold: int | None = None, **changes: Any) -> Job:
    config = small_config(**{"training": TRAINING, "backtest": None, **changes})
    return Job(0, fold, Path.cwd(), Path(folder), config, goal)


def test_it_trains_as_mtf_train_does(whole: Outcome) -> None:
    job = job_in("trials/0000")
    found = work(job)
    assert replace(found, record={}, seconds=0.0) == replace(whole, record={}, seconds=0.0)
    assert not found.wrong
    task = prepare(job.config)
    fitting = task.fitting(Quiet(), Quiet(), Path("plain"))
    state = fitting.run()
    assert found.values == [one["validation"] for one in state.history]
    assert (found.kept, found.value) == (state.best_epoch, state.best_loss)
    best = take_best(task, Path("plain"), state.step).tensors["weights"]
    kept = read_newest(job.folder / "checkpoints", "best").tensors["weights"]
    assert all(best[name].equal(kept[name]) for name in best)
    assert load(job.folder).predict("validation").times.size > 100


@pytest.mark.parametrize("step", [4, 12])
def test_killed_anywhere_it_comes_to_the_same(
    step: int, whole: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        once = Fitting._step

        def killed(self: Fitting) -> None:
            if self.state.step == step - 1:
                raise KilledError
            once(self)

        patched.setattr(Fitting, "_step", killed)
        with pytest.raises(KilledError):
            work(job_in("killed"))
    assert outcome_of(Path("killed")) is None
    found = work(job_in("killed"))
    assert (found.starts, found.resumed) == (2, (step - 1) // 3 * 3)
    assert (found.values, found.kept) == (whole.values, whole.kept)


def test_killed_between_an_epochs_note_and_its_checkpoint(
    whole: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        save = Fitting.save

        def killed(self: Fitting, kind: str) -> None:
            if kind == "last" and self.state.epoch == 2:
                raise KilledError
            save(self, kind)

        patched.setattr(Fitting, "save", killed)
        with pytest.raises(KilledError):
            work(job_in("killed"))
    assert len(json.loads(Path("killed", PROGRESS).read_text())["values"]) == 2
    assert work(job_in("killed")).values == whole.values


@pytest.mark.parametrize("what", ["checkpoint", "progress"])
def test_what_is_damaged_is_trained_again(
    what: str, whole: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Fitting, "_end_epoch", lambda self: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            work(job_in("killed"))
    if what == "progress":
        Path("killed", PROGRESS).write_text("{}")
    for state in Path("killed/checkpoints").glob("last-*/state.json"):
        state.write_text("{}" if what == "checkpoint" else state.read_text())
    found = work(job_in("killed"))
    assert found.values == whole.values
    assert found.resumed == (0 if what == "checkpoint" else 3)


def test_what_is_done_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = work(job_in("trial", training={"epochs": 1}))
    monkeypatch.setattr(Fitting, "run", lambda self: pytest.fail("trained again"))
    assert work(job_in("trial", training={"epochs": 1})) == found
    assert not list(Path("trial/checkpoints").glob("last-*")), "nothing is left to go on with"


def test_what_falls_behind_is_ended() -> None:
    behind = work(job_in("behind", replace(LOSS, bar=(9.0, 0.0, 0.0))))
    assert (behind.pruned, len(behind.values)) == (True, 2)
    last = work(job_in("last", replace(LOSS, bar=(9.0, 9.0, 0.0))))
    assert (last.pruned, len(last.values)) == (False, 3), "it has trained to its end anyway"


def test_a_figure_of_a_head_is_measured_where_the_weights_were_kept() -> None:
    job = job_in("trial", Goal("action/log_loss", True))
    found = work(job)
    assert not found.wrong
    sure = load(job.folder).evaluate("validation").heads["action"]["action"].metrics["log_loss"]
    assert math.isfinite(found.value)
    assert found.value == pytest.approx(sure.value, rel=0.02), "every second decision was measured"


def test_an_unknown_metric_is_told_with_those_there_are() -> None:
    found = work(job_in("trial", Goal("action/logloss", True)))
    assert "metric: found 'action/logloss'" in found.wrong
    assert "did you mean action/log_loss" in found.wrong
    assert not Path("trial", RESULT).exists()


def test_candles_that_have_changed_are_refused() -> None:
    work(job_in("trial", training={"epochs": 1}))
    Path("trial", RESULT).unlink()
    changed = {"name": "synthetic", "world": "market", "seed": 2}
    assert "have changed" in work(job_in("trial", data=changed)).wrong


def test_nothing_of_the_test_part_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(model: Any, builder: Any, times: Any, end_ms: int) -> Any:
        asked.append(end_ms)
        return sweep_pieces(model, builder, times, end_ms)

    monkeypatch.setattr("mtf.learning.sweep.sweep_pieces", noted)
    job = job_in("trial", training={"epochs": 1})
    assert not work(job).wrong
    test = parts_of(job.config, None)["test"]
    assert asked
    assert max(asked) <= test.start_ms


@pytest.mark.parametrize("first_train", [0.2, 0.9])
def test_folds_end_before_the_test_part_begins(first_train: float) -> None:
    config = job_in("trial", walk_forward={"folds": 3, "first_train": first_train}).config
    test = parts_of(config, None)["test"]
    parts = [parts_of(config, fold) for fold in (1, 2, 3)]
    assert parts[-1]["test"].end_ms == test.start_ms
    ends = [one["validation"].end_ms for one in parts]
    assert sorted(ends) == ends
    assert ends[-1] < test.start_ms


def test_its_record_counts_beside_the_test_part_and_is_no_look_at_it(whole: Outcome) -> None:
    trial = trial_of(whole.record)
    test = parts_of(job_in("trial").config, None)["test"]
    judged = Trial(
        kind="backtest",
        run="x",
        name="x",
        config_hash="x",
        data_hash="x",
        market=trial.market,
        symbols=trial.symbols,
        seed=0,
        part="test",
        start_ms=test.start_ms,
        end_ms=test.end_ms,
    )
    assert rivals([trial, judged], judged) == [trial, judged]
    assert looks([trial, judged], judged) == 1
    assert (trial.run, trial.part) == ("trial", "validation")
