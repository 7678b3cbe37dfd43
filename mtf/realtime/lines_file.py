"""A file of lines that is only added to: each line is there whole, or not at all.

A line is handed to the system before the call returns, so a kill loses none. What a kill may leave
is the beginning of one last line, which is cut off when the file is opened again.
"""

from __future__ import annotations

import io
import logging
import os
from contextlib import suppress
from pathlib import Path

from mtf.realtime.stored_files import told

LOG = logging.getLogger(__name__)
BLOCK_BYTES = 1 << 16


class LinesFile:
    """Appends lines to a file.

    Args:
        path: of the file; its folder is made. A torn last line is cut off first.

    Raises:
        DataError: the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        """Open it behind its last whole line."""
        self.path = path
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
            end = _whole_lines(self._file)
            if end < self._file.seek(0, os.SEEK_END):
                LOG.warning("%s: the last line was not complete; it is cut off", path)
                self._file.truncate(end)

    def append(self, line: bytes, *, synced: bool = False) -> None:
        """Add a line, without its end.

        Args:
            line: to add.
            synced: wait until it is on the disk, so that not even a loss of power can lose it.

        Raises:
            DataError: the disk refuses; the file ends with the line before.
        """
        line += b"\n"
        with told(self.path):
            before = os.fstat(self._file.fileno()).st_size
            try:
                while line:  # without a buffer the system may take a part of it
                    line = line[self._file.write(line) :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(before)  # the next line must not go on in this one
                raise
            if synced:
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Make it durable, and close the file."""
        if not self._file.closed:
            with told(self.path), self._file:
                os.fsync(self._file.fileno())


def _whole_lines(file: io.FileIO) -> int:
    """Where the last whole line ends; read from behind, a block at a time."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(end - BLOCK_BYTES, 0)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


__all__ = ["LinesFile"]
