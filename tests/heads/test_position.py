"""The position until the next decision: what it earns, what changing it costs, by hand."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.errors import ConfigError
from mtf.evaluation.baselines import BASELINES
from mtf.evaluation.evaluate import Decisions, evaluate_part
from mtf.evaluation.metrics import point_value
from mtf.heads.position import Position, row_before
from mtf.market.labels import Future, Label
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World
from mtf.plugins.contracts import Fused, HeadContext

CLOCK = Timeframe.parse("1m")
SPECS = (StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),)
CONTEXT = HeadContext(8, SPECS, CLOCK, round_trip_cost=0.002)
CALM: list[tuple[float, ...] | None] = [
    (100.0, 100.1, 99.9, 100.0 + 0.05 * (-1) ** i, 1.0) for i in range(70)
]
"""Seventy minutes that end at slot 69."""

TIMES = torch.tensor([70, 71, 72, 71, 72, 73]) * MINUTE
"""Two groups of three decisions a minute apart, which overlap."""
WEIGHTS = [0.5, 1.0, 0.25, 0.0, 0.5, 1.0]
RETURNS = [0.01, -0.02, 0.03, 0.02, 0.01, -0.01]
NET = [
    *(0.5 * 0.01 - 0.001 * 0.5, -0.02 - 0.001 * 0.5, 0.25 * 0.03 - 0.001 * 0.75),
    *(0.0, 0.5 * 0.01 - 0.001 * 0.5, -0.01 - 0.001 * 0.5),
]
"""Each group begins flat; a change of weight costs 0.001 of its size."""


def label_of(head: Position, world: World, times: np.ndarray) -> Label:
    return head.label("weight", Future(world, times, head.reach("weight", times)))


def values_of(returns: list[float], scale: float = 0.02) -> dict[str, Tensor]:
    found = {"log_return": torch.tensor(returns), "scale": torch.full((len(returns),), scale)}
    return {**found, "time": TIMES[: len(returns)].clone()}


def loss_of(head: Position, weights: Tensor, values: dict[str, Tensor]) -> Tensor:
    return head.loss("weight", {"weight": weights.unsqueeze(-1)}, values)


def six() -> Label:
    """The six decisions as a label."""
    values = {"log_return": np.array(RETURNS), "scale": np.full(6, 0.02), "time": TIMES.numpy()}
    return Label(values, np.ones(6, dtype=bool), np.arange(6))


def test_from_this_entry_to_that_of_the_next_decision() -> None:
    """Opens at slots 70, 71, 72, 73: 100, 102, 101, 99."""
    opens = (100, 102, 101, 99)
    world = world_of(candles_of([*CALM, *((price, 200, 50, price, 1) for price in opens)]))
    times = np.array([70, 71, 72]) * MINUTE
    label = label_of(Position(CONTEXT), world, times)
    wanted = [math.log(1.02), math.log(101 / 102), math.log(99 / 101)]
    assert label.values["log_return"] == pytest.approx(wanted)
    assert label.values["scale"] == pytest.approx(world.label_volatility(times))
    two = label_of(Position(CONTEXT, hold=2), world, times)
    assert two.values["log_return"] == pytest.approx([math.log(1.01), math.log(99 / 102), 0.0])
    assert two.present.tolist() == [True, True, False], "no entry for the decision at 74"
    assert two.values["scale"][:2] == pytest.approx(
        world.label_volatility(times[:2]) * math.sqrt(2)
    )
    assert two.group.tolist() == [35, 35, 36]


def test_an_order_that_takes_its_time_enters_and_leaves_later() -> None:
    """With 30 s to the fill the trade of slot 70 is from the open of 71 to that of 72."""
    opens = (100, 102, 101, 99)
    world = world_of(candles_of([*CALM, *((price, 200, 50, price, 1) for price in opens)]))
    head = Position(HeadContext(8, SPECS, CLOCK, order_latency_ms=30_000))
    times = np.array([70 * MINUTE])
    assert head.reach("weight", times).tolist() == [3 * MINUTE]
    assert label_of(head, world, times).values["log_return"] == pytest.approx(math.log(101 / 102))


def test_a_gap_has_no_label_and_nothing_before_it_is_carried_on() -> None:
    rows: list[tuple[float, ...] | None] = [(100 + i, 200, 50, 100 + i, 1) for i in range(8)]
    rows[3] = rows[4] = None
    head, times = Position(CONTEXT), np.arange(70, 77) * MINUTE
    label = label_of(head, world_of(candles_of([*CALM, *rows])), times)
    assert label.present.tolist() == [True, True, False, False, True, True, True]
    returns = [math.log(101 / 100), math.log(102 / 101), 0.0, 0.0, 0.0, math.log(106 / 105)]
    assert label.values["log_return"][:6] == pytest.approx(returns)
    weight = {"weight": np.ones((5, 1))}
    found = head.metrics("weight", weight, label.select(label.present), {})
    assert found["turnover"].statistics[:, 0].tolist() == [1, 0, 1, 0, 0]


def test_the_loss_of_six_decisions_by_hand() -> None:
    head, weights = Position(CONTEXT), torch.tensor(WEIGHTS)
    loss = loss_of(head, weights, values_of(RETURNS))
    assert loss.tolist() == pytest.approx([-net / 0.02 for net in NET], rel=1e-5)
    plain = loss_of(Position(CONTEXT, in_sigmas=False), weights, values_of(RETURNS))
    assert plain.tolist() == pytest.approx([-net for net in NET], rel=1e-5)
    free = loss_of(Position(CONTEXT, cost=0.0), weights, values_of(RETURNS))
    wanted = [-w * r / 0.02 for w, r in zip(WEIGHTS, RETURNS, strict=True)]
    assert free.tolist() == pytest.approx(wanted)


def test_the_asymmetric_loss_rewards_profit() -> None:
    head = Position(CONTEXT, loss="asymmetric_pnl")
    loss = loss_of(head, torch.tensor(WEIGHTS), values_of(RETURNS))
    nets = [net / 0.02 for net in NET]
    wanted = [-0.05 * net if net > 0 else net**2 for net in nets]
    assert loss.tolist() == pytest.approx(wanted, rel=1e-4)


def test_descent_buys_what_rises_and_a_cost_keeps_the_weight_where_it_was() -> None:
    weights = torch.tensor(WEIGHTS, requires_grad=True)
    (slope,) = torch.autograd.grad(
        loss_of(Position(CONTEXT, cost=0.0), weights, values_of(RETURNS)).sum(), weights
    )
    assert (slope.sign() == -torch.tensor(RETURNS).sign()).all()
    still = torch.tensor([0.5, 0.8, 0.8], requires_grad=True)
    (slope,) = torch.autograd.grad(
        loss_of(Position(CONTEXT, in_sigmas=False), still, values_of([0.0, 0.0, 0.0])).sum(), still
    )
    # The first is changed to from 0 and from 0.5 to 0.8: what one costs, the other saves.
    assert slope.tolist() == pytest.approx([0.0, 0.001, 0.0])


def test_a_decision_without_a_label_does_not_disturb_the_gradient() -> None:
    values = values_of(RETURNS[:3])
    values["scale"][1] = values["log_return"][1] = values["time"][1] = 0
    weights = torch.tensor(WEIGHTS[:3], requires_grad=True)
    loss = loss_of(Position(CONTEXT), weights, values)
    kept = torch.where(values["scale"] > 0, loss, 0.0)
    flat_before = -(0.25 * 0.03 - 0.001 * 0.25) / 0.02
    assert kept.tolist()[2] == pytest.approx(flat_before)
    (slope,) = torch.autograd.grad(kept.sum(), weights)
    assert torch.isfinite(slope).all()
    assert slope[1] == 0


def test_which_decision_comes_before() -> None:
    def rows(*minutes: int, hold: int = 1, without: tuple[int, ...] = ()) -> list[int]:
        time = torch.tensor(minutes) * MINUTE
        there = torch.tensor([i not in without for i in range(len(minutes))])
        return row_before(time, there, hold * MINUTE).tolist()

    assert rows(1, 2, 3, 2, 3, 4) == [-1, 0, 1, -1, 3, 4], "two groups"
    assert rows(1, 2, 3, 4, 5, 6, hold=2) == [-1, -1, 0, 1, 2, 3], "a sweep, two accounts"
    assert rows(1, 2, 3, 4, 5, 6, hold=2, without=(1,)) == [-1, -1, 0, -1, 2, 3]
    assert rows(1, 3, 4) == [-1, -1, 1]
    assert rows(5, 5, 5) == [-1, -1, -1]
    assert rows(1, 2, without=(0, 1)) == [-1, -1]


@torch.no_grad()
def test_long_only_or_both_ways() -> None:
    torch.manual_seed(0)
    context = HeadContext(64, SPECS, CLOCK)
    fused = Fused(100 * torch.randn(500, 64), torch.randn(500, 1, 64))
    long = Position(context)(fused)["weight"]
    both = Position(context, side="both")(fused)["weight"]
    assert long.shape == both.shape == (500, 1)
    assert 0 <= float(long.min()) < 0.1
    assert 0.9 < float(long.max()) <= 1
    assert -1 <= float(both.min()) < -0.9
    assert 0.9 < float(both.max()) <= 1


def test_it_holds_as_long_as_a_group_strides_and_pays_what_the_config_says() -> None:
    head = Position(HeadContext(8, SPECS, CLOCK, round_trip_cost=0.002, stride=4))
    assert (head.hold, head.cost) == (4, 0.001)
    assert head.reach("weight", np.zeros(1, np.int64)).tolist() == [5 * MINUTE]


def test_figures_by_hand() -> None:
    said = {"weight": np.array(WEIGHTS)[:, None]}
    found = {
        name: point_value(metric)
        for name, metric in Position(CONTEXT).metrics("weight", said, six(), {}).items()
    }
    gross = [w * r for w, r in zip(WEIGHTS, RETURNS, strict=True)]
    assert found == pytest.approx(
        {
            "net": sum(NET) / 6 / 0.02,
            "net_bps": sum(NET) / 6 * 1e4,
            "gross_bps": sum(gross) / 6 * 1e4,
            "mean_position": 3.25 / 6,
            "turnover": 2.75 / 6,
            "hit_rate": 1.25 / 3.25,  # the weights 0.5, 0.25 and 0.5
        }
    )
    idle = Position(CONTEXT).metrics("weight", {"weight": np.zeros((6, 1))}, six(), {})
    assert math.isnan(point_value(idle["hit_rate"]))


@pytest.mark.parametrize(("side", "after_a_fall"), [("long", 0.0), ("both", -1.0)])
def test_the_rule_is_long_after_a_rise(side: Literal["long", "both"], after_a_fall: float) -> None:
    """Closes of slots 70 … 72: up, down, the same; at 70 itself slot 69 closed below slot 68."""
    closes = (101.0, 100.0, 100.0)
    world = world_of(candles_of([*CALM, *((100, 200, 50, price, 1) for price in closes)]))
    rule, head = BASELINES["momentum_rule"](), Position(CONTEXT, side=side)
    assert rule.suits(head, "weight")
    times = np.arange(70, 74) * MINUTE
    rule.fit(head, "weight", world, times, six())
    assert rule.predict(world, times)["weight"][:, 0].tolist() == [after_a_fall, 1, after_a_fall, 0]
    unknown = rule.predict(world, np.array([MINUTE]))
    assert unknown["weight"].tolist() == [[0.0]], "one candle alone has not risen"


def test_it_stands_beside_nothing_everything_and_the_rule() -> None:
    world, times = world_of(random_candles(900)), np.arange(100, 800) * MINUTE
    head = Position(CONTEXT, cost=0.0001)
    label = label_of(head, world, times)
    part = Decisions(world, times, {"position": {"weight": label}})
    knows = (label.values["log_return"] > 0.001)[:, None].astype(np.float64)
    said = {"position": {"weight": knows}}
    results = evaluate_part({"position": head}, said, part, part, bootstrap=100)
    target = results.heads["position"]["weight"]
    assert set(target.baselines) == {"flat", "always_long", "momentum_rule"}
    assert all(one.beaten for one in target.baselines.values())
    assert target.baselines["flat"].metrics["net"].value == 0
    long = target.baselines["always_long"].metrics
    assert long["turnover"].value == pytest.approx(1 / 700)
    assert long["gross_bps"].value - long["net_bps"].value == pytest.approx(1 / 700)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hold": 0}, r"found hold 0.*\n.*a hold of at least 1 clock step"),
        ({"cost": -0.1}, r"cost -0.1.*\n.*a cost of at least 0"),
        ({"dropout": 1.0}, r"dropout 1.0.*\n.*a dropout in \[0, 1\)"),
        ({"hold": 6}, r"found hold 6.*stride 4\n.*a multiple of the stride.*\n.*stride=6"),
    ],
)
def test_mistakes_are_told(options: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Position(HeadContext(8, SPECS, CLOCK, stride=4), **options)  # type: ignore[arg-type]
