"""Runs to export, made without training, and worlds in which candles are missing and late."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tasks import small_config

from mtf.edge import Decision, Runner
from mtf.edge.__main__ import replay
from mtf.edge.table import Row
from mtf.evaluation.predict import predictions_of
from mtf.export import exported, write_folder
from mtf.learning.batches import BatchBuilder
from mtf.learning.checkpoint import write_checkpoint
from mtf.learning.optimise import named_tensors
from mtf.learning.sweep import Sweep
from mtf.learning.task import Task, prepare
from mtf.market.candles import Candles
from mtf.market.resample import resample
from mtf.market.stream import compute_stream
from mtf.market.world import World
from mtf.predictions import Predictions
from mtf.run import Run, create_run

EXPORTED: dict[str, Any] = {
    "streams": {"1m": {"latency_ms": 2_000}, "5m": {"lookback": 16}, "btc": {"max_age": 2.0}},
    "model": {"tokens": {"forming": True}, "encoder": {"num_blocks": 1}},
    "features": {"volatility_half_life": 20, "volume_half_life": 30},
    "heads": {"action": {}, "price": {}, "confidence": {}},
    "backtest": {"policy": {"name": "proportional", "gain": 5.0, "cooldown_steps": 2}},
}
"""A config with about everything that a runner must know; its other way up is tested apart."""


_MADE: list[tuple[Run, Path, Task]] = []


def small_export(factory: pytest.TempPathFactory) -> tuple[Run, Path, Task]:
    """A small run, the folder of its export, and the task whose weights are in it; made once."""
    if _MADE:
        return _MADE[0]
    folder = factory.mktemp("exported")
    run, task = made_run(folder, **EXPORTED)
    files, largest = exported(run)
    assert largest < 1e-5
    write_folder(folder / "export", files)
    _MADE.append((run, folder / "export", task))
    return _MADE[0]


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """The working directory, for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def made_run(folder: Path, **changes: Any) -> tuple[Run, Task]:
    """A run in a folder with weights that nobody trained but that say something, and its task."""
    with within(folder):
        config = small_config(**changes)
        task = prepare(config)
        stir(task)
        run = create_run(config, {"environment": {"data_fingerprint": task.fingerprint}})
    checkpoints = (folder / run.path / "checkpoints").resolve()
    kept = {"weights": {name: tensor.clone() for name, tensor in named_tensors(task.model).items()}}
    uncalibrated = {"weights": {name: 0 * tensor for name, tensor in kept["weights"].items()}}
    write_checkpoint(checkpoints, "best", 1, uncalibrated, {})
    write_checkpoint(checkpoints, "calibrated", 2, kept, {})
    return Run((folder / run.path).resolve(), config), task


@torch.no_grad()
def stir(task: Task) -> None:
    """Weights and calibrated figures away from where they start."""
    generator = torch.Generator().manual_seed(3)
    for parameter in task.model.parameters():
        parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    for name, buffer in task.model.named_buffers():
        if name.endswith("log_temperature"):
            buffer.fill_(0.4)


def disturbed(world: World, seed: int = 0) -> World:
    """The world with candles that never came, came minutes late, and an hour without BTC."""
    rng = np.random.default_rng(seed)
    delivered = {
        name: _disturbed(stream.candles, rng, name == "btc")
        for name, stream in world.streams.items()
        if stream.spec.derived_from is None
    }
    streams = {}
    for name, stream in world.streams.items():
        source = stream.spec.derived_from
        candles = delivered[name] if source is None else delivered[source]
        if source is not None:
            candles = resample(candles, stream.spec.timeframe)
        assert stream.feature_set is not None
        streams[name] = compute_stream(stream.spec, candles, stream.feature_set)
    return replace(world, streams=streams)


def _disturbed(candles: Candles, rng: np.random.Generator, silent: bool) -> Candles:
    slots = len(candles)
    valid = candles.valid & (rng.random(slots) > 0.01)
    if silent:
        valid[slots - 300 : slots - 240] = False
    close = candles.open_time() + candles.timeframe.duration_ms
    late = np.where(rng.random(slots) < 0.06, rng.integers(1, 900, slots) * 1_000, 0)
    late[slots - 500] = 3 * 3_600_000
    ohlcv = np.where(valid[:, None], candles.ohlcv, np.nan)
    available_at = np.where(valid, close + late, close)
    return Candles(
        candles.symbol, candles.timeframe, candles.first_slot, ohlcv, valid, available_at
    )


def asked(task: Task, builder: BatchBuilder, times: np.ndarray) -> Predictions:
    """What the model says of every decision, each with the windows that were known then."""
    model, parts = task.model.eval(), list[Mapping[str, Mapping[str, torch.Tensor]]]()
    with torch.inference_mode():
        for start in range(0, len(times), 64):
            parts.append(model(builder.build(times[None, start : start + 64], None, labels={})))
    outputs = {
        head: {name: torch.cat([part[head][name] for part in parts]).numpy() for name in said}
        for head, said in parts[0].items()
    }
    nothing = Sweep(times, outputs, {head: {} for head in outputs})
    return predictions_of(builder.heads, nothing, builder.world.symbol, "test")


def rows_of(world: World) -> dict[str, list[Row]]:
    """The candles of the delivered streams as a runner takes them."""
    return {
        name: _rows(stream.candles)
        for name, stream in world.streams.items()
        if stream.spec.derived_from is None
    }


def _rows(candles: Candles) -> list[Row]:
    opened, late = candles.open_time(), candles.available_at
    return [
        (
            (int(opened[i]), *map(float, candles.ohlcv[i])),
            None if late is None else int(late[i]),
        )
        for i in np.flatnonzero(candles.valid)
    ]


def replayed(folder: Path, world: World, times: np.ndarray) -> list[Decision]:
    """What the runner decides at every clock close from the first to the last of the times."""
    runner = Runner(folder, world.symbol)
    return list(replay(runner, rows_of(world), int(times[0]), int(times[-1])))
