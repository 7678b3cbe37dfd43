"""Processes beside this one, each doing its part of one job: all end well, or all end.

Knows nothing of what they do. They are fresh ones, as a fork would copy torch's threads half-way.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any

from mtf.errors import MtfError
from mtf.plugins.blame import blame

READY = "ready"
TOLD_S = 5.0
"""How long a process that has lost another waits for the reason."""
ALONE_S = 60.0
"""A device that waits for a process that is gone may never come back."""
RESUME = "go on with mtf train --resume and the run folder"


class Workers:
    """Started when the block begins, ended with it.

    Args:
        work: a function of a module: (config, place, what says that it is ready).
        config: handed to each.
        places: of the processes, one each.
    """

    def __init__(self, work: Callable[..., None], config: Any, places: Sequence[Any]) -> None:
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe(duplex=False) for _ in places]
        self._heard = [ours for ours, _ in pipes]
        self._theirs = [theirs for _, theirs in pipes]
        self._processes: list[SpawnProcess] = [
            context.Process(target=_run, args=(theirs, work, config, place), daemon=True)
            for theirs, place in zip(self._theirs, places, strict=True)
        ]
        self._over = threading.Event()

    def __enter__(self) -> Workers:
        """Start them."""
        for process, theirs in zip(self._processes, self._theirs, strict=True):
            process.start()
            theirs.close()
        threading.Thread(target=self._end_if_left_alone, daemon=True).start()
        return self

    def wait_until_ready(self) -> None:
        """Return when all are.

        Raises:
            MtfError: one of them failed before.
        """
        waiting = dict(zip(self._heard, self._processes, strict=True))
        while waiting:
            for pipe in wait(list(waiting)):
                assert isinstance(pipe, Connection)
                process = waiting.pop(pipe)
                said = _said(pipe)
                if said != READY:
                    raise self._error(process, said)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Wait for all where all is well; else end them, and tell what went wrong first.

        Raises:
            Exception: that of another process, where this one has only lost it.
        """
        try:
            if error is None:
                for process in self._processes:
                    process.join()
            told = self._failure() if error is None or _lost(error) else None
        finally:
            self._over.set()
            for process in self._processes:
                process.kill()
                process.join()
        if told is None and error is not None and _lost(error):
            found = "another process of the training ended; what it printed says why"
            told = MtfError(found, "all processes until the end", RESUME)
        if told is not None:
            raise told from None

    def _failure(self) -> Exception | None:
        """What went wrong in another process, where something did; those that lost one wait."""
        until = time.monotonic() + TOLD_S
        for pipe, process in zip(self._heard, self._processes, strict=True):
            said = _said(pipe, max(until - time.monotonic(), 0.0))
            process.join(max(until - time.monotonic(), 0.1))
            if process.exitcode and not (isinstance(said, Exception) and _lost(said)):
                return self._error(process, said)
        return None

    def _error(self, process: SpawnProcess, said: Any) -> Exception:
        """What a process said before it ended, or that it was ended."""
        if isinstance(said, Exception):
            return said
        process.join()
        number, code = self._processes.index(process) + 1, process.exitcode or 0
        if code >= 0:
            return MtfError(
                f"process {number} of the training ended by itself (exit code {code})",
                "all processes until the end",
                "see what it printed above",
            )
        return MtfError(
            f"process {number} of the training was ended from outside "
            f"({signal.Signals(-code).name}), as a system without memory does",
            "all processes until the end",
            RESUME,
        )

    def _end_if_left_alone(self) -> None:
        """Say why and end where a call to a device never returns; a thread can't interrupt it."""
        while not self._over.wait(1.0):
            if any(process.exitcode for process in self._processes):
                break
        if self._over.wait(ALONE_S):
            return
        print(self._failure(), file=sys.stderr, flush=True)
        os._exit(2)


def _run(pipe: Connection, work: Callable[..., None], config: Any, place: Any) -> None:
    """What a fresh process does. Ctrl-C is for the one that started it, which tells all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(config, place, lambda: pipe.send(READY))
    except KeyboardInterrupt:  # all were asked to stop
        return
    except Exception as error:
        pipe.send(_told(error))
        pipe.close()
        os._exit(1)


def _told(error: Exception) -> Exception:
    """An error in a form that travels; what raised it is told with ``--debug``."""
    named = error if isinstance(error, MtfError) else blame(error)
    told: Exception = named or RuntimeError(f"{type(error).__name__}: {error}")
    told.add_note("".join(traceback.format_exception(error)))
    return told.with_traceback(None)


def _said(pipe: Connection, seconds: float | None = None) -> Any:
    """The next thing that a process says; None where it ends without a word."""
    try:
        return pipe.recv() if pipe.poll(seconds) else None
    except (EOFError, OSError):
        return None


def _lost(error: BaseException) -> bool:
    """Whether an error says no more than that another process is gone."""
    told = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        word in told for word in ("gloo", "nccl", "connection", "tcpstore", "peer")
    )


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


__all__ = ["Workers"]
