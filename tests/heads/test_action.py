"""Labels of the action head by hand, and its outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.errors import ConfigError, LookaheadError, PluginError
from mtf.heads.action import Action, Side
from mtf.market.labels import Future
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Fused, HeadContext

CLOCK = Timeframe.parse("1m")
SPECS = (StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),)
CONTEXT = HeadContext(8, SPECS, CLOCK, round_trip_cost=0.01)
CALM = [(100.0, 100.1, 99.9, 100.0 + 0.05 * (-1) ** i, 1.0) for i in range(70)]
"""Seventy minutes that end at slot 69; s is about 0.1 %."""


def future_of(head: Action, rows: list, minute: int = 70) -> Future:
    times = np.array([minute * MINUTE])
    return Future(world_of(candles_of(rows)), times, head.reach("action", times))


@pytest.mark.parametrize(
    ("last_close", "side"), [(101.0, Side.BUY), (99.0, Side.SELL), (100.05, Side.HOLD)]
)
def test_from_the_next_open_to_the_last_close(last_close: float, side: Side) -> None:
    """Entry: open of slot 70 (100.0). Exit: close of slot 72, the last within three minutes."""
    head = Action(CONTEXT, horizon=3)
    ahead = [(100.0, 102.0, 98.0, 100.0, 1.0)] * 2
    rows = [*CALM, *ahead, (100.0, 102.0, 98.0, last_close, 1.0), (1.0, 500.0, 1.0, 500.0, 1.0)]
    label = head.label("action", future_of(head, rows))
    assert label.present.tolist() == [True]
    assert label.values["class"].tolist() == [side]
    assert label.values["log_return"][0] == pytest.approx(math.log(last_close / 100.0))


def test_the_threshold_is_in_units_of_volatility() -> None:
    head = Action(CONTEXT, horizon=4, threshold_sigma=0.5)
    world = world_of(candles_of([*CALM, *CALM[:5]]))
    s = world.label_volatility(np.array([70 * MINUTE]))[0]
    threshold = 0.5 * s * math.sqrt(4)
    for factor, side in ((1.01, Side.BUY), (0.99, Side.HOLD), (-1.01, Side.SELL)):
        close = 100.0 * math.exp(factor * threshold)
        rows = [*CALM, *[(100.0, 110.0, 90.0, 100.0, 1.0)] * 3, (100.0, 110.0, 90.0, close, 1.0)]
        label = head.label("action", future_of(head, rows))
        assert label.values["class"].tolist() == [side]


def test_the_cost_floor_raises_the_threshold() -> None:
    rows = [*CALM, (100.0, 110.0, 90.0, 100.9, 1.0)]  # 0.9 % is less than the cost of 1 %
    for cost_floor, side in ((False, Side.BUY), (True, Side.HOLD)):
        head = Action(CONTEXT, horizon=1, cost_floor=cost_floor)
        assert head.label("action", future_of(head, rows)).values["class"].tolist() == [side]


def test_without_entry_exit_or_volatility_there_is_no_label() -> None:
    head = Action(CONTEXT, horizon=2)
    gap: list[tuple[float, ...] | None] = [None, None, None]
    assert not head.label("action", future_of(head, [*CALM, *gap])).present.any()
    early = future_of(head, CALM, minute=30)
    assert not head.label("action", early).present.any()


def test_the_group_is_the_horizon_that_it_lies_in() -> None:
    head = Action(CONTEXT, horizon=15)
    times = np.array([29, 30, 44, 45]) * MINUTE
    future = Future(world_of(random_candles(100)), times, head.reach("action", times))
    assert head.label("action", future).group.tolist() == [1, 2, 2, 3]


def test_it_cannot_read_beyond_its_reach() -> None:
    head = Action(CONTEXT, horizon=15)
    times = np.array([70 * MINUTE])
    with pytest.raises(LookaheadError):
        head.label("action", Future(world_of(random_candles(100)), times, np.array([14 * MINUTE])))


def test_it_starts_at_the_frequencies_of_a_random_walk() -> None:
    """P(|z| < 0.4) = 0.31: a little less than a third of all decisions hold."""
    torch.manual_seed(0)
    head = Action(HeadContext(64, SPECS, CLOCK))
    outputs = head(Fused(torch.randn(500, 64), torch.randn(500, 1, 64)))
    assert outputs["probs"].mean(0).tolist() == pytest.approx([0.345, 0.345, 0.311], abs=0.02)
    assert torch.allclose(outputs["probs"], outputs["logits"].softmax(-1))
    assert [Side.BUY, Side.SELL, Side.HOLD] == [0, 1, 2]


def test_the_loss_is_smoothed() -> None:
    head = Action(CONTEXT, label_smoothing=0.3)
    logits = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.25)]])
    loss = head.loss("action", {"logits": logits}, {"class": torch.tensor([0])})
    wanted = -(0.8 * math.log(0.5) + 0.2 * math.log(0.25))
    assert loss.tolist() == pytest.approx([wanted])


def test_metrics() -> None:
    head = Action(CONTEXT, horizon=5)
    times = np.arange(300, 400) * MINUTE
    future = Future(world_of(random_candles(500)), times, head.reach("action", times))
    label = head.label("action", future)
    sure = np.eye(3)[label.values["class"]]
    found = head.metrics("action", {"probs": sure}, label, {})
    values = {name: float(m.finish(m.statistics.sum(0))) for name, m in found.items()}
    assert values["accuracy"] == values["macro_f1"] == values["mcc"] == 1.0
    assert values["log_loss"] == pytest.approx(0.0)
    assert values["rank_ic"] > 0.8
    assert values["calibration_error"] == pytest.approx(0.0)


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match="found horizon 0"):
        Action(CONTEXT, horizon=0)
    with pytest.raises(PluginError, match="unknown loss 'crossentropy'"):
        Action(CONTEXT, loss="crossentropy")
