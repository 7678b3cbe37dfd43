"""Where the price will be at the horizon, as a log return.

The label is log(exit / entry) / (s·√h): what a trade that is decided now would get, from the open
it is filled at to the last close within the horizon of h clock steps, in units of the label
volatility s over the horizon, as known at t. Times s·√h it is the log return again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.evaluation.regression_metrics import regression_metrics
from mtf.market.labels import Future, Label
from mtf.plugins import registry
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric, Units
from mtf.plugins.units import as_array, as_output


class Price(Head):
    """The log return over the next ``horizon`` clock steps.

    Outputs ``prediction`` ``[batch, 1]`` in units of s·√horizon; ``log_return`` turns it into a log
    return. It starts at 0, which no constant beats where the price is a martingale.

    Args:
        horizon: clock steps that the label looks ahead.
        loss: a registered loss ``(prediction, target) -> one value a decision``.
    """

    targets = ("prediction",)
    task = "regression"
    primary_metric = "mse"

    def __init__(self, context: HeadContext, *, horizon: int = 15, loss: str = "mse") -> None:
        super().__init__()
        if horizon < 1:
            raise ConfigError(f"found horizon {horizon}", "a horizon of at least 1 clock step")
        self.horizon = horizon
        self.horizon_ms = horizon * context.clock.duration_ms
        self.order_latency_ms = context.order_latency_ms
        self.criterion = registry.load("loss", loss)
        self.hidden = nn.Linear(context.embed_dim, context.embed_dim)
        self.value = nn.Linear(context.embed_dim, 1)
        with torch.no_grad():
            self.value.weight.mul_(0.1)
            self.value.bias.zero_()

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``prediction``."""
        return {"prediction": self.value(F.gelu(self.hidden(fused.state))).float()}

    def log_return(
        self,
        prediction: Float[np.ndarray, " decision"],
        label_volatility: Float64[np.ndarray, " decision"],
    ) -> Float64[np.ndarray, " decision"]:
        """The prediction as a log return.

        Args:
            prediction: in units of s·√horizon.
            label_volatility: s at each decision.
        """
        return np.asarray(prediction * label_volatility * math.sqrt(self.horizon))

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """``price_prediction`` in units of s·√horizon and ``price_log_return``, ``[batch, 1]``."""
        said = outputs["prediction"]
        log_return = self.log_return(as_array(said)[:, 0], units.label_volatility)
        return {f"{name}_prediction": said, f"{name}_log_return": as_output(log_return, said)}

    def turned(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A rise is a fall."""
        return {name: -value for name, value in outputs.items()}

    def turned_label(self, target: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A rise is a fall."""
        return {name: -value for name, value in values.items()}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The horizon, in ms."""
        return np.full(len(times), self.horizon_ms, dtype=np.int64)

    def label(self, target: str, future: Future) -> Label:
        """Values ``target`` and ``log_return``; absent without entry, exit or volatility."""
        entry = future.entry(self.order_latency_ms)
        exit_price = future.exit(self.horizon_ms, self.order_latency_ms)
        log_return = np.log(exit_price / entry)
        scaled = log_return / (future.label_volatility * math.sqrt(self.horizon))
        present = np.isfinite(scaled)
        values = {"target": scaled, "log_return": log_return}
        values = {name: np.where(present, value, 0.0) for name, value in values.items()}
        return Label(values, present, future.times // self.horizon_ms)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Loss of each decision."""
        loss: Tensor = self.criterion(outputs["prediction"], values["target"].unsqueeze(-1))
        return loss

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """MSE, skill and rank IC in units of s·√horizon, and how often the sign is right."""
        found = regression_metrics(target, outputs, label, references)
        predicted, happened = outputs[target][:, 0], label.values["target"]
        return found | {"sign_accuracy": figures.sign_accuracy(predicted, happened)}


__all__ = ["Price"]
