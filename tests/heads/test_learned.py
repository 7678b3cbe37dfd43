"""Price and volatility learned by a whole small model, beside the best that anybody could say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tasks import Silent

from mtf.config.load import parse_config
from mtf.evaluation.metrics import point_value, skill
from mtf.evaluation.part import Evaluated, evaluate_part_of
from mtf.learning.task import Task, prepare

pytestmark = pytest.mark.slow

MINUTES, START_S = 20 * 1440, 1_704_067_200


def learned(head: str, options: dict[str, Any], data: dict[str, Any]) -> tuple[Task, Evaluated]:
    """A model of one stream and one head, trained on 14 days; what it says of the last three."""
    task = prepare(
        parse_config(
            {
                "name": "planted",
                "data": data,
                "decisions": {
                    "clock": "1m",
                    "start": "2024-01-01T06:00",
                    "end": "2024-01-21",
                    "symbols": ["ETHUSDT"],
                },
                "streams": {"1m": {"lookback": 8}},
                "model": {
                    "embed_dim": 16,
                    "encoder": {"name": "linear"},
                    "tokens": {"name": "last"},
                    "fusion": {"name": "mean"},
                },
                "heads": {head: options},
                "training": {
                    "sampling": {"groups": 16, "decisions": 32, "steps_per_epoch": 50},
                    "epochs": 8,
                    "optimizer": {"lr": 5e-3},
                    "stream_dropout": 0.0,
                },
                "fabric": {"accelerator": "cpu", "threads": 1},
                "evaluation": {"bootstrap": 0},
            }
        )
    )
    task.fitting(Silent(), Silent(), None).run()
    return task, evaluate_part_of(task, "test")


def skills(head: str, done: Evaluated, best: np.ndarray) -> tuple[float, float]:
    """Skill of the model and of the best forecast, on the same decisions."""
    happened = done.predictions.arrays[f"{head}.label_target"]
    constants = {"zero": np.zeros(len(best)), "mean": np.full(len(best), happened.mean())}
    model = done.results.heads[head]["prediction"].metrics["skill"].value
    return model, point_value(skill(best, happened, constants))


def test_momentum_is_learned() -> None:
    """AR(1) with rho = 0.5 over three minutes: at best 0.139 of the variance is foreseen."""
    data = {"name": "synthetic", "world": "momentum", "rho": 0.5, "seed": 1}
    task, done = learned("price", {"horizon": 3}, data)
    times = done.predictions.times
    forecast = task.source.best_forecast("ETHUSDT", times, 3 * 60_000)
    assert forecast is not None
    s = task.world.label_volatility(times)
    found, most = skills("price", done, forecast[0] / (s * math.sqrt(3)))
    assert most == pytest.approx(0.139, abs=0.03)
    assert 0.9 * most <= found <= most + 0.01


def test_volatility_that_volume_announces_is_learned(tmp_path: Path) -> None:
    """The volume of a minute tells the volatility of the next: 0.28 of the variance is told."""
    rng = np.random.default_rng(3)
    told = 0.7 * rng.standard_normal(MINUTES + 1)  # log volatility of the minute after
    returns = 1e-3 * np.exp(told[:-1]) * rng.standard_normal(MINUTES)
    price = 2_000 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    frame = pd.DataFrame({"time": START_S + 60 * np.arange(MINUTES)})
    frame["open"], frame["close"] = price[:-1], price[1:]
    frame["high"] = np.maximum(frame["open"], frame["close"])
    frame["low"] = np.minimum(frame["open"], frame["close"])
    frame["volume"] = np.exp(told[1:])
    frame.to_csv(tmp_path / "told.csv", index=False)
    data = {"name": "csv", "path": str(tmp_path / "told.csv")}
    task, done = learned("volatility", {"horizon": 1}, data)
    times = done.predictions.times
    row = (times // 1000 - START_S) // 60
    s = task.world.label_volatility(times)
    best = math.log(1e-3) + told[row] - 0.6352 - np.log(s)  # -0.6352 is the mean of ln |z|
    found, most = skills("volatility", done, best)
    assert most == pytest.approx(0.28, abs=0.04)
    assert 0.9 * most <= found <= most + 0.01
