"""A year of decisions evaluated in one go: decisions a second, and the memory that it takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from mtf.benchmarks.train import by_windows, channel_first, check_equal, with_model
from mtf.config.load import load_config
from mtf.evaluation.part import predict_part, save_predictions
from mtf.learning.splits import Part
from mtf.learning.sweep import ONCE_DECISIONS, sweep_pieces
from mtf.learning.task import Task, prepare
from mtf.report.measure import (
    Measured,
    Row,
    compared,
    forget_peak,
    in_a_process,
    peak_bytes,
    rates,
    rounds,
)

CONV, WINDOWS, ONCE = "windows, nn.Conv1d", "windows, dsc", "once"
BOUND = "fusion alone"
MIB = 2**20
LENGTHS = (100_000, 525_600)
EVERYTHING = "everything"
"""Name of the part that holds all decisions of a config."""


def run(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "dsc_mtf",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    windows: Annotated[int, typer.Option(min=1, help="Decisions that windows are timed on.")] = 256,
    decisions: Annotated[
        int, typer.Option(min=1, help="Decisions that encode once is timed on.")
    ] = 8192,
    length: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Decisions of a sweep whose memory is measured; repeatable (100 k, 525 k)."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> Measured:
    """Sweep decisions a second, windows with nn.Conv1d against encode once; memory by length.

    What encoding once can reach at most is the fusion alone: it and the heads, on tokens that are
    there already, in batches of the same size. `of bound` is how much of that a sweep reaches.
    A config says which minutes there are; where they are fewer than asked for, they end the sweep.
    """
    given = [*(overrides or []), f"fabric.threads={threads}", "fabric.accelerator=cpu"]
    task = prepare(load_config(config, given))
    agreed = check_equal(task)
    rows = with_bound(speeds(task, windows, decisions, repeats))
    return Measured(
        [*rows, *memory(config, given, sorted(length or LENGTHS))],
        {"config": config, "overrides": overrides or [], "threads": threads, "repeats": repeats},
        [
            f"outputs of all variants agree to {agreed:.1e}",
            f"{BOUND}: it and the heads, on tokens that are there already; of bound: once to that",
            "saved = written to parquet piece by piece; kept = all outputs and labels in memory; "
            "the decisions' times alone are 8 bytes each",
            "memory: the most that the process held from the first decision to the last, above "
            "what it held before the first; ratio to the sweep of the fewest decisions",
        ],
    )


def speeds(task: Task, windows: int, decisions: int, repeats: int) -> dict[str, list[float]]:
    """Decisions a second of every way, round by round."""
    alone = by_windows(task)
    ways = {
        CONV: (with_model(alone, channel_first(task.model)), windows),
        WINDOWS: (alone, windows),
        ONCE: (task, decisions),
    }
    work = {name: swept(way, count) for name, (way, count) in ways.items()}
    counts = {name: count for name, (_, count) in ways.items()}
    work[BOUND], counts[BOUND] = fused(task, decisions)
    return rates(counts, rounds(work, repeats))


def with_bound(found: Mapping[str, Sequence[float]]) -> list[Row]:
    """Rows of speeds, and how much of the bound encoding once reaches: the median over rounds."""
    reached = [once / bound for once, bound in zip(found[ONCE], found[BOUND], strict=True)]
    return compared(found, "decisions/s", {ONCE: {"of bound": float(np.median(reached))}})


def swept(task: Task, decisions: int) -> Callable[[], None]:
    """A sweep over the last decisions of the training part, which is longest."""
    part = task.parts["train"]
    times = part.times(task.world.clock)[-decisions:]

    def work() -> None:
        for _ in sweep_pieces(task.model, task.builder, times, part.end_ms):
            pass

    return work


def fused(task: Task, decisions: int) -> tuple[Callable[[], None], int]:
    """Fusion and heads alone over the last decisions of the training part, and how many these are.

    In batches as a sweep takes them; of the last batch the tokens are made before, and taken again
    in the place of those of every other.
    """
    part, model = task.parts["train"], task.model
    batches = list(sizes(decisions))
    times = part.times(task.world.clock)[-batches[0] :]
    batch = task.builder.build(times[None, :], part.end_ms)
    was_training = model.training
    with torch.inference_mode():
        tokens, mask = model.eval().tokens(batch, model.encode(batch))
    model.train(was_training)

    def work() -> None:
        model.eval()
        with torch.inference_mode():
            for size in batches:
                model.answer(tokens[:size], mask[:size])
        model.train(was_training)

    return work, sum(batches)


def sizes(decisions: int) -> Iterator[int]:
    """Decisions of every batch of a sweep."""
    for start in range(0, decisions, ONCE_DECISIONS):
        yield min(ONCE_DECISIONS, decisions - start)


def memory(config: str, overrides: Sequence[str], lengths: Sequence[int]) -> list[Row]:
    """Peaks of sweeps of several lengths, each in a process of its own."""
    rows = []
    for how in ("saved", "kept"):
        found = [in_a_process(peak_of_sweep, config, overrides, n, how) for n in lengths]
        for length, (peak, seconds) in zip(lengths, found, strict=True):
            name = f"{how}, {length:,} decisions"
            more = {"bytes/decision": peak / length, "seconds": seconds}
            more["decisions/s"] = length / seconds
            rows.append(Row(name, "MiB", [peak / MIB], peak / found[0][0], more))
    return rows


def peak_of_sweep(
    config: str, overrides: Sequence[str], decisions: int, how: str
) -> tuple[float, float]:
    """Bytes that a sweep over the first decisions of a config adds, and its seconds."""
    task = over_everything(prepare(load_config(config, overrides)), decisions)
    warm_up = over_everything(task, min(decisions, 2048))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        save_predictions(warm_up, path, EVERYTHING)
        forget_peak()
        before, began = peak_bytes(), time.perf_counter()
        if how == "saved":
            save_predictions(task, path, EVERYTHING)
        else:
            predict_part(task, EVERYTHING)
        return peak_bytes() - before, time.perf_counter() - began


def over_everything(task: Task, decisions: int) -> Task:
    """The task with one part: so many decisions from the start of the config."""
    start = task.config.decisions.start_ms
    end = min(start + decisions * task.world.clock.duration_ms, task.config.decisions.end_ms)
    return replace(task, parts={EVERYTHING: Part(EVERYTHING, start, end)})
