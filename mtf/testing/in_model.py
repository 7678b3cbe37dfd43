"""An encoder in a small model on a small market: what is not known at t moves nothing at t.

Whatever an encoder declares, this is what counts. A model over streams of 1m, 5m, 1h and a
reference is asked at times around the closes of hours and of five minutes, one clock step before,
at and after each. Each stream in turn gets other candles from every one of these times on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from mtf.learning.batches import BatchBuilder
from mtf.market.feature_set import FeatureSet
from mtf.market.features import Ohlcv
from mtf.market.times import iso
from mtf.market.world import World
from mtf.model.batch import Batch
from mtf.model.build import token_stream
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.fusion import Attention
from mtf.model.hybrid import HybridModel
from mtf.model.shared import stream_encoders
from mtf.model.tokens import token_spans
from mtf.plugins import registry
from mtf.plugins.contracts import Encoder, HeadContext
from mtf.testing.market import (
    CLOCK,
    candle_words,
    changed_after,
    random_market,
    stream_specs,
    world_of,
    world_with,
)
from mtf.testing.probe import defect

TIMES = np.array([[4499, 4500, 4501], [4504, 4505, 4506], [4559, 4560, 4561]], np.int64) * 60_000
"""Groups of decisions around the closes of two hours and of five minutes between them."""
PATHS_AGREE = 1e-5
OTHER_CANDLE = (1.001, 1.003, 0.998, 1.0, 3.0)
"""Factors of a candle that only the encoder can tell: its close, so sigma and age, is as it was."""


class InModel:
    """An encoder, its model and the market.

    Args:
        factory: builds the encoder from (in_channels, embed_dim).
        in_channels: features a candle has.
        embed_dim: of the model.
        seed: of the market.
    """

    def __init__(
        self,
        factory: Callable[[int, int], Encoder],
        in_channels: int,
        embed_dim: int,
        seed: int = 0,
    ) -> None:
        self.factory, self.embed_dim = factory, embed_dim
        self.features = _Channels(in_channels)
        self.seed = seed

    @cached_property
    def model(self) -> HybridModel:
        """In evaluation, with tokens, fusion and heads of the built-in kinds."""
        specs = stream_specs()
        spans = [token_spans("log", spec.lookback) for spec in specs]
        context = HeadContext(self.embed_dim, specs, CLOCK)
        channels = {spec.name: len(self.features.channels) for spec in specs}
        encoders = stream_encoders(
            lambda count: self.factory(count, self.embed_dim), channels, "shared"
        )
        heads = {name: registry.load("head", name)(context) for name in ("action", "next_candle")}
        return HybridModel(
            specs,
            encoders,
            spans,
            TokenEmbeddings(specs, spans, self.embed_dim, "span"),
            Attention(
                self.embed_dim, token_stream(spans), num_layers=1, num_heads=1, feedforward_dim=16
            ),
            heads,
        ).eval()

    @property
    def world(self) -> World:
        """The market as it is."""
        return _world(len(self.features.channels), self.seed)

    def batch(self, world: World, *, once: bool = True) -> Batch:
        """The decisions in that market; encoded once where the encoder allows it."""
        names = [spec.name for spec in self.model.streams]
        need = {name: self.model.required_slots(name) for name in names}
        path = {name: once and self.model.encode_once(name)[0] for name in names}
        return BatchBuilder(world, {}, need, path).build(TIMES, None)

    def said(self, batch: Batch) -> Tensor:
        """All outputs of all heads, a row a decision."""
        found = self.model(batch)
        return torch.cat([value for head in found.values() for value in head.values()], dim=1)

    def nothing_from_the_future(self) -> str:
        """No output at or before t moves, bit for bit, when what comes after t is another."""
        with torch.no_grad():
            before = self.said(self.batch(self.world))
            for now in TIMES.reshape(-1):
                for stream in self.world.streams:
                    other = _changed(len(self.features.channels), self.seed, stream, int(now))
                    moved = (self.said(self.batch(other)) != before).any(1).numpy()
                    self._refuse(moved & (TIMES.reshape(-1) <= now), stream, int(now))
        return f"{TIMES.size} times × {len(self.world.streams)} streams, bit for bit"

    def _refuse(self, moved: np.ndarray, stream: str, now: int) -> None:
        if moved.any():
            at = iso(int(TIMES.reshape(-1)[moved][0]))
            raise defect(
                self.model.encoders[0],
                f"looks ahead in a model: outputs at {at} move when candles of stream {stream} "
                f"change that close after {iso(now)}",
                "what is known only after t moves nothing at t",
                "each slot from slots up to it, each row of the batch by itself",
            )

    def no_gradient_from_the_future(self) -> str:
        """No gradient of an output at t reaches a slot after the last one of t, in any block."""
        batch = self.batch(self.world)
        for stream in batch.streams.values():
            stream.values.requires_grad_()
        said = self.said(batch)
        inputs = [stream.values for stream in batch.streams.values()]
        for decision in range(len(said)):
            total = (said[decision] * torch.randn(said.shape[1])).sum()
            grads = torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True)
            for name, grad in zip(batch.streams, grads, strict=True):
                self._check_gradient(batch, name, grad, decision)
        return f"{TIMES.size} times × {len(inputs)} streams"

    def _check_gradient(self, batch: Batch, name: str, grad: Tensor | None, decision: int) -> None:
        stream, timeframe = batch.streams[name], self.world.streams[name].spec.timeframe
        last = torch.from_numpy(timeframe.last_slot(TIMES.reshape(-1)))
        first = torch.zeros(len(stream.values), dtype=torch.int64)
        first[stream.block] = last - stream.last
        slots = first[:, None] + torch.arange(stream.values.shape[1])
        later = slots > last[decision]
        if grad is not None and bool((grad[later] != 0).any()):
            slot = int(slots[later & (grad != 0).any(-1)].min())
            raise defect(
                self.model.encoders[0],
                f"looks ahead in a model: the gradient of the outputs at "
                f"{iso(int(TIMES.reshape(-1)[decision]))} reaches the {timeframe} slot of stream "
                f"{name} that opens at {iso(timeframe.open_time(slot))}",
                "no gradient from what is known only after t",
            )

    @torch.no_grad()
    def last_candle_is_seen(self) -> str:
        """One candle late is a defect, too: the last candle known at t moves the outputs at t.

        Not every time: units with a ReLU may be silent for one candle and the other.
        """
        before, now = self.said(self.batch(self.world)), TIMES[0]
        for name, stream in self.world.streams.items():
            rows = self.world.known(now)[name].row
            others = [
                _other_candle(len(self.features.channels), self.seed, name, int(row))
                for row in rows
            ]
            after = [self.said(self.batch(other))[i] for i, other in enumerate(others)]
            if all(torch.equal(one, before[i]) for i, one in enumerate(after)):
                raise defect(
                    self.model.encoders[0],
                    f"does not see the last candle: outputs at {iso(int(now[0]))} do not move when "
                    f"the {candle_words(stream.candles, int(rows[0]))} of stream {name} changes, "
                    f"nor do those of {len(now) - 1} other times",
                    "output k from slots up to k, k among them",
                    "no shift; one candle late is as wrong as one early",
                )
        return f"{len(now)} times × {len(self.world.streams)} streams"

    @torch.no_grad()
    def paths_agree(self) -> str:
        """Encoding each candle once says the same as encoding window by window."""
        able, reason = self.model.encode_once("1m")
        if not able:
            return f"window path only: {reason}"
        once, window = (self.said(self.batch(self.world, once=flag)) for flag in (True, False))
        difference = float((once - window).abs().max())
        if not difference <= PATHS_AGREE:
            raise defect(
                self.model.encoders[0],
                f"the two paths differ by {difference:.1e}: encoded once a group, or once a window",
                f"at most {PATHS_AGREE:g} in evaluation",
                "what an output depends on lies within receptive_field and not in its place",
            )
        return f"largest difference {difference:.1e}"


@lru_cache(maxsize=4)
def _world(channels: int, seed: int) -> World:
    """A market with gaps, but not where the decisions are; the same for every encoder."""
    market, whole = random_market(seed=seed, missing=0.03), random_market(seed=seed)
    for name, candles in market.items():
        near = candles.open_time() > TIMES.min() - 3 * candles.timeframe.duration_ms
        candles.valid[near] = True
        candles.ohlcv[near] = whole[name].ohlcv[near]
    return world_of(market, _Channels(channels))


@lru_cache(maxsize=64)
def _changed(channels: int, seed: int, stream: str, now: int) -> World:
    """The market where a stream is another after a time."""
    return changed_after(_world(channels, seed), now, [stream], seed)


@lru_cache(maxsize=64)
def _other_candle(channels: int, seed: int, stream: str, row: int) -> World:
    """The market where one candle of a stream is another."""
    world = _world(channels, seed)
    candles = world.streams[stream].candles
    ohlcv = candles.ohlcv.copy()
    ohlcv[row] *= OTHER_CANDLE
    return world_with(world, {stream: replace(candles, ohlcv=ohlcv)})


class _Channels(FeatureSet):
    """As many channels as an encoder wants: those of ``ohlcv``, over and over."""

    def __init__(self, count: int) -> None:
        self.inner = Ohlcv(volatility_half_life=10, volume_half_life=10)
        self.columns = np.arange(count) % len(self.inner.channels)
        self.channels = tuple(self.inner.channels[i] for i in self.columns)
        self.warmup, self.volatility_half_life = self.inner.warmup, 10

    def initial_state(self) -> Float64[np.ndarray, " state"]:
        return self.inner.initial_state()

    def scan(
        self,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        state: Float64[np.ndarray, " state"],
    ) -> tuple[Float32[np.ndarray, "slot channel"], Bool[np.ndarray, " slot"]]:
        values, usable = self.inner.scan(ohlcv, valid, state)
        return np.ascontiguousarray(values[:, self.columns]), usable


__all__ = ["InModel"]
