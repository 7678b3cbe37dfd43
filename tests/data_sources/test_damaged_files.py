"""Hundreds of damaged and hostile files: refused with a message or read right, nothing executed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import damaged_files
import numpy as np
import pytest

from mtf.cli import main
from mtf.errors import DataError
from mtf.inspect import read

CASES = {case.name: case for case in damaged_files.cases()}


def test_there_are_more_than_150() -> None:
    assert len(CASES) == len(damaged_files.cases()) >= 200, "every name once"


@pytest.mark.parametrize("name", CASES)
def test_damaged_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, folder, canary = CASES[name], tmp_path / "files", tmp_path / "canary"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = case.make(folder, canary)
    before = sorted(os.listdir(folder))
    start = time.process_time()
    if case.words:
        refused(path, case.words)
    else:
        read_right(path, case.candles)
    assert time.process_time() - start < 5.0
    assert not canary.exists()
    assert sorted(os.listdir(folder)) == before, "nothing is written beside it"
    assert os.listdir(tmp_path) == ["files"]


def refused(path: Path, words: tuple[str, ...]) -> None:
    """What a user reads: found, expected, to do."""
    with pytest.raises(DataError) as caught:
        read(path)
    told = str(caught.value)
    missing = [word for word in words if word not in told]
    assert not missing, told
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.todo, told
    assert len(told) < 12_000


def read_right(path: Path, count: int) -> None:
    """Every candle keeps what candles promise, and there are as many as expected."""
    candles = read(path).candles
    kept = candles.ohlcv[candles.valid]
    assert len(kept) == count
    assert np.isfinite(kept).all()
    assert (kept[:, :4] > 0).all()
    assert (kept[:, 4] >= 0).all()
    assert (kept[:, 2] <= kept[:, [0, 3]].min(axis=1)).all()
    assert (kept[:, 1] >= kept[:, [0, 3]].max(axis=1)).all()


HOSTILE = ["pickle 2 in x.pt", "torch pickle in x.pt", "numpy objects in x.npy"]


@pytest.mark.parametrize("verb", ["inspect", "evaluate"])
@pytest.mark.parametrize("name", [*HOSTILE, "pickle 5 in x.csv", "a pipe named x.csv"])
def test_a_hostile_file_as_an_argument(
    name: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    path = CASES[name].make(tmp_path, canary)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main([verb, str(path)])
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    assert told.count("\n  expected: ") == told.count("\n  to do: ") == 1
    assert "Traceback" not in told
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("name", ["pickle 0 in x.csv", "torch pickle in x.parquet"])
def test_a_hostile_file_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    path = CASES[name].make(tmp_path, tmp_path / "canary")
    done = subprocess.run(
        [sys.executable, "-m", "mtf", "inspect", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == [path.name]
