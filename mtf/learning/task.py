"""A config made ready to learn: candles loaded, model built, parts cut, nothing trained yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from mtf.config.schema import Config
from mtf.errors import ConfigError
from mtf.learning.batches import BatchBuilder
from mtf.learning.fit import Fitting
from mtf.learning.load import Loaded, feature_sets, load_world
from mtf.learning.log import Log, Progress
from mtf.learning.sampling import Sampler, group_starts
from mtf.learning.splits import Part, split
from mtf.market.world import World
from mtf.model.build import build_model
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import DataSource


@dataclass(frozen=True)
class Task:
    """Everything a run needs before its first step.

    Attributes:
        config: the resolved config.
        fabric: devices and precision.
        model: with fresh weights.
        world: the market.
        source: where the candles came from.
        fingerprint: sha256 of the candles.
        parts: train, validation, calibration and test.
        builder: makes the batches.
        paths: stream → the path it takes and why.
    """

    config: Config
    fabric: Fabric
    model: HybridModel
    world: World
    source: DataSource
    fingerprint: str
    parts: dict[str, Part]
    builder: BatchBuilder
    paths: dict[str, str]

    def fitting(self, log: Log, progress: Progress, folder: Path | None) -> Fitting:
        """The training loop of this task, ready to run.

        Raises:
            DataError: the training part is too short for the sampling.
        """
        training = self.config.training
        sampling = training.sampling
        starts = group_starts(self.world, self.parts["train"], sampling.decisions, sampling.stride)
        sampler = Sampler(
            seed=self.config.seed,
            starts=starts,
            groups=sampling.groups,
            decisions=sampling.decisions,
            stride_ms=sampling.stride * self.world.clock.duration_ms,
            stream_dropout=training.stream_dropout,
        )
        return Fitting(
            model=self.model,
            builder=self.builder,
            sampler=sampler,
            parts=self.parts,
            weights={name: head.weight for name, head in self.config.heads.items()},
            config=training,
            steps_per_epoch=sampling.steps_per_epoch,
            fabric=self.fabric,
            log=log,
            progress=progress,
            folder=folder,
        )


def prepare(config: Config) -> Task:
    """Build the model and load the candles of a config.

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
    loaded: Loaded = load_world(config, sets, required)
    shares = config.split.model_dump()
    parts = split(config.decisions.start_ms, config.decisions.end_ms, shares, loaded.world.clock)
    builder = BatchBuilder(loaded.world, model.heads_by_name, required, once)
    return Task(
        config=config,
        fabric=fabric,
        model=model,
        world=loaded.world,
        source=loaded.source,
        fingerprint=loaded.fingerprint,
        parts=parts,
        builder=builder,
        paths=paths,
    )


def make_fabric(config: Config) -> Fabric:
    """Devices and precision as the config has them."""
    if config.fabric.threads is not None:
        torch.set_num_threads(config.fabric.threads)
    return Fabric(
        accelerator=config.fabric.accelerator,
        devices=config.fabric.devices,
        precision=config.fabric.precision,
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
