"""The study: what a trial draws depends on its number and those before, never on who asks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweeps import small_sweep

from mtf.errors import ConfigError
from mtf.searching.job import Outcome
from mtf.searching.study import FILE, STARTUP, Study, needed

LR = "training.optimizer.lr"


def study_of(folder: Path, **keys: Any) -> Study:
    return Study(small_sweep(folder, **keys), folder)


def drawn(study: Study) -> list[float]:
    """The learning rates of all that is left to draw; each is told its own as a loss."""
    rates = []
    while (one := study.draw()) is not None:
        rates.append(one.params[LR])
        study.tell(one.number, Outcome(values=[one.params[LR]], kept=0))
    return rates


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_gone_on_with_draws_what_it_would_have_drawn(tmp_path: Path, sampler: str) -> None:
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = drawn(study_of(tmp_path / "whole", sampler=sampler, trials=9))
    assert len(set(whole)) == 9
    first = drawn(study_of(tmp_path / "stopped", sampler=sampler, trials=4))
    rest = drawn(study_of(tmp_path / "stopped", sampler=sampler, trials=9))
    assert first + rest == whole


def test_another_seed_draws_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = study_of(tmp_path / "a", trials=1, seed=1)
    other = study_of(tmp_path / "b", trials=1, seed=2)
    assert drawn(first) != drawn(other)


def test_a_trial_that_was_begun_is_found_again_with_its_values(tmp_path: Path) -> None:
    study = study_of(tmp_path, trials=3)
    one, two = study.draw(), study.draw()
    assert one is not None
    assert two is not None
    study.tell(one.number, Outcome(values=[1.0], kept=0))
    again = study_of(tmp_path, trials=3)
    assert again.unfinished() == [two]
    assert len(drawn(again)) == 1, "the third"


def test_a_trial_killed_while_it_was_drawn_is_given_up_and_another_drawn(tmp_path: Path) -> None:
    study = study_of(tmp_path, trials=2)
    study._study.ask()  # with nothing suggested yet
    again = study_of(tmp_path, trials=2)
    assert again.unfinished() == []
    assert again.trials[0].state.name == "FAIL"
    assert len(drawn(again)) == 2


def test_a_grid_is_gone_through_in_order_and_ends(tmp_path: Path) -> None:
    search = {LR: {"choices": [0.1, 0.2]}, "model.encoder.kernel_size": {"choices": [3, 5]}}
    study = study_of(tmp_path, search=search, sampler="grid", trials=100)
    assert study.planned == 4
    assert drawn(study) == [0.1, 0.1, 0.2, 0.2]


def test_a_point_of_a_grid_that_was_queued_and_not_drawn_comes_next(tmp_path: Path) -> None:
    search = {LR: {"choices": [0.1, 0.2, 0.3]}}
    study = study_of(tmp_path, search=search, sampler="grid")
    study._study.enqueue_trial({LR: 0.1})
    assert drawn(study_of(tmp_path, search=search, sampler="grid")) == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(("direction", "best"), [("minimize", 1), ("maximize", 2)])
def test_the_best_is_a_complete_trial(tmp_path: Path, direction: str, best: int) -> None:
    study = study_of(tmp_path, direction=direction, trials=6)
    outcomes = [
        Outcome(wrong="no"),
        Outcome(values=[9.0, -1.0], kept=1),
        Outcome(values=[4.0], kept=0),
        Outcome(values=[-5.0], kept=0, pruned=True),
        Outcome(values=[50.0], kept=0, pruned=True),
        Outcome(values=[-1.0], kept=0),
    ]
    for outcome in outcomes:
        one = study.draw()
        assert one is not None
        study.tell(one.number, outcome)
    found = study.best()
    assert found is not None
    assert found.number == best


def test_the_bar_is_the_median_of_complete_trials_epoch_by_epoch(tmp_path: Path) -> None:
    study = study_of(tmp_path, pruner="median", trials=9)
    curves = [[5.0, 4.0], [3.0, 2.0], [9.0, 8.0], [1.0], [7.0, 6.0]]
    assert len(curves) == STARTUP
    for curve in curves:
        assert study.goal().bar == ()
        one = study.draw()
        assert one is not None
        study.tell(one.number, Outcome(values=curve, kept=0))
    assert study.goal().bar == (5.0, 5.0)
    assert study_of(tmp_path, trials=9).goal().bar == (), "without a pruner there is none"


def test_optuna_itself_reads_the_file(tmp_path: Path) -> None:
    study = study_of(tmp_path, trials=2)
    drawn(study)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / FILE))
    found = optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(backend))
    assert [one.value for one in found.trials] == [one.params[LR] for one in found.trials]


def test_a_lock_that_a_kill_left_is_nobodys(tmp_path: Path) -> None:
    study_of(tmp_path, trials=1)
    (tmp_path / f"{FILE}.lock").symlink_to(tmp_path / FILE)
    assert len(drawn(study_of(tmp_path, trials=1))) == 1


@pytest.mark.parametrize("package", ["optuna", "ray"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=package) as caught:
        needed(package)
    assert 'pip install "mtf[sweep]"' in str(caught.value)
