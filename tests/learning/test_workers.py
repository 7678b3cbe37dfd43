"""Processes beside this one: all end well, or all end with the reason of the first."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import beside
import pytest
from beside import endless, fails_after, fails_before, killed, well

from mtf.errors import DataError, MtfError
from mtf.learning.workers import Workers

HELPERS = str(Path(beside.__file__).parent)
LOST = RuntimeError("[gloo] Connection closed by peer")


def raised(work: Callable[..., None], places: list[int], error: Exception) -> None:
    """Work beside such processes until an error comes here."""
    with Workers(work, "config", places) as workers:
        workers.wait_until_ready()
        raise error


def alone() -> bool:
    """Whether no process is left."""
    return not multiprocessing.active_children()


def test_all_end_well() -> None:
    with Workers(well, "config", [1, 2]) as workers:
        workers.wait_until_ready()
    assert alone()


def test_one_that_can_not_begin_ends_all_with_its_message() -> None:
    with pytest.raises(DataError, match="no candles"), Workers(fails_before, "", [1, 2]) as workers:
        workers.wait_until_ready()
    assert alone()


def test_the_reason_is_told_and_not_that_others_have_lost_a_process() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'config'") as caught:
        raised(fails_after, [1, 2], LOST)
    assert "fails_after" in caught.value.__notes__[0]  # where it happened, for --debug
    assert alone()


def test_one_that_was_killed_is_named() -> None:
    with pytest.raises(MtfError, match=r"process 1 .* \(SIGKILL\)"):
        raised(killed, [1], LOST)


def test_what_goes_wrong_here_ends_the_others() -> None:
    with pytest.raises(DataError, match="mine"):
        raised(endless, [1], DataError("mine"))
    assert alone()


def test_without_others_here_a_lost_process_is_a_message() -> None:
    with pytest.raises(MtfError, match="another process of the training ended"):
        raised(well, [], LOST)


def test_a_call_that_never_comes_back_is_ended_with_the_reason(tmp_path: Path) -> None:
    # As a GPU that waits for a process that is gone; a thread can't interrupt it.
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([HELPERS, *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "KeyError: 'config'" in done.stderr
    assert time.monotonic() - began < 100


STUCK = """
import time
from mtf.learning import workers
from beside import fails_after
if __name__ == "__main__":
    workers.ALONE_S = 0.5
    with workers.Workers(fails_after, "config", [2]) as beside:
        beside.wait_until_ready()
        time.sleep(1000)
"""
