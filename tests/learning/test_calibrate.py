"""What is fitted after training: on its own part, kept with the weights, the same when repeated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tasks import small_config, small_task

from mtf.learning.calibrate import calibrate
from mtf.learning.optimise import named_tensors
from mtf.run import load
from mtf.train import train
from runs import figures, quiet

HEADS = {"action": {"horizon": 5}, "confidence": {}}


def test_only_the_calibration_part_is_looked_at_and_only_the_asking_head_changes() -> None:
    task = small_task(heads=HEADS)
    before = {name: value.clone() for name, value in named_tensors(task.model).items()}
    blind = dataclasses.replace(task, parts={"calibration": task.parts["calibration"]})
    assert calibrate(blind)
    changed = [
        name
        for name, value in named_tensors(task.model).items()
        if not torch.equal(value, before[name])
    ]
    assert changed == ["heads.confidence.log_temperature"]


def test_without_a_head_that_asks_nothing_is_done() -> None:
    assert not calibrate(small_task())


def test_a_run_keeps_its_calibrated_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(small_config(heads=HEADS), quiet())
    assert load(run.path).best().path.name.startswith("calibrated-")
    again = load(run.path).evaluate()
    found = figures(run)["test"]["confidence"]["brier"]["value"]
    assert again.as_dict()["test"]["confidence"]["brier"]["value"] == found
    temperature = run.best().tensors["weights"]["heads.confidence.log_temperature"]
    assert float(temperature) != 0.0
