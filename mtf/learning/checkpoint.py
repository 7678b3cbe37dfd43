"""Checkpoints: safetensors and JSON under a manifest of sha256 sums, written atomically.

A checkpoint is a folder ``<kind>-<step>`` (``last-00000400``, ``best-00000320``; a second one of
the same step is ``last-00000400-2``). It is written under another name, synced, and then renamed,
so a folder with that name is complete; none is ever overwritten. Loading verifies every byte
against the manifest, and the manifest against its own sum and the folder's name; a damaged
checkpoint is reported and the one before it is used. Nothing in a checkpoint executes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mtf.errors import CheckpointError
from mtf.learning.disk import MAX_JSON, parse_json, read_bounded, sync_folder, write_synced

SCHEMA = 2
KEEP = 2
"""Checkpoints of a kind that stay: the newest, and the one before in case it is damaged."""
MANIFEST, STATE, TENSORS = "manifest.json", "state.json", ".safetensors"
MAX_TENSORS = 4 << 30
"""Bytes of a file of tensors: a thousand million parameters."""
UNREADABLE = (AssertionError, LookupError, RuntimeError, TypeError, ValueError, SafetensorError)
"""What safetensors and torch raise on bytes that are no tensors."""
CALIBRATED = "calibrated"
"""Kind of the best weights once the heads that are calibrated afterwards have been."""
LEFTOVERS = re.compile(r"\..*\.(partial|removed)")
"""What a kill leaves of a checkpoint that was being written or dropped."""

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
    """Write ``folder/<kind>-<step>`` atomically; of the kind it and the one before it stay.

    Those of later steps go, too: a run that is at this step has not come from them.

    Raises:
        CheckpointError: the disk refuses (full, read-only); nothing half-written stays.
    """
    target = _free_name(folder, kind, step)
    partial = folder / f".{target.name}.{os.getpid()}.partial"
    try:
        _write_files(partial, target.name, tensors, state)
        os.rename(partial, target)
        sync_folder(folder)
    except OSError as error:
        raise CheckpointError(
            f"could not write the checkpoint {target}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space or fix the permissions, then go on with mtf train --resume",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    before = [path for path in _existing(folder, kind) if _age(path) < _age(target)]
    for path in set(_existing(folder, kind)) - {target, *before[: KEEP - 1]}:
        _remove(path)
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
    _check_names(path, set(files))
    content = {name: _read_verified(path / name, digest) for name, digest in files.items()}
    try:
        state = parse_json(content.pop(STATE))
        tensors = {Path(name).stem: _unpack(data) for name, data in content.items()}
    except UNREADABLE as error:
        raise _damaged(path, f"can't be read ({error})") from error
    if not isinstance(state, dict):
        raise _damaged(path, f"has a {STATE} that is no JSON object")
    return Checkpoint(tensors, state, path)


def is_untouched(folder: Path) -> bool:
    """Whether no checkpoint was ever completed in the folder."""
    return folder.is_dir() and all(LEFTOVERS.fullmatch(path.name) for path in folder.iterdir())


def clear_leftovers(folder: Path) -> None:
    """Drop what a kill left; only for the one process that writes there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if LEFTOVERS.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _write_files(folder: Path, name: str, tensors: Groups, state: Mapping[str, Any]) -> None:
    """All files of a checkpoint and their manifest, synced to disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    content = {f"{stem}{TENSORS}": _pack(group) for stem, group in tensors.items()}
    content[STATE] = json.dumps(dict(state), sort_keys=True).encode()
    for file, data in content.items():
        if len(data) > _limit(file):
            raise OSError(27, f"{file} has {len(data):,} bytes, more than {_limit(file):,}")
        write_synced(folder / file, data)
    files = {file: hashlib.sha256(data).hexdigest() for file, data in content.items()}
    body = json.dumps({"schema": SCHEMA, "name": name, "files": files}, sort_keys=True)
    write_synced(folder / MANIFEST, _sealed(body))
    sync_folder(folder)


def _pack(group: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in group.items()})


def _unpack(data: bytes) -> dict[str, Tensor]:
    """Tensors from safetensors bytes, which begin with the length of their header."""
    if int.from_bytes(data[:8], "little") > MAX_JSON:
        raise ValueError("a header of more than 4 MB")
    return load(data)


def _sealed(body: str) -> bytes:
    """The manifest: what it says, and the sum of that."""
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"sha256": sha256, "body": body}, sort_keys=True).encode()


def _read_manifest(path: Path) -> dict[str, str]:
    """File names and sums, after the manifest has been checked against itself."""
    try:
        data = read_bounded(path / MANIFEST, MAX_JSON)
        body = parse_json(data)["body"]
        sound = _sealed(body) == data
        told = parse_json(body.encode())
        schema, name, files = told["schema"], told.get("name"), dict(told["files"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path, f"has no readable {MANIFEST} ({_reason(error)})") from error
    if not sound:
        raise _damaged(path, f"has a {MANIFEST} that does not match its own sum")
    if schema != SCHEMA:
        raise _damaged(path, f"has schema {schema}; this version of mtf reads schema {SCHEMA}")
    if name != path.name:
        raise _damaged(path, f"was written as {name}")
    return files


def _check_names(path: Path, named: set[str]) -> None:
    """The manifest names files of a checkpoint, and they alone are there."""
    foreign = [name for name in sorted(named) if Path(name).name != name or not _limit(name)]
    if foreign:
        raise _damaged(path, f"names {foreign[0]!r}, which lies outside of it or is no part of one")
    if STATE not in named:
        raise _damaged(path, f"names no {STATE}")
    links = {entry.name for entry in os.scandir(path) if not entry.is_file(follow_symlinks=False)}
    there = {entry.name for entry in os.scandir(path)}
    extra = sorted((there - named - {MANIFEST}) | links)
    if extra:
        raise _damaged(path, f"has {extra[0]!r}, which mtf did not write")


def _limit(name: str) -> int:
    """Most bytes that a file of a checkpoint may have; 0 for what is no such file."""
    if name == STATE:
        return MAX_JSON
    return MAX_TENSORS if re.fullmatch(rf"\w+{re.escape(TENSORS)}", name) else 0


def _read_verified(path: Path, digest: str) -> bytes:
    """The bytes of a file whose sum is known."""
    try:
        data = read_bounded(path, _limit(path.name))
    except FileNotFoundError as error:
        raise _damaged(path.parent, f"lacks {path.name}") from error
    except (OSError, ValueError) as error:
        raise _damaged(path.parent, f"has a {path.name} of {_reason(error)}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged(path.parent, f"has a {path.name} that does not match its sum")
    return data


def _reason(error: Exception) -> str:
    """What is wrong, without the path, which the message names anyway."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _damaged(path: Path, why: str) -> CheckpointError:
    """The error for a checkpoint that can't be trusted."""
    return CheckpointError(
        f"checkpoint {path} {why}",
        "the files exactly as mtf wrote them",
        "use an older checkpoint of the run, or train again",
    )


def _existing(folder: Path, kind: str) -> list[Path]:
    """Complete checkpoints of a kind, newest first."""
    name = re.compile(rf"{re.escape(kind)}-\d{{8,}}(-\d+)?")
    found = [path for path in folder.glob(f"{kind}-*") if name.fullmatch(path.name)]
    return sorted(found, key=_age, reverse=True)


def _age(path: Path) -> tuple[int, int]:
    """Sort key of a checkpoint: its step, then its number within the step."""
    _, step, *again = path.name.split("-")
    return int(step), int(again[0]) if again else 1


def _free_name(folder: Path, kind: str, step: int) -> Path:
    """A name that no checkpoint has: a run that repeats a step overwrites nothing."""
    name = f"{kind}-{step:08d}"
    taken = [_age(path)[1] for path in _existing(folder, kind) if _age(path)[0] == step]
    return folder / (f"{name}-{max(taken) + 1}" if taken else name)


def _remove(path: Path) -> None:
    """Drop a checkpoint; a kill in between leaves nothing that looks like one."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.removed")
    with suppress(OSError):
        os.rename(path, hidden)
        shutil.rmtree(hidden, ignore_errors=True)
