"""Heads without weights and a source without data: enough for evaluation, which asks little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from mtf.evaluation import metrics
from mtf.evaluation.evaluate import Decisions
from mtf.market.candles import Candles
from mtf.market.labels import Future, Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, DataSource, Fused, Head, Metric, Request

MINUTE = 60_000


class Direction(Head):
    """Up, down or neither over some minutes: the action head without its module."""

    targets = ("direction",)
    task = "classification"
    primary_metric = "log_loss"

    def __init__(self, minutes: int = 5, threshold_sigma: float = 0.4) -> None:
        super().__init__()
        self.horizon_ms = minutes * MINUTE
        self.width = threshold_sigma * np.sqrt(minutes)

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        raise NotImplementedError

    def reach(self, target: str, times: np.ndarray) -> np.ndarray:
        return np.full(len(times), self.horizon_ms)

    def threshold(self, label_volatility: np.ndarray) -> np.ndarray:
        return np.asarray(self.width * label_volatility)

    def label(self, target: str, future: Future) -> Label:
        log_return = np.log(future.exit(self.horizon_ms) / future.entry())
        threshold = self.threshold(future.label_volatility)
        present = np.isfinite(log_return) & np.isfinite(threshold)
        kind = np.where(log_return > threshold, 0, np.where(log_return < -threshold, 1, 2))
        values = {"class": np.where(present, kind, 0), "log_return": np.nan_to_num(log_return)}
        return Label(values, present, future.times // self.horizon_ms)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        raise NotImplementedError

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        probs, happened = outputs["probs"], label.values["class"]
        score = probs[:, 0] - probs[:, 1]
        return {
            "log_loss": metrics.log_loss(probs, happened),
            "rank_ic": metrics.rank_ic(score, label.values["log_return"]),
        }


class Candle(Head):
    """The next candle of given streams, its label handed in."""

    task = "candle"
    primary_metric = "mse"

    def __init__(self, streams: tuple[str, ...]) -> None:
        super().__init__()
        self.targets = streams

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        raise NotImplementedError

    def reach(self, target: str, times: np.ndarray) -> np.ndarray:
        return np.full(len(times), MINUTE)

    def label(self, target: str, future: Future) -> Label:
        raise NotImplementedError

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        raise NotImplementedError

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        true = label.values["candle"]
        others = {name: arrays[target] for name, arrays in references.items()}
        found = {"mse": metrics.mse(outputs[target], true)}
        return found | ({"skill": metrics.skill(outputs[target], true, others)} if others else {})


class Knowing(DataSource):
    """Knows that the price will rise by 0.1 %, give or take 0.1 %."""

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        raise NotImplementedError

    def best_forecast(
        self, symbol: str, times: np.ndarray, horizon_ms: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        assert (symbol, horizon_ms) == ("ETHUSDT", 5 * MINUTE)
        return np.full(len(times), 1e-3), np.full(len(times), 1e-6)


def decisions(heads: Mapping[str, Head], world: World, times: np.ndarray) -> Decisions:
    """Decisions with the labels of all heads."""
    labels = {
        name: {
            target: head.label(target, Future(world, times, head.reach(target, times)))
            for target in head.targets
        }
        for name, head in heads.items()
    }
    return Decisions(world, times, labels)
