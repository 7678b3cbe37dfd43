"""Plug-in files: Python files that a config names under ``plugins:``.

Loading one runs its code; that happens only because a config (or its author) asked for it. The
sha256 of what was run is handed back and stored with the run.
"""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterable
from pathlib import Path

from mtf.errors import MtfError, PluginError
from mtf.plugins.registry import where

_run: dict[Path, str] = {}


def load_files(paths: Iterable[str | Path]) -> dict[str, str]:
    """Run plug-in files, so that what they register can be used.

    A file that was run already and has not changed is not run again.

    Args:
        paths: Python files, relative to the working directory.

    Returns:
        The sha256 of each file, by the path as given.

    Raises:
        PluginError: a file is missing or raises; with file and line.
    """
    return {str(path): _load(Path(path)) for path in paths}


def _load(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise OSError(21, "not a file")  # a pipe would wait, a device never end
        text = path.read_bytes()
    except (OSError, ValueError) as error:  # the latter: a name that no file can have
        raise PluginError(
            f"plug-in file {path}: {getattr(error, 'strerror', None) or error}",
            "a Python file, relative to the working directory",
            "mend the path under `plugins:`",
        ) from error
    digest = hashlib.sha256(text).hexdigest()
    if _run.get(path.resolve()) != digest:
        _execute(path, text)
        _run[path.resolve()] = digest
    return digest


def _execute(path: Path, text: bytes) -> None:
    """Run a file as a module of its own, so that its classes can be found and pickled by name."""
    name = f"mtf_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except MtfError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:  # the file may raise anything
        del sys.modules[name]
        line = (
            f" ({error.filename}, line {error.lineno})"
            if isinstance(error, SyntaxError)
            else where(error.__traceback__)
        )
        raise PluginError(
            f"plug-in file {path} could not be loaded: {type(error).__name__}: {error}{line}",
            "a Python file that registers its classes with @mtf.register(kind, name)",
            "mend the file",
        ) from error
