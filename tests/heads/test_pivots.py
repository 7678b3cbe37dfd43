"""Pivots: by hand, level by level, against an account that sees no candle after the cap."""

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
from mtf.evaluation.pivot_baselines import PivotPrior
from mtf.heads.pivots import Pivots
from mtf.market.candles import HIGH, LOW, OPEN, Candles
from mtf.market.labels import Future, Label
from mtf.market.pivots import NextPivot, peaks
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World
from mtf.plugins.contracts import Fused, HeadContext

CLOCK = Timeframe.parse("1m")
SPECS = (StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),)
CONTEXT = HeadContext(8, SPECS, CLOCK)
CALM: list[tuple[float, ...] | None] = [
    (100.0, 100.1, 99.9, 100.0 + 0.05 * (-1) ** i, 1.0) for i in range(70)
]
"""Seventy minutes that end at slot 69."""


def highs(*heights: float | None) -> Candles:
    """Candles whose lows only fall, so that none of them is a low."""
    rows: list[tuple[float, ...] | None] = [
        None if high is None else (high, high, 1 - 0.01 * i, high, 1.0)
        for i, high in enumerate(heights)
    ]
    return candles_of(rows)


def ahead(candles: Candles, minute: int, cap: int, neighbours: tuple[int, ...]) -> NextPivot:
    times = np.array([minute * MINUTE])
    future = Future(world_of(candles), times, np.array([cap * MINUTE]))
    return future.pivot(neighbours, cap * MINUTE)


def label_of(head: Pivots, target: str, world: World, times: np.ndarray) -> Label:
    return head.label(target, Future(world, times, head.reach(target, times)))


def test_a_fractal_stands_above_two_on_each_side() -> None:
    assert peaks(np.array([1.0, 2, 5, 3, 4, 1, 2]), 2).tolist() == [2]
    assert peaks(np.array([1.0, 2, 5, 3, 4, 1, 2]), 1).tolist() == [2, 4]
    assert peaks(np.array([1.0, 2, 1]), 2).tolist() == []


def test_of_equals_the_first_is_the_pivot() -> None:
    assert peaks(np.array([1.0, 2, 5, 5, 3, 1]), 2).tolist() == [2]
    assert peaks(np.array([1.0, 2, 5, 5, 5, 5, 3, 1]), 2).tolist() == [2]
    assert peaks(np.array([1.0, 5, 1, 1, 5, 1]), 1).tolist() == [1, 4], "too far apart to rival"
    assert peaks(np.array([3.0, 3, 3, 3]), 1).tolist() == []


def test_six_candles_and_their_pivot() -> None:
    """The high of minute 2 is confirmed by minute 4, at 00:05: four minutes after 00:01."""
    six = highs(10, 11, 14, 12, 13, 9)
    found = ahead(six, 1, 4, (2,))
    assert (found.found[0], found.high[0], found.price[0], found.steps[0]) == (True, True, 14, 2)
    assert not ahead(six, 1, 3, (2,)).found[0], "confirmed a minute after the cap"
    assert ahead(six, 2, 3, (2,)).steps[0] == 1, "the candle that opens at t counts"
    assert not ahead(six, 3, 3, (2,)).found[0], "it is over"


def test_missing_candles_are_passed_over() -> None:
    gap = highs(10, 11, None, 14, None, 12, 13, 9)
    assert (ahead(gap, 1, 6, (2,)).price[0], ahead(gap, 1, 6, (2,)).steps[0]) == (14, 3)
    assert not ahead(gap, 1, 5, (2,)).found[0], "minute 6 confirms it"


def test_the_second_level_is_the_highest_of_three_of_the_first() -> None:
    """Highs 5, 7, 6 of level 1 in minutes 1, 3, 5: the 7 is one of level 2 once 6 is confirmed."""
    candles = highs(1, 5, 1, 7, 1, 6, 1, 1)
    found = ahead(candles, 0, 7, (1, 1))
    assert (found.price[0], found.steps[0]) == (7, 4)
    assert not ahead(candles, 0, 6, (1, 1)).found[0]
    assert ahead(candles, 0, 7, (1,)).price[0] == 5


def test_lows_mirror_highs_and_a_candle_that_is_both_is_a_high() -> None:
    lows = candles_of([(5, 6 + 0.1 * i, 4 - d, 5, 1) for i, d in enumerate((0, 1, 3, 2, 0))])
    found = ahead(lows, 0, 5, (2,))
    assert (found.found[0], found.high[0], found.price[0]) == (True, False, 1)
    both = candles_of([(5, 5 + d, 5 - d, 5, 1) for d in (1, 2, 4, 2, 1)])
    found = ahead(both, 0, 5, (2,))
    assert (found.high[0], found.price[0], found.steps[0]) == (True, 9, 3)


def account(
    candles: Candles, first: int, last: int, neighbours: tuple[int, ...]
) -> tuple[bool, float, int] | None:
    """The definition read aloud, by somebody who has never seen a candle after row ``last``."""
    there = [row for row in range(min(last + 1, len(candles))) if candles.valid[row]]
    pivots = []
    for high, column, sign in ((True, HIGH, 1), (False, LOW, -1)):
        level = [(row, sign * float(candles.ohlcv[row, column])) for row in there]
        for n in neighbours:
            level = [
                level[i]
                for i in range(n, len(level) - n)
                if all(level[i][1] > level[i - j][1] for j in range(1, n + 1))
                and all(level[i][1] >= level[i + j][1] for j in range(1, n + 1))
            ]
        pivots += [(row, not high, sign * height) for row, height in level if row >= first]
    if not pivots:
        return None
    row, low, price = min(pivots)
    return not low, price, row - first + 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    missing=st.sampled_from([0.0, 0.2, 0.5]),
    neighbours=st.sampled_from([(1,), (2,), (3,), (1, 1), (2, 1), (1, 2), (1, 1, 1)]),
    cap=st.integers(1, 40),
    coarse=st.booleans(),
)
def test_the_next_pivot_equals_that_of_somebody_who_sees_no_further(
    seed: int, missing: float, neighbours: tuple[int, ...], cap: int, coarse: bool
) -> None:
    candles = random_candles(90, seed, missing=missing)
    if coarse:  # a coarse tick: many equal highs and lows
        candles.ohlcv[:, :4] = np.round(candles.ohlcv[:, :4], 1)
    times = np.arange(0, 95, 3) * MINUTE
    future = Future(world_of(candles), times, np.full(len(times), cap * MINUTE))
    found = future.pivot(neighbours, cap * MINUTE)
    for i, first in enumerate(range(0, 95, 3)):
        wanted = account(candles, first, first + cap - 1, neighbours)
        said = (bool(found.high[i]), float(found.price[i]), int(found.steps[i]))
        assert (said if found.found[i] else None) == wanted


def test_the_label_in_its_units() -> None:
    """A high of 102 in minute 71, two steps ahead, entered at 100 (the open of minute 70)."""
    head, t = Pivots(CONTEXT, caps=(9,), neighbours=(2,)), np.array([70 * MINUTE])
    rows = [(100.0, 100.5, 99.0 - i, 100.0, 1.0) for i in range(9)]
    rows[1] = (100.0, 102.0, 98.0, 100.0, 1.0)
    world = world_of(candles_of([*CALM, *rows]))
    label, s = label_of(head, "L1", world, t), world.label_volatility(t)[0]
    assert label.present.tolist() == [True]
    assert {name: value[0] for name, value in label.values.items()} == pytest.approx(
        {
            "reached": 1,
            "high": 1,
            "distance": math.log(1.02) / (s * math.sqrt(9)),
            "log_time": math.log(2),
        }
    )


def test_without_candles_entry_or_volatility_there_is_no_label() -> None:
    head, row = Pivots(CONTEXT, caps=(4,), neighbours=(1,)), (100.0, 100.1, 99.9, 100.0, 1.0)
    for rows, present in (([row, row], True), ([row], False), ([None] * 4, False)):
        world = world_of(candles_of([*CALM, *rows]))
        label = label_of(head, "L1", world, np.array([70 * MINUTE]))
        assert label.present.tolist() == [present]
        assert not any(value.any() for value in label.values.values()), "flat: nothing is reached"
    early = label_of(head, "L1", world_of(candles_of(CALM)), np.array([30 * MINUTE]))
    assert not early.present.any()


@pytest.mark.parametrize("neighbours", [(2,), (2, 1), (2, 1, 1), (1, 2)])
def test_only_candles_within_the_cap_move_it_and_the_last_of_them_does(
    neighbours: tuple[int, ...],
) -> None:
    """The cap ends with the candle that confirms the next pivot."""
    before = world_of(random_candles(700))
    confirmed_by = {
        (high, int(row)): int(confirmed)
        for high, kind in zip((True, False), before.pivots.level(neighbours), strict=True)
        for row, confirmed in zip(kind.row, kind.confirmed, strict=True)
    }
    for minute in range(100, 300, 20):
        found = ahead(before.clock_candles, minute, 400, neighbours)
        high = bool(found.high[0])
        last = confirmed_by[high, minute + int(found.steps[0]) - 1]
        cap, sign = last - minute + 1, 1 if high else -1
        head = Pivots(CONTEXT, caps=[cap] * len(neighbours), neighbours=neighbours)
        target, t = head.targets[-1], np.array([minute * MINUTE])
        label = label_of(head, target, before, t).values
        assert label["reached"][0]
        for first, end, moves in ((last, last + 1, True), (last + 1, 700, False)):
            candles = random_candles(700)
            candles.ohlcv[first:end, :4] *= 1 + 0.2 * sign
            other = label_of(head, target, world_of(candles), t).values
            assert any(label[name][0] != other[name][0] for name in label) == moves


def test_it_cannot_read_beyond_its_reach() -> None:
    head, times = Pivots(CONTEXT), np.array([70 * MINUTE])
    caps = [int(head.reach(target, times)[0]) // MINUTE for target in head.targets]
    assert caps == [60, 240, 960, 2880, 5760]
    short = Future(world_of(random_candles(100)), times, np.array([59 * MINUTE]))
    with pytest.raises(LookaheadError, match="pivots up to 3600000 ms ahead"):
        head.label("L1", short)


def test_every_level_is_searched_once() -> None:
    world = world_of(random_candles(500))
    first = world.pivots.level((2, 1))
    assert world.pivots.level((2, 1)) is first
    assert len(first[0].row) < len(world.pivots.level((2,))[0].row) / 2


@torch.no_grad()
def test_it_starts_near_what_a_random_walk_does() -> None:
    torch.manual_seed(0)
    head = Pivots(HeadContext(64, SPECS, CLOCK))
    said = head(Fused(torch.randn(200, 64), torch.randn(200, 1, 64)))
    world, times = world_of(random_candles(40_000)), np.arange(100, 34_000, 7) * MINUTE
    for target in head.targets:
        label = label_of(head, target, world, times)
        reached = label.values["reached"] == 1
        start = said[target].mean(0)
        assert said[target].shape == (200, 4)
        assert float(start[0].sigmoid()) == pytest.approx(reached.mean(), abs=0.1)
        assert float(start[1].sigmoid()) == pytest.approx(0.5, abs=0.05)
        assert float(start[2]) == pytest.approx(0.0, abs=0.1)
        assert float(start[3]) == pytest.approx(label.values["log_time"][reached].mean(), abs=0.5)


def values_of(**columns: list[float]) -> Label:
    kinds = {"reached": np.int64, "high": np.int64}
    values = {name: np.array(c, kinds.get(name, np.float64)) for name, c in columns.items()}
    return Label(values, np.ones(len(columns["high"]), dtype=bool), np.arange(len(columns["high"])))


def test_where_nothing_was_reached_only_that_counts() -> None:
    head, logit = Pivots(CONTEXT, caps=(60,), neighbours=(2,)), math.log(3)
    said = torch.tensor([[logit, logit, 1.0, 2.0]] * 2)
    values = {
        "reached": torch.tensor([1, 0]),
        "high": torch.tensor([1, 0]),
        "distance": torch.tensor([3.0, 0.0]),
        "log_time": torch.tensor([1.0, 0.0]),
    }
    wanted = [2 * math.log(4 / 3) + 4 + 1, math.log(4)]
    assert head.loss("L1", {"L1": said}, values).tolist() == pytest.approx(wanted)


def test_skill_is_against_shares_and_means_of_training() -> None:
    label = values_of(
        reached=[1, 1, 1, 0], high=[1, 0, 1, 0], distance=[1, -1, 3, 0], log_time=[2, 1, 3, 0]
    )
    head, prior = Pivots(CONTEXT, caps=(60,), neighbours=(2,)), PivotPrior()
    world, times = world_of(random_candles(70)), np.arange(4)
    prior.fit(head, "L1", world, times, label)
    constant = prior.predict(world, times)
    assert constant["L1"][0] == pytest.approx([math.log(3.5 / 1.5), math.log(2.5 / 1.5), 1.0, 2.0])
    found = head.metrics("L1", constant, label, {"pivot_prior": constant})
    values = {name: point_value(metric) for name, metric in found.items()}
    assert values["skill"] == values["skill_distance"] == values["skill_time"] == 0.0
    assert values["distance_mse"] == pytest.approx(8 / 3)
    assert values["time_mse"] == pytest.approx(2 / 3)
    wanted = math.log(4 / 2.5) * 2 / 3 + math.log(4 / 1.5) / 3
    assert values["high_log_loss"] == pytest.approx(wanted)
    assert math.isnan(values["rank_ic_distance"])
    better = constant["L1"] + np.array([[0, 0, 0, 0], [0, 0, -1, -0.5], [0, 0, 1, 0.5], [0] * 4])
    found = head.metrics("L1", {"L1": better}, label, {"pivot_prior": constant})
    values = {name: point_value(metric) for name, metric in found.items()}
    assert values["skill_distance"] == pytest.approx(1 - 2 / 8)
    assert values["skill_time"] == pytest.approx(1 - 0.5 / 2)
    assert values["rank_ic_log_time"] == pytest.approx(1.0)
    assert 0 < values["skill"] < 1
    assert "skill" not in head.metrics("L1", constant, label, {})


def test_where_nothing_is_reached_at_all_figures_are_undefined() -> None:
    label = values_of(reached=[0, 0], high=[0, 0], distance=[0, 0], log_time=[0, 0])
    head = Pivots(CONTEXT, caps=(60,), neighbours=(2,))
    references = {"pivot_prior": {"L1": np.ones((2, 4))}}
    found = head.metrics("L1", {"L1": np.zeros((2, 4))}, label, references)
    values = {name: point_value(metric) for name, metric in found.items()}
    assert values["loss"] == values["reached_log_loss"] == pytest.approx(math.log(2))
    assert math.isnan(values["distance_mse"])
    assert math.isnan(values["skill_time"])


def test_the_entry_is_what_a_trade_would_get() -> None:
    slow = HeadContext(8, SPECS, CLOCK, order_latency_ms=MINUTE)
    world, t = world_of(random_candles(300)), np.array([200 * MINUTE])
    labels = [
        label_of(Pivots(context, caps=(60,), neighbours=(2,)), "L1", world, t).values["distance"][0]
        for context in (CONTEXT, slow)
    ]
    opens, s = world.clock_candles.ohlcv[200:202, OPEN], world.label_volatility(t)[0]
    later = math.log(opens[1] / opens[0]) / (s * math.sqrt(60))
    assert labels[0] - labels[1] == pytest.approx(later)


def test_mistakes_are_told() -> None:
    for caps, neighbours in (((), ()), ((60,), (2, 1)), ((0,), (2,)), ((60,), (0,))):
        with pytest.raises(ConfigError, match=r"found caps .*\n.*a cap and a number of neighbours"):
            Pivots(CONTEXT, caps=caps, neighbours=neighbours)
