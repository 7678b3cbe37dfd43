"""``mtf sweep``: from a sweep file to a best config, stopped, killed and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import table, told, write_sweep

from mtf.config.load import load_config
from mtf.config.sweep_file import load_sweep
from mtf.errors import CheckpointError, MtfError
from mtf.evaluation.ledger import Ledger
from mtf.evaluation.standing import looks
from mtf.learning.fit import Fitting
from mtf.run import load
from mtf.run_folder import locked
from mtf.searching.job import PROGRESS, Goal, Job, outcome_of
from mtf.searching.worker import work
from mtf.sweep import folder_of, main
from mtf.train import train
from runs import quiet

FAST = {"epochs": 1, "sampling": {"steps_per_epoch": 2}}
LEDGER = Path("runs/ledger")
VARY = ("starts", "resumed", "seconds", "record")
"""What a kill may change of an outcome; the record has the folder."""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sweep_finds_a_config_that_trains_and_goes_on_when_asked_for_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_sweep(Path(), FAST, trials=2)
    folder = main("sweep.yaml", ["evaluation.baselines=[class_prior]"])
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 25
    assert folder.parent == Path("runs/small")
    assert said[-1] == str(folder)
    assert said[-2].endswith(f"train the best: mtf train {folder / 'best.yaml'}")
    rows = table(folder)
    assert [row["state"] for row in rows] == ["complete"] * 2
    best = min(rows, key=lambda row: float(row["value"]))
    assert told(folder)["best"]["trial"] == int(best["trial"])

    config = load_config(folder / "best.yaml")
    assert config.training.optimizer.lr == float(best["training.optimizer.lr"])
    assert config.evaluation.baselines == ["class_prior"]
    before = Ledger(LEDGER).read().trials
    assert [one.part for one in before] == ["validation"] * 2
    run = train(config, quiet())
    after = Ledger(LEDGER).read().trials
    assert looks(after, after[-1]) == 1, "the test part was looked at once, after the sweep"
    standing = json.loads((run.path / "standing.json").read_text())
    assert standing["standing"]["num_trials"] == 2, "the other one was tried, too"

    again = main("sweep.yaml", ["evaluation.baselines=[class_prior]", "trials=3"])
    assert again == folder
    assert "2 of 3 are done already" in capsys.readouterr().out
    assert [row["starts"] for row in table(folder)] == ["1"] * 3
    assert len(Ledger(LEDGER).read().trials) == 4


def test_the_folder_is_that_of_what_is_searched() -> None:
    file = write_sweep(Path())

    def folder(*overrides: str) -> Path:
        return folder_of(load_sweep(file, overrides))

    same = {folder(), folder("trials=99"), folder("workers=7"), folder("address=auto")}
    assert len(same) == 1
    others = {folder(one) for one in ("seed=1", "sampler=random", "training.epochs=7", "gpus=0.0")}
    assert len(others - same) == 3


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(Path(), FAST, trials=3)
    with monkeypatch.context() as patched:
        step = Fitting._step

        def pressed(self: Fitting) -> None:
            step(self)
            os.kill(os.getpid(), signal.SIGINT)

        patched.setattr(Fitting, "_step", pressed)
        with pytest.raises(MtfError, match="interrupted; what was trained is in runs") as caught:
            main("sweep.yaml", ["trials=2"])
    assert "mtf sweep sweep.yaml trials=2" in str(caught.value)
    folder = main("sweep.yaml", ["trials=2"])
    rows = table(folder)
    assert [(row["state"], row["starts"]) for row in rows] == [("complete", "2"), ("complete", "1")]


def test_another_process_at_it_or_other_candles_are_refused() -> None:
    file = write_sweep(Path(), FAST, trials=1)
    folder = main("sweep.yaml")
    with locked(folder), pytest.raises(CheckpointError, match="by another process"):
        main("sweep.yaml")
    told = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**told, "data_fingerprint": "f" * 64}))
    with pytest.raises(CheckpointError, match="have changed"):
        main(str(file))


@pytest.mark.parametrize(("package", "workers"), [("optuna", 1), ("ray", 2)])
def test_without_the_extra_it_says_so_before_anything_is_read(
    package: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(Path(), workers=workers)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("mtf.sweep.prepare", lambda config: pytest.fail("data were read"))
    with pytest.raises(MtfError) as caught:
        main("sweep.yaml")
    assert f"mtf sweep needs {package}" in str(caught.value)
    assert 'pip install "mtf[sweep]"' in str(caught.value)
    assert not Path("runs").exists()


def test_the_shipped_sweep_is_right() -> None:
    plan = load_sweep("sweep")
    assert plan.base.name == "dsc_mtf"
    assert [one.whole for one in plan.space] == [False, False, True]


@contextmanager
def started(*overrides: str) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process of its own; its output as one text."""
    code = "import sys; from mtf.sweep import main; main('sweep.yaml', sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def worker_of(folder: str, epochs: int) -> int:
    """The process that trains in a folder of the sweep, once it has trained so many epochs."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        for file in Path().glob(f"runs/small/sweep-*/{folder}/{PROGRESS}"):
            told = json.loads(file.read_text())
            if len(told["values"]) >= epochs:
                return int(told["pid"])
        time.sleep(0.01)
    raise AssertionError(f"nothing is trained in {folder}")


@pytest.mark.slow
def test_eight_trials_over_ray_with_one_worker_killed() -> None:
    write_sweep(Path(), {"epochs": 6, "patience": None}, trials=8, workers=2)
    with started() as process:
        victim = worker_of("trials/0002", epochs=2)
        assert victim != process.pid
        os.kill(victim, signal.SIGKILL)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "trial 2: its worker was killed; started again" in said
    assert "gone on with from step" in said
    assert len(said.splitlines()) <= 25, said
    (folder,) = Path("runs/small").glob("sweep-*")
    rows = table(folder)
    assert [row["state"] for row in rows] == ["complete"] * 8
    assert [row["starts"] for row in rows] == ["1", "1", "2", *"11111"]
    found = Ledger(LEDGER).read().trials
    assert sorted(one.run for one in found) == [f"{folder}/trials/{n:04d}" for n in range(8)]

    config = load(folder / "trials/0002").config
    undisturbed = work(Job(2, None, Path.cwd(), Path("alone"), config, Goal("loss", True)))
    assert outcome_of(folder / "trials/0002") == replace(
        undisturbed,
        **{name: getattr(outcome_of(folder / "trials/0002"), name) for name in VARY},
    )
    steps = ["training.epochs=1", "training.sampling.steps_per_epoch=1"]
    assert train(load_config(folder / "best.yaml", steps), quiet()).metrics["test"]


@pytest.mark.slow
def test_folds_over_ray_are_gone_on_with_after_the_sweep_itself_was_killed() -> None:
    overrides = ["walk_forward.folds=2"]
    write_sweep(Path(), {"epochs": 3}, trials=2, workers=2, walk_forward=True, overrides=overrides)
    with started() as process:
        worker_of("trials/0000/fold2", epochs=1)
        process.kill()
        process.communicate()
    for left in Path("/tmp").glob(f"mtf-ray-{process.pid}-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = main("sweep.yaml", ["workers=1"])
    assert [row["state"] for row in table(folder)] == ["complete"] * 2
    results = sorted(str(path.parent) for path in folder.glob("trials/*/*/result.json"))
    assert results == [f"{folder}/trials/000{n}/fold{fold}" for n in (0, 1) for fold in (1, 2)]
    (first, second) = (outcome_of(folder / f"trials/0000/fold{fold}") for fold in (1, 2))
    assert first is not None
    assert second is not None
    assert float(table(folder)[0]["value"]) == (first.value + second.value) / 2
    assert [one.part for one in Ledger(LEDGER).read().trials] == ["validation"] * 2
