"""A config made ready to learn: candles loaded, model built, parts cut, nothing trained yet."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from mtf.config.schema import Config
from mtf.errors import ConfigError, DataError
from mtf.learning.batches import BatchBuilder
from mtf.learning.fit import Fitting
from mtf.learning.load import Loaded, feature_sets, load_worlds
from mtf.learning.log import Log, Progress
from mtf.learning.panel import Panel
from mtf.learning.sampling import Sampler, group_starts
from mtf.learning.splits import Part, split
from mtf.market import mapped
from mtf.market.side_input import joint_fingerprint, with_history
from mtf.market.times import iso
from mtf.market.world import World
from mtf.model.build import build_model, build_side_inputs
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import DataSource, SideInput


@dataclass(frozen=True)
class Task:
    """Everything a run needs before its first step.

    Attributes:
        config: the resolved config.
        fabric: devices and precision.
        model: with fresh weights.
        panel: the builders of batches, one a primary symbol.
        source: where the candles came from.
        fingerprint: sha256 of the candles.
        parts: train, validation, calibration and test.
        sampler: says which decisions a training step sees.
        paths: stream → the path it takes and why.
    """

    config: Config
    fabric: Fabric
    model: HybridModel
    panel: Panel
    source: DataSource
    fingerprint: str
    parts: dict[str, Part]
    sampler: Sampler
    paths: dict[str, str]

    @property
    def builder(self) -> BatchBuilder:
        """Makes the batches of the first symbol."""
        return self.panel.first

    @property
    def world(self) -> World:
        """The market around the first symbol."""
        return self.builder.world

    def fitting(self, log: Log, progress: Progress, folder: Path | None) -> Fitting:
        """The training loop of this task, ready to run."""
        training = self.config.training
        return Fitting(
            model=self.model,
            panel=self.panel,
            sampler=self.sampler,
            parts=self.parts,
            weights={name: head.weight for name, head in self.config.heads.items()},
            config=training,
            steps_per_epoch=training.sampling.steps_per_epoch,
            fabric=self.fabric,
            log=log,
            progress=progress,
            folder=folder,
        )


def prepare(
    config: Config, parts: Mapping[str, Part] | None = None, beside: Task | None = None
) -> Task:
    """Build the model and load the candles of a config.

    Args:
        config: of the run.
        parts: train, validation, calibration and test; None = cut as ``split`` says.
        beside: a task of the same config but for its seed: its candles are taken, not loaded again.

    Raises:
        MtfError: anything in config or data that can't work, before the first step.
    """
    fabric = make_fabric(config)
    torch.manual_seed(config.seed)
    specs = config.stream_specs()
    sets = feature_sets(config)
    channels = {name: len(features.channels) for name, features in sets.items()}
    model = build_model(config, specs, channels, config.decisions.clock)
    once, paths = choose_paths(model, config.training.sampling.path)
    required = {spec.name: model.required_slots(spec.name) for spec in specs}
    sides = [_sides(config, symbol) for symbol in config.decisions.symbols]
    if beside is None:
        loaded = load_worlds(config, sets, reduce(with_history, sides, required))
        loaded = replace(loaded, fingerprint=reduce(joint_fingerprint, sides, loaded.fingerprint))
    else:
        loaded = Loaded(beside.panel.worlds, beside.source, beside.fingerprint)
    parts = _cut(config) if parts is None else dict(parts)
    heads, forming = model.heads_by_name, model.forming_streams
    builders = {}
    for index, (symbol, world) in enumerate(loaded.worlds.items()):
        check_parts(world, parts)
        told = index if config.panel else None
        builders[symbol] = BatchBuilder(world, heads, required, once, forming, sides[index], told)
    return Task(
        config=config,
        fabric=fabric,
        model=model,
        panel=Panel(builders),
        source=loaded.source,
        fingerprint=loaded.fingerprint,
        parts=parts,
        sampler=make_sampler(config, list(loaded.worlds.values()), parts["train"]),
        paths=paths,
    )


def _cut(config: Config) -> dict[str, Part]:
    """The parts that ``split`` says."""
    span = config.decisions.start_ms, config.decisions.end_ms
    return split(*span, config.split.model_dump(), config.decisions.clock)


def left_out(task: Task, symbol: str, part: str) -> tuple[BatchBuilder, DataSource]:
    """What asks the model about a symbol that was left out of training, loaded now.

    Everything is as for the symbols of the run, but for the model: it is told that it has not
    learned this one. (Trained on one symbol alone it takes any for that one.)

    Args:
        task: with the model.
        symbol: to ask about.
        part: in which there must be candles.

    Raises:
        DataError: no candles of the symbol.
    """
    config, known = task.config, task.builder
    sides = _sides(config, symbol)
    required = with_history(known.required_slots, sides)
    loaded = load_worlds(config, feature_sets(config), required, [symbol])
    check_parts(loaded.world, {part: task.parts[part]})
    return replace(known, world=loaded.world, sides=sides, symbol=None), loaded.source


def _sides(config: Config, symbol: str) -> dict[str, SideInput]:
    """The side inputs of a symbol's decisions."""
    return build_side_inputs(config, config.stream_specs(symbol), config.decisions.clock, symbol)


def make_fabric(config: Config) -> Fabric:
    """One device and the precision of the config; what several share is told in ``launch``.

    Raises:
        ConfigError: this machine does not have them, or a batch can't be cut among so many.
    """
    if config.fabric.threads is not None:
        torch.set_num_threads(config.fabric.threads)
    if config.fabric.devices * config.fabric.num_nodes > 1:
        _check_processes(config)
    return fabric_of(config, devices=1, num_nodes=1)


def _check_processes(config: Config) -> None:
    """Refuse several processes where they can't be started, or would have nothing to do."""
    wanted, groups = config.fabric, config.training.sampling.groups
    if groups < wanted.devices * wanted.num_nodes:
        raise ConfigError(
            f"fabric.devices × fabric.num_nodes is {wanted.devices * wanted.num_nodes}, "
            f"training.sampling.groups is {groups}",
            "a group of every batch, or more, for each process",
            "raise training.sampling.groups, or lower fabric.devices",
        )
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(
            "a script that trains with several processes runs again in each of them",
            'the training under `if __name__ == "__main__":`',
            "put it there, or set fabric.devices=1",
        )


def fabric_of(config: Config, **arguments: Any) -> Fabric:
    """Fabric as the config has it, but for what is given.

    Raises:
        ConfigError: this machine does not have the device, or not so many.
    """
    wanted = config.fabric
    plain = wanted.model_dump(include={"accelerator", "devices", "num_nodes", "precision"})
    try:
        return Fabric(**{**plain, **arguments})
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(
            f"fabric.accelerator is {wanted.accelerator}, fabric.devices {wanted.devices}, "
            f"fabric.precision {wanted.precision}: {error}",
            "devices that this machine has",
            "set fabric.accelerator=auto and fabric.devices=1, which takes the fastest there is",
        ) from error


def make_sampler(config: Config, worlds: Sequence[World], part: Part) -> Sampler:
    """What draws the decisions of training steps.

    Raises:
        DataError: the part is too short for the sampling.
    """
    sampling = config.training.sampling
    starts = [group_starts(world, part, sampling.decisions, sampling.stride) for world in worlds]
    return Sampler(
        seed=config.seed,
        starts=mapped.joined(starts),
        groups=sampling.groups,
        decisions=sampling.decisions,
        stride_ms=sampling.stride * config.decisions.clock.duration_ms,
        stream_dropout=config.training.stream_dropout,
        counts=tuple(map(len, starts)),
        symbol_dropout=config.training.symbol_dropout,
    )


def check_parts(world: World, parts: Mapping[str, Part]) -> None:
    """A part without candles has no label: a mistake to be told before training, not after.

    Raises:
        DataError: no candle of the clock lies in a part.
    """
    clock, candles = world.clock, world.clock_candles
    for part in parts.values():
        first, end = (int(clock.slot(edge)) for edge in (part.start_ms, part.end_ms))
        rows = slice(max(first - candles.first_slot, 0), max(end - candles.first_slot, 0))
        if not candles.valid[rows].any():
            have = "none at all"
            if len(candles):
                last_ms = candles.timeframe.open_time(candles.end_slot - 1)
                have = f"from {iso(candles.timeframe.open_time(candles.first_slot))} to "
                have += iso(last_ms)
            raise DataError(
                f"no {clock} candle of {world.symbol} in the {part.name} part, "
                f"{iso(part.start_ms)} to {iso(part.end_ms)}; there are candles {have}",
                "candles at the clock's timeframe in every part",
                "set decisions.start and decisions.end within the data's dates (mtf inspect FILE)",
            )


def choose_paths(model: HybridModel, wanted: str) -> tuple[dict[str, bool], dict[str, str]]:
    """Which streams are encoded once, and each choice with its reason.

    Raises:
        ConfigError: ``encode_once`` was asked of an encoder that can't be.
    """
    once, said = {}, {}
    for spec in model.streams:
        able, reason = model.encode_once(spec.name)
        if wanted == "encode_once" and not able:
            raise ConfigError(
                f"training.sampling.path is encode_once, but for stream {spec.name}: {reason}",
                "a causal encoder with a finite receptive field",
                "set training.sampling.path: auto, or choose another encoder",
            )
        once[spec.name] = able and wanted != "window"
        asked = wanted == "window"
        said[spec.name] = "window (as the config asks)" if asked else reason
    return once, said
