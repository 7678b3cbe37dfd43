"""Large arrays that lie in files, from which the system takes their memory back when it needs it.

From ``SMALLEST`` bytes on an array is a file of the temporary folder, mapped into memory: no memory
of the process's own, whatever its length. The file has no name, so nothing stays behind however the
process ends. Whoever reads the array does not know: it is a plain one, and a copy once pickled.

Long histories are worked through in ``pieces``, each given back by ``release``, so that what is
resident stays small as well.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from numpy.lib.array_utils import byte_bounds
from numpy.typing import DTypeLike

SMALLEST = 1 << 22
"""Bytes below which an array stays in memory: a file for each small one would cost more."""
PIECE = 1 << 16
"""Rows worked on at a time, a multiple of those between two saved states."""
ON_DISK = Path("/var/tmp")
"""Where temporary files may be large; /tmp is in memory on many systems."""


def empty(shape: int | tuple[int, ...], dtype: DTypeLike = np.float64) -> Shaped[np.ndarray, "..."]:
    """An array of any content, in a file where it is large.

    Where the disk has no room or can't be written, the array lies in memory.
    """
    kind, shape = np.dtype(dtype), (shape,) if isinstance(shape, int) else shape
    size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
    if size < SMALLEST:
        return np.empty(shape, kind)
    try:
        found = _mapped(size)
    except OSError:
        return np.empty(shape, kind)
    return np.frombuffer(found, kind).reshape(shape)


def full(
    shape: int | tuple[int, ...], value: float, dtype: DTypeLike = np.float64
) -> Shaped[np.ndarray, "..."]:
    """An array of one value."""
    array = empty(shape, dtype)
    for rows in pieces(len(array)):
        array[rows] = value
        release(array[rows])
    return array


def taken(
    array: Shaped[np.ndarray, "row ..."], chosen: Bool[np.ndarray, " row"] | Int64[np.ndarray, " n"]
) -> Shaped[np.ndarray, "n ..."]:
    """The rows chosen by a mask, or by number in any order."""
    masked = chosen.dtype == np.bool_
    found = empty((count(chosen) if masked else len(chosen), *array.shape[1:]), array.dtype)
    end = 0
    for rows in pieces(len(chosen)):
        some = array[rows][chosen[rows]] if masked else array[chosen[rows]]
        start, end = end, end + len(some)
        found[start:end] = some
        release(found[start:end], array[rows] if masked else array)
    return found


def joined(parts: Sequence[Shaped[np.ndarray, "_ ..."]]) -> Shaped[np.ndarray, "row ..."]:
    """Arrays one behind the other; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    found = empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    start = 0
    for part in parts:
        for rows in pieces(len(part)):
            end = start + rows.stop - rows.start
            found[start:end] = part[rows]
            release(found[start:end], part[rows])
            start = end
    return found


def count(mask: Bool[np.ndarray, " row"]) -> int:
    """How many are True."""
    found = 0
    for rows in pieces(len(mask)):
        found += int(np.count_nonzero(mask[rows]))
        release(mask[rows])
    return found


def pieces(rows: int, size: int | None = None) -> Iterator[slice]:
    """So many rows cut into slices of ``size`` (default ``PIECE``), the last one shorter."""
    step = size or PIECE
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def release(*arrays: Shaped[np.ndarray, "..."] | None) -> None:
    """Let the system take the memory of arrays, or of views of them, that are done with for now.

    What they hold is kept: in the file, from which it comes back when read. Arrays that lie in
    memory stay as they are.
    """
    for array in arrays:
        file, begin = _file_of(array)
        if file is not None and array is not None and array.size:
            low, high = byte_bounds(array)
            start = (low - begin) // mmap.PAGESIZE * mmap.PAGESIZE
            file.madvise(mmap.MADV_DONTNEED, start, high - begin - start)


def is_mapped(array: Shaped[np.ndarray, "..."]) -> bool:
    """Whether an array lies in a file."""
    return _file_of(array)[0] is not None


def _file_of(array: np.ndarray | None) -> tuple[mmap.mmap | None, int]:
    """The mapping that an array lies in, and its address; None = it lies in memory."""
    whole: Any = array
    while isinstance(whole, np.ndarray) and isinstance(whole.base, np.ndarray):
        whole = whole.base
    owner = getattr(getattr(whole, "base", None), "obj", None)
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        return owner, byte_bounds(whole)[0]
    return None, 0


def _mapped(size: int) -> mmap.mmap:
    """A file without a name, mapped.

    Raises:
        OSError: no room for it, or no folder to write it in.
    """
    with tempfile.TemporaryFile(dir=_folder()) as file:
        if hasattr(os, "posix_fallocate"):  # a disk that fills up later would end the process
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def _folder() -> str | None:
    """Where the files lie: as ``TMPDIR`` says, else on the disk."""
    if "TMPDIR" in os.environ or not os.access(ON_DISK, os.W_OK):
        return None
    return str(ON_DISK)
