"""Checkpoints: safetensors and JSON under a manifest of sha256 sums, written atomically.

A checkpoint is a folder ``<kind>-<step>`` (``last-00000400``, ``best-00000320``). It is written
under another name, synced, and then renamed, so a folder with that name is complete. Loading
verifies every byte against the manifest, and the manifest against its own sum; a damaged
checkpoint is reported and the one before it is used. Nothing in a checkpoint executes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mtf.errors import CheckpointError

SCHEMA = 1
KEEP = 2
"""Checkpoints of a kind that stay: the newest, and the one before in case it is damaged."""
MANIFEST = "manifest.json"

Groups = Mapping[str, Mapping[str, Tensor]]
"""File stem → tensor name → tensor."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        tensors: by file stem (``weights``, ``optimizer``, ``average``) and name.
        state: the JSON part.
        path: where it came from.
        rejected: newer ones that were damaged, each with its reason.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    path: Path
    rejected: tuple[str, ...] = ()


def write_checkpoint(
    folder: Path, kind: str, step: int, tensors: Groups, state: Mapping[str, Any]
) -> Path:
    """Write ``folder/<kind>-<step>`` atomically and drop all but the newest two of the kind.

    Raises:
        CheckpointError: the disk refuses (full, read-only); nothing half-written stays.
    """
    target = folder / f"{kind}-{step:08d}"
    partial = folder / f".{target.name}.{os.getpid()}.partial"
    replaced = folder / f".{target.name}.{os.getpid()}.replaced"
    try:
        _write_files(partial, tensors, state)
        if target.exists():  # written once before, by the part of the run that a resume repeats
            os.replace(target, replaced)
        os.replace(partial, target)
        _sync(folder)
        for old in (replaced, *_existing(folder, kind)[KEEP:]):
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"could not write the checkpoint {target}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space or fix the permissions, then go on with mtf train --resume",
        ) from error
    return target


def read_newest(folder: Path, kind: str) -> Checkpoint:
    """The newest sound checkpoint of the kind; damaged ones are named in ``rejected``.

    Raises:
        CheckpointError: there is none, or all are damaged.
    """
    rejected = []
    for path in _existing(folder, kind):
        try:
            found = read_checkpoint(path)
        except CheckpointError as error:
            rejected.append(error.found)
            continue
        return Checkpoint(found.tensors, found.state, found.path, tuple(rejected))
    raise CheckpointError(
        "\n".join(rejected) or f"no {kind!r} checkpoint in {folder}",
        f"a sound folder named {kind}-<step> with a {MANIFEST}",
        "train again, or point to the folder of a finished run",
    )


def read_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint, verified byte for byte.

    Raises:
        CheckpointError: damaged, incomplete, or written by something else.
    """
    files = _read_manifest(path)
    content = {name: _read_verified(path / name, digest) for name, digest in files.items()}
    try:
        state = json.loads(content.pop("state.json"))
        tensors = {Path(name).stem: load(data) for name, data in content.items()}
    except (KeyError, ValueError, SafetensorError) as error:
        raise _damaged(path, f"can't be read ({error})") from error
    return Checkpoint(tensors, state, path)


def _write_files(folder: Path, tensors: Groups, state: Mapping[str, Any]) -> None:
    """All files of a checkpoint and their manifest, synced to disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    content = {f"{stem}.safetensors": _pack(group) for stem, group in tensors.items()}
    content["state.json"] = json.dumps(dict(state), sort_keys=True).encode()
    for name, data in content.items():
        write_synced(folder / name, data)
    files = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    write_synced(folder / MANIFEST, _manifest(files))
    _sync(folder)


def _pack(group: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in group.items()})


def _manifest(files: Mapping[str, str]) -> bytes:
    """The manifest: schema, sums of the files, and the sum of all that."""
    body = json.dumps({"schema": SCHEMA, "files": dict(files)}, sort_keys=True)
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"sha256": sha256, "body": body}, sort_keys=True).encode()


def _read_manifest(path: Path) -> dict[str, str]:
    """File names and sums, after the manifest has been checked against itself."""
    try:
        data = (path / MANIFEST).read_bytes()
        manifest = json.loads(data)
        body = manifest["body"]
        sound = (
            hashlib.sha256(body.encode()).hexdigest() == manifest["sha256"]
            and _manifest(json.loads(body)["files"]) == data
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"has no readable {MANIFEST} ({error})") from error
    if not sound:
        raise _damaged(path, f"has a {MANIFEST} that does not match its own sum")
    files: dict[str, str] = json.loads(body)["files"]
    if any(Path(name).name != name for name in files):
        raise _damaged(path, "names files outside of itself")
    return files


def _read_verified(path: Path, digest: str) -> bytes:
    """The bytes of a file whose sum is known."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path.parent, f"lacks {path.name}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged(path.parent, f"has a {path.name} that does not match its sum")
    return data


def _damaged(path: Path, why: str) -> CheckpointError:
    """The error for a checkpoint that can't be trusted."""
    return CheckpointError(
        f"checkpoint {path} {why}",
        "the files exactly as mtf wrote them",
        "use an older checkpoint of the run, or train again",
    )


def _existing(folder: Path, kind: str) -> list[Path]:
    """Complete checkpoints of a kind, newest first."""
    name = re.compile(rf"{re.escape(kind)}-\d{{8,}}")
    found = [path for path in folder.glob(f"{kind}-*") if name.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make renames within a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
