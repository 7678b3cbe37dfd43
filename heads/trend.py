"""How straight the price will move, which way each timeframe will lean, and whether they agree.

A trend is the least-squares line through log closes. *Strength* is its R² over the next ``horizon``
candles of the clock: 1 = the closes lie on a line, 0 = no line (or no move at all). It is in
[0, 1].

The *analysis* of a stream is about the line through its next n = ``stream_horizon`` closes: that of
the slot with the smallest close time after t (which may be partly elapsed) and those of the n - 1
slots after it. With slope b in log price a candle and the stream's own sigma as known at t, its
value is the rise of the line in units of what a random walk does: b·n / (sigma·√n). The direction
is up above ``threshold_sigma``, down below its negative, flat between. The reach is until the last
of these candles closes: 1d and n = 5 look four to five days ahead, so the last days of each part
have no such label.

*Agreement* is no label but follows from the directions that are predicted: |Σ d| / Σ |d| over the
streams of the primary symbol, d = p(up) - p(down). 1 = all lean the same way, 0 = they cancel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.evaluation.regression_metrics import regression_metrics
from mtf.learning.losses import cross_entropy, mse
from mtf.market.labels import Future, Label
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric, Units
from mtf.plugins.units import as_array, as_output

STRENGTH = "strength"
RANDOM_WALK_FIT = 0.44
"""Mean R² of a line through a random walk, from 15 points on (0.50 of 5); by simulation."""


class Direction(IntEnum):
    """Which way a line goes, everywhere in this order."""

    UP = 0
    DOWN = 1
    FLAT = 2


class Trend(Head):
    """Lines through the closes to come: R² at the clock, slope and direction of every stream.

    Outputs ``strength`` ``[batch, 1]`` in [0, 1]; ``agreement`` ``[batch, 1]`` in [0, 1]; for every
    stream, under its name, the rise of its line in units of sigma·√n ``[batch, 1]``, and
    ``<stream>_direction`` ``[batch, 3]``, logits in the order of ``Direction``. Targets are
    ``strength`` and the streams; the loss of a stream is the squared error of the rise plus the
    cross-entropy of the direction.

    Args:
        horizon: clock steps that the strength looks ahead, at least 3.
        stream_horizon: candles of a stream that its line goes through, at least 3.
        threshold_sigma: up above and down below this many sigma·√stream_horizon.
    """

    task = "regression"
    primary_metric = "mse"

    def __init__(
        self,
        context: HeadContext,
        *,
        horizon: int = 15,
        stream_horizon: int = 5,
        threshold_sigma: float = 0.4,
    ) -> None:
        super().__init__()
        if min(horizon, stream_horizon) < 3 or threshold_sigma <= 0:
            raise ConfigError(
                f"found horizon {horizon}, stream_horizon {stream_horizon} and threshold_sigma "
                f"{threshold_sigma}",
                "lines through at least 3 closes and a threshold above 0",
            )
        self.horizon, self.stream_horizon = horizon, stream_horizon
        self.threshold_sigma, self.clock = threshold_sigma, context.clock
        self.streams = {stream.name: stream for stream in context.streams}
        self.targets = (STRENGTH, *self.streams)
        words = tuple(f"logit_{direction.name.lower()}" for direction in Direction)
        self.columns = {f"{name}_direction": words for name in self.streams}
        dim = context.embed_dim
        self.hidden_strength, self.strength = nn.Linear(dim, dim), nn.Linear(dim, 1)
        self.hidden = nn.Linear(2 * dim, dim)
        self.own = nn.Parameter(0.02 * torch.randn(len(self.streams), dim))
        self.analysis = nn.Linear(dim, 1 + len(Direction))
        self._start_at_the_random_walk()

    @torch.no_grad()
    def _start_at_the_random_walk(self) -> None:
        """Begin with what a random walk has on average, whatever the input."""
        n = self.stream_horizon
        spread = math.sqrt(1.2 * (n * n + 1) / (n * n - 1))  # of the rise of a random walk's line
        beyond = NormalDist(0, spread).cdf(-self.threshold_sigma)
        logs = [math.log(share) for share in (beyond, beyond, 1 - 2 * beyond)]
        self.analysis.weight.mul_(0.1)
        self.analysis.bias.copy_(torch.tensor([0.0, *logs]))
        self.strength.weight.mul_(0.1)
        self.strength.bias.fill_(math.log(RANDOM_WALK_FIT / (1 - RANDOM_WALK_FIT)))

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return strength, agreement, and rise and direction of every stream."""
        strength = self.strength(F.gelu(self.hidden_strength(fused.state)))
        state = repeat(fused.state, "batch dim -> batch stream dim", stream=len(self.streams))
        hidden = self.hidden(torch.cat([state, fused.streams], dim=-1)) + self.own
        said = self.analysis(F.gelu(hidden)).float()
        outputs = {STRENGTH: strength.float().sigmoid(), "agreement": self._agreement(said)}
        for index, name in enumerate(self.streams):
            outputs[name] = said[:, index, :1]
            outputs[f"{name}_direction"] = said[:, index, 1:]
        return outputs

    def _agreement(self, said: Float[Tensor, "batch stream column"]) -> Float[Tensor, "batch 1"]:
        """How far the directions of the primary's streams point the same way.

        The mean over pairs of streams of (1 + d_i·d_j) / 2, d = p(up) - p(down): 1 where all are
        sure of one direction, 0 where two are sure of opposite ones, 1/2 where nothing is known.
        """
        primary = [i for i, spec in enumerate(self.streams.values()) if spec.role == "primary"]
        probs = said[:, primary, 1:].softmax(-1)
        lean = probs[..., Direction.UP] - probs[..., Direction.DOWN]
        pairs = len(primary) * (len(primary) - 1)
        product = (lean.sum(1) ** 2 - (lean**2).sum(1)) / pairs if pairs else lean[:, 0] ** 2
        return (1 + product.unsqueeze(1)) / 2

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """``trend_strength_prediction``, ``trend_agreement`` and ``trend_analysis``.

        The analysis of a stream has ``direction_logits`` ``[batch, 3]``, ``slope`` ``[batch, 1]``
        in units of sigma·√n, and the same line's ``log_return_per_candle`` ``[batch, 1]``.
        """
        analysis = {}
        for stream in self.streams:
            rise, sigma = outputs[stream], units.known[stream].sigma
            per_candle = as_array(rise)[:, 0] * sigma / math.sqrt(self.stream_horizon)
            analysis[stream] = {
                "direction_logits": outputs[f"{stream}_direction"],
                "slope": rise,
                "log_return_per_candle": as_output(per_candle, rise),
            }
        return {
            f"{name}_strength_prediction": outputs[STRENGTH],
            f"{name}_agreement": outputs["agreement"],
            f"{name}_analysis": analysis,
        }

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """Until the last candle of the line closes, in ms."""
        timeframe = self.clock if target == STRENGTH else self.streams[target].timeframe
        last = timeframe.slot(times) + self._length(target) - 1
        return np.asarray(timeframe.close_time(last) - times, dtype=np.int64)

    def _length(self, target: str) -> int:
        return self.horizon if target == STRENGTH else self.stream_horizon

    def label(self, target: str, future: Future) -> Label:
        """Value ``target``: R² of ``strength``, the rise of a stream; of a stream ``class``, too.

        Absent where fewer than half of the candles, or fewer than 3, are there; of a stream, too,
        without sigma and while it is stale (above its ``max_age``).
        """
        return self._fit(future) if target == STRENGTH else self._rise(target, future)

    def _fit(self, future: Future) -> Label:
        _, fit = future.line(self.horizon)
        present = np.isfinite(fit)
        group = self.clock.slot(future.times) // self.horizon
        return Label({"target": np.where(present, fit, 0.0)}, present, group)

    def _rise(self, name: str, future: Future) -> Label:
        slope, _ = future.line(self.stream_horizon, name)
        spec, known = self.streams[name], future.known[name]
        rise = slope * math.sqrt(self.stream_horizon) / known.sigma
        fresh = known.age_ms <= spec.max_age * spec.timeframe.duration_ms
        present = np.isfinite(rise) & fresh
        rise = np.where(present, rise, 0.0)
        kind = np.full(len(rise), int(Direction.FLAT), dtype=np.int64)
        kind[rise > self.threshold_sigma] = Direction.UP
        kind[rise < -self.threshold_sigma] = Direction.DOWN
        values = {"target": rise, "class": np.where(present, kind, 0)}
        return Label(values, present, spec.timeframe.slot(future.times) // self.stream_horizon)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Squared error; of a stream plus the cross-entropy of its direction, in nats."""
        error = mse(outputs[target], values["target"].unsqueeze(-1))
        if target == STRENGTH:
            return error
        return error + cross_entropy(outputs[f"{target}_direction"], values["class"].long())

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """MSE, skill and rank IC; of a stream the log loss and accuracy of its direction, too."""
        found = regression_metrics(target, outputs, label, references)
        logits = outputs.get(f"{target}_direction")
        if logits is None:  # strength, or a baseline that speaks of the rise alone
            return found
        probs = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        happened = label.values["class"]
        return found | {
            "direction_log_loss": figures.log_loss(probs, happened),
            "direction_accuracy": figures.accuracy(probs, happened),
        }


__all__ = ["Direction", "Trend"]
