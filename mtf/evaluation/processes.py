"""The same work on many jobs, in one process or several side by side.

Each process has one thread and prepares itself once; what it keeps (candles, compiled code) serves
all its jobs. Processes end with the one that started them, however that ends. Knows nothing of what
is done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Work = Callable[[Job], Result]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_work: Callable[[Any], Any] | None = None
"""What this process does, where it is one of several."""


def each_done(
    make: Callable[[], Work[Job, Result]], jobs: Sequence[Job], processes: int
) -> Generator[tuple[Job, Result | None], None, None]:
    """Do every job and say so as each is done, in any order.

    Args:
        make: prepares a process and returns what it does with a job; with several processes it
            must be picklable, and so must jobs and results.
        jobs: what is to be done.
        processes: how many at most; with one the work is done here.

    Yields:
        A job and its result; None where a process was ended by others, such as for its memory.

    Raises:
        KeyboardInterrupt: the other processes have been ended.
    """
    if processes == 1:
        work = make()
        yield from ((job, work(job)) for job in jobs)
        return
    with one_thread_each(), _pool(make, min(processes, max(len(jobs), 1))) as pool:
        waiting = {pool.submit(_do, job): job for job in jobs}
        for future in as_completed(waiting):
            try:
                result = future.result()
            except BrokenProcessPool:
                result = None
            yield waiting[future], result


@contextmanager
def _pool(make: Callable[[], Any], processes: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes; where the block is left early they are ended at once."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half-way
    pool = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(make,))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    pool.shutdown()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that start within the block take one thread for their arithmetic."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    """Prepare a fresh process. Ctrl-C is for the one that started it, which ends this one."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = make()


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(job: Any) -> Any:
    assert _work is not None
    return _work(job)


__all__ = ["each_done", "one_thread_each"]
