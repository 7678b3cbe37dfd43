"""Disks that are full or read-only, runs that start together, names that are odd."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks import file_config, small_config

from mtf import evaluate
from mtf.config.load import resolved
from mtf.errors import CheckpointError
from mtf.learning.checkpoint import is_untouched, read_newest, write_checkpoint
from mtf.learning.json_files import write_json
from mtf.run import Run, create_run, load
from mtf.train import go_on, train
from runs import figures, quiet

ROOT = Path(__file__).resolve().parents[1]
TENSORS = {
    "weights": {"a": torch.arange(4_000.0)},
    "optimizer": {"0.step": torch.ones(())},
}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes; skipped where one may not mount."""
    folder.mkdir()
    done = mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    if done.returncode:
        pytest.skip(f"this process may not mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=60)


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What mounting came to; no program of that name is like a refusal."""
    command = ["mount", *arguments] if shutil.which("mount") else ["false"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def full(name: str, monkeypatch: pytest.MonkeyPatch, allowed: int) -> list[int]:
    """Let a function of the system succeed so many times, then say that the disk is full."""
    real: Callable[..., Any] = getattr(os, name)
    calls: list[int] = []

    def refusing(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > allowed:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, refusing)
    return calls


@pytest.mark.parametrize("name", ["fsync", "rename", "mkdir"])
def test_a_disk_that_fills_at_any_call_leaves_the_checkpoint_before(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, "last", 1, TENSORS, {"step": 1})
    messages: list[str] = []
    for allowed in range(20):
        with monkeypatch.context() as patched:
            calls = full(name, patched, allowed)
            messages += refusal(tmp_path)
        assert read_newest(tmp_path, "last").rejected == ()
        assert all(path.name.startswith("last") for path in tmp_path.iterdir())
        if len(calls) <= allowed:
            break
        for path in tmp_path.glob("last-00000002*"):  # it was complete before the refusal
            shutil.rmtree(path)
    assert len(messages) >= {"fsync": 6, "rename": 1, "mkdir": 1}[name]
    assert all("No space left on device" in text and "free space" in text for text in messages)
    assert read_newest(tmp_path, "last").state == {"step": 2}


def refusal(folder: Path) -> list[str]:
    """Write a second checkpoint; what is said where the disk refuses."""
    try:
        write_checkpoint(folder, "last", 2, TENSORS, {"step": 2})
    except CheckpointError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_fills_leaves_the_json_file_before(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "metrics.json"
    write_json(file, {"a": 1})
    with monkeypatch.context() as patched:
        full(name, patched, 0)
        with pytest.raises(OSError, match="No space left"):
            write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["fsync", "rename", "mkdir"])
def test_a_disk_that_fills_leaves_no_half_made_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "small").mkdir(parents=True)
    with monkeypatch.context() as patched:
        full(name, patched, 0)
        with pytest.raises(CheckpointError, match="could not write a run folder in runs/small"):
            create_run(small_config(), {"data": {}})
    assert list((tmp_path / "runs" / "small").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", ["80k", "150k", "220k", "300k"])
def test_a_full_disk_is_a_message_and_the_run_goes_on_elsewhere(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        monkeypatch.chdir(disk)
        with pytest.raises(CheckpointError) as error:
            train(small_config(training={"ema_decay": 0.9}), quiet())
        assert "No space left on device" in str(error.value)
        assert "free space" in error.value.todo
        (folder,) = Path("runs/small").iterdir()
        load(folder)
        shutil.copytree(folder, tmp_path / "moved")
        monkeypatch.chdir(tmp_path)
    moved = load("moved")
    assert is_untouched(moved.checkpoints) or not read_newest(moved.checkpoints, "last").rejected
    whole = train(small_config(training={"ema_decay": 0.9}), quiet())
    assert figures(go_on(moved, quiet())) == figures(whole)


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_a_message_too(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(resolved(small_config()))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [sys.executable, "-m", "mtf", "train", "small.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=limited,
    )
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    (folder,) = (tmp_path / "runs" / "small").iterdir()
    assert is_untouched(load(folder).checkpoints)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return train(small_config(training={"epochs": 1}), quiet())


def test_a_read_only_run_is_read_but_not_gone_on_with(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", "20m") as disk:
        shutil.copytree(finished.path, disk / "run")
        if mount("-o", "remount,ro", str(disk)).returncode:
            pytest.skip("this process may not make a disk read-only")
        run = load(disk / "run")
        assert len(run.predict("validation")) > 0
        with pytest.raises(CheckpointError, match="Read-only file system"):
            evaluate.main(str(run.path))
        assert "action: log_loss" in capsys.readouterr().out, "the figures are printed all the same"
        with pytest.raises(CheckpointError, match=r"could not write [\s\S]*Read-only file system"):
            go_on(run, quiet())


def test_a_read_only_working_directory_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        if mount("-o", "remount,ro", str(disk)).returncode:
            pytest.skip("this process may not make a disk read-only")
        monkeypatch.chdir(disk)
        with pytest.raises(CheckpointError, match=r"could not write a run folder[\s\S]*Read-only"):
            create_run(small_config(), {})
        monkeypatch.chdir(tmp_path)


def test_eight_runs_started_at_once_get_eight_folders(tmp_path: Path) -> None:
    # They wait for a moment that they share, so that all begin in the same second.
    code = (
        "import sys, time, pathlib\n"
        "from mtf.config.load import parse_config, read_yaml\n"
        "from mtf.run import create_run\n"
        "config = parse_config(read_yaml(pathlib.Path('small.yaml')).values)\n"
        "pathlib.Path(f'ready{sys.argv[1]}').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.001)\n"
        "print(create_run(config, {'data': {'number': sys.argv[1]}}).path)\n"
    )
    (tmp_path / "small.yaml").write_text(resolved(small_config()))
    command = [sys.executable, "-c", code]
    started = [
        subprocess.Popen([*command, str(number)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    while len(list(tmp_path.glob("ready*"))) < 8:
        assert all(process.poll() in (None, 0) for process in started)
    (tmp_path / "go").touch()
    paths = [process.communicate(timeout=60)[0].strip() for process in started]
    assert len(set(paths)) == 8
    assert len({path.partition("Z")[0] for path in paths}) <= 2, "within a second or two"
    for number, path in enumerate(paths):
        data = json.loads((tmp_path / path / "data.json").read_text())
        assert data == {"number": str(number)}
    assert len(list((tmp_path / "runs" / "small").iterdir())) == 8


def test_a_run_is_trained_by_one_process_at_a_time(finished: Run) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from mtf.run_folder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    pathlib.Path('locked').touch()\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(finished.path)]) as other:
        try:
            while not Path("locked").exists():
                assert other.poll() is None
            with pytest.raises(CheckpointError, match="is being trained by another process"):
                go_on(finished, quiet())
        finally:
            other.kill()  # SIGKILL, with which the lock is gone
    go_on(finished, quiet())


ODD = "é ñ 日本 'x' #1"
NAMES = ["with space", '"q" $HOME `x` [b] {c}: %s', "-rf", "a\\b & ; *"]


@pytest.mark.parametrize(
    "name", [ODD, *(pytest.param(one, marks=pytest.mark.slow) for one in NAMES)]
)
def test_odd_names_of_folders_and_files_are_names_like_any(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / name
    home.mkdir()
    monkeypatch.chdir(home)
    plugin = Path(f"{name}.py")
    plugin.write_text("")
    data = Path(name)
    data.mkdir()
    config = file_config(
        data / f"{name}.csv",
        1_440,
        plugins=[str(plugin)],
        training={"epochs": 1},
        evaluation={"baselines": ["class_prior"]},
    )
    run = train(config, quiet())
    moved = home / f"run {name}"
    run.path.rename(moved)
    before = run_of(moved).metrics
    go_on(run_of(moved), quiet())
    evaluate.main(str(moved), trust=True)
    assert run_of(moved).metrics["test"] == before["test"]


def run_of(folder: Path) -> Run:
    """The run in the folder, its plug-ins trusted."""
    return load(folder, trust_plugins=True)


@pytest.mark.slow
def test_odd_names_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = ODD
    home = tmp_path / name
    home.mkdir()
    monkeypatch.chdir(home)
    (home / f"{name}.py").write_text("")
    config = file_config(home / f"{name}.csv", 1_440, plugins=[f"{name}.py"])
    (home / f"{name}.yaml").write_text(resolved(config))
    trained = mtf(home, "train", f"{name}.yaml", "training.epochs=1")
    assert trained.returncode == 0, trained.stderr
    folder = trained.stdout.splitlines()[-1]
    refused = mtf(home, "evaluate", folder)
    assert refused.returncode == 2
    assert f"names files under plugins: {name}.py" in refused.stderr
    for verb in (("train", "--resume"), ("evaluate",)):
        done = mtf(home, *verb, folder, "--trust-plugins")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == folder


def mtf(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mtf", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
