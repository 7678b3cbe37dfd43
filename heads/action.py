"""Buy, sell or hold: where the price will be at the horizon, against a threshold.

The label is the class of log(exit / entry): what a trade that is decided now would get, from the
open it is filled at to the last close within the horizon, against a threshold in units of the
label volatility over the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from statistics import NormalDist
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.market.labels import Future, Label
from mtf.plugins import registry
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric


class Side(IntEnum):
    """The classes, everywhere in this order."""

    BUY = 0
    SELL = 1
    HOLD = 2


class Action(Head):
    """Buy, sell or hold over the next ``horizon`` clock steps.

    Outputs ``logits`` and ``probs`` ``[batch, 3]`` in the order of ``Side``.

    Args:
        horizon: clock steps that the label looks ahead.
        threshold_sigma: BUY above and SELL below this many s·√horizon; HOLD between.
        cost_floor: raise the threshold to the round-trip cost where that is larger.
        label_smoothing: of the loss.
        loss: a registered loss ``(logits, classes, *, label_smoothing) -> one value a decision``.
    """

    targets = ("action",)
    task = "classification"
    primary_metric = "log_loss"
    columns = MappingProxyType(
        {
            "logits": ("logit_buy", "logit_sell", "logit_hold"),
            "probs": ("prob_buy", "prob_sell", "prob_hold"),
        }
    )

    def __init__(
        self,
        context: HeadContext,
        *,
        horizon: int = 15,
        threshold_sigma: float = 0.4,
        cost_floor: bool = False,
        label_smoothing: float = 0.1,
        loss: str = "cross_entropy",
    ) -> None:
        super().__init__()
        if horizon < 1 or threshold_sigma <= 0:
            raise ConfigError(
                f"found horizon {horizon} and threshold_sigma {threshold_sigma}",
                "a horizon of at least 1 clock step and a threshold above 0",
            )
        self.horizon, self.threshold_sigma = horizon, threshold_sigma
        self.horizon_ms = horizon * context.clock.duration_ms
        self.cost = context.round_trip_cost if cost_floor else 0.0
        self.order_latency_ms = context.order_latency_ms
        self.label_smoothing = label_smoothing
        self.criterion = registry.load("loss", loss)
        self.hidden = nn.Linear(context.embed_dim, context.embed_dim)
        self.logits = nn.Linear(context.embed_dim, len(Side))
        self._start_at_the_prior()

    @torch.no_grad()
    def _start_at_the_prior(self) -> None:
        """Begin with the class frequencies of a random walk, whatever the input."""
        beyond = NormalDist().cdf(-self.threshold_sigma)
        frequencies = {Side.BUY: beyond, Side.SELL: beyond, Side.HOLD: 1 - 2 * beyond}
        self.logits.bias.copy_(torch.tensor([math.log(frequencies[a]) for a in Side]))
        self.logits.weight.mul_(0.1)

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``logits`` and ``probs``."""
        logits = self.logits(nn.functional.gelu(self.hidden(fused.state))).float()
        return {"logits": logits, "probs": logits.softmax(-1)}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The horizon, in ms."""
        return np.full(len(times), self.horizon_ms, dtype=np.int64)

    def threshold(
        self, label_volatility: Float64[np.ndarray, " decision"]
    ) -> Float64[np.ndarray, " decision"]:
        """Log return beyond which it is BUY or, with the other sign, SELL; from s at each time."""
        width = self.threshold_sigma * math.sqrt(self.horizon)
        return np.asarray(np.maximum(width * label_volatility, self.cost))

    def label(self, target: str, future: Future) -> Label:
        """Values ``class`` and ``log_return``; absent without entry, exit or volatility."""
        entry = future.entry(self.order_latency_ms)
        exit_price = future.exit(self.horizon_ms, self.order_latency_ms)
        threshold = self.threshold(future.label_volatility)
        log_return = np.log(exit_price / entry)
        present = np.isfinite(log_return) & np.isfinite(threshold)
        kind = np.full(len(entry), int(Side.HOLD), dtype=np.int64)
        kind[present & (log_return > threshold)] = Side.BUY
        kind[present & (log_return < -threshold)] = Side.SELL
        values = {
            "class": np.where(present, kind, 0),
            "log_return": np.where(present, log_return, 0.0),
        }
        return Label(values, present, future.times // self.horizon_ms)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Loss of each decision."""
        classes = values["class"].long()
        loss: Tensor = self.criterion(
            outputs["logits"], classes, label_smoothing=self.label_smoothing
        )
        return loss

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """Figures of the probabilities; the rank IC orders log returns by p(BUY) - p(SELL)."""
        probs, happened = outputs["probs"], label.values["class"]
        score = probs[:, Side.BUY] - probs[:, Side.SELL]
        return {
            "accuracy": figures.accuracy(probs, happened),
            "macro_f1": figures.macro_f1(probs, happened),
            "mcc": figures.mcc(probs, happened),
            "log_loss": figures.log_loss(probs, happened),
            "rank_ic": figures.rank_ic(score, label.values["log_return"]),
            "calibration_error": figures.calibration_error(probs, happened),
        }
