"""mtf train with several processes, as one types it; two machines are two processes here."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import killing
import pytest

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def started(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "mtf.train", "killed.yaml", *arguments]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            command, cwd=folder, env={**ENVIRONMENT, **variables}, stdout=said, stderr=said
        )


def until(folder: Path, word: str) -> None:
    """Wait until it has said so."""
    end = time.monotonic() + 120
    while word not in killing.said(folder):
        assert time.monotonic() < end, killing.said(folder)
        time.sleep(0.05)


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that another one has started to learn beside it."""
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = [int(pid) for pid in tasks.read_text().split()]
    return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config and its candles."""
    killing.write_world(tmp_path / "world")
    return tmp_path / "world"


def free_port() -> int:
    """None of those that the system gives to others who ask for any, until it is used."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def test_two_machines_train_one_run(folder: Path) -> None:
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    both = [
        started(folder, "fabric.num_nodes=2", "training.epochs=1", NODE_RANK=str(rank), **place)
        for rank in (0, 1)
    ]
    assert [process.wait(300) for process in both] == [0, 0], killing.said(folder)
    run = killing.run_of(folder)  # one folder
    assert run is not None
    assert json.loads((run / "metrics.json").read_text())["test"]
    assert killing.said(folder).count("run folder") == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found by /proc")
def test_a_killed_process_and_ctrl_c_end_all_and_the_run_is_gone_on_with(folder: Path) -> None:
    train = started(folder, "fabric.devices=2", "training.epochs=20")
    until(folder, "%  step")
    (beside,) = children(train)
    os.kill(beside, signal.SIGKILL)
    assert train.wait(60) == 2
    assert "process 1 of the training was ended from outside (SIGKILL)" in killing.said(folder)
    assert "Traceback" not in killing.said(folder)
    run = killing.run_of(folder)
    assert run is not None
    assert killing.loadable(folder).startswith("last-")
    (folder / "said.txt").unlink()
    command = [sys.executable, "-m", "mtf", "train", "--resume", str(run)]
    with (folder / "said.txt").open("ab") as said:
        again = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=said, stderr=said)
    until(folder, "%  step")
    (beside,) = children(again)
    again.send_signal(signal.SIGINT)
    assert again.wait(60) == 2
    assert "going on from" in killing.said(folder)
    assert f"to do: go on with mtf train --resume {run}" in killing.said(folder)
    assert not Path(f"/proc/{beside}").exists()
