"""Real minutes of ETH and BTC, disturbed: candles that are missing or late, streams that are gone.

What is made of them is made twice: as a world that knows when every candle came, and as candles
that come one by one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mtf.config.load import load_config
from mtf.config.schema import Config
from mtf.learning.load import feature_sets
from mtf.learning.task import prepare
from mtf.market.candles import Candles
from mtf.market.resample import resample
from mtf.market.stream import compute_stream
from mtf.market.world import World
from mtf.model.hybrid import HybridModel

HOUR = 3_600_000
START = "2023-03-24"
"""The day of the halt: no candle from 12:40 to 13:59."""


def real_config(folder: Path, days: int) -> Config:
    """The shipped dsc on real candles, some days from that of the halt on."""
    start = np.datetime64(START)
    return load_config(
        "dsc_eth_btc",
        [
            f"data.path={folder / 'candles'}",
            f"decisions.start={start}",
            f"decisions.end={start + np.timedelta64(days, 'D')}",
            "model.tokens.forming=true",
            "fabric.threads=1",
            "fabric.accelerator=cpu",
        ],
    )


def real_model(config: Config) -> tuple[HybridModel, dict[str, Candles]]:
    """A model that says one thing now and another then, and the delivered candles."""
    task = prepare(config)
    streams = task.world.streams.items()
    raw = {name: one.candles for name, one in streams if one.spec.derived_from is None}
    model = task.model.eval()
    times = task.parts["train"].times(task.world.clock, stride=97)
    with torch.no_grad():
        weights = dict(model.heads.named_parameters())
        weights["action.logits.weight"].mul_(10)
        logits = model(task.builder.build(times[None], None))["action"]["logits"]
        weights["action.logits.bias"].sub_(logits.mean(0))
    return model, raw


def disturbed(raw: dict[str, Candles], start_ms: int, seed: int = 0) -> dict[str, Candles]:
    """One candle in a hundred missing, as many late by up to 12 slots, streams gone for hours."""
    rng, found = np.random.default_rng(seed), {}
    for name, candles in raw.items():
        opened, duration = candles.open_time(), candles.timeframe.duration_ms
        gone = rng.random(len(candles)) < 0.01
        if name in ("1m", "btc"):
            begin = start_ms + (16 if name == "1m" else 19) * HOUR
            gone |= (opened >= begin) & (opened < begin + 5 * HOUR)
        if name == "1h":
            gone |= (opened >= start_ms + 20 * HOUR) & (opened < start_ms + 30 * HOUR)
        valid = candles.valid & ~gone
        ohlcv = np.where(valid[:, None], candles.ohlcv, np.nan)
        late = (rng.random(len(candles)) < 0.01) & (opened >= start_ms)
        delay = np.where(late, rng.integers(1, 12 * duration, len(candles)), 0)
        come = opened + duration + np.where(valid, delay, 0)
        found[name] = replace(candles, ohlcv=ohlcv, valid=valid, available_at=come)
    return found


def world_of(config: Config, raw: dict[str, Candles]) -> World:
    """The world that these candles make, without labels."""
    sets, streams = feature_sets(config), {}
    for spec in config.stream_specs():
        source = raw[spec.derived_from or spec.name]
        candles = source if spec.derived_from is None else resample(source, spec.timeframe)
        streams[spec.name] = compute_stream(spec, candles, sets[spec.name])
    clock = raw["1m"]
    return World(config.symbol, clock.timeframe, streams, clock, np.zeros(len(clock)))
