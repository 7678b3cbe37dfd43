"""What a model costs, part by part, known from its config alone: no candle is read.

The parts are built and run on the meta device, where tensors have shapes and no numbers: a model of
any size takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from mtf.config.schema import Config
from mtf.learning.batches import lay_out
from mtf.learning.load import feature_sets
from mtf.learning.task import choose_paths
from mtf.market.forming import CHANNELS
from mtf.model.arithmetic import answer_and_cost, multiply_adds
from mtf.model.build import build_model, build_side_inputs
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Fused

BYTES = {"64-true": 8, "bf16-true": 2}
"""Of a weight by precision; 4 elsewhere."""


@dataclass(frozen=True)
class Part:
    """One part of a model.

    Attributes:
        name: such as ``encoder 1m`` or ``head action``.
        parameters: learned numbers that no part before has; None = it shares all of its own.
        alone: multiply-adds of one decision that is asked by itself.
        batch: multiply-adds a decision in a batch of training, where decisions share candles.
        path: of an encoder: ``once`` (each candle once a batch) or ``window``.
    """

    name: str
    parameters: int | None
    alone: int
    batch: float
    path: str = ""


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        config: that describes it.
        parts: in the order of the model.
        tokens: that the fusion reads of one decision.
    """

    config: Config
    parts: tuple[Part, ...]
    tokens: int

    @property
    def parameters(self) -> int:
        """Learned numbers of all parts."""
        return sum(part.parameters or 0 for part in self.parts)

    @property
    def alone(self) -> int:
        """Multiply-adds of one decision by itself."""
        return sum(part.alone for part in self.parts)

    @property
    def batch(self) -> float:
        """Multiply-adds a decision in a batch of training."""
        return sum(part.batch for part in self.parts)

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights in the config's precision."""
        return self.parameters * BYTES.get(self.config.fabric.precision, 4)


def cost(config: Config) -> Cost:
    """Count the parts of the model that a config describes.

    Raises:
        MtfError: parts that do not fit each other.
    """
    try:
        with torch.device("meta"):
            return _cost(config)
    except Exception:  # a plug-in that can't do without numbers gets some, and raises what it must
        return _cost(config)


def _cost(config: Config) -> Cost:
    channels = {name: len(made.channels) for name, made in feature_sets(config).items()}
    model = build_model(config, config.stream_specs(), channels, config.decisions.clock).eval()
    times = batch_times(config)
    dim = config.model.embed_dim
    tokens = token_counts(model)
    news = _News()
    once, _ = choose_paths(model, config.training.sampling.path)
    parts = list(_encoders(model, channels, times, once, news))
    parts.append(_embeddings(model, tokens, dim, times.size, news))
    parts += _sides(model, config, news)
    count = sum(tokens) + len(model.sides)
    given = torch.zeros(1, count, dim), torch.ones(1, count, dtype=torch.bool)
    fused, own = answer_and_cost(model.fusion, *given)
    parts.append(Part("fusion", news.parameters(model.fusion), own, own))
    fused = replace(fused, streams=fused.streams[:, : len(model.streams)])
    parts += _heads(model, fused, news)
    return Cost(config, tuple(parts), count)


def batch_times(config: Config) -> Int64[np.ndarray, "group member"]:
    """Decision times of one batch as the config samples them, somewhere within its dates."""
    sampling, step = config.training.sampling, config.decisions.clock.duration_ms
    span = (sampling.decisions - 1) * sampling.stride
    starts = (config.decisions.end_ms - config.decisions.start_ms) // step - span
    first = np.random.default_rng(config.seed).integers(max(starts, 1), size=sampling.groups)
    member = np.arange(sampling.decisions) * sampling.stride
    return config.decisions.start_ms + (first[:, None] + member) * step


def token_counts(model: HybridModel) -> list[int]:
    """Tokens that each stream hands to the fusion."""
    return [
        len(getattr(model, f"spans_{index}")) + (spec.name in model.forming_streams)
        for index, spec in enumerate(model.streams)
    ]


def _encoders(
    model: HybridModel,
    channels: Mapping[str, int],
    times: Int64[np.ndarray, "group member"],
    once: Mapping[str, bool],
    news: _News,
) -> Iterator[Part]:
    """A part a stream; in a batch the blocks are those of training."""
    for spec, encoder in zip(model.streams, model.encoders, strict=True):
        need = model.required_slots(spec.name)
        last = spec.timeframe.last_slot(times, spec.latency_ms)
        layout = lay_out(last, need, once[spec.name])
        alone, batch = (
            multiply_adds(
                encoder,
                torch.zeros(blocks, slots, channels[spec.name]),
                torch.ones(blocks, slots, dtype=torch.bool),
            )
            for blocks, slots in ((1, need), (len(layout.start), layout.length))
        )
        path = "once" if once[spec.name] else "window"
        own = news.parameters(encoder)
        yield Part(f"encoder {spec.name}", own, alone, batch / times.size, path)


def _embeddings(
    model: HybridModel, tokens: list[int], dim: int, decisions: int, news: _News
) -> Part:
    """What is added to tokens, and the tokens of candles that are not closed yet."""
    alone, batch = (_embedding_cost(model, tokens, dim, count) for count in (1, decisions))
    own = news.parameters(model.embeddings)
    if model.forming is not None:
        own = (own or 0) + (news.parameters(model.forming) or 0)
    return Part("embeddings", own, alone, batch / decisions)


def _embedding_cost(model: HybridModel, tokens: list[int], dim: int, decisions: int) -> int:
    """Multiply-adds of all streams for so many decisions."""
    total, one = 0, torch.zeros(decisions)
    for index, (spec, count) in enumerate(zip(model.streams, tokens, strict=True)):
        if model.forming is not None and spec.name in model.forming_streams:
            total += multiply_adds(model.forming, torch.zeros(decisions, CHANNELS))
            count -= 1
        x, mask = torch.zeros(decisions, count, dim), torch.ones(decisions, count, dtype=torch.bool)
        total += multiply_adds(model.embeddings, index, x, mask, one > 0, one, one)
    return total


def _sides(model: HybridModel, config: Config, news: _News) -> Iterator[Part]:
    """A part a side input."""
    inputs = build_side_inputs(config, model.streams, config.decisions.clock)
    for name, side in inputs.items():
        shape = 1, side.time, len(side.elements)
        given = torch.zeros(shape), torch.ones(shape, dtype=torch.bool)
        own = multiply_adds(model.sides[name], *given)
        yield Part(f"side input {name}", news.parameters(model.sides[name]), own, own)


def _heads(model: HybridModel, fused: Fused, news: _News) -> Iterator[Part]:
    """A part a head; one that reads others finds what they said."""
    said: dict[str, dict[str, Tensor]] = {}
    for name, head in model.heads_by_name.items():
        said[name], own = answer_and_cost(head, replace(fused, said=said))
        yield Part(f"head {name}", news.parameters(head), own, own)


class _News:
    """Tells what of a module has not been counted before."""

    def __init__(self) -> None:
        self.seen: set[nn.Parameter] = set()

    def parameters(self, module: nn.Module) -> int | None:
        """Parameters that are new; None where it has some and none is."""
        new = set(module.parameters()) - self.seen
        self.seen |= new
        shared = not new and any(True for _ in module.parameters())
        return None if shared else sum(parameter.numel() for parameter in new)


__all__ = ["Cost", "Part", "batch_times", "cost", "token_counts"]
