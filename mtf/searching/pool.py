"""Who does the jobs of a sweep: this process, or workers of Ray here or on a cluster.

Both do the same work and say the same; a worker that was killed is told as no outcome.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mtf.config.sweep_schema import SweepConfig
from mtf.errors import ConfigError
from mtf.evaluation.processes import one_thread_each
from mtf.searching.job import Job, Outcome
from mtf.searching.study import needed
from mtf.searching.worker import work

STORE_BYTES = 80 * 2**20
"""Of Ray's shared memory, close to the least it takes: configs and outcomes are all that passes."""


@runtime_checkable
class Pool(Protocol):
    """Does jobs side by side.

    Attributes:
        size: how many.
    """

    size: int

    def submit(self, job: Job) -> None:
        """Have a job done."""

    def wait(self) -> tuple[Job, Outcome | None]:
        """A job that is done, and its outcome; None where its worker was killed."""


class Here(Pool):
    """Does one job after the other, in this process, when it is waited for."""

    size = 1

    def __init__(self) -> None:
        """Nothing to do yet."""
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Keep it."""
        self._jobs.append(job)

    def wait(self) -> tuple[Job, Outcome | None]:
        """Do the oldest."""
        job = self._jobs.popleft()
        return job, work(job)


class OverRay(Pool):
    """Hands jobs to workers of Ray, which starts another where one was killed.

    Args:
        ray: the package, connected.
        size: jobs at a time.
        gpus: of each.
    """

    def __init__(self, ray: Any, size: int, gpus: float) -> None:
        """Tell Ray what a job takes; starting again is ours, so that it is told and counted."""
        self.size, self._ray = size, ray
        self._work = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(work)
        self._running: dict[Any, Job] = {}

    def submit(self, job: Job) -> None:
        """Have Ray do it."""
        self._running[self._work.remote(job)] = job

    def wait(self) -> tuple[Job, Outcome | None]:
        """Whatever is done first."""
        (reference, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        job = self._running.pop(reference)
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # of the way there, not of the work
            return job, Outcome(wrong=f"its worker could not be set up: {error.cause}")
        except self._ray.exceptions.RayError:
            return job, None
        return job, outcome


@contextmanager
def pool_of(sweep: SweepConfig) -> Iterator[Pool]:
    """What does the jobs of a sweep; gone when the block is left.

    Raises:
        ConfigError: Ray is needed and not installed, or can't be reached.
    """
    if sweep.workers == 1 and sweep.address is None:
        yield Here()
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent to anyone
    ray = needed("ray")
    with _temporary() if sweep.address is None else nullcontext("") as folder:
        with one_thread_each():
            _connect(ray, sweep, folder)
        try:
            _check_gpus(ray, sweep)
            yield OverRay(ray, sweep.workers, sweep.gpus)
        finally:
            ray.shutdown()


def _connect(ray: Any, sweep: SweepConfig, folder: str) -> None:
    """Start Ray on this machine, or connect to a cluster.

    Raises:
        ConfigError: it can't be started or reached.
    """
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if sweep.address is None:
            ray.init(
                num_cpus=sweep.workers,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
                **quiet,
            )
        else:
            _knock(sweep.address)
            ray.init(address=sweep.address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"address: found {sweep.address}: Ray says {error}"
            if sweep.address
            else f"Ray can't be started here: {error}",
            "a cluster that is running, or null for this machine",
            "see `ray status`; a cluster with tokens wants RAY_AUTH_MODE=token in the environment"
            if sweep.address
            else "set workers: 1, which works without Ray",
        ) from error
    # It would print a paragraph about every worker that was killed, which we tell in a line.
    ray._private.worker._worker_logs_enabled = False


def _knock(address: str) -> None:
    """Ray takes minutes to find that nobody answers.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _check_gpus(ray: Any, sweep: SweepConfig) -> None:
    """Ray would wait for ever for a GPU that is not there.

    Raises:
        ConfigError: there are not enough for one worker.
    """
    there = float(ray.cluster_resources().get("GPU", 0))
    if there < sweep.gpus:
        raise ConfigError(
            f"gpus: found {sweep.gpus:g} for each worker, where Ray sees {there:g}",
            "at most as many as there are; a share such as 0.5 lets workers have one together",
            "lower gpus, or connect to a cluster that has them",
        )


@contextmanager
def _temporary() -> Iterator[str]:
    """A folder for Ray's sockets and logs; a long path would be too long for a socket."""
    short = Path("/tmp")
    folder = tempfile.mkdtemp(
        prefix=f"mtf-ray-{os.getpid()}-", dir=short if short.is_dir() else None
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Here", "OverRay", "Pool", "pool_of"]
