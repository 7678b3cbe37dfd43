"""The whole way in small: raw candles to a world, to batches of both layouts, to a model's answers.

The market has gaps, candles that come late, a reference that starts later than the rest, streams
that are delivered and one that is derived. Row 0 of the primary's minutes is minute ``START``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from small_models import answers
from tasks import SMALL
from worlds import MINUTE, random_candles

from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.learning.batches import BatchBuilder
from mtf.learning.load import feature_sets
from mtf.market.candles import Candles
from mtf.market.resample import resample
from mtf.market.stream import compute_stream
from mtf.market.world import World, label_sigma
from mtf.model.batch import Batch
from mtf.model.build import build_model
from mtf.model.hybrid import HybridModel
from mtf.plugins import registry

Raw = Mapping[str, Candles]
"""Delivered candles by the name of their stream."""

START = 6_000
STREAMS: dict[str, Any] = {
    "1m": {"lookback": 24},
    "5m": {"lookback": 12, "from": "1m"},
    "1h": {"lookback": 6},
    "btc": {"timeframe": "1m", "lookback": 20, "symbol": "BTCUSDT", "latency_ms": 500},
}
FORMING = ("5m", "1h")
"""Streams whose candle that is not closed yet a finer one sees."""
SMALL_OPTIONS: dict[str, dict[str, Any]] = {
    "dsc": {"num_blocks": 2},
    "conv": {"num_blocks": 2},
    "shared_pattern": {"hidden": [12, 10]},
}
"""What keeps an encoder small; others run as they come."""


def raw_market(seed: int = 0) -> dict[str, Candles]:
    """Fifteen hours of minutes, hours of three days, a reference from the fourth hour on."""
    minutes = random_candles(900, seed, missing=0.03, first_slot=START)
    minutes.valid[400:412] = False  # long enough to be stale
    minutes.ohlcv[400:412] = np.nan
    hours = random_candles(70, seed + 1, "1h", missing=0.05, first_slot=START // 60 - 50)
    btc = random_candles(700, seed + 2, symbol="BTCUSDT", missing=0.03, first_slot=START + 200)
    return {
        "1m": delayed(minutes, {120: 4, 300: 2, 305: 9, 598: 7}),
        "1h": hours,
        "btc": delayed(btc, {395: 3, 500: 1}),
    }


def delayed(candles: Candles, late: Mapping[int, int]) -> Candles:
    """The same candles, all there, some of them some slots late."""
    arrival = closes(candles)
    for row, slots in late.items():
        candles.valid[row] = True
        candles.ohlcv[row] = np.nan_to_num(candles.ohlcv[row], nan=100.0)
        arrival[row] += slots * candles.timeframe.duration_ms
    return replace(candles, available_at=arrival)


def closes(candles: Candles) -> np.ndarray:
    """Close time of every slot in ms."""
    return candles.open_time() + candles.timeframe.duration_ms


def small_whole(
    encoder: str = "dsc",
    options: Mapping[str, Any] | None = None,
    *,
    weights: str = "shared",
    tokens: str = "log",
    fusion: str = "attention",
    dropout: float = 0.0,
    forming: bool = False,
) -> Config:
    """A config of every registered head over the streams of ``raw_market``."""
    chosen = SMALL_OPTIONS.get(encoder, {}) if options is None else options
    model = {
        "embed_dim": 8,
        "encoder": {"name": encoder, "weights": weights, **chosen},
        "tokens": {
            "name": tokens,
            "forming": forming,
            **({"patch": 4} if tokens == "patch" else {}),
        },
        "fusion": {"name": fusion, **small_fusion(fusion, dropout)},
    }
    features = {"name": "ohlcv", "volatility_half_life": 5}
    heads: dict[str, Any] = {name: {} for name in registry.names("head")}
    sections = {"streams": STREAMS, "model": model, "features": features}
    return parse_config({**SMALL, **sections, "heads": heads})


def small_fusion(name: str, dropout: float) -> dict[str, Any]:
    """Options that keep a fusion small."""
    if name in ("mean", "concat"):
        return {} if name == "mean" else {"hidden_dim": 16, "dropout": dropout}
    layers = ("cross_layers", "main_layers") if name == "two_stage" else ("num_layers",)
    shape = {"feedforward_dim": 16, "num_heads": 2, "dropout": dropout}
    return {**shape, **dict.fromkeys(layers, 1)}


def whole_model(config: Config, seed: int = 0) -> HybridModel:
    """The config's model in evaluation, with running statistics that are not those of the start."""
    torch.manual_seed(seed)
    channels = {name: len(features.channels) for name, features in feature_sets(config).items()}
    model = build_model(config, config.stream_specs(), channels, config.decisions.clock)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def whole_world(config: Config, raw: Raw) -> World:
    """The world that these candles make; derived streams are built from them."""
    sets, streams = feature_sets(config), {}
    for spec in config.stream_specs():
        source = raw[spec.derived_from or spec.name]
        candles = source if spec.derived_from is None else resample(source, spec.timeframe)
        streams[spec.name] = compute_stream(spec, candles, sets[spec.name])
    clock = raw["1m"]
    latency = streams["1m"].spec.latency_ms
    return World(config.symbol, clock.timeframe, streams, clock, label_sigma(clock), latency)


Layout = tuple[tuple[str, int, bool], ...]
"""Of each stream its name, the slots that a decision needs, whether it is encoded once."""


def layout_of(model: HybridModel, *, once: bool) -> Layout:
    """What a model needs: encoded once wherever that is possible, or window by window."""
    names = [spec.name for spec in model.streams]
    able = {name: model.encode_once(name)[0] for name in names}
    return tuple((name, model.required_slots(name), once and able[name]) for name in names)


def whole_batch(
    layout: Layout, world: World, times: np.ndarray, dropped: np.ndarray | None = None
) -> Batch:
    """The batch of ``times [group, decision]`` (ms), without labels."""
    need = {name: slots for name, slots, _ in layout}
    path = {name: once for name, _, once in layout}
    return BatchBuilder(world, {}, need, path, FORMING).build(times, None, dropped)


@torch.no_grad()
def said(model: HybridModel, batch: Batch) -> dict[str, torch.Tensor]:
    """All outputs of all heads, without gradients."""
    return answers(model, batch)


def changed(candles: Candles, rows: np.ndarray, flip: np.ndarray, seed: int) -> Candles:
    """The same with other values in the rows of one mask, and presence turned in those of another.

    Where a candle goes or comes, it is one that is not late.
    """
    rng = np.random.default_rng(seed)
    ohlcv, valid = candles.ohlcv.copy(), candles.valid ^ flip
    ohlcv[flip & valid] = [100.0, 101.0, 99.0, 100.5, 3.0]
    ohlcv[rows] *= rng.uniform(1.02, 1.5, (int(rows.sum()), 5))
    ohlcv[~valid] = np.nan
    arrival = candles.available_at
    if arrival is not None:
        arrival = np.where(flip, closes(candles), arrival)
    return replace(candles, ohlcv=ohlcv, valid=valid, available_at=arrival)


def minutes(*rows: int) -> np.ndarray:
    """Closes in ms of some rows of the primary's minutes."""
    return (np.array(rows, np.int64) + START + 1) * MINUTE
