"""Files that survive a kill, and files that are not believed: written whole, read within limits.

Whatever is written is complete or not there, and on the disk before the next thing is done.
Whatever is read is a plain file of a bounded size, and JSON of it is data, never code.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

HELD = (errno.EACCES, errno.EAGAIN)
MAX_JSON = 4_000_000
"""Bytes of a JSON file; what mtf writes is far smaller, and nested lists take 20 × their text."""


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk.

    Raises:
        OSError: the disk refuses.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_synced(path: Path, data: bytes) -> None:
    """Write a file so that afterwards it is there in full, or as it was.

    Raises:
        OSError: the disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_synced(unfinished, data)
        os.replace(unfinished, path)
        sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable.

    Raises:
        OSError: the disk refuses.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def take_lock(handle: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder until it is closed or we are killed; False = another has it.

    A file system without locks goes without.

    Args:
        handle: of the file or folder.
        wait: until it is free.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in HELD
    return True


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a plain file of at most ``most`` bytes; nothing larger is taken into memory.

    Raises:
        OSError: no such file, no plain file, or one that can't be read.
        ValueError: it is larger.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
        raise OSError(22, "no plain file", str(path))
    with path.open("rb") as file:
        data = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    if len(data) > most:
        raise ValueError(f"more than {most:,} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """The value that JSON text stands for.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
