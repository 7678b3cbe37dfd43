"""A training killed with SIGKILL, again and again, from a process that has everything warmed up.

Run as a program: it trains once undisturbed, then starts the same training many times in forked
children and kills each without asking, at a time or at a sight of its folder; goes on with
``mtf train --resume``, kills that, too, now and then; and compares what came out bit for bit. It
prints one line of JSON a trial. Forking saves the seconds that importing torch takes; this process
has one thread, so a child is what a fresh process would be.

    python tests/killing.py FOLDER SEED TRIALS
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = """\
name: killed
data: {name: csv, path: candles.csv}
decisions: {start: "2024-01-01", end: "2024-01-01T14:00", symbols: [ETHUSDT]}
streams: {1m: {lookback: 24}, 5m: {lookback: 12, from: 1m}}
model:
  embed_dim: 8
  encoder: {name: dsc, num_blocks: 2}
  fusion: {name: attention, num_layers: 1, num_heads: 2, feedforward_dim: 16, dropout: 0.2}
training:
  sampling: {groups: 2, decisions: 4, stride: 2, steps_per_epoch: 6}
  epochs: 4
  accumulate: 2
  ema_decay: 0.9
  stream_dropout: 0.3
  checkpoint_every: 2
fabric: {accelerator: cpu, threads: 1}
evaluation: {bootstrap: 50, permutations: 19, baselines: [class_prior], report: false}
"""
LIMIT_S = 600.0
"""Nothing here takes so long; a child that does hangs."""
VALIDATED = {f"last-{step:08d}" for step in (6, 12, 18, 24)}
"""Checkpoints that are written just before a validation."""
IN_TURN = ("save", "time", "save", "validation", "save", "rename", "save", "evaluation")
"""What is aimed at: every second time the inside of a save, as far as one can aim from outside."""


@dataclass(frozen=True)
class Aim:
    """When to kill: at the ``count``-th sight of something new, and ``delay`` seconds later.

    Attributes:
        name: of what is aimed at.
        count: how many times the sight comes before the kill.
        delay: seconds after it.
    """

    name: str
    count: int
    delay: float


def write_candles(file: Path, minutes: int = 840) -> None:
    """A random walk from the start of 2024."""
    draw, close = random.Random(1), 2_000.0
    rows = ["time,open,high,low,close,volume"]
    for minute in range(minutes):
        opened, close = close, close * (1 + draw.gauss(0, 1e-3))
        high, low = max(opened, close), min(opened, close)
        row = (opened, high, low, close, draw.uniform(1, 9))
        rows.append(f"{1_704_067_200 + 60 * minute}," + ",".join(f"{value:.6f}" for value in row))
    file.write_text("\n".join(rows) + "\n")


def forked(folder: Path, *arguments: str) -> int:
    """The process of a child that runs the command line in ``folder``."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        from mtf.cli import main

        main(arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int | None:
    """How the child ended, as a shell counts; None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def finished(child: int) -> int:
    """Wait for the child to end by itself."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def run_of(folder: Path) -> Path | None:
    """The one run of a folder."""
    runs = [path for path in folder.glob("runs/killed/*") if not path.name.startswith(".")]
    assert len(runs) <= 1, runs
    return runs[0] if runs else None


def seen(folder: Path, name: str) -> set[str]:
    """What there is now of what is aimed at."""
    run = run_of(folder)
    if run is None:
        return set()
    if name == "evaluation":
        return {path.name for path in run.glob("*.partial")} | {
            path.name for path in run.glob("checkpoints/last-00000024-2")
        }
    entries = set(os.listdir(run / "checkpoints"))
    if name == "save":
        return {entry for entry in entries if entry.endswith(".partial")}
    if name == "validation":
        return {entry for entry in entries if entry in VALIDATED}
    return {entry for entry in entries if not entry.startswith(".")}


def kill(child: int, folder: Path, aim: Aim) -> bool:
    """Kill the child when the aim is in sight; False if it ended before."""
    began, before, count = time.monotonic(), seen(folder, aim.name), 0
    while count < aim.count:
        if ended(child) is not None:
            return False
        now = seen(folder, aim.name)
        count += bool(now - before)
        before |= now
        assert time.monotonic() - began < LIMIT_S, "the child hangs"
    until = time.monotonic() + aim.delay
    while time.monotonic() < until:
        if ended(child) is not None:
            return False
    os.kill(child, signal.SIGKILL)
    return finished(child) == -signal.SIGKILL


def aims(draw: random.Random, duration: float) -> Iterator[Aim]:
    """Where to kill, in turn."""
    while True:
        for name in IN_TURN:
            yield aim(draw, name, duration)


def aim(draw: random.Random, name: str, duration: float) -> Aim:
    """One place to kill at."""
    delay = {
        "save": draw.uniform(0, 0.006),
        "rename": draw.uniform(0, 0.003),
        "validation": draw.uniform(0, 0.1),
        "evaluation": draw.uniform(0, 0.15),
        "time": draw.uniform(0, duration),
    }[name]
    count = {
        "save": draw.randint(1, 17),
        "rename": draw.randint(1, 14),
        "validation": draw.randint(1, 4),
        "evaluation": 1,
        "time": 0,
    }[name]
    return Aim(name, count, delay)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run leaves, timings excluded, in a form that can be compared."""
    from mtf.learning.checkpoint import read_newest

    run = run_of(folder)
    assert run is not None
    last, best = (read_newest(run / "checkpoints", kind) for kind in ("last", "best"))
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["samples_per_second"], last.state["seconds"]
    found: dict[str, Any] = {"metrics": metrics, "state": last.state}
    for kind, checkpoint in (("last", last), ("best", best)):
        for stem, group in checkpoint.tensors.items():
            for name, tensor in group.items():
                value = (str(tensor.dtype), tuple(tensor.shape), tensor.numpy().tobytes())
                found[f"{kind} {stem} {name}"] = value
    found["predictions"] = (run / "predictions.parquet").read_bytes()
    found["config"] = (run / "config.yaml").read_text()
    found["curves"] = curves(run / "tensorboard")
    found["files"] = sorted(path.name for path in run.iterdir())
    return found


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: the loss of every batch tells in which order they came."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if "per_second" not in tag]
    return {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in tags}


def loadable(folder: Path) -> str:
    """What a kill has left can be opened; which steps it can go on from."""
    from mtf.learning.checkpoint import is_untouched, read_newest
    from mtf.run import load

    run = run_of(folder)
    if run is None:
        return "no run yet"
    opened = load(run)
    if is_untouched(opened.checkpoints):
        return "no checkpoint yet"
    last = read_newest(opened.checkpoints, "last")
    assert not last.rejected, last.rejected
    if any(opened.checkpoints.glob("best-*")):
        assert not opened.best().rejected
    return last.path.name


def inside(folder: Path) -> bool:
    """Whether a checkpoint was half-written when the kill came."""
    run = run_of(folder)
    return run is not None and any(run.glob("checkpoints/.*.partial"))


def killed_and_resumed(folder: Path, draw: random.Random, goals: Iterator[Aim]) -> dict[str, Any]:
    """One trial: kills, resumes, and what it came to."""
    write_world(folder)
    kills: list[tuple[str, bool, str]] = []
    again = True
    while again:  # a run that ends before it is hit is whole, and resumed as it stands
        goal = next(goals)
        if kill(forked(folder, *started_or_resumed(folder)), folder, goal):
            kills.append((goal.name, inside(folder), loadable(folder)))
        again = not kills or (len(kills) < 4 and draw.random() < 0.35)
    code = finished(forked(folder, *started_or_resumed(folder)))
    return {"kills": kills, "code": code, "said": "" if code == 0 else said(folder)}


def started_or_resumed(folder: Path) -> tuple[str, ...]:
    """What one would type: there is a run to go on with, or none yet."""
    run = run_of(folder)
    return ("train", "killed.yaml") if run is None else ("train", "--resume", str(run))


def said(folder: Path) -> str:
    """The end of what the children printed."""
    return (folder / "said.txt").read_text()[-4_000:]


def write_world(folder: Path) -> None:
    """A config and its candles."""
    folder.mkdir()
    (folder / "killed.yaml").write_text(CONFIG)
    write_candles(folder / "candles.csv")


def differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """What is not the same, by name."""
    names = sorted(left.keys() | right.keys())
    return [name for name in names if left.get(name) != right.get(name)]


def main(home: Path, seed: int, trials: int) -> None:
    """Train undisturbed, then kill; one line of JSON a trial."""
    import mtf.evaluate
    import mtf.train  # noqa: F401  # warmed up: children inherit it

    draw = random.Random(seed)
    write_world(home / "whole")
    assert finished(forked(home / "whole", "train", "killed.yaml")) == 0
    began = time.monotonic()
    write_world(home / "again")
    assert finished(forked(home / "again", "train", "killed.yaml")) == 0
    duration = time.monotonic() - began
    whole = outcome(home / "whole")
    assert not differences(whole, outcome(home / "again")), "two runs alike differ"
    goals = aims(draw, duration)
    for trial in range(trials):
        folder = home / f"trial {trial}"
        found = killed_and_resumed(folder, draw, goals)
        found["different"] = differences(whole, outcome(folder)) if not found["code"] else ["code"]
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
