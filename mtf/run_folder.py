"""A run's folder on the disk: made whole, written by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mtf.errors import CheckpointError
from mtf.learning.disk import sync_folder, take_lock, write_synced

TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""What renaming says where the name has a folder with content, or a file."""


def create_folder(parent: Path, files: Mapping[str, str]) -> Path:
    """A folder named by the time, exclusively ours, with ``checkpoints/`` and the files in it.

    It appears in one go: a process that is killed here leaves a hidden folder that nobody reads.

    Raises:
        OSError: the disk refuses.
    """
    parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    unfinished = parent / f".{stamp}.{os.getpid()}.{threading.get_ident()}.partial"
    try:
        (unfinished / "checkpoints").mkdir(parents=True)
        for name, text in files.items():
            write_synced(unfinished / name, text.encode())
        sync_folder(unfinished)
        return _rename(unfinished, parent / stamp)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _rename(folder: Path, wanted: Path) -> Path:
    """Give the folder its name, or that with the first free number."""
    for attempt in range(1, 1000):
        path = wanted if attempt == 1 else wanted.with_name(f"{wanted.name}-{attempt}")
        try:
            os.rename(folder, path)  # fails where a run is there, of which no folder is empty
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            continue
        sync_folder(path.parent)
        return path
    raise FileExistsError(errno.EEXIST, "too many runs in the same second", str(wanted.parent))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within the block no other process trains this run; the system lets go when we are killed.

    Raises:
        CheckpointError: another process is at it, or the folder is gone.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CheckpointError(
            f"{folder} can't be opened: {error.strerror}", "the folder of a run", "check the path"
        ) from error
    try:
        if not take_lock(handle):
            raise CheckpointError(
                f"{folder} is being trained by another process",
                "one process a run",
                "wait until it is done, or stop it first",
            )
        yield
    finally:
        os.close(handle)


def clear_unfinished(folder: Path) -> None:
    """Drop files that a kill left half-written; only for the process that has the lock."""
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)
