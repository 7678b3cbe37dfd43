"""What mtf is like to use, in a process of its own: quick to speak, short, no tracebacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starting import seconds_to_import

pytestmark = [pytest.mark.slow, pytest.mark.alone]

OWN = """\
data: {name: csv, path: my.csv}
decisions: {start: "2024-01-01T06:00", end: "2024-01-02", symbols: [ETHUSDT]}
streams:
  1m: {lookback: 60}
  5m: {lookback: 12, from: 1m}
training: {epochs: 1, sampling: {groups: 4, decisions: 4, steps_per_epoch: 3}}
fabric: {threads: 1}
"""
TINY = """\
base: dsc_mtf.yaml
decisions: {start: "2024-01-01", end: "2024-01-03"}
training: {epochs: 1, sampling: {steps_per_epoch: 3}}
fabric: {threads: 1}
"""


@contextmanager
def started(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A running mtf whose output can be read line by line."""
    command = [sys.executable, "-m", "mtf", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def mtf(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a finished mtf printed."""
    with started(*arguments, folder=folder) as process:
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def write_minutes(file: Path, missing: range = range(0)) -> None:
    """A day of a price that swings, one minute a line, some of them missing."""
    lines = ["time,open,high,low,close,volume"]
    price = [2_000 + 10 * ((i * 7_919) % 101 - 50) / 50 for i in range(1_441)]
    for i in range(1_440):
        low, high = sorted(price[i : i + 2])
        values = (price[i], high, low, price[i + 1], 1.0)
        if i not in missing:
            lines.append(",".join(map(str, (1_704_067_200 + 60 * i, *values))))
    file.write_text("\n".join(lines) + "\n")


def test_a_whole_run_is_25_lines_and_the_first_comes_at_once(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    began = time.perf_counter()
    with started("train", "tiny.yaml", folder=tmp_path) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        waited = time.perf_counter() - began
        out, err = process.communicate(timeout=300)
    assert first == "mtf train tiny.yaml\n"
    assert waited < 1 + 3 * seconds_to_import()  # before torch is; the machine may be busy
    assert process.returncode == 0, err
    assert err == "", "no foreign warnings or adverts"
    lines = [first, *out.splitlines()]
    assert len(lines) <= 25
    assert (tmp_path / lines[-1] / "metrics.json").is_file()


def test_a_file_of_ones_own_takes_few_lines_and_its_gap_is_told(tmp_path: Path) -> None:
    assert len(OWN.splitlines()) <= 15
    write_minutes(tmp_path / "my.csv", missing=range(600, 660))
    (tmp_path / "my.yaml").write_text(OWN)
    done = mtf("train", "my.yaml", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "largest 2024-01-01 10:00 to 2024-01-01 11:00 (60 candles, 1 h)" in done.stdout
    assert done.stdout.count("missing candles are masked, never filled") == 1


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    write_minutes(tmp_path / "my.csv")
    (tmp_path / "my.yaml").write_text(OWN)
    steps = ("training.sampling.steps_per_epoch=60", "training.checkpoint_every=20")
    with started("train", "my.yaml", *steps, folder=tmp_path) as process:
        assert process.stdout is not None
        while "step" not in process.stdout.readline():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in err
    assert err.startswith("interrupted; what was learned is in runs/my/")
    done = mtf("train", "--resume", err.split()[-1], folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "going on from runs/my/" in done.stdout
    assert "step 60/60" in done.stdout


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.path=gone.csv", "no file or folder gone.csv (nearest: "),
        ("data.path=nan.csv", "nan.csv: 1 of 1440 rows are no candles: 1 NaN or infinite"),
        ("data.path=columns.csv", "columns.csv: no column for close"),
        ("decisions.end=2024-01-01T06:10", "the calibration part has no decision"),
        ("decisions.end=2024-02-01", "no 1m candle of ETHUSDT in the validation part"),
        ("streams.1m.lookback=5000", "stream 1m has 1440 candles (ETHUSDT 1m)"),
        ("streams.5m.from=null", "candles are 60 s apart (1m)"),
        ("training.epcohs=3", "did you mean epochs?"),
        ("plugins=[boom.py]", "plug-in file boom.py could not be loaded: RuntimeError: boom"),
    ],
)
def test_a_users_mistake_is_told_in_a_few_lines_and_nothing_is_written(
    tmp_path: Path, override: str, words: str
) -> None:
    write_minutes(tmp_path / "my.csv")
    text = (tmp_path / "my.csv").read_text()
    first = text.splitlines()[1]
    (tmp_path / "nan.csv").write_text(text.replace(first, first.rpartition(",")[0] + ",nan"))
    (tmp_path / "columns.csv").write_text(text.replace("close", "clos", 1))
    (tmp_path / "boom.py").write_text("raise RuntimeError('boom')\n")
    (tmp_path / "my.yaml").write_text(OWN)
    done = mtf("train", "my.yaml", override, folder=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "to do: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 6
    assert not (tmp_path / "runs").exists()
