"""Candles given one by one, as they arrive, and what a batch says of the same decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from mtf.config.schema import Config
from mtf.learning.batches import BatchBuilder
from mtf.learning.load import feature_sets
from mtf.market.candles import Candles
from mtf.market.flow import Outcome
from mtf.market.side_input import SideInput
from mtf.market.world import World
from mtf.model.hybrid import HybridModel
from mtf.model.streaming import Streaming


@dataclass(frozen=True, order=True)
class Arrival:
    """A candle that comes at a time (ms)."""

    time_ms: int
    open_time_ms: int
    stream: str
    candle: tuple[float, ...]


def arrivals(raw: Mapping[str, Candles]) -> list[Arrival]:
    """All candles of delivered streams in the order in which they come."""
    found = []
    for name, candles in raw.items():
        opened = candles.open_time()
        come = opened + candles.timeframe.duration_ms
        if candles.available_at is not None:
            come = np.maximum(come, candles.available_at)
        for row in np.flatnonzero(candles.valid):
            candle = tuple(candles.ohlcv[row].tolist())
            found.append(Arrival(int(come[row]), int(opened[row]), name, candle))
    return sorted(found)


def streaming_of(config: Config, model: HybridModel, **options: object) -> Streaming:
    """An engine of the config's model."""
    return Streaming(model, feature_sets(config), config.decisions.clock, **options)  # type: ignore[arg-type]


def give(streaming: Streaming, one: Arrival) -> Outcome:
    """Give one candle."""
    return streaming.update(one.stream, one.open_time_ms, np.array(one.candle))


def replay(streaming: Streaming, coming: list[Arrival], times: np.ndarray) -> dict[str, np.ndarray]:
    """What is said at all times, by ``head/output``; candles come when they come."""
    found: dict[str, np.ndarray] = {}
    at = 0
    for row, time in enumerate(times.tolist()):
        while at < len(coming) and coming[at].time_ms <= time:
            give(streaming, coming[at])
            at += 1
        for name, value in flat(streaming.decide(time)).items():
            if row == 0:
                found[name] = np.empty((len(times), *value.shape[1:]), value.dtype)
            found[name][row] = value[0]
    return found


def flat(said: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Outputs of all heads by ``head/output``."""
    return {f"{head}/{name}": out for head, outs in said.items() for name, out in outs.items()}


@torch.inference_mode()
def in_batches(
    model: HybridModel,
    world: World,
    times: np.ndarray,
    *,
    size: int = 64,
    sides: Mapping[str, SideInput] = MappingProxyType({}),
    given: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({}),
    symbol: int | None = None,
) -> dict[str, np.ndarray]:
    """What the model says of batches of these times, by ``head/output``.

    ``given`` are side inputs of every time, ``[time, element]``.
    """
    names = [spec.name for spec in model.streams]
    need = {name: model.required_slots(name) for name in names}
    once = {name: model.encode_once(name)[0] for name in names}
    builder = BatchBuilder(world, {}, need, once, model.forming_streams, sides, symbol)
    parts = []
    for at in range(0, len(times), size):
        some = times[at : at + size]
        told = {
            name: (np.stack([values] * len(some)), np.stack([valid] * len(some)))
            for name, (values, valid) in given.items()
        }
        parts.append(model(builder.build(some[None], None, given=told)))
    return {
        f"{head}/{name}": torch.cat([part[head][name] for part in parts]).numpy()
        for head, outputs in parts[0].items()
        for name in outputs
    }


def apart(said: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """The largest difference of all outputs."""
    assert said.keys() == expected.keys()
    for name, value in expected.items():
        assert (said[name].shape, said[name].dtype) == (value.shape, value.dtype), name
    return max(float(np.abs(said[name] - value).max()) for name, value in expected.items())
