"""Lines through the closes to come: by hand, against numpy, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.errors import ConfigError, LookaheadError
from mtf.evaluation.metrics import point_value
from mtf.heads.trend import Direction, Trend
from mtf.market.candles import CLOSE, Candles
from mtf.market.labels import Future, Label
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World
from mtf.plugins.contracts import Fused, HeadContext

CLOCK, QUARTER = Timeframe.parse("1m"), Timeframe.parse("15m")
SPECS = (
    StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),
    StreamSpec("15m", "ETHUSDT", QUARTER, "primary", 8),
    StreamSpec("btc", "BTCUSDT", CLOCK, "reference", 8),
)
CONTEXT = HeadContext(8, SPECS, CLOCK)


def market(seed: int = 0, missing: float = 0.0) -> World:
    btc = random_candles(1500, 1, symbol="BTCUSDT")
    return world_of(random_candles(1500, seed, missing=missing), {"1m": 8, "15m": 8}, btc, 20)


def label_of(head: Trend, target: str, world: World, times: np.ndarray) -> Label:
    return head.label(target, Future(world, times, head.reach(target, times)))


def closing(*closes: float | None) -> Candles:
    return candles_of([None if c is None else (c, c, c, c, 1.0) for c in closes])


def line_of(candles: Candles, minute: int, length: int) -> tuple[float, float]:
    times = np.array([minute * MINUTE])
    future = Future(world_of(candles), times, np.array([length * MINUTE]))
    slope, fit = future.line(length)
    return float(slope[0]), float(fit[0])


def test_a_constant_growth_is_a_line() -> None:
    growth = [100 * 1.01**i for i in range(6)]
    assert line_of(closing(*growth), 2, 4) == pytest.approx((math.log(1.01), 1.0))


def test_up_and_down_again_has_neither_slope_nor_fit() -> None:
    assert line_of(closing(1, 2, 4, 2, 1), 0, 5) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert line_of(closing(5, 5, 5), 0, 3) == (0.0, 0.0), "no move at all is no trend"


def test_two_steps_up_and_one_down() -> None:
    """Logs 0, 1, 0, 1 at -1.5 … 1.5: slope 1 / 5, of the spread 1 the line explains 1 / 5."""
    assert line_of(closing(1, math.e, 1, math.e), 0, 4) == pytest.approx((0.2, 0.2))


def test_missing_closes_are_passed_over_until_fewer_than_half_are_there() -> None:
    growth: list[float | None] = [1.1**i for i in range(8)]
    for absent, there in (((1, 2, 6), True), ((1, 2, 3, 6), True), ((1, 2, 3, 6, 7), False)):
        closes = [None if i in absent else c for i, c in enumerate(growth)]
        slope, fit = line_of(closing(*closes), 0, 8)
        assert (slope, fit) == pytest.approx((math.log(1.1), 1.0)) if there else math.isnan(fit)
    assert math.isnan(line_of(closing(1, None, 2, 3), 0, 3)[1]), "two closes make no trend"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    missing=st.sampled_from([0.0, 0.2, 0.5]),
    length=st.integers(3, 20),
)
def test_a_line_equals_that_of_numpy(seed: int, missing: float, length: int) -> None:
    candles = random_candles(60, seed, missing=missing)
    times = np.arange(60) * MINUTE
    slopes, fits = Future(world_of(candles), times, np.full(60, length * MINUTE)).line(length)
    for row in range(60):
        rows = [i for i in range(row, min(row + length, 60)) if candles.valid[i]]
        if len(rows) < max(3, length / 2):
            assert math.isnan(slopes[row])
            assert math.isnan(fits[row])
            continue
        y = np.log(candles.ohlcv[rows, CLOSE])
        assert slopes[row] == pytest.approx(np.polyfit(rows, y, 1)[0], rel=1e-6, abs=1e-12)
        assert fits[row] == pytest.approx(np.corrcoef(rows, y)[0, 1] ** 2, rel=1e-6, abs=1e-9)


def test_strength_is_the_fit_over_the_next_steps_of_the_clock() -> None:
    head, world, times = Trend(CONTEXT, horizon=10), market(), np.array([900, 901]) * MINUTE
    label = label_of(head, "strength", world, times)
    y = np.log(world.clock_candles.ohlcv[900:911, CLOSE])
    wanted = [np.corrcoef(np.arange(10), y[i : i + 10])[0, 1] ** 2 for i in (0, 1)]
    assert label.values["target"] == pytest.approx(wanted)
    assert label.group.tolist() == [90, 90]


def test_a_stream_is_measured_in_its_own_candles_and_sigma() -> None:
    """Minute 907 lies in slot 60 of 15m: the line goes through the closes of slots 60 … 63."""
    head, world, times = Trend(CONTEXT, stream_horizon=4), market(), np.array([907 * MINUTE])
    label, known = label_of(head, "15m", world, times), world.known(times)["15m"]
    slope = np.polyfit(range(4), np.log(world.streams["15m"].candles.ohlcv[60:64, CLOSE]), 1)[0]
    rise = 4 * slope / (known.sigma[0] * math.sqrt(4))
    assert label.values["target"][0] == pytest.approx(rise)
    assert label.group.tolist() == [15]
    assert head.reach("15m", times).tolist() == [(8 + 45) * MINUTE]
    assert head.reach("btc", times).tolist() == [4 * MINUTE]
    assert head.reach("strength", times).tolist() == [15 * MINUTE]


def test_the_direction_is_that_of_the_rise_beyond_the_threshold() -> None:
    head, times = Trend(CONTEXT, threshold_sigma=0.6), np.arange(800, 1400) * MINUTE
    values = label_of(head, "1m", market(), times).values
    rise, kind = values["target"], values["class"]
    assert (kind == np.where(rise > 0.6, 0, np.where(rise < -0.6, 1, 2))).all()
    assert set(kind.tolist()) == {Direction.UP, Direction.DOWN, Direction.FLAT} == {0, 1, 2}


def test_there_is_no_label_while_a_stream_is_stale_or_sigma_unknown() -> None:
    candles = random_candles(1500)
    candles.valid[1000:1010] = False
    candles.ohlcv[1000:1010] = np.nan
    world = world_of(candles, {"1m": 8, "15m": 8}, half_life=20)
    head = Trend(HeadContext(8, SPECS[:2], CLOCK))
    times = np.array([10, 1004, 1007, 1009, 1010, 1011]) * MINUTE
    label = label_of(head, "1m", world, times)
    assert label.present.tolist() == [False, False, False, False, False, True]
    assert not label.values["target"][:5].any()
    assert label_of(head, "strength", world, times).present[[0, 4, 5]].all(), "needs no sigma"


def test_it_cannot_read_beyond_its_reach() -> None:
    head, times = Trend(CONTEXT), np.array([907 * MINUTE])
    for target, what in (("strength", "15 candles of the clock"), ("15m", "5 candles of 15m")):
        reach = head.reach(target, times)
        with pytest.raises(LookaheadError, match=what):
            head.label(target, Future(market(), times, reach - 1))


@pytest.mark.parametrize("target", ["strength", "1m", "15m", "btc"])
def test_the_last_candle_inside_moves_it_and_the_first_outside_does_not(target: str) -> None:
    head, world, times = Trend(CONTEXT), market(), np.array([907 * MINUTE])
    before = label_of(head, target, world, times).values["target"][0]
    end = int((times + head.reach(target, times))[0])
    for late, moves in ((MINUTE, True), (0, False)):
        clock, btc = random_candles(1500), random_candles(1500, 1, symbol="BTCUSDT")
        for candles in (clock, btc):
            candles.ohlcv[(end - late) // MINUTE :] *= 1.1
        other = world_of(clock, {"1m": 8, "15m": 8}, btc, 20)
        after = label_of(head, target, other, times).values["target"][0]
        assert (after != before) == moves


@torch.no_grad()
def test_it_starts_at_what_a_random_walk_does() -> None:
    torch.manual_seed(0)
    head = Trend(HeadContext(64, SPECS, CLOCK))
    said = head(Fused(torch.randn(500, 64), torch.randn(500, 3, 64)))
    walks = np.cumsum(np.random.default_rng(0).standard_normal((20_000, 15)), axis=1)
    x = np.arange(15) - 7.0
    centred = walks - walks.mean(1, keepdims=True)
    fit = (centred @ x) ** 2 / (x @ x) / np.square(centred).sum(1)
    assert float(said["strength"].mean()) == pytest.approx(fit.mean(), abs=0.02)
    slope = (walks[:, :5] - walks[:, :5].mean(1, keepdims=True)) @ np.arange(-2, 3) / 10
    up = (slope * math.sqrt(5) > 0.4).mean()
    for name in ("1m", "15m", "btc"):
        probs = said[f"{name}_direction"].softmax(-1).mean(0)
        assert probs.tolist() == pytest.approx([up, up, 1 - 2 * up], abs=0.03)
        assert float(said[name].mean()) == pytest.approx(0.0, abs=0.05)
        assert said[name].shape == (500, 1)


@torch.no_grad()
def test_agreement_is_how_far_the_timeframes_of_the_primary_lean_the_same_way() -> None:
    head = Trend(CONTEXT)
    up, down, even = [9.0, 0.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]
    for streams, wanted in (
        ([up, up, down], 1.0),  # btc is another symbol
        ([up, down, up], 0.0),
        ([down, even, up], 0.5),
        ([even, even, up], 0.5),
    ):
        said = torch.tensor([[[0.0, *logits[:3]] for logits in streams]])
        assert float(head._agreement(said)) == pytest.approx(wanted, abs=1e-3)
    outputs = head(Fused(torch.randn(50, 8), torch.randn(50, 3, 8)))
    assert outputs["agreement"].shape == (50, 1)
    assert 0 <= float(outputs["agreement"].min()) <= float(outputs["agreement"].max()) <= 1


def test_the_loss_of_a_stream_adds_the_direction() -> None:
    head = Trend(CONTEXT)
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    outputs = {"strength": torch.tensor([[0.5]]), "1m": torch.ones(1, 1), "1m_direction": logits}
    values = {"target": torch.tensor([3.0]), "class": torch.tensor([0])}
    assert head.loss("1m", outputs, values).tolist() == pytest.approx([4 + math.log(2)])
    assert head.loss("strength", outputs, values).tolist() == [6.25]


def test_metrics_of_the_head_and_of_a_baseline_that_knows_no_direction() -> None:
    head, times = Trend(CONTEXT), np.arange(900, 1000) * MINUTE
    label = label_of(head, "1m", market(), times)
    truth = {"1m": label.values["target"][:, None]}
    sure = truth | {"1m_direction": 20 * np.eye(3)[label.values["class"]]}
    zero = {"1m": np.zeros((100, 1))}
    found = head.metrics("1m", sure, label, {"zero": zero})
    values = {name: point_value(metric) for name, metric in found.items()}
    assert values == pytest.approx(
        {
            "mse": 0,
            "skill": 1,
            "rank_ic": 1,
            "direction_log_loss": 0,
            "direction_accuracy": 1,
        },
        abs=1e-6,
    )
    assert set(head.metrics("1m", zero, label, {"zero": zero})) == {"mse", "skill", "rank_ic"}


def test_mistakes_are_told() -> None:
    for wrong in ({"horizon": 2}, {"stream_horizon": 2}, {"threshold_sigma": 0.0}):
        with pytest.raises(ConfigError, match="lines through at least 3 closes"):
            Trend(CONTEXT, **wrong)
