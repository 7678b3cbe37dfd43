"""How much the price will move until the horizon, whichever way.

Realised volatility RV is the root of the sum of squared log returns of the clock's candles from the
entry price to the exit price: the entry's open to its close, then close to close. A return across a
gap is one return. The label is log(RV / (s·√h)): against what the label volatility s, as known at
t, makes of the h clock steps of the horizon. 0 means that it stays as it was; RV itself is
s·√h·exp of it.
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
from mtf.market.world import VOLATILITY_FLOOR
from mtf.plugins import registry
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric, Units
from mtf.plugins.units import as_array, as_output


class Volatility(Head):
    """The log of the volatility realised over the next ``horizon`` clock steps, against s.

    Outputs ``prediction`` ``[batch, 1]``, log(RV / (s·√horizon)); ``volatility`` turns it into RV.
    It starts at what Gaussian returns of volatility s have on average,
    ½·(ψ(h/2) - ln(h/2)): a little below 0, because the log of a mean is not the mean of the log.

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
        half = torch.tensor(horizon / 2)
        with torch.no_grad():
            self.value.weight.mul_(0.1)
            self.value.bias.fill_(0.5 * (torch.digamma(half) - half.log()))

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``prediction``."""
        return {"prediction": self.value(F.gelu(self.hidden(fused.state))).float()}

    def volatility(
        self,
        prediction: Float[np.ndarray, " decision"],
        label_volatility: Float64[np.ndarray, " decision"],
    ) -> Float64[np.ndarray, " decision"]:
        """The prediction as a volatility over the horizon, in log return.

        Args:
            prediction: log(RV / (s·√horizon)).
            label_volatility: s at each decision.
        """
        return np.asarray(np.exp(prediction) * label_volatility * math.sqrt(self.horizon))

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """``volatility_prediction``, and RV as ``volatility_realised``; both ``[batch, 1]``."""
        said = outputs["prediction"]
        realised = self.volatility(as_array(said)[:, 0], units.label_volatility)
        return {f"{name}_prediction": said, f"{name}_realised": as_output(realised, said)}

    def turned(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """It is the same."""
        return dict(outputs)

    def turned_label(self, target: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """It is the same."""
        return {}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The horizon, in ms."""
        return np.full(len(times), self.horizon_ms, dtype=np.int64)

    def label(self, target: str, future: Future) -> Label:
        """Values ``target`` and ``volatility`` (RV).

        Absent without s and where fewer than half of the clock candles up to the horizon are there.
        Where nothing moves RV counts as 1e-5·√horizon, the floor that s has, too.
        """
        root = math.sqrt(self.horizon)
        realised = future.realised_volatility(self.horizon_ms, self.order_latency_ms)
        realised = np.maximum(realised, VOLATILITY_FLOOR * root)
        target_value = np.log(realised / (future.label_volatility * root))
        present = np.isfinite(target_value)
        values = {"target": target_value, "volatility": realised}
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
        """MSE, skill and rank IC of the log ratio to s, and QLIKE."""
        found = regression_metrics(target, outputs, label, references)
        predicted, happened = outputs[target][:, 0], label.values["target"]
        return found | {"qlike": figures.qlike(predicted, happened)}


__all__ = ["Volatility"]
