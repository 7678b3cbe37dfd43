"""Labels of the action head by hand, and its outputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.errors import ConfigError, LookaheadError, PluginError
from mtf.evaluation.oracle import Thresholded
from mtf.heads.action import Action, Side, chance_to_take_profit
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, Candles
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


# --- triple barrier ---------------------------------------------------------------------------


def touching(*rows: tuple[float, float], **options: Any) -> Side:
    """The class of a path of (high, low) in units of s·√h around the entry at 100."""
    head = Action(CONTEXT, horizon=len(rows), label="triple_barrier", **options)
    unit = float(future_of(head, CALM).label_volatility[0]) * math.sqrt(len(rows))
    path = [
        (100.0, 100 * math.exp(up * unit), 100 * math.exp(down * unit), 100.0, 1.0)
        for up, down in rows
    ]
    after = (100.0, 200.0, 50.0, 100.0, 1.0)
    label = head.label("action", future_of(head, [*CALM, *path, after]))
    assert label.present.tolist() == [True]
    assert label.values["log_return"].tolist() == [0.0], "that of the horizon, whatever was touched"
    return Side(int(label.values["class"][0]))


def test_the_barrier_that_is_touched_first_is_the_class() -> None:
    assert touching((0.5, -0.5), (1.1, -0.2), (0.5, -1.5)) is Side.BUY
    assert touching((0.5, -0.5), (0.2, -1.1), (1.5, -0.5)) is Side.SELL
    assert touching((1.1, -0.1)) is Side.BUY, "the candle of the entry counts"


def test_when_the_time_is_over_it_is_hold() -> None:
    assert touching((0.9, -0.9), (0.9, -0.9), (0.9, 0.8)) is Side.HOLD


def test_both_barriers_in_one_candle_count_against_the_trader() -> None:
    assert touching((1.1, -1.1), (1.5, 0.0)) is Side.HOLD, "both trades are stopped"
    wide = {"take_profit_sigma": 2.0, "stop_loss_sigma": 1.0}
    assert touching((2.1, -0.5), (0.0, 0.0), **wide) is Side.BUY
    assert touching((2.1, -1.1), (2.5, 0.0), **wide) is Side.HOLD, "the long trade is stopped"
    assert touching((0.5, -1.1), (2.5, -0.5), **wide) is Side.HOLD, "and stays so"


def test_a_stop_beyond_the_take_profit_leaves_the_first_take_profit() -> None:
    wide = {"take_profit_sigma": 1.0, "stop_loss_sigma": 3.0}
    assert touching((1.1, -0.5), (0.5, -1.1), **wide) is Side.BUY
    assert touching((1.1, -1.1), (1.5, 0.0), **wide) is Side.HOLD, "nobody knows which came first"


def test_the_cost_floor_raises_the_take_profit() -> None:
    rows = [*CALM, (100.0, 100.9, 99.95, 100.9, 1.0)]  # 0.9 % is less than the cost of 1 %
    for cost_floor, side in ((False, Side.BUY), (True, Side.HOLD)):
        head = Action(CONTEXT, horizon=1, cost_floor=cost_floor, label="triple_barrier")
        assert head.label("action", future_of(head, rows)).values["class"].tolist() == [side]


def account(candles: Candles, rows: range, take_profit: float, stop_loss: float) -> int | None:
    """Two trades, each read candle by candle by itself; the earlier profit is the class."""
    path = [candles.ohlcv[i] for i in rows if i < len(candles) and candles.valid[i]]
    if not path:
        return None
    profits = {}
    for sign, side in ((1, Side.BUY), (-1, Side.SELL)):
        for step, candle in enumerate(path):
            moves = sorted(sign * math.log(candle[c] / path[0][OPEN]) for c in (HIGH, LOW))
            if moves[0] <= -stop_loss:
                break
            if moves[1] >= take_profit:
                profits[side] = step
                break
    first = [side for side, step in profits.items() if step == min(profits.values())]
    return int(first[0]) if len(first) == 1 else int(Side.HOLD)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    missing=st.sampled_from([0.0, 0.3]),
    horizon=st.integers(1, 25),
    latency=st.integers(0, 2),
    take_profit=st.sampled_from([0.3, 0.7, 1.0, 1.6]),
    stop_loss=st.sampled_from([0.3, 0.7, 1.0, 1.6]),
)
def test_the_triple_barrier_equals_an_independent_account(
    seed: int, missing: float, horizon: int, latency: int, take_profit: float, stop_loss: float
) -> None:
    candles, times = random_candles(160, seed, missing=missing), np.arange(90, 155) * MINUTE
    context = HeadContext(8, SPECS, CLOCK, order_latency_ms=latency * MINUTE)
    head = Action(
        context,
        horizon=horizon,
        label="triple_barrier",
        take_profit_sigma=take_profit,
        stop_loss_sigma=stop_loss,
    )
    future = Future(world_of(candles), times, head.reach("action", times))
    label, sigma = head.label("action", future), future.label_volatility
    for i, row in enumerate(range(90, 155)):
        if not np.isfinite(sigma[i]):
            assert not label.present[i]
            continue
        unit = float(sigma[i]) * math.sqrt(horizon)
        rows = range(row + latency, row + horizon)
        wanted = account(candles, rows, take_profit * unit, stop_loss * unit)
        assert (int(label.values["class"][i]) if label.present[i] else None) == wanted


def test_the_last_candle_of_the_path_moves_it_and_the_first_after_it_does_not() -> None:
    head, times = Action(CONTEXT, horizon=5, label="triple_barrier"), np.array([300 * MINUTE])
    for row, side in ((304, Side.BUY), (305, Side.HOLD)):
        candles = random_candles(400)
        candles.ohlcv[300:304, [OPEN, HIGH, LOW, CLOSE]] = candles.ohlcv[299, CLOSE]
        candles.ohlcv[304:, [OPEN, HIGH, LOW, CLOSE]] = candles.ohlcv[299, CLOSE]
        candles.ohlcv[row, HIGH] *= 1.1
        future = Future(world_of(candles), times, head.reach("action", times))
        assert head.label("action", future).values["class"].tolist() == [side]


@torch.no_grad()
@pytest.mark.parametrize("barriers", [(1.0, 1.0), (1.5, 0.7), (0.7, 1.5)])
def test_it_starts_at_the_chances_of_a_random_walk_between_the_barriers(
    barriers: tuple[float, float],
) -> None:
    take_profit, stop_loss = barriers
    walk = np.cumsum(np.random.default_rng(0).standard_normal((4_000, 2_500)) / 50, axis=1)
    profit, below = walk >= take_profit, walk <= -min(take_profit, stop_loss)
    first = (profit | below).argmax(axis=1)  # 0 where neither is touched, and there is no profit
    wanted = profit[np.arange(4_000), first].mean()
    found = chance_to_take_profit(take_profit, stop_loss)
    assert found == pytest.approx(wanted, abs=0.025)
    torch.manual_seed(0)
    head = Action(
        HeadContext(64, SPECS, CLOCK),
        label="triple_barrier",
        take_profit_sigma=take_profit,
        stop_loss_sigma=stop_loss,
    )
    probs = head(Fused(torch.randn(500, 64), torch.randn(500, 1, 64)))["probs"].mean(0)
    assert probs.tolist() == pytest.approx([found, found, 1 - 2 * found], abs=0.03)


def test_only_a_head_with_a_threshold_tells_one() -> None:
    assert isinstance(Action(CONTEXT), Thresholded)
    assert not isinstance(Action(CONTEXT, label="triple_barrier"), Thresholded)


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match="found horizon 0"):
        Action(CONTEXT, horizon=0)
    for barrier in ("take_profit_sigma", "stop_loss_sigma"):
        wrong: dict[str, Any] = {barrier: -1.0}
        with pytest.raises(ConfigError, match=f"{barrier} -1.*\n.*barriers above 0"):
            Action(CONTEXT, **wrong)
    with pytest.raises(PluginError, match="unknown loss 'crossentropy'"):
        Action(CONTEXT, loss="crossentropy")
