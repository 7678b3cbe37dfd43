"""Kernels by numba, with a cache that knows of every file that is compiled into one.

numba stamps what it caches with the file of the kernel alone. What a kernel calls is compiled into
it, and would stay as it was after another file has changed, such as by an upgrade: silently wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

FOLDER = Path(__file__).parent
PATTERNS = "*kernels.py", "lanes.py"
"""Files that hold kernels, or what these are made of."""


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator as ``numba.njit(cache=True)``: cached until any file with kernels changes.

    Args:
        options: of ``numba.njit``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(cache=True, **options)(function)
        file = kernel._cache._cache_file  # numba has no other door to its stamp
        file._source_stamp = (file._source_stamp, digest_of(FOLDER))
        return kernel

    return decorate


@cache
def digest_of(folder: Path) -> str:
    """A sum over all files with kernels below a folder."""
    digest = hashlib.sha256()
    for file in sorted({path for pattern in PATTERNS for path in folder.rglob(pattern)}):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


__all__ = ["cached_njit", "digest_of"]
