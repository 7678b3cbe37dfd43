"""The label by hand, the loss against torch, and the contract that mtf holds heads to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from candle_scales.price_range import RANDOM_WALK_MEAN, RANDOM_WALK_STD, PriceRange
from mtf.errors import ConfigError
from mtf.market.labels import Future
from mtf.plugins.contracts import Fused, HeadContext
from mtf.testing import check_head
from mtf.testing.market import CLOCK, random_world, stream_specs

CONTEXT = HeadContext(16, stream_specs(), CLOCK)


def test_it_keeps_the_contract() -> None:
    check_head(PriceRange)
    check_head(lambda context: PriceRange(context, horizon=1))


def test_the_label_is_the_log_of_the_range_in_units_of_volatility() -> None:
    head, world = PriceRange(CONTEXT, horizon=3), random_world()
    times = np.array([800 * CLOCK.duration_ms])
    future = Future(world, times, head.reach("range", times))
    label = head.label("range", future)
    candles = world.clock_candles.ohlcv[800:803]  # those that open at t, t + 1 min, t + 2 min
    moved = math.log(candles[:, 1].max() / candles[:, 2].min())
    expected = math.log(moved / (future.label_volatility[0] * math.sqrt(3)))
    assert label.values["log_range"][0] == pytest.approx(expected, rel=1e-12)


def test_it_starts_as_a_random_walk() -> None:
    torch.manual_seed(0)
    outputs = PriceRange(CONTEXT)(Fused(torch.zeros(4, 16), torch.zeros(4, 3, 16)))
    assert outputs["log_range"].tolist() == pytest.approx([RANDOM_WALK_MEAN] * 4, abs=0.1)
    assert outputs["std"].tolist() == pytest.approx([RANDOM_WALK_STD] * 4, abs=0.05)


def test_the_loss_is_minus_the_log_of_the_normal_density() -> None:
    mean, std, y = torch.tensor([0.1, 0.5]), torch.tensor([0.3, 1.2]), torch.tensor([0.4, -1.0])
    loss = PriceRange(CONTEXT).loss("range", {"log_range": mean, "std": std}, {"log_range": y})
    torch.testing.assert_close(loss, -torch.distributions.Normal(mean, std).log_prob(y))


def test_a_horizon_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 clock step"):
        PriceRange(CONTEXT, horizon=0)
