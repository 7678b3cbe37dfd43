"""One part of a task: every decision with a label predicted, the prior as the mark to beat."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tasks import small_task

from mtf.errors import DataError
from mtf.evaluation.part import (
    evaluate_part_of,
    predict_part,
    predictions_of_part,
    prior_scores,
    save_predictions,
)
from mtf.learning.splits import Part
from mtf.learning.task import Task
from mtf.predictions import Predictions
from mtf.run import Run

MINUTE = 60_000


@pytest.fixture(scope="module")
def task() -> Task:
    """The small task with fresh weights."""
    return small_task()


def test_every_decision_of_the_part_is_there_and_late_labels_are_purged(task: Task) -> None:
    part = task.parts["test"]
    found, speed = predict_part(task, "test")
    assert speed > 0
    # A next candle of 1m closes a minute later: even the last decision but one has a label.
    assert found.times.tolist() == list(range(part.start_ms, part.end_ms, MINUTE))
    action = found.labels["action"]["action"]
    last_with_label = found.times[action.present].max()
    assert last_with_label == part.end_ms - 15 * MINUTE  # t + 15 minutes is just inside


def test_the_prior_scores_about_ln_3(task: Task) -> None:
    scores = prior_scores(task)
    assert list(scores) == ["action/log_loss"]
    assert scores["action/log_loss"] == pytest.approx(math.log(3), abs=0.15)


def test_a_part_has_results_and_predictions_of_the_same_decisions(task: Task) -> None:
    done = evaluate_part_of(task, "validation", baselines=["class_prior"], bootstrap=20)
    frame = done.predictions.frame()
    assert len(frame) == len(predict_part(task, "validation")[0].times)
    n = done.results.heads["action"]["action"].metrics["log_loss"].n
    assert n == int(np.isfinite(frame["action.label_class"]).sum())
    assert "class_prior" in done.results.heads["action"]["action"].baselines


def test_a_run_saves_them_too(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "task", lambda run: task)
    path = tmp_path / "validation.parquet"
    count = Run(tmp_path, task.config).save_predictions(path, "validation")
    assert Predictions.load(path).part == "validation"
    assert len(Predictions.load(path)) == count > 0


def test_saved_piece_by_piece_they_are_the_predictions_of_the_part(
    task: Task, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.parquet"
    (expected,) = predictions_of_part(task, "test")
    assert save_predictions(task, path, "test") == len(expected) > 200
    found = Predictions.load(path)
    assert (found.symbol, found.part) == ("ETHUSDT", "test")
    np.testing.assert_array_equal(found.times, expected.times)
    assert list(found.arrays) == list(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)


def test_a_part_without_labels_is_a_message(task: Task, tmp_path: Path) -> None:
    after = task.parts["test"].end_ms + 86_400_000
    empty = replace(task, parts={"test": Part("test", after, after + 10 * MINUTE)})
    with pytest.raises(DataError, match="none of the 10 decisions of the test part about ETHUSDT"):
        predict_part(empty, "test")
    with pytest.raises(DataError, match="none of the 10 decisions of the test part about ETHUSDT"):
        save_predictions(empty, tmp_path / "predictions.parquet", "test")
    assert not list(tmp_path.iterdir())
