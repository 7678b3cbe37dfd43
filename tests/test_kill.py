"""A training killed with SIGKILL anywhere is gone on with as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import killing
import pytest

TRIALS = 30
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def trials(folder: Path, number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Kill so many trainings; the first of the seed's trials."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, killing.__file__, str(folder), str(seed), str(number)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600 + 120 * number,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found: list[dict[str, Any]]) -> tuple[int, int]:
    """Every trial ended bit-equal to the undisturbed run; its kills, and those within a save."""
    for trial in found:
        assert trial["code"] == 0, trial["said"]
        assert trial["different"] == [], trial
        assert trial["kills"], "a trial without a kill shows nothing"
    kills = [kill for trial in found for kill in trial["kills"]]
    within = sum(kill[1] for kill in kills)
    print(f"{len(found)} of {TRIALS} trials, {len(kills)} kills, {within} of them within a save")
    return len(kills), within


@pytest.mark.slow
def test_a_sample_of_kills_leaves_no_trace(tmp_path: Path) -> None:
    kills, within = check(trials(tmp_path / "0", 5))
    assert kills >= 5
    for seed in (1, 2, 3):  # that a save is hit is luck, too
        if not within:
            within = check(trials(tmp_path / str(seed), 5, seed))[1]
    assert within >= 1


@pytest.mark.long
def test_thirty_kills_leave_no_trace(tmp_path: Path) -> None:
    kills, within = check(trials(tmp_path, TRIALS))
    assert kills >= TRIALS
    assert within >= TRIALS // 4


@pytest.mark.slow
def test_a_fresh_process_goes_on_where_another_was_killed(tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        killing.write_world(tmp_path / name)
    mtf(tmp_path / "whole", "train", "killed.yaml").wait()
    victim = mtf(tmp_path / "cut", "train", "killed.yaml")
    assert killing.kill(victim.pid, tmp_path / "cut", killing.Aim("save", 4, 0.001))
    victim.returncode = -9  # the kill has waited for it
    assert killing.loadable(tmp_path / "cut").startswith("last-")
    resumed = mtf(tmp_path / "cut", *killing.started_or_resumed(tmp_path / "cut"))
    assert resumed.wait() == 0, killing.said(tmp_path / "cut")
    assert "going on from" in killing.said(tmp_path / "cut")
    whole, cut = (killing.outcome(tmp_path / name) for name in ("whole", "cut"))
    assert killing.differences(whole, cut) == []


def mtf(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command line in a process of its own."""
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "mtf", *arguments],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=said,
            stderr=said,
        )
