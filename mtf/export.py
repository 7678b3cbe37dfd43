"""``mtf export RUN``: the best weights as ONNX, and a runner that needs numpy and onnxruntime.

The folder holds model.onnx (windows in, what every head says out); where the encoder goes slot by
slot answer.onnx, a step_<number>.onnx for each set of encoder weights and states.npz, which those
start from; model.json (see ``mtf.exported``); mtf_runner/, the source of ``mtf.edge``; and
manifest.json with the sha256 of each. It is written whole or not at all.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["export", *sys.argv[1:]])

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mtf.edge
from mtf.calling.model import KeywordModel
from mtf.edge.asking import ANSWER, WINDOWS
from mtf.edge.folder import DESCRIPTION, MANIFEST, SCHEMA, STATES
from mtf.errors import CheckpointError, ConfigError, MtfError
from mtf.exported import asked_of, check_features, description
from mtf.learning.disk import MAX_JSON, parse_json, read_bounded, sync_folder, write_synced
from mtf.learning.json_files import json_text
from mtf.model import graph, graph_check
from mtf.plugins.contracts import Encoder
from mtf.report.terminal import Terminal
from mtf.run import Run, load

RUNNER = "mtf_runner"
FOLDER = "export"
MOST = 1e-4
"""Largest difference that a graph may have from the model; rounding makes some 1e-6."""


def main(run: str, out: str | None = None, *, trust: bool = False) -> None:
    """Export a run, check it against the model, print where it is and how large.

    Args:
        run: a run folder, or a name (its latest).
        out: the folder to write; None = ``export`` in the run's folder.
        trust: run the plug-in files that the run's config names.

    Raises:
        MtfError: no such run, a model that can't be exported, or a folder that can't be written.
    """
    found = load(run, trust_plugins=trust)
    terminal = Terminal()
    for note in found.notes:
        terminal.line(f"note: {note}")
    terminal.passed_over(found.best().rejected)
    path = Path(out) if out is not None else found.path / FOLDER
    check_place(path)
    files, largest = exported(found)
    write_folder(path, files)
    size = sum(map(len, files.values())) / 1e6
    terminal.line(f"the graphs differ from the model by at most {largest:.1e}; {size:.1f} MB")
    if ANSWER not in files:
        terminal.line("note: the encoder can't go slot by slot: the runner reads whole windows")
    terminal.line(str(path))


def exported(run: Run) -> tuple[dict[str, bytes], float]:
    """The files of an export by name, and the largest difference of a graph from the model.

    Raises:
        MtfError: checkpoints that can't be used, or a model that can't be exported.
    """
    check_features(run.config)
    best, model = run.best(), run.model()
    graphs, steps = _graphs(model)
    said, largest = _checked(model, graphs, steps)
    name = f"{run.config.name}/{run.path.name}"
    about = description(name, model, best, steps, said)
    files = {**graphs, DESCRIPTION: json_text(about).encode(), **_runner()}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = json_text({"schema": SCHEMA, "files": sums})
    return {**files, MANIFEST: manifest.encode()}, largest


def check_place(path: Path) -> None:
    """Refuse to write where anything is but an older export, and nothing else in it.

    Raises:
        CheckpointError: something else is there.
    """
    if not os.path.lexists(path):
        return
    own = _named(path)
    if not own:
        raise CheckpointError(
            f"{path} is there and is no export", "a new folder", "name another one with --out"
        )
    there = {file.relative_to(path) for file in path.rglob("*")}
    expected = own.union(*(file.parents for file in own))
    foreign = {file for file in there - expected if "__pycache__" not in file.parts}
    if foreign:
        raise CheckpointError(
            f"{path} holds {min(foreign)}, which mtf export did not write",
            "an older export and nothing else: it is replaced whole",
            "move it to a place beside the folder, or name another folder with --out",
        )


def _named(path: Path) -> set[Path]:
    """The files that an export says are its own; none where there is no export."""
    try:
        told = parse_json(read_bounded(path / MANIFEST, MAX_JSON))
        names = {Path(name) for name in told["files"]}
    except (OSError, LookupError, TypeError, ValueError):
        return set()
    return {*names, Path(MANIFEST)} if Path(DESCRIPTION) in names else set()


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write an export: afterwards it is there in full, or what was there before.

    Raises:
        CheckpointError: something else is there, or the folder can't be written.
    """
    check_place(path)
    path = path.resolve()  # what `.` is called, and where a link leads
    partial, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        for name, data in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            write_synced(partial / name, data)
        sync_folder(partial)
        if path.exists():
            os.rename(path, old)
        os.rename(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"could not write {path}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space, fix the permissions, or name another one with --out",
        ) from error
    finally:
        if old.exists() and not path.exists():  # whatever stopped it, a Ctrl-C as well
            os.rename(old, path)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _graphs(model: KeywordModel) -> tuple[dict[str, bytes], dict[str, str | None]]:
    """The graphs by file name, and which one encodes a slot of each stream."""
    hybrid, asked = model.hybrid, asked_of(model)
    files = {WINDOWS: graph.window_graph(hybrid, asked)}
    names = [spec.name for spec in hybrid.streams]
    if not graph.can_step(hybrid):
        return files, dict.fromkeys(names)
    files[ANSWER] = graph.answer_graph(hybrid, asked)
    steps: dict[str, str | None] = {}
    states: dict[str, np.ndarray] = {}
    for index, (name, encoder) in enumerate(zip(names, hybrid.encoders, strict=True)):
        assert isinstance(encoder, Encoder)
        same = [names[i] for i in range(index) if _equal(encoder, hybrid.encoders[i])]
        if same:
            steps[name] = steps[same[0]]
            continue
        steps[name] = file = f"step_{len(files) - 2}.onnx"
        files[file] = graph.step_graph(encoder, asked.channels[name])
        with torch.no_grad():
            start = encoder.initial_state(1)
        states |= {f"{file}/{i}": part.float().numpy() for i, part in enumerate(start)}
    packed = io.BytesIO()
    np.savez(packed, **states)  # type: ignore[arg-type]
    return {**files, STATES: packed.getvalue()}, steps


def _equal(one: nn.Module, other: nn.Module) -> bool:
    """Whether two encoders of a model have the same weights and statistics."""
    mine, yours = one.state_dict(), other.state_dict()
    return mine.keys() == yours.keys() and all(torch.equal(mine[n], yours[n]) for n in mine)


def _checked(
    model: KeywordModel, graphs: Mapping[str, bytes], steps: Mapping[str, str | None]
) -> tuple[dict[str, graph_check.Arrays], float]:
    """What the model says of a decision, and how far its graphs are from that at most.

    Raises:
        ConfigError: further than rounding explains, or NaN.
    """
    hybrid, asked = model.hybrid, asked_of(model)
    sessions = {name: _session(data) for name, data in graphs.items() if name.endswith(".onnx")}
    given = graph_check.made_up(hybrid, asked)
    batch = graph_check.batch_of(hybrid, asked, given)
    said = graph_check.outputs_of(hybrid, batch)
    found = [graph_check.difference(said, sessions[WINDOWS], given)]
    if ANSWER in sessions:
        one = {name: array[:1] for name, array in given.items()}
        first = graph_check.batch_of(hybrid, asked, one)
        tokens = one | graph_check.tokens_of(hybrid, first)
        of_first = graph_check.outputs_of(hybrid, first)
        found.append(graph_check.difference(of_first, sessions[ANSWER], tokens))
    for (name, file), encoder in zip(steps.items(), hybrid.encoders, strict=True):
        if file is not None:
            assert isinstance(encoder, Encoder)
            valid = given[f"{name}/valid"]
            x = np.where(valid[..., None], given[f"{name}/values"], np.float32(0))
            found.append(graph_check.step_difference(encoder, sessions[file], x, valid))
    largest = float(np.max(found))  # Python's max passes over NaN
    if not largest <= MOST:
        raise ConfigError(
            f"an exported graph differs from the model by {largest:.1e}",
            f"at most {MOST:.0e}",
            "a part of the model computes something else when it is traced: look at its plug-ins",
        )
    return {k: {n: a[:1] for n, a in v.items()} for k, v in said.items()}, largest


def _session(data: bytes) -> Any:
    """A graph made ready.

    Raises:
        MtfError: no onnxruntime here.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MtfError("onnxruntime is not installed", "it, to check", graph.EXTRA) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _runner() -> dict[str, bytes]:
    """The source of the runner under its own name."""
    folder = Path(mtf.edge.__path__[0])
    files = {f"{RUNNER}/{file.name}": file.read_text("utf-8") for file in folder.glob("*.py")}
    return {name: text.replace("mtf.edge", RUNNER).encode() for name, text in sorted(files.items())}
