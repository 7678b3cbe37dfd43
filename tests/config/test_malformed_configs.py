"""Hundreds of malformed configs through the command line: the key is named, nothing is run.

Those that are written out, and every eighth of those made from the schema, are tested always.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import malformed_configs
import pytest
from starting import seconds_to_import

import mtf
from mtf.cli import main

CASES = {case.name: case for case in malformed_configs.cases()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with what configs name beside them; nothing is ever trained."""

    def accepted(*_: object, **__: object) -> None:
        pytest.fail("the config was accepted")

    monkeypatch.setattr(mtf, "train", SimpleNamespace(main=accepted), raising=False)
    for name, content in malformed_configs.FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, case: malformed_configs.Case) -> set[str]:
    """Write the config; what is in the folder now."""
    (folder / "my.yaml").write_bytes(case.content)
    return set(os.listdir(folder))


def check(told: str, case: malformed_configs.Case) -> None:
    missing = [word for word in case.words if word not in told]
    assert not missing, told
    assert "Traceback" not in told
    assert "defect" not in told
    assert len(told) < 20_000


def test_there_are_more_than_200_and_no_two_are_the_same() -> None:
    cases = malformed_configs.cases()
    assert len(CASES) == len(cases), "every name once"
    assert len({case.content for case in cases}) == len(cases) >= 600
    assert sum(case.written for case in cases) >= 200
    assert all(case.words for case in cases)


MADE = [name for name, case in CASES.items() if not case.written]
SAMPLE = [name for name, case in CASES.items() if case.written] + MADE[::8]


@pytest.mark.parametrize("name", SAMPLE)
def test_malformed_config(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(name, folder, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(SAMPLE)))
def test_the_rest_of_those_made_from_the_schema(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(name, folder, capsys)


def seconds_to_refuse() -> float:
    """Process time of this process alone."""
    start = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main(["train", "my.yaml"])
    took = time.process_time() - start
    assert ended.value.code == 2
    return took


def refused(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line says what is wrong, at once, and does nothing else."""
    before = written(folder, CASES[name])
    # One of three: the first may import something, and a busy machine slows even process time.
    assert any(seconds_to_refuse() < 1.0 for _ in range(3))
    check(capsys.readouterr().err, CASES[name])
    assert set(os.listdir(folder)) == before, "no code ran, nothing was written"


@pytest.mark.parametrize(
    "name",
    [
        "tag: os.system",
        "aliases of merges",
        "60 levels by indentation",
        "training.optimizer.lr: text for a number",
        "unknown key model.encoder.namee",
    ],
)
def test_malformed_config_in_a_process_of_its_own(name: str, folder: Path) -> None:
    before = written(folder, CASES[name])
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "mtf", "train", "my.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    took = time.perf_counter() - start
    assert done.returncode == 2, done.stderr
    check(done.stderr, CASES[name])
    assert set(os.listdir(folder)) == before
    assert took < 1.0 + 3 * seconds_to_import(), "three times: the machine may be busy"
