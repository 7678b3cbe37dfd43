"""Worlds whose best forecast is known, small models trained on them, and the share they reach.

The share of a head is (prior - model) / (prior - best), each the mean loss on the same decisions:
0 = no better than the best constant of the training part, 1 = as good as whoever knows the law of
the world and its state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64
from tasks import Silent

from mtf.config.load import parse_config
from mtf.evaluation.bootstrap import paired
from mtf.evaluation.metrics import mean
from mtf.evaluation.part import predict_part
from mtf.learning.calibrate import calibrate
from mtf.learning.sweep import Sweep
from mtf.learning.targets import labels_of
from mtf.learning.task import Task, prepare
from mtf.market.labels import Label

DAY_MS, MINUTE = 86_400_000, 60_000
START_MS = 1_704_067_200_000
"""2024-01-01, the start of every history."""
SEED = 1
MOMENTUM: dict[str, Any] = {"name": "synthetic", "world": "momentum", "seed": SEED}
WALK: dict[str, Any] = {"name": "synthetic", "world": "random_walk", "seed": SEED}

DECISIONS = {"clock": "1m", "start": "2024-01-01T06:00", "symbols": ["ETHUSDT"]}
SMALL: dict[str, Any] = {
    "name": "planted",
    "streams": {"1m": {"lookback": 8}},
    "model": {
        "embed_dim": 16,
        "encoder": {"name": "linear"},
        "tokens": {"name": "last"},
        "fusion": {"name": "mean"},
    },
    "training": {
        "sampling": {"groups": 16, "decisions": 32, "steps_per_epoch": 50},
        "epochs": 8,
        "optimizer": {"lr": 5e-3},
        "stream_dropout": 0.0,
    },
    "fabric": {"accelerator": "cpu", "threads": 1},
    "evaluation": {"bootstrap": 0},
}
"""The last eight minutes of ETHUSDT through a linear map, on to the heads; 400 steps."""

Reals = Float64[np.ndarray, " decision"]


@dataclass(frozen=True)
class Learned:
    """A trained model and what it says of the test part.

    Attributes:
        task: with the trained and calibrated model.
        test: all decisions of the test part.
    """

    task: Task
    test: Sweep

    def label(self, head: str, target: str) -> Label:
        """The labels of one target on the test part, where there are any."""
        label = self.test.labels[head][target]
        return label.select(label.present)

    def said(self, head: str, target: str) -> dict[str, np.ndarray]:
        """What the head says of the decisions that have a label of the target."""
        present = self.test.labels[head][target].present
        return {name: array[present] for name, array in self.test.outputs[head].items()}

    def training_label(self, head: str, target: str) -> Label:
        """The labels of one target on the training part: what a constant is made of."""
        part = self.task.parts["train"]
        times = part.times(self.task.world.clock)
        label = labels_of(self.task.builder.heads, self.task.world, times, part.end_ms)
        return label[head][target].select(label[head][target].present)


@dataclass(frozen=True)
class Reached:
    """How far a model came.

    Attributes:
        best: 1 - loss of the best forecast / loss of the constant.
        model: 1 - loss of the model / loss of the constant.
        p: of the model being better than the constant by chance.
    """

    best: float
    model: float
    p: float

    @property
    def share(self) -> float:
        """Of the best skill that there is."""
        return self.model / self.best

    def __str__(self) -> str:
        return f"best {self.best:.4f}, model {self.model:.4f}, share {self.share:.3f}, p {self.p}"


def learned(
    heads: Mapping[str, Any], data: Mapping[str, Any], days: int = 20, **changes: Any
) -> Learned:
    """A small model trained on the first 70 % of so many days; what it says of the last 15 %.

    Args:
        heads: as in a config.
        data: as in a config.
        days: from the start of 2024; the first six hours are history only.
        changes: other sections of the config; decisions, model and training on top of what is here.
    """
    end = str(np.datetime64(START_MS + days * DAY_MS, "ms"))[:10]
    config = {**SMALL, "data": dict(data), "heads": dict(heads)}
    config["decisions"] = {**DECISIONS, "end": end}
    for section, change in changes.items():
        kept = config[section] if section in ("decisions", "model", "training") else {}
        config[section] = {**kept, **change}
    task = prepare(parse_config(config))
    task.fitting(Silent(), Silent(), None).run()
    calibrate(task)
    return Learned(task, predict_part(task, "test")[0])


def reached(losses: Iterable[Reals], group: Int64[np.ndarray, " decision"]) -> Reached:
    """Compare what every decision loses by three forecasts.

    Args:
        losses: of the model, of the best constant of the training part, of the best forecast.
        group: the distinct outcome that each decision has.
    """
    model, constant, best = losses
    ours, theirs = (mean(one, higher_is_better=False) for one in (model, constant))
    most, gained = (1 - float(one.mean() / constant.mean()) for one in (best, model))
    return Reached(most, gained, paired(ours, theirs, group).p_better)


def shares_of(classes: Int64[np.ndarray, " decision"]) -> Float64[np.ndarray, "1 3"]:
    """How often each of three classes happened."""
    return np.asarray(np.bincount(classes, minlength=3)[None] / len(classes))


def surprise(
    probs: Float[np.ndarray, "decision 3"], happened: Int64[np.ndarray, " decision"]
) -> Reals:
    """-ln p of the class that happened; one row of probabilities stands for all."""
    rows = np.broadcast_to(probs.astype(np.float64), (len(happened), 3))
    return np.asarray(-np.log(np.maximum(rows[np.arange(len(happened)), happened], 1e-15)))


def squares(said: np.ndarray | float, happened: np.ndarray) -> Reals:
    """Squared errors, in float64."""
    return np.asarray(np.square(np.asarray(said, np.float64) - happened))


def softmax(logits: np.ndarray) -> Float64[np.ndarray, "decision class"]:
    """Probabilities from logits."""
    logits = logits.astype(np.float64)
    return np.asarray(np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)))
