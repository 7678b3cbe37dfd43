"""The folder that an export wrote: read whole, checked byte for byte, never half believed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtf.edge.errors import RunnerError

SCHEMA = 1
MANIFEST, DESCRIPTION, STATES = "manifest.json", "model.json", "states.npz"
MAX_JSON, MAX_FILE = 4_000_000, 2 << 30
"""Bytes of what is read at most."""
AGAIN = "copy the folder again, or write it anew with mtf export RUN"


@dataclass(frozen=True)
class Exported:
    """What the files of an export hold.

    Attributes:
        about: the content of model.json.
        files: bytes of every other file by name.
    """

    path: Path
    about: dict[str, Any]
    files: Mapping[str, bytes]

    def graph(self, name: str) -> bytes:
        """The bytes of an ONNX model.

        Raises:
            RunnerError: the folder has none of that name.
        """
        if name not in self.files:
            raise damaged(self.path, f"has no {name}")
        return self.files[name]

    def states(self) -> dict[str, np.ndarray]:
        """What steps start from: ``<file>/<number>`` → array.

        Raises:
            RunnerError: the file is missing, or holds no arrays.
        """
        data = io.BytesIO(self.graph(STATES))
        try:
            with np.load(data, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except Exception as error:  # of zip files, of arrays: there is no base class of them
            raise damaged(self.path, f"has no readable {STATES}") from error


def read_folder(path: Path) -> Exported:
    """Read an export.

    Raises:
        RunnerError: no export, one of another version, or files that are not as they were written.
    """
    sums = _manifest(path)
    files = {name: _file(path, name, digest) for name, digest in sums.items()}
    try:
        about = _object(files.pop(DESCRIPTION))
    except (KeyError, ValueError) as error:
        raise damaged(path, f"has no readable {DESCRIPTION}") from error
    return Exported(path, about, files)


def _manifest(path: Path) -> dict[str, str]:
    """Names and sums of the files."""
    try:
        with (path / MANIFEST).open("rb") as file:
            told = _object(file.read(MAX_JSON))
        schema, files = told["schema"], dict(told["files"].items())
    except OSError as error:
        raise RunnerError(
            f"{path} is no exported model: no {MANIFEST} ({error.strerror})",
            "a folder that mtf export wrote",
            "name that folder",
        ) from error
    except (AttributeError, KeyError, ValueError) as error:
        raise damaged(path, f"has no readable {MANIFEST}") from error
    if schema != SCHEMA:
        raise RunnerError(
            f"{path} was written in schema {schema}",
            f"schema {SCHEMA}, which this runner reads",
            "use the runner that lies in the folder: python -m mtf_runner from within it",
        )
    return files


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        told = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(told, dict):
        raise ValueError("no JSON object")
    return told


def _file(path: Path, name: str, digest: str) -> bytes:
    """The bytes of a file whose sum is known."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise damaged(path, f"names {name!r}, which lies outside of it")
    try:
        with (path / name).open("rb") as file:
            data = file.read(MAX_FILE)
    except OSError as error:
        raise damaged(path, f"lacks {name} ({error.strerror})") from error
    except ValueError as error:
        raise damaged(path, f"names {name!r}, which no file can be called") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise damaged(path, f"has a {name} that does not match its sum")
    return data


def damaged(path: Path, why: str) -> RunnerError:
    """The error for a folder that can't be trusted."""
    return RunnerError(f"{path} {why}", "the files exactly as mtf export wrote them", AGAIN)


__all__ = ["DESCRIPTION", "MANIFEST", "SCHEMA", "STATES", "Exported", "damaged", "read_folder"]
