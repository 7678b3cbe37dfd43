"""Buy, sell or hold: where the price will be at the horizon, or which barrier it touches first.

The ``horizon`` label is the class of log(exit / entry): what a trade that is decided now would get,
from the open it is filled at to the last close within the horizon h, against a threshold in units
of s·√h, the label volatility over the horizon.

The ``triple_barrier`` label (López de Prado) reads the path from the entry candle by candle. A long
trade takes profit at +take_profit_sigma·s·√h and is stopped at -stop_loss_sigma·s·√h, a short trade
the other way round. BUY where the long one takes its profit first, SELL where the short one does,
HOLD where neither has when the horizon is over: the vertical barrier takes no side. A candle that
touches both barriers of a trade counts as the stop: what happened inside it is not known, so it
counts against the trader. HOLD, too, where both trades take profit within one candle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import IntEnum
from statistics import NormalDist
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.market.labels import Future, Label
from mtf.plugins import registry
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric

Reals = Float64[np.ndarray, " decision"]


class Side(IntEnum):
    """The classes, everywhere in this order."""

    BUY = 0
    SELL = 1
    HOLD = 2


TURNED = [Side.SELL, Side.BUY, Side.HOLD]
"""The classes where every price p is 1 / p."""
SIDES = np.array([Side.BUY, Side.SELL, Side.HOLD], dtype=np.int64)
"""By which trade takes its profit first: the long, the short, neither."""


class Action(Head):
    """Buy, sell or hold over the next ``horizon`` clock steps.

    Outputs ``logits`` and ``probs`` ``[batch, 3]`` in the order of ``Side``.

    Args:
        horizon: clock steps that the label looks ahead.
        threshold_sigma: BUY above and SELL below this many s·√horizon; HOLD between.
        cost_floor: raise threshold or take-profit to the round-trip cost where that is larger.
        label_smoothing: of the loss.
        loss: a registered loss ``(logits, classes, *, label_smoothing) -> one value a decision``.
        label: the price at the horizon against the threshold, or the barrier that is touched first.
        take_profit_sigma: of triple_barrier: distance of the take-profit in s·√horizon.
        stop_loss_sigma: of triple_barrier: distance of the stop in s·√horizon.

    Attributes:
        threshold: log return beyond which it is BUY or, with the other sign, SELL, from s at each
            decision; None where the label is another.
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
        label: Literal["horizon", "triple_barrier"] = "horizon",
        take_profit_sigma: float = 1.0,
        stop_loss_sigma: float = 1.0,
    ) -> None:
        super().__init__()
        if horizon < 1 or min(threshold_sigma, take_profit_sigma, stop_loss_sigma) <= 0:
            raise ConfigError(
                f"found horizon {horizon}, threshold_sigma {threshold_sigma}, take_profit_sigma "
                f"{take_profit_sigma} and stop_loss_sigma {stop_loss_sigma}",
                "a horizon of at least 1 clock step, a threshold and barriers above 0",
            )
        self.horizon, self.threshold_sigma = horizon, threshold_sigma
        self.take_profit_sigma, self.stop_loss_sigma = take_profit_sigma, stop_loss_sigma
        self.threshold: Callable[[Reals], Reals] | None = None
        if label == "horizon":
            self.threshold = self._threshold
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
        if self.threshold is None:
            beyond = chance_to_take_profit(self.take_profit_sigma, self.stop_loss_sigma)
        else:
            beyond = NormalDist().cdf(-self.threshold_sigma)
        frequencies = {Side.BUY: beyond, Side.SELL: beyond, Side.HOLD: 1 - 2 * beyond}
        self.logits.bias.copy_(torch.tensor([math.log(frequencies[a]) for a in Side]))
        self.logits.weight.mul_(0.1)

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``logits`` and ``probs``."""
        logits = self.logits(nn.functional.gelu(self.hidden(fused.state))).float()
        return {"logits": logits, "probs": logits.softmax(-1)}

    def turned(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """BUY and SELL change places."""
        return {name: value[:, TURNED] for name, value in outputs.items()}

    def turned_label(self, target: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """BUY is SELL, and a rise a fall."""
        classes = values["class"]
        over = torch.tensor(TURNED, dtype=classes.dtype, device=classes.device)[classes.long()]
        return {"class": over, "log_return": -values["log_return"]}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The horizon, in ms."""
        return np.full(len(times), self.horizon_ms, dtype=np.int64)

    def _threshold(self, label_volatility: Reals) -> Reals:
        return self._width(self.threshold_sigma, label_volatility, self.cost)

    def _width(self, sigmas: float, label_volatility: Reals, floor: float = 0.0) -> Reals:
        """So many s·√horizon as a log return, never below the floor."""
        return np.asarray(np.maximum(sigmas * math.sqrt(self.horizon) * label_volatility, floor))

    def label(self, target: str, future: Future) -> Label:
        """Values ``class`` and ``log_return``; absent without entry, exit or volatility.

        The log return is that from entry to exit at the horizon, whatever the class is made of.
        """
        entry = future.entry(self.order_latency_ms)
        exit_price = future.exit(self.horizon_ms, self.order_latency_ms)
        log_return = np.log(exit_price / entry)
        present = np.isfinite(log_return) & np.isfinite(future.label_volatility)
        kind = self._classes(future, log_return)
        values = {
            "class": np.where(present, kind, 0),
            "log_return": np.where(present, log_return, 0.0),
        }
        return Label(values, present, future.times // self.horizon_ms)

    def _classes(self, future: Future, log_return: Reals) -> Int64[np.ndarray, " decision"]:
        """The class of each decision; without a meaning where something is not known."""
        volatility = future.label_volatility
        if self.threshold is None:
            take_profit = self._width(self.take_profit_sigma, volatility, self.cost)
            stop_loss = self._width(self.stop_loss_sigma, volatility)
            ahead = self.horizon_ms, self.order_latency_ms
            return np.asarray(SIDES[future.first_touched(take_profit, stop_loss, *ahead)])
        threshold = self.threshold(volatility)
        kind = np.full(len(log_return), int(Side.HOLD), dtype=np.int64)
        kind[log_return > threshold] = Side.BUY
        kind[log_return < -threshold] = Side.SELL
        return kind

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


def chance_to_take_profit(take_profit: float, stop_loss: float) -> float:
    """Chance that a random walk, one unit wide at the horizon, takes profit first on one side.

    A Brownian motion leaves (-a, b) at b before time 1: the series in the eigenfunctions of the
    strip, with b the take-profit and a the nearer of stop and the other side's take-profit.
    """
    a = min(stop_loss, take_profit)
    width = a + take_profit
    n = np.arange(1, 1000)
    decay = np.exp(-0.5 * np.square(n * np.pi / width))
    series = (-1.0) ** n / n * np.sin(n * np.pi * a / width) * decay
    return float(np.clip(a / width + 2 / np.pi * series.sum(), 0.001, 0.499))


__all__ = ["Action", "Side", "chance_to_take_profit"]
