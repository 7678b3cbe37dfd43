"""Small models over made-up features, and batches of both kinds built by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.model.batch import Batch, StreamBatch
from mtf.model.build import token_stream
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.fusion import Attention
from mtf.model.hybrid import HybridModel
from mtf.model.shared import stream_encoders
from mtf.model.tokens import token_spans
from mtf.plugins import registry
from mtf.plugins.contracts import Fusion, HeadContext

MINUTE = 60_000
CLOCK = Timeframe.parse("1m")
CHANNELS = 5
DIM = 8
SPECS = (
    StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 20),
    StreamSpec("5m", "ETHUSDT", Timeframe.parse("5m"), "primary", 9),
    StreamSpec("btc", "BTCUSDT", CLOCK, "reference", 12),
)
HISTORY = {"1m": 400, "5m": 80, "btc": 400}
"""Slots from 0 on; what lies before is not there."""


def small_model(
    encoder: str = "dsc",
    options: Mapping[str, Any] | None = None,
    tokens: str = "log",
    weights: str = "shared",
    fusion: type[Fusion] = Attention,
    specs: tuple[StreamSpec, ...] = SPECS,
    seed: int = 0,
    token_dropout: float = 0.0,
) -> HybridModel:
    """A model of all parts with 8 dimensions, in evaluation."""
    torch.manual_seed(seed)
    spans = [token_spans(tokens, spec.lookback, 4) for spec in specs]
    plugin, context = registry.load("encoder", encoder), HeadContext(DIM, specs, CLOCK)
    heads = {name: registry.load("head", name)(context) for name in ("action", "next_candle")}
    return HybridModel(
        specs,
        stream_encoders(
            lambda channels: plugin(channels, DIM, **(options or {})),
            {spec.name: CHANNELS for spec in specs},
            weights,
        ),
        spans,
        TokenEmbeddings(specs, spans, DIM, "span"),
        fusion(DIM, token_stream(spans)),
        heads,
        token_dropout,
    ).eval()


def features(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and validity of each stream: gaps short and long, zeros where not valid."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, slots in HISTORY.items():
        valid = rng.random(slots) > 0.1
        valid[slots // 3 : slots // 3 + 15] = False
        values = rng.normal(size=(slots, CHANNELS)).astype(np.float32)
        made[name] = np.where(valid[:, None], values, 0).astype(np.float32), valid
    return made


def make_batch(
    model: HybridModel,
    history: Mapping[str, tuple[np.ndarray, np.ndarray]],
    times: np.ndarray,
    *,
    once: bool,
    present: Mapping[str, np.ndarray] | None = None,
    specs: tuple[StreamSpec, ...] = SPECS,
) -> Batch:
    """The decisions at ``times [group, decision]`` (minutes), once a group or by windows."""
    streams = {}
    for spec in specs:
        step = spec.timeframe.duration_ms // MINUTE
        last = times // step - 1
        need = model.required_slots(spec.name)
        ends = last.max(axis=1) if once else last.reshape(-1)
        length = need + (int((ends[:, None] - last).max()) if once else 0)
        block = np.repeat(np.arange(len(times)), times.shape[1]) if once else np.arange(last.size)
        rows = [cut(*history[spec.name], end - length + 1, length) for end in ends]
        there = np.ones(last.size, bool) if present is None else present[spec.name]
        noise = np.sin(last.reshape(-1) + step).astype(np.float32)
        streams[spec.name] = StreamBatch(
            values=torch.from_numpy(np.stack([values for values, _ in rows])),
            valid=torch.from_numpy(np.stack([valid for _, valid in rows])),
            block=torch.from_numpy(block.astype(np.int64)),
            last=torch.from_numpy((last.reshape(-1) - ends[block] + length - 1).astype(np.int64)),
            present=torch.from_numpy(there),
            log_sigma=torch.from_numpy(noise),
            age=torch.from_numpy(np.abs(noise)),
        )
    return Batch(streams, {})


def cut(values: np.ndarray, valid: np.ndarray, start: int, length: int) -> tuple[Any, Any]:
    """Slots ``start … start + length``; those before the history are not valid."""
    slots = np.arange(start, start + length)
    inside = (slots >= 0) & (slots < len(valid))
    safe = np.where(inside, slots, 0)
    return np.where(inside[:, None], values[safe], np.float32(0)), inside & valid[safe]


def answers(model: HybridModel, batch: Batch) -> dict[str, torch.Tensor]:
    """All outputs of all heads, by ``head/output``."""
    said = model(batch)
    return {f"{head}/{name}": value for head, outs in said.items() for name, value in outs.items()}


def gradients(model: HybridModel, batch: Batch) -> dict[str, torch.Tensor]:
    """Gradients of a loss that looks at all outputs, each with a weight of its own."""
    model.zero_grad()
    said = answers(model, batch)
    generator = torch.Generator().manual_seed(7)
    total = torch.zeros(())
    for value in said.values():
        total = total + (value * torch.randn(value.shape, generator=generator)).sum()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
