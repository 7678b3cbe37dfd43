"""Worlds of some days, and a model small enough that two hundred of them can be trained."""

from __future__ import annotations

from typing import Any

from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.evaluation.nulls import Scores, score
from mtf.evaluation.short_run import learned, short
from mtf.learning.task import prepare

STEPS = 80
SMALL: dict[str, Any] = {
    "name": "noise",
    "decisions": {
        "clock": "1m",
        "start": "2024-01-02",
        "end": "2024-01-06",
        "symbols": ["ETHUSDT"],
    },
    "streams": {"1m": {"lookback": 8}},
    "split": {"train": 0.5, "validation": 0.05, "calibration": 0.05, "test": 0.4},
    "model": {
        "embed_dim": 8,
        "encoder": {"name": "conv", "num_blocks": 1, "kernel_size": 4},
        "tokens": {"name": "last"},
        "embeddings": {"position": "none"},
        "fusion": {"name": "mean"},
    },
    "heads": {"action": {"horizon": 5, "label_smoothing": 0.0}},
    "training": {
        "sampling": {"groups": 16, "decisions": 16, "stride": 5, "steps_per_epoch": STEPS},
        "epochs": 1,
        "optimizer": {"lr": 0.01},
        "stream_dropout": 0.0,
    },
    "fabric": {"accelerator": "cpu", "threads": 1},
}


def noise_config(seed: int = 0, **data: Any) -> Config:
    """The config of one world: a random walk, or what is said of it."""
    world = {"name": "synthetic", "world": "random_walk", "seed": seed, **data}
    return parse_config({**SMALL, "seed": seed, "data": world})


def scored(config: Config) -> Scores:
    """What one model learns in one world."""
    return score(learned(prepare(short(config, STEPS, config.seed))))
