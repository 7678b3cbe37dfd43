"""Realised volatility against s: by hand, across gaps, and against the best there can be."""

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
from mtf.evaluation.regression_baselines import TrainMean, Zero
from mtf.heads.volatility import Volatility
from mtf.market.candles import CLOSE, OPEN, Candles
from mtf.market.labels import Future, Label
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


def label_of(head: Volatility, world: World, times: np.ndarray) -> Label:
    return head.label("prediction", Future(world, times, head.reach("prediction", times)))


def realised(*steps: tuple[float, float]) -> float:
    return math.sqrt(sum(math.log(after / before) ** 2 for before, after in steps))


def test_from_the_entry_to_its_close_then_close_to_close() -> None:
    """The open of slot 71 does not count; slot 73 is beyond the horizon of three minutes."""
    head, t = Volatility(CONTEXT, horizon=3), np.array([70 * MINUTE])
    rows = [(100, 120, 80, 101, 1), (105, 120, 80, 99, 1), (99, 120, 80, 100, 1), (1, 9, 1, 9, 1)]
    world = world_of(candles_of([*CALM, *rows]))
    label, s = label_of(head, world, t), world.label_volatility(t)
    wanted = realised((100, 101), (101, 99), (99, 100))
    assert label.values["volatility"][0] == pytest.approx(wanted)
    assert label.values["target"][0] == pytest.approx(math.log(wanted / (s[0] * math.sqrt(3))))
    assert head.volatility(label.values["target"], s)[0] == pytest.approx(wanted)


def test_a_return_across_a_gap_is_one_return() -> None:
    head, t = Volatility(CONTEXT, horizon=4), np.array([70 * MINUTE])
    rows = [(100, 120, 80, 101, 1), None, None, (90, 120, 80, 98, 1)]
    label = label_of(head, world_of(candles_of([*CALM, *rows])), t)
    assert label.values["volatility"][0] == pytest.approx(realised((100, 101), (101, 98)))


def test_with_fewer_than_half_of_the_candles_there_is_no_label() -> None:
    head, row = Volatility(CONTEXT, horizon=4), (100.0, 101.0, 99.0, 100.5, 1.0)
    for ahead, present in (([row, row, None, None], True), ([None, row, None, None], False)):
        label = label_of(head, world_of(candles_of([*CALM, *ahead])), np.array([70 * MINUTE]))
        assert label.present.tolist() == [present]
    early = label_of(head, world_of(candles_of(CALM)), np.array([30 * MINUTE]))
    assert not early.present.any(), "s is not known yet"
    nothing = label_of(head, world_of(candles_of(CALM)), np.array([70, 90]) * MINUTE)
    assert not nothing.present.any(), "the history is over"


def test_where_nothing_moves_the_floor_counts() -> None:
    head, flat = Volatility(CONTEXT, horizon=2), (100.0, 100.0, 100.0, 100.0, 0.0)
    world = world_of(candles_of([*CALM, flat, flat]))
    label = label_of(head, world, np.array([70 * MINUTE]))
    assert label.values["volatility"][0] == pytest.approx(1e-5 * math.sqrt(2))
    assert np.isfinite(label.values["target"]).all()


def account(candles: Candles, row: int, latency: int, horizon: int) -> float | None:
    """The definition read aloud; prices of row ``row`` are the first at or after t."""
    ahead = range(row + latency, min(row + horizon, len(candles)))
    there = [i for i in ahead if candles.valid[i]]
    if len(there) < horizon / 2:
        return None
    before, total = candles.ohlcv[there[0], OPEN], 0.0
    for i in there:
        total += math.log(candles.ohlcv[i, CLOSE] / before) ** 2
        before = candles.ohlcv[i, CLOSE]
    return math.sqrt(total)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    missing=st.sampled_from([0.0, 0.3, 0.6]),
    horizon=st.integers(1, 9),
    latency=st.integers(0, 2),
)
def test_realised_volatility_equals_an_independent_account(
    seed: int, missing: float, horizon: int, latency: int
) -> None:
    candles = random_candles(40, seed, missing=missing)
    times = np.arange(45) * MINUTE
    future = Future(world_of(candles), times, np.full(45, horizon * MINUTE))
    found = future.realised_volatility(horizon * MINUTE, latency * MINUTE)
    for row in range(45):
        wanted = account(candles, row, latency, horizon)
        assert found[row] == pytest.approx(np.nan if wanted is None else wanted, nan_ok=True)


def test_it_cannot_read_beyond_its_reach() -> None:
    head, times = Volatility(CONTEXT, horizon=15), np.array([70 * MINUTE])
    assert head.reach("prediction", times).tolist() == [15 * MINUTE]
    short = Future(world_of(random_candles(100)), times, np.array([14 * MINUTE]))
    with pytest.raises(LookaheadError, match="volatility up to 900000 ms ahead"):
        head.label("prediction", short)


@torch.no_grad()
@pytest.mark.parametrize("horizon", [1, 2, 15])
def test_it_starts_at_the_mean_of_gaussian_returns(horizon: int) -> None:
    torch.manual_seed(0)
    head = Volatility(HeadContext(64, SPECS, CLOCK), horizon=horizon)
    said = head(Fused(torch.randn(500, 64), torch.randn(500, 1, 64)))["prediction"]
    draws = np.random.default_rng(0).standard_normal((100_000, horizon))
    wanted = 0.5 * np.log(np.square(draws).mean(1)).mean()
    assert said.shape == (500, 1)
    assert float(said.mean()) == pytest.approx(wanted, abs=0.03)


def test_metrics_of_a_perfect_and_of_a_doubled_forecast() -> None:
    label = Label({"target": np.array([0.5, -1.0])}, np.ones(2, dtype=bool), np.arange(2))
    truth = label.values["target"][:, None]
    head, references = Volatility(CONTEXT), {"zero": {"prediction": np.zeros((2, 1))}}
    doubled = math.log(2), math.log(2) ** 2, 0.25 + math.log(4) - 1
    for shift, mse, qlike in ((0.0, 0.0, 0.0), doubled):
        found = head.metrics("prediction", {"prediction": truth + shift}, label, references)
        values = {name: point_value(metric) for name, metric in found.items()}
        assert values["mse"] == pytest.approx(mse)
        assert values["qlike"] == pytest.approx(qlike), "variance of a quarter: x - ln x - 1"
        assert values["skill"] == pytest.approx(1 - mse / 0.625)
        assert values["rank_ic"] == pytest.approx(1.0)


def test_the_best_forecast_of_told_volatility_has_the_skill_that_theory_gives_it() -> None:
    """A minute's log volatility is told: what is left is that of ln |z|, π²/8 with mean -0.6352."""
    rng, minutes = np.random.default_rng(0), 40_000
    log_sd = math.log(1e-2) + 0.7 * rng.standard_normal(minutes)
    close = 100 * np.exp(np.cumsum(np.exp(log_sd) * rng.standard_normal(minutes)))
    opening = np.concatenate([[100.0], close[:-1]])
    prices = [opening, np.maximum(opening, close), np.minimum(opening, close), close]
    ohlcv = np.stack([*prices, np.ones(minutes)], axis=1)
    world = world_of(Candles("ETHUSDT", CLOCK, 0, ohlcv, np.ones(minutes, dtype=bool)))
    times, head = np.arange(2_000, minutes) * MINUTE, Volatility(CONTEXT, horizon=1)
    label = label_of(head, world, times)
    best = log_sd[times // MINUTE] - 0.6352 - np.log(world.label_volatility(times))
    references = {}
    for baseline in (Zero(), TrainMean()):
        baseline.fit(head, "prediction", world, times, label)
        references[baseline.name] = baseline.predict(world, times)
    found = head.metrics("prediction", {"prediction": best[:, None]}, label, references)
    left = math.pi**2 / 8
    assert point_value(found["mse"]) == pytest.approx(left, abs=0.04)  # 2 standard errors
    wanted = 1 - left / (left + 0.49)  # what s itself wavers is less than 0.01
    assert point_value(found["skill"]) == pytest.approx(wanted, abs=0.012)
    for other in ("zero", "train_mean"):
        beside = head.metrics("prediction", references[other], label, references)
        assert point_value(beside["skill"]) <= 1e-12


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match=r"found horizon 0\n.*at least 1 clock step"):
        Volatility(CONTEXT, horizon=0)
