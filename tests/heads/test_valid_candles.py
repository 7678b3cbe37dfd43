"""A hundred thousand random candles decoded: none is invalid, whatever a network says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from worlds import MINUTE, random_candles, world_of

from mtf.heads.next_candle import NextCandle, valid_candle
from mtf.market.asof import Known
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME
from mtf.market.channels import decode
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Fused, HeadContext

COUNT = 100_000
LARGEST = float(np.finfo(np.float32).max)


def known_of(count: int) -> Known:
    """What a random market knew at so many decisions."""
    times = np.resize(np.arange(900, 1400), count) * MINUTE
    return world_of(random_candles(1500)).known(times)["1m"]


def invalid(ohlcv: np.ndarray) -> int:
    """How many are no candles: not finite, low above open or close, high below, volume below 0."""
    body = ohlcv[:, [OPEN, CLOSE]]
    good = np.isfinite(ohlcv).all(axis=1) & (ohlcv[:, :VOLUME] > 0).all(axis=1)
    good &= (ohlcv[:, LOW] <= body.min(axis=1)) & (ohlcv[:, HIGH] >= body.max(axis=1))
    good &= ohlcv[:, VOLUME] >= 0
    return int((~good).sum())


def logits(kind: str) -> torch.Tensor:
    """Raw numbers of the size of a trained network's, of every size there is, or the extremes."""
    rng = np.random.default_rng(0)
    if kind == "usual":
        return torch.from_numpy(rng.normal(0, 3, (COUNT, 5)).astype(np.float32))
    if kind == "any":
        size = 10.0 ** rng.uniform(-40, 38.5, (COUNT, 5))
        return torch.from_numpy((rng.choice([-1, 1], (COUNT, 5)) * size).astype(np.float32))
    ends = [0.0, 1e-45, 1.0, 89.0, 1e4, LARGEST]
    return torch.from_numpy(rng.choice([*ends, *(-end for end in ends)], (COUNT, 5))).float()


@pytest.mark.parametrize("kind", ["usual", "any", "extreme"])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_none_of_a_hundred_thousand_is_invalid(kind: str, precision: type) -> None:
    candles = valid_candle(logits(kind)).numpy()
    assert invalid(decode(candles, known_of(COUNT)).astype(precision)) == 0


def test_nor_of_those_of_a_head_with_wild_weights() -> None:
    torch.manual_seed(0)
    market = world_of(random_candles(1500), {"1m": 8, "15m": 8})
    specs = tuple(stream.spec for stream in market.streams.values())
    head = NextCandle(HeadContext(8, specs, Timeframe.parse("1m")))
    with torch.no_grad():
        head.channels.weight.mul_(1e6)
        size = 10.0 ** torch.empty(COUNT // 2, 1).uniform_(-3, 30)
        fused = Fused(size * torch.randn(len(size), 8), torch.randn(len(size), 2, 8))
        said = head(fused)
    assert [invalid(decode(said[name].numpy(), known_of(len(size)))) for name in said] == [0, 0]


def test_the_counter_counts_what_is_no_candle() -> None:
    """Low above the open, high below the close, volume below 0, infinite, and one that is good."""
    rows = [[1, 3, 1.5, 2, 0], [1, 1.5, 1, 2, 0], [1, 2, 1, 1, -1], [1, np.inf, 1, 1, 0]]
    assert invalid(np.array([*rows, [1, 2, 1, 1, 0]])) == 4
