"""The main job from config to metrics, stopped in the middle and gone on with."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from tasks import small_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf.cli import main
from mtf.errors import CheckpointError
from mtf.learning.fit import Fitting
from mtf.run import Run, create_run, load
from mtf.train import go_on, train
from runs import figures, quiet


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


@pytest.mark.parametrize("after", ["create_run", "first checkpoint"])
def test_a_run_stopped_before_its_first_step_starts_it_in_the_same_folder(
    after: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = figures(train(small_config(), quiet()))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def pressed(*arguments: object) -> None:
        raise KeyboardInterrupt

    place = "mtf.train.prior_scores" if after == "create_run" else "mtf.learning.fit.Fitting.run"
    with monkeypatch.context() as patched:
        patched.setattr(place, pressed)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(small_config(), quiet())
    cut = load(caught.value.args[0])
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", str(cut.path)])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    if after == "create_run":
        assert f"no checkpoint yet in {cut.path}: starting at step 0" in said
    else:
        assert "last-00000000 (step 0 of 8)" in said
    assert len(list(cut.path.parent.iterdir())) == 1
    assert json.dumps(figures(cut)) == json.dumps(whole)


def test_ctrl_c_while_resuming_names_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = create_run(small_config(), {})

    def pressed(config: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mtf.train.prepare", pressed)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", "small"])
    assert ended.value.code == 2
    assert f"go on with mtf train --resume {run.path}" in capsys.readouterr().err


def test_what_a_kill_left_half_written_is_gone_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(small_config(training={"epochs": 1}), quiet())
    kept = {path.name for path in run.path.iterdir()}
    (run.path / ".metrics.json.7.partial").write_text("{")
    (run.checkpoints / ".last-00000009.7.partial").mkdir()
    (run.checkpoints / ".last-00000001.7.removed").mkdir()
    go_on(run, quiet())
    assert {path.name for path in run.path.iterdir()} == kept
    assert not list(run.checkpoints.glob(".*"))
