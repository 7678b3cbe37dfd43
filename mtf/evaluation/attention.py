"""Which stream listens to which: the attention of a model's fusion, averaged by stream.

The weights are those that the model itself attends by, computed again from its own queries and keys
while it answers real decisions. Attention is a route, not an effect: a stream that is listened to
need not matter, and where the fusion has a shortcut some of the signal goes past it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from mtf.errors import ConfigError, DataError
from mtf.learning.sweep import sweep
from mtf.learning.task import Task
from mtf.model.attention import STATE, AttentionBlock, Reading, Reads
from mtf.model.hybrid import HybridModel

DECISIONS, LEAST_DECISIONS = 256, 8
WEIGHTS = 2**26
"""Weights of one head that are computed at most, but for the fewest decisions."""


@dataclass(frozen=True)
class StreamAttention:
    """One attention layer, averaged by stream over decisions and heads.

    Attributes:
        layer: its name.
        asking: who asks: ``state`` (what the heads read) and the streams.
        answering: who answers.
        weights: how much of what each asks for comes from whom; rows sum to 1.
        even: what each would give if all tokens were read alike: a stream of many tokens has much.
        decisions: number of decisions in the average.
    """

    layer: str
    asking: tuple[str, ...]
    answering: tuple[str, ...]
    weights: Float64[np.ndarray, "asking answering"]
    even: Float64[np.ndarray, " answering"]
    decisions: int

    def rows(self) -> Iterator[dict[str, str | float]]:
        """One row a pair, as in attention.csv."""
        for name, row in zip(self.asking, self.weights, strict=True):
            for other, weight, even in zip(self.answering, row, self.even, strict=True):
                who = {"layer": self.layer, "asking": name, "answering": other}
                yield {**who, "weight": float(weight), "even": float(even)}


class Tally:
    """Sums of attention weights by who asks and who answers.

    Args:
        reading: the place to listen at.
        members: how many there are beside the state.
    """

    def __init__(self, reading: Reading, members: int) -> None:
        self.asking, self.answering = (
            nn.functional.one_hot(torch.tensor(who) - STATE, members + 1).double()
            for who in (reading.asking, reading.answering)
        )
        self.sums = torch.zeros(members + 1, members + 1, dtype=torch.float64)
        self.counts = torch.zeros(members + 1, dtype=torch.float64)
        self.even = torch.zeros(members + 1, dtype=torch.float64)

    @torch.no_grad()
    def add(
        self,
        block: AttentionBlock,
        x: Tensor,
        mask: Tensor | None,
        source: Tensor | None = None,
    ) -> None:
        """Take in one call of the block; queries that are masked ask for nobody."""
        weights = block.weights(x, mask, source).mean(1).double().cpu()
        queries, keys = (weights.new_ones(len(weights), weights.shape[i]) for i in (1, 2))
        if mask is not None:
            keys = mask.double().cpu()
        there = keys if source is None else queries
        by_answer = (weights @ self.answering) * there.unsqueeze(-1)
        self.sums += torch.einsum("bqm,qn->nm", by_answer, self.asking)
        self.counts += (there @ self.asking).sum(0)
        self.even += (keys @ self.answering / keys.sum(-1, keepdim=True)).sum(0)

    def found(self, layer: str, names: Sequence[str], decisions: int) -> StreamAttention:
        """The averages of those who asked, over those who may answer."""
        asked, answered = self.counts > 0, self.answering.sum(0) > 0
        means = (self.sums / self.counts.clamp(min=1).unsqueeze(-1))[asked][:, answered]
        return StreamAttention(
            layer,
            tuple(name for name, there in zip(names, asked, strict=True) if there),
            tuple(name for name, there in zip(names, answered, strict=True) if there),
            means.numpy(),
            (self.even / self.even.sum())[answered].numpy(),
            decisions,
        )


def stream_attention(
    task: Task, part: str = "validation", decisions: int | None = None
) -> list[StreamAttention]:
    """The attention of every layer in which streams read each other, averaged by stream.

    Args:
        task: with the weights to look at in its model.
        part: one of the four parts.
        decisions: how many, evenly spaced over the part; None = 256, fewer where there are
            thousands of tokens.

    Raises:
        ConfigError: the fusion has no attention between streams.
        DataError: no decision of the part has a label.
    """
    readings = readings_of_model(task.model)
    where = task.parts[part]
    times = where.times(task.world.clock)
    wanted = decisions or fitting_count(readings)
    times = times[:: -(-len(times) // wanted)]
    names = ["state", *(spec.name for spec in task.model.streams), *task.model.sides]
    with listening(readings, len(names) - 1) as tallies:
        count = len(sweep(task.model, task.builder, times, where.end_ms).times)
    if not count:
        raise DataError(
            f"none of the {len(times)} decisions of the {part} part has a label",
            "candles after some of the decisions, within the part",
            "look at another part",
        )
    return [tally.found(layer, names, count) for layer, tally in tallies.items()]


def readings_of_model(model: HybridModel) -> list[Reading]:
    """Where the model's streams read each other.

    Raises:
        ConfigError: nowhere.
    """
    readings = list(model.fusion.readings()) if isinstance(model.fusion, Reads) else []
    if not readings:
        raise ConfigError(
            f"the fusion {type(model.fusion).__name__} has no attention between streams",
            "a fusion with some: attention, full, latent or two_stage",
            "train with model.fusion.name=attention to see who listens to whom",
        )
    return readings


def fitting_count(readings: Sequence[Reading]) -> int:
    """Decisions that are cheap to ask: few where there are thousands of tokens."""
    most = max(len(reading.asking) * len(reading.answering) for reading in readings)
    return min(DECISIONS, max(LEAST_DECISIONS, WEIGHTS // most))


@contextmanager
def listening(readings: Sequence[Reading], members: int) -> Iterator[Mapping[str, Tally]]:
    """Within the block, every call of a reading's block is tallied."""
    tallies = {reading.name: Tally(reading, members) for reading in readings}
    hooks = [
        reading.block.register_forward_pre_hook(
            lambda block, given, tally=tallies[reading.name]: tally.add(block, *given)
        )
        for reading in readings
    ]
    try:
        yield tallies
    finally:
        for hook in hooks:
            hook.remove()


def as_csv(found: Sequence[StreamAttention]) -> str:
    """All layers as text: layer, asking, answering, weight, even."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["layer", "asking", "answering", "weight", "even"], lineterminator="\n"
    )
    writer.writeheader()
    for one in found:
        writer.writerows(one.rows())
    return text.getvalue()


__all__ = ["StreamAttention", "as_csv", "readings_of_model", "stream_attention"]
