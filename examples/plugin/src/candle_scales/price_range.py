"""How far the price will move, up or down: its range over the horizon, as a distribution.

What an option or a stop is worth depends on the range more than on the direction, and ranges can be
forecast: quiet hours follow quiet hours. The logarithm of a range is close to normal (Alizadeh,
Brandt and Diebold, 2002), so two numbers say it all: mean and standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.market.labels import Future, Label
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric

RANDOM_WALK_MEAN, RANDOM_WALK_STD = 0.43, 0.29
"""Of the log range of a Brownian motion in units of its deviation over the time observed."""
SMALLEST_STD = 0.02
SMALLEST_RANGE = 0.01
"""In the same units: a price that does not move has no logarithm of its range."""


class PriceRange(Head):
    """The range from high to low over the next ``horizon`` clock steps.

    Label: ``y = log(log(H / L) / (s · √horizon))``, H and L the highest high and the lowest low of
    the candles within the horizon, s the volatility known at t (log return a clock step). A random
    walk with volatility s has y = 0.43 ± 0.29; that is what the head says before it has learned.

    Outputs ``log_range`` and ``std``, mean and standard deviation of y, ``[batch]`` each.
    Loss: -log of the normal density, in nats.

    Args:
        horizon: clock steps that the label looks ahead.
    """

    targets = ("range",)
    primary_metric = "nll"

    def __init__(self, context: HeadContext, *, horizon: int = 60) -> None:
        super().__init__()
        if horizon < 1:
            raise ConfigError(f"found horizon {horizon}", "at least 1 clock step")
        self.horizon, self.horizon_ms = horizon, horizon * context.clock.duration_ms
        self.hidden = nn.Linear(context.embed_dim, context.embed_dim)
        self.parameters_of_y = nn.Linear(context.embed_dim, 2)
        with torch.no_grad():
            spread = math.log(math.expm1(RANDOM_WALK_STD - SMALLEST_STD))
            self.parameters_of_y.bias.copy_(torch.tensor([RANDOM_WALK_MEAN, spread]))
            self.parameters_of_y.weight.mul_(0.1)

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``log_range`` and ``std``."""
        raw = self.parameters_of_y(F.gelu(self.hidden(fused.state))).float()
        return {"log_range": raw[:, 0], "std": SMALLEST_STD + F.softplus(raw[:, 1])}

    def reach(self, target: str, times: np.ndarray) -> np.ndarray:
        """The horizon, in ms."""
        return np.full(len(times), self.horizon_ms, dtype=np.int64)

    def label(self, target: str, future: Future) -> Label:
        """Value ``log_range``; absent without a candle within the horizon, or without volatility.

        Decisions share an outcome where most of their horizons overlap.
        """
        highest, lowest = future.extremes(self.horizon_ms)
        moved = np.log(highest / lowest) / (future.label_volatility * math.sqrt(self.horizon))
        present = np.isfinite(moved)
        log_range = np.log(np.maximum(np.where(present, moved, 1.0), SMALLEST_RANGE))
        return Label({"log_range": log_range}, present, future.times // self.horizon_ms)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        """Negative log-likelihood of each decision, in nats."""
        mean, std = outputs["log_range"], outputs["std"]
        error = (values["log_range"] - mean) / std
        return error.square() / 2 + std.log() + math.log(2 * math.pi) / 2

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """Log-likelihood; skill of the mean against a random walk's; rank correlation."""
        mean, happened = outputs["log_range"], label.values["log_range"]
        said = {name: torch.from_numpy(np.asarray(array)) for name, array in outputs.items()}
        loss = self.loss(target, said, {"log_range": torch.from_numpy(happened)})
        random_walk = {"random_walk": np.full(len(mean), RANDOM_WALK_MEAN)}
        return {
            "nll": figures.mean(loss.double().numpy(), higher_is_better=False),
            "skill": figures.skill(mean, happened, random_walk),
            "rank_ic": figures.rank_ic(mean, happened),
        }


__all__ = ["PriceRange"]
