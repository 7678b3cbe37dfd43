"""How much to hold until the next decision, learned from what it earns: nothing says what is right.

A decision at t sets the weight w, which is held from this decision's entry price to that of the
next one, ``hold`` clock steps later; the value of the account times w is in the market. It earns

    net = w · r − cost · |w − w before|      r = log(entry(t + hold) / entry(t))

where *w before* is the weight of the decision ``hold`` steps earlier among the decisions given, and
0 (flat) where there is none: at the start of a group, of a part, and behind a gap. Nothing is
charged for leaving at the end. The objective is the mean of net over the decisions; it is divided
by s·√hold, the label volatility over the holding time, so that it is of order 1.

Long only, w = sigmoid(x) lies in [0, 1]; long and short, w = tanh(x) in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.market.labels import Future, Label
from mtf.plugins import registry
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric

GAIN = -0.05
"""Of ``asymmetric_pnl`` as an objective: as published (0.05) it punishes profit."""
BPS = 1e4


class Position(Head):
    """The weight in the market until the next decision.

    Outputs ``weight`` ``[batch, 1]``. Evaluation asks at every clock step, so with a ``hold`` of
    several steps the figures are means over as many accounts, each trading every ``hold`` steps.

    Args:
        hold: clock steps from one decision to the next, a multiple of training.sampling.stride;
            null: that stride.
        side: long: weights in [0, 1]; both: in [-1, 1].
        cost: fraction of the value traded that each change of weight costs; null: commission and
            slippage as the config's ``costs`` have them.
        loss: a registered loss ``(prediction, target) -> one value a decision`` of profit and loss
            = prediction × target; it is handed the net return and 1. ``neural_trader`` maximises
            its mean, ``asymmetric_pnl`` (the gain term negated) squares losses.
        in_sigmas: hand the loss net returns in units of s·√hold; false: as log returns.
        dropout: on the hidden layer.

    Attributes:
        lowest: the least weight: 0, or -1.
    """

    targets = ("weight",)
    task = "position"
    primary_metric = "net"

    def __init__(
        self,
        context: HeadContext,
        *,
        hold: int | None = None,
        side: Literal["long", "both"] = "long",
        cost: float | None = None,
        loss: str = "neural_trader",
        in_sigmas: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hold = context.stride if hold is None else hold
        self.cost = context.round_trip_cost / 2 if cost is None else cost
        self.lowest, self.in_sigmas = 0.0 if side == "long" else -1.0, in_sigmas
        check_options(self.hold, context.stride, self.cost, dropout)
        self.clock_ms = context.clock.duration_ms
        self.hold_ms = self.hold * self.clock_ms
        self.order_latency_ms = context.order_latency_ms
        criterion = registry.load("loss", loss)
        self.criterion = partial(criterion, gain=GAIN) if loss == "asymmetric_pnl" else criterion
        self.hidden = nn.Linear(context.embed_dim, context.embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.value = nn.Linear(context.embed_dim, 1)
        with torch.no_grad():
            self.value.weight.mul_(0.1)
            self.value.bias.zero_()

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``weight``."""
        value = self.value(self.dropout(F.gelu(self.hidden(fused.state)))).float()
        return {"weight": value.tanh() if self.lowest else value.sigmoid()}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """To the close of the candle that the next decision's order is filled at the open of."""
        latency = -(-self.order_latency_ms // self.clock_ms) * self.clock_ms
        return np.full(len(times), self.hold_ms + latency + self.clock_ms, dtype=np.int64)

    def label(self, target: str, future: Future) -> Label:
        """Values ``log_return``, ``scale`` (s·√hold) and ``time``; no opinion on the weight.

        Absent without volatility or one of both entry prices: where no candle opens between the
        next decision and the end of the reach.
        """
        entry = future.entry(self.order_latency_ms)
        log_return = np.log(future.entry(self.hold_ms + self.order_latency_ms) / entry)
        scale = future.label_volatility * math.sqrt(self.hold)
        present = np.isfinite(log_return) & np.isfinite(scale)
        values = {"log_return": log_return, "scale": scale}
        values = {name: np.where(present, value, 0.0) for name, value in values.items()}
        values["time"] = np.where(present, future.times, 0)
        return Label(values, present, future.times // self.hold_ms)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Loss of each decision, on the weight before it too, which it pays to change."""
        weight, there = outputs["weight"].squeeze(-1), values["scale"] > 0
        before = weight_before(weight, values["time"], there, self.hold_ms)
        net = weight * values["log_return"] - self.cost * (weight - before).abs()
        if self.in_sigmas:
            net = net / torch.where(there, values["scale"], 1.0)
        net = net.unsqueeze(-1)
        loss: Tensor = self.criterion(net, torch.ones_like(net))
        return loss

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """Means a decision: net return (in s·√hold, in basis points), gross, turnover, position.

        ``hit_rate`` is the share of the exposure, in size and number, that earned something before
        costs; undefined where nothing is held.
        """
        weight = outputs["weight"][:, 0].astype(np.float64)
        moved, scale = label.values["log_return"].astype(np.float64), label.values["scale"]
        given = torch.from_numpy(weight), torch.from_numpy(np.asarray(label.values["time"]))
        before = weight_before(*given, torch.from_numpy(scale > 0), self.hold_ms).numpy()
        gross, turnover = weight * moved, np.abs(weight - before)
        net = gross - self.cost * turnover
        return {
            "net": figures.mean(net / scale, higher_is_better=True),
            "net_bps": figures.mean(net * BPS, higher_is_better=True),
            "gross_bps": figures.mean(gross * BPS, higher_is_better=True),
            "mean_position": figures.mean(weight, higher_is_better=None),
            "turnover": figures.mean(turnover, higher_is_better=None),
            "hit_rate": figures.weighted_share(gross > 0, np.abs(weight) * (moved != 0)),
        }


def weight_before(
    weight: Float[Tensor, " batch"],
    time: Int64[Tensor, " batch"],
    there: Bool[Tensor, " batch"],
    hold_ms: int,
) -> Float[Tensor, " batch"]:
    """The weight of the decision ``hold_ms`` earlier; 0 where there is none.

    Args:
        weight: of each decision.
        time: of each decision; group by group, rising within a group.
        there: which decisions count; from one that does not, nothing is carried on.
        hold_ms: from one decision to the next.
    """
    row = row_before(time, there, hold_ms)
    return torch.where(row >= 0, weight[row.clamp(min=0)], 0.0)


def row_before(
    time: Int64[Tensor, " batch"], there: Bool[Tensor, " batch"], hold_ms: int
) -> Int64[Tensor, " batch"]:
    """Row of the decision ``hold_ms`` earlier in the same group; -1 where there is none.

    A group ends where time does not rise. Rows that are left out do not disturb.
    """
    found = torch.full_like(time, -1)
    rows = there.nonzero().squeeze(1)
    if not len(rows):
        return found
    since = time[rows] - time[rows].min()
    group = (since.diff(prepend=since[:1]) <= 0).cumsum(0)
    place = group * (since.max() + hold_ms + 1) + since  # rises from row to row, far between groups
    wanted = place - hold_ms
    nearest = torch.searchsorted(place, wanted).clamp(max=len(rows) - 1)
    found[rows] = torch.where(place[nearest] == wanted, rows[nearest], -1)
    return found


def check_options(hold: int, stride: int, cost: float, dropout: float) -> None:
    """Refuse options that make no sense, or under which decisions never follow each other.

    Raises:
        ConfigError: with the option.
    """
    if hold < 1 or cost < 0 or not 0 <= dropout < 1:
        raise ConfigError(
            f"found hold {hold}, cost {cost} and dropout {dropout} of the head position",
            "a hold of at least 1 clock step, a cost of at least 0, a dropout in [0, 1)",
        )
    if hold % stride:
        raise ConfigError(
            f"found hold {hold} of the head position with training.sampling.stride {stride}",
            "a multiple of the stride: else no decision of a group follows another",
            f"leave out hold, or set training.sampling.stride={hold}",
        )


__all__ = ["Position", "row_before", "weight_before"]
