"""Jobs done here or by several processes: each once, and a process that is killed is told."""

from __future__ import annotations

import multiprocessing
import os
import time
from functools import partial

from adders import Adder

from mtf.evaluation.processes import each_done


def test_one_process_works_here_in_order() -> None:
    found = each_done(partial(Adder, 10), [3, 1, 2], 1)
    assert [(job, result and result[0]) for job, result in found] == [(3, 13), (1, 11), (2, 12)]


def test_two_processes_do_every_job_once_and_are_gone_afterwards() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    found = dict(each_done(partial(Adder, 10), range(5), 2))
    assert found == {job: (job + 10, "1") for job in range(5)}
    assert os.environ.get("OMP_NUM_THREADS") == before
    assert not multiprocessing.active_children()


def test_a_process_that_was_killed_is_told_without_a_result() -> None:
    assert dict(each_done(partial(Adder, 10), [13], 2)) == {13: None}


def test_what_is_left_early_leaves_no_process_behind() -> None:
    jobs = each_done(partial(Adder, 10), range(20, 70), 2)
    next(jobs)
    children = multiprocessing.active_children()
    assert children
    jobs.close()
    # Not by ``join``: where two threads wait for one child, it tells one of them that it lives.
    until = time.monotonic() + 60
    while any(is_there(child.pid) for child in children) and time.monotonic() < until:
        time.sleep(0.01)
    assert not [child for child in children if is_there(child.pid)]


def is_there(pid: int | None) -> bool:
    """Whether a process is there still, or was not waited for."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
