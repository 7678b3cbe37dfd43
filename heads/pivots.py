"""The next pivot of every level: whether one comes in time, high or low, how far and how soon.

A pivot of level 1 is Williams' fractal: a candle of the clock whose high is above the highs of the
2 candles before and the 2 after it, or whose low is below their lows. A pivot of level k is a high
pivot of level k - 1 above the one before and the one after it, or a low one below its neighbours.
Of equals the first is the pivot; missing candles are passed over; a candle that is both is taken as
a high (``mtf.market.pivots`` has it precisely; ``neighbours`` sets how many on each side).

The *next* pivot of a level is the earliest whose candle opens at or after t, among those that are
confirmed within the cap of the level: the last candle that it is compared with closes at or before
t + cap. The cap is the reach of the label. Its values:

    reached   1 where there is one, else 0 and the others mean nothing
    high      1 for a high, 0 for a low
    distance  log(price of the extreme / entry price) / (s·√cap), s being the label volatility at t
    log_time  ln of the clock steps from t to the close of the extreme's candle

Nothing of this is ever an input: a pivot is known only after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.evaluation import metrics as figures
from mtf.market.labels import MIN_SHARE, Future, Label
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric, Units
from mtf.plugins.units import as_array, as_output

REACHED, HIGH, DISTANCE, TIME = range(4)
WORDS = ("reached_logit", "high_logit", "distance", "log_time")
PRIOR = "pivot_prior"
SOONER, SOONER_THAN_CAP = 0.75, 2.0
"""Mean ln of the time to the next pivot lies this far below ln of the mean gap, and where the cap
is short below ln of the cap; by simulation."""


class Pivots(Head):
    """The next pivot of levels L1, L2, …, each with a cap by which it must be confirmed.

    Outputs ``L1``, ``L2``, … ``[batch, 4]``: the logit that a pivot is reached, the logit that it
    is a high, its distance, the ln of its time. The loss is the cross-entropy of the first and,
    where a pivot was reached, that of the second and the squared errors of the others. It starts
    near what a random walk has on average.

    Args:
        caps: clock steps within which the pivot of each level must be confirmed, from L1 on.
        neighbours: how many on each side a pivot of each level is compared with, from L1 on.
    """

    task = "pivots"
    primary_metric = "loss"

    def __init__(
        self,
        context: HeadContext,
        *,
        caps: Sequence[int] = (60, 240, 960, 2880, 5760),
        neighbours: Sequence[int] = (2, 1, 1, 1, 1),
    ) -> None:
        super().__init__()
        if not caps or len(caps) != len(neighbours) or min(*caps, *neighbours) < 1:
            raise ConfigError(
                f"found caps {list(caps)} and neighbours {list(neighbours)}",
                "a cap and a number of neighbours for every level, each at least 1",
            )
        self.targets = tuple(f"L{level}" for level in range(1, len(caps) + 1))
        self.columns = dict.fromkeys(self.targets, WORDS)
        self.caps = dict(zip(self.targets, caps, strict=True))
        self.neighbours = {name: tuple(neighbours[: i + 1]) for i, name in enumerate(self.targets)}
        self.clock, self.order_latency_ms = context.clock, context.order_latency_ms
        self.hidden = nn.Linear(context.embed_dim, context.embed_dim)
        self.levels = nn.Linear(context.embed_dim, len(WORDS) * len(caps))
        self._start_at_the_random_walk()

    @torch.no_grad()
    def _start_at_the_random_walk(self) -> None:
        """Begin with the mean gap between the pivots of a random walk, whatever the input."""
        start = []
        for name, cap in self.caps.items():
            gap = 0.5 / math.prod(_share_of_peaks(count) for count in self.neighbours[name])
            reached = min(max(1 - math.exp(-0.5 * (cap / gap) ** 2), 0.01), 0.99)
            log_time = min(math.log(gap) - SOONER, math.log(cap) - SOONER_THAN_CAP)
            start += [math.log(reached / (1 - reached)), 0.0, 0.0, max(log_time, 0.0)]
        self.levels.weight.mul_(0.1)
        self.levels.bias.copy_(torch.tensor(start))

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return what is said of every level."""
        said = self.levels(F.gelu(self.hidden(fused.state))).float()
        return dict(zip(self.targets, said.split(len(WORDS), dim=1), strict=True))

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """``next_pivots``: of every level what is said of it, each ``[batch, 1]``.

        ``reached_logit``, ``high_logit``, ``distance``, ``log_time``; in natural units the
        distance as ``log_return`` from the entry price, and the time in ``clock_steps``.
        """
        levels = {}
        for level, said in outputs.items():
            distance, log_time = as_array(said)[:, [DISTANCE, TIME]].T
            unit = units.label_volatility * math.sqrt(self.caps[level])
            levels[level] = {
                **dict(zip(WORDS, said.split(1, dim=1), strict=True)),
                "log_return": as_output(distance * unit, said),
                "clock_steps": as_output(np.exp(log_time), said),
            }
        return {f"next_{name}": levels}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """The cap, in ms."""
        return np.full(len(times), self._cap_ms(target), dtype=np.int64)

    def _cap_ms(self, target: str) -> int:
        return self.caps[target] * self.clock.duration_ms

    def label(self, target: str, future: Future) -> Label:
        """Values ``reached``, ``high``, ``distance``, ``log_time``.

        Absent without entry or s, and where fewer than half of the candles up to the cap are there.
        """
        cap_ms = self._cap_ms(target)
        found = future.pivot(self.neighbours[target], cap_ms)
        entry = future.entry(self.order_latency_ms)
        unit = future.label_volatility * math.sqrt(self.caps[target])
        present = np.isfinite(entry) & np.isfinite(unit) & (future.share(cap_ms) >= MIN_SHARE)
        reached = found.found & present
        distance = np.where(reached, np.log(found.price / entry) / unit, 0.0)
        values = {
            "reached": reached.astype(np.int64),
            "high": (found.high & reached).astype(np.int64),
            "distance": distance,
            "log_time": np.where(reached, np.log(np.maximum(found.steps, 1)), 0.0),
        }
        return Label(values, present, future.times // cap_ms)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Sum of the four parts of each decision."""
        return torch.stack(list(_parts(outputs[target], values).values())).sum(0)

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """The loss and its parts, skill against the training part's shares and means, rank ICs.

        All but ``loss``, ``skill`` and ``reached_log_loss`` are over the decisions that reached a
        pivot.
        """
        parts = _errors(outputs[target], label)
        reached = label.values["reached"] == 1
        found = {"loss": figures.mean(_total(parts.values()), higher_is_better=False)}
        if PRIOR in references:
            others = _errors(references[PRIOR][target], label)
            found["skill"] = _skill(parts.values(), others.values())
            for name in ("distance", "time"):
                one = _skill([parts[name][reached]], [others[name][reached]])
                found[f"skill_{name}"] = figures.among(reached, one)
        found["reached_log_loss"] = figures.mean(parts["reached"], higher_is_better=False)
        for name, unit in (("high", "log_loss"), ("distance", "mse"), ("time", "mse")):
            one = figures.mean(parts[name][reached], higher_is_better=False)
            found[f"{name}_{unit}"] = figures.among(reached, one)
        for name, column in (("distance", DISTANCE), ("log_time", TIME)):
            said, happened = outputs[target][reached, column], label.values[name][reached]
            found[f"rank_ic_{name}"] = figures.among(reached, figures.rank_ic(said, happened))
        return found


def _parts(
    said: Float[Tensor, "batch 4"], values: Mapping[str, Tensor]
) -> dict[str, Float[Tensor, " batch"]]:
    """Loss of each decision by part; 0 where no pivot was reached, but for whether it was."""
    reached, high = values["reached"].to(said.dtype), values["high"].to(said.dtype)
    parts = {
        "high": F.binary_cross_entropy_with_logits(said[:, HIGH], high, reduction="none"),
        "distance": (said[:, DISTANCE] - values["distance"]).square(),
        "time": (said[:, TIME] - values["log_time"]).square(),
    }
    whether = F.binary_cross_entropy_with_logits(said[:, REACHED], reached, reduction="none")
    return {"reached": whether, **{name: reached * part for name, part in parts.items()}}


def _errors(said: np.ndarray, label: Label) -> dict[str, np.ndarray]:
    """The same outside of torch, in float64."""
    values = {name: torch.from_numpy(value) for name, value in label.values.items()}
    parts = _parts(torch.from_numpy(said.astype(np.float64)), values)
    return {name: part.numpy() for name, part in parts.items()}


def _total(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.asarray(np.sum(list(parts), axis=0))


def _skill(parts: Iterable[np.ndarray], others: Iterable[np.ndarray]) -> Metric:
    return figures.skill_of_errors(_total(parts), {PRIOR: _total(others)})


def _share_of_peaks(neighbours: int) -> float:
    """Share of the places of a random walk that are above ``neighbours`` on both sides."""
    one_side = math.comb(2 * neighbours, neighbours) / 2 ** (2 * neighbours)
    return float(one_side**2)


__all__ = ["Pivots"]
