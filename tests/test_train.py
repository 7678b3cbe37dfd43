"""The main job from config to metrics, stopped in the middle and gone on with."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tasks import small_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf.errors import CheckpointError
from mtf.learning.fit import Fitting
from mtf.report.terminal import Terminal
from mtf.run import Run, load
from mtf.train import go_on, train


def quiet() -> Terminal:
    """A terminal that nobody sees."""
    return Terminal(Console(file=io.StringIO()))


def figures(run: Run) -> dict[str, Any]:
    """The metrics without the speeds, which differ from run to run."""
    return {key: value for key, value in run.metrics.items() if key != "samples_per_second"}


def steps_of(run: Run, tag: str) -> list[int]:
    """The steps that TensorBoard shows of a scalar."""
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    return [event.step for event in events.Scalars(tag)]


def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = small_config()
    whole = train(config, quiet())
    names = {path.name for path in whole.path.iterdir()}
    assert {"config.yaml", "environment.json", "data.json", "metrics.json"} <= names
    assert {"predictions.parquet", "checkpoints", "tensorboard"} <= names

    step = Fitting._step

    def pressed(fitting: Fitting) -> None:
        if fitting.state.step == 4:
            signal.raise_signal(signal.SIGINT)
        step(fitting)

    monkeypatch.setattr(Fitting, "_step", pressed)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(config, quiet())
    monkeypatch.setattr(Fitting, "_step", step)
    cut = load(caught.value.args[0])
    assert not (cut.path / "metrics.json").exists()
    go_on(cut, quiet())
    assert json.dumps(figures(cut)) == json.dumps(figures(whole))
    same = [(run.path / "predictions.parquet").read_bytes() for run in (cut, whole)]
    assert same[0] == same[1]
    assert steps_of(cut, "train/loss") == steps_of(whole, "train/loss") == list(range(1, 9))


def test_a_run_without_a_sound_checkpoint_can_not_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(small_config(training={"epochs": 1}), quiet())
    for state in run.checkpoints.glob("last-*/state.json"):
        state.write_text("{")
    with pytest.raises(CheckpointError, match=r"state\.json that does not match its sum"):
        go_on(run, quiet())
