"""A small model that has everything the reference has, and arrays to call it with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from tasks import SMALL

from mtf.calling.model import KeywordModel
from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.plugins import registry

TIME = 90
"""Candles of every stream: enough to know its volatility."""
LOOKBACK = 12


def full_config() -> Config:
    """All five streams, all side inputs and all heads of the reference, in small."""
    streams: dict[str, Any] = {name: {"lookback": LOOKBACK} for name in ("1s", "1m", "1h", "1d")}
    streams["btc"] = {"timeframe": "1m", "lookback": LOOKBACK, "symbol": "BTCUSDT"}
    model = {
        "embed_dim": 8,
        "encoder": {"name": "linear"},
        "fusion": {"name": "attention", "num_layers": 1, "num_heads": 2, "feedforward_dim": 16},
    }
    sides = {"order_book": {"path": "none.parquet", "snapshots": 20}}
    sides |= {name: {} for name in registry.names("side_input") if name != "order_book"}
    heads: dict[str, Any] = {name: {} for name in registry.names("head")}
    features = {"name": "ohlcv", "volatility_half_life": 20, "volume_half_life": 20}
    sections = {"streams": streams, "model": model, "side_inputs": sides, "heads": heads}
    return parse_config({**SMALL, **sections, "features": features})


@cache
def full_model() -> KeywordModel:
    """Of ``full_config``; tests leave it as it is."""
    return KeywordModel.of(full_config())


def walk(batch: int, time: int = TIME, seed: int = 0) -> np.ndarray:
    """Candles of random walks, ``[batch, time, 5]``."""
    rng = np.random.default_rng(seed)
    close = 2_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, (batch, time)), axis=1))
    opening = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    wicks = np.exp(rng.exponential(5e-4, (2, batch, time)))
    high = np.maximum(opening, close) * wicks[0]
    low = np.minimum(opening, close) / wicks[1]
    return np.stack([opening, high, low, close, rng.gamma(2.0, 5.0, (batch, time))], axis=-1)
