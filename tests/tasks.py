"""Small runs for tests: a config of a minute's market with two streams and a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.learning.log import Log, Progress
from mtf.learning.task import Task, prepare

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"name": "synthetic", "world": "market", "seed": 1},
    "decisions": {
        "clock": "1m",
        "start": "2024-01-01",
        "end": "2024-01-02",
        "symbols": ["ETHUSDT"],
    },
    "streams": {
        "1m": {"lookback": 32},
        "5m": {"lookback": 16, "from": "1m"},
        "btc": {"timeframe": "1m", "lookback": 32, "symbol": "BTCUSDT"},
    },
    "model": {
        "embed_dim": 16,
        "encoder": {"name": "dsc", "num_blocks": 2},
        "fusion": {"name": "attention", "num_layers": 1, "num_heads": 2, "feedforward_dim": 32},
    },
    "training": {
        "sampling": {"groups": 4, "decisions": 4, "stride": 2, "steps_per_epoch": 4},
        "epochs": 2,
        "checkpoint_every": 3,
    },
    "fabric": {"accelerator": "cpu", "threads": 1},
    "evaluation": {
        "baselines": ["class_prior", "momentum", "logistic", "naive_candle"],
        "bootstrap": 100,
        "permutations": 99,
        "report": False,
    },
}


class Silent(Log, Progress):
    """Takes everything, keeps the scalars."""

    def __init__(self) -> None:
        self.scalars: dict[str, list[float]] = {}

    def scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.setdefault(name, []).append(value)

    def hparams(self, config: Any, metrics: Any) -> None: ...

    def update(self, step: int, samples: int, figures: Any) -> None: ...

    def epoch(self, epoch: int, step: int, figures: Any) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def small_config(**changes: Any) -> Config:
    """The small config with some sections changed, deep down where they are dictionaries."""
    return parse_config(_deep(SMALL, changes))


def file_config(file: Path, minutes: int, **changes: Any) -> Config:
    """The small config on a csv file of so many minutes from the start of 2024, one stream."""
    steps = np.random.default_rng(0).normal(0, 0.001, minutes + 1)
    price = 2_000 * np.exp(np.cumsum(steps))
    frame = pd.DataFrame({"time": 1_704_067_200 + 60 * np.arange(minutes)})
    frame["open"], frame["close"] = price[:-1], price[1:]
    frame["high"] = np.maximum(frame["open"], frame["close"])
    frame["low"] = np.minimum(frame["open"], frame["close"])
    frame["volume"] = 1.0
    frame.to_csv(file, index=False)
    base = {**SMALL, "data": {"name": "csv", "path": str(file)}, "streams": {"1m": None}}
    return parse_config(_deep(_deep(base, {"streams": {"1m": {"lookback": 32}}}), changes))


def small_task(**changes: Any) -> Task:
    """The small config, made ready."""
    return prepare(small_config(**changes))


def _deep(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _deep(base[key], value) if both else value
    return result
