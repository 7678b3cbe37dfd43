"""The log return at the horizon: by hand, in units of s·√h, and against the best there can be."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.data_sources.synthetic import Synthetic
from mtf.errors import ConfigError, LookaheadError
from mtf.evaluation.metrics import point_value
from mtf.evaluation.regression_baselines import TrainMean, Zero
from mtf.heads.price import Price
from mtf.market.labels import Future, Label
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World
from mtf.plugins.contracts import Fused, HeadContext, Request

CLOCK = Timeframe.parse("1m")
SPECS = (StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),)
CONTEXT = HeadContext(8, SPECS, CLOCK)
CALM: list[tuple[float, ...] | None] = [
    (100.0, 100.1, 99.9, 100.0 + 0.05 * (-1) ** i, 1.0) for i in range(70)
]
"""Seventy minutes that end at slot 69."""


def label_of(head: Price, world: World, times: np.ndarray) -> Label:
    return head.label("prediction", Future(world, times, head.reach("prediction", times)))


def test_from_the_next_open_to_the_last_close_in_units_of_s_root_h() -> None:
    """Entry: open of slot 70 (100). Slot 72 is missing: exit at the close of 71 (101)."""
    head, t = Price(CONTEXT, horizon=3), np.array([70 * MINUTE])
    world = world_of(
        candles_of([*CALM, (100, 102, 98, 100, 1), (100, 102, 98, 101, 1), None, (1, 9, 1, 9, 1)])
    )
    label, s = label_of(head, world, t), world.label_volatility(t)
    assert label.present.tolist() == [True]
    assert label.values["log_return"][0] == pytest.approx(math.log(1.01))
    assert label.values["target"][0] == pytest.approx(math.log(1.01) / (s[0] * math.sqrt(3)))
    natural = head.log_return(label.values["target"], s)
    assert natural == pytest.approx(label.values["log_return"])


def test_without_entry_exit_or_volatility_there_is_no_label() -> None:
    head = Price(CONTEXT, horizon=2)
    world = world_of(candles_of([*CALM, None, None, None]))
    label = label_of(head, world, np.array([30, 68, 70]) * MINUTE)
    assert label.present.tolist() == [False, True, False]
    assert not label.values["target"][~label.present].any()


def test_the_group_is_the_horizon_that_it_lies_in() -> None:
    head, times = Price(CONTEXT, horizon=15), np.array([74, 75, 89, 90]) * MINUTE
    assert label_of(head, world_of(random_candles(120)), times).group.tolist() == [4, 5, 5, 6]


def test_it_cannot_read_beyond_its_reach() -> None:
    head, times = Price(CONTEXT, horizon=15), np.array([70 * MINUTE])
    assert head.reach("prediction", times).tolist() == [15 * MINUTE]
    short = Future(world_of(random_candles(100)), times, np.array([14 * MINUTE]))
    with pytest.raises(LookaheadError, match="an exit 900000 ms ahead"):
        head.label("prediction", short)


@torch.no_grad()
def test_it_starts_at_no_return_and_learns_by_the_loss_of_the_config() -> None:
    torch.manual_seed(0)
    said = Price(HeadContext(64, SPECS, CLOCK))(
        Fused(torch.randn(500, 64), torch.randn(500, 1, 64))
    )
    assert said["prediction"].shape == (500, 1)
    assert float(said["prediction"].abs().mean()) < 0.05
    outputs, values = {"prediction": torch.tensor([[3.0]])}, {"target": torch.tensor([1.0])}
    assert Price(CONTEXT).loss("prediction", outputs, values).tolist() == [4.0]
    assert Price(CONTEXT, loss="huber").loss("prediction", outputs, values).tolist() == [1.5]


def test_metrics_beside_the_constants() -> None:
    """Zero errs by 1 and 3 squared, the mean of training (2) by 1: the skill of 1.5 is 3/4."""
    label = Label({"target": np.array([1.0, 3.0])}, np.ones(2, dtype=bool), np.arange(2))
    said = {"prediction": np.array([[1.5], [2.5]])}
    references = {
        "zero": {"prediction": np.zeros((2, 1))},
        "train_mean": {"prediction": np.full((2, 1), 2.0)},
        "oracle": {},
    }
    found = Price(CONTEXT).metrics("prediction", said, label, references)
    values = {name: point_value(metric) for name, metric in found.items()}
    assert values == {"mse": 0.25, "skill": 0.75, "rank_ic": 1.0, "sign_accuracy": 1.0}
    assert "skill" not in Price(CONTEXT).metrics("prediction", said, label, {})


@pytest.mark.parametrize("rho", [0.5, 0.0])
def test_the_best_forecast_of_momentum_has_the_skill_that_theory_gives_it(rho: float) -> None:
    """AR(1): the mean is a·r_t with a = Σ rho^k, the rest Σ (1 + … + rho^k)² of the shocks."""
    horizon, days = 3, 30
    source = Synthetic(world="momentum", rho=rho)
    times = np.arange(1440, (days - 1) * 1440) * MINUTE
    world = world_of(source.load([Request("ETHUSDT", CLOCK, 0, days * 1440 * MINUTE)])[0])
    head = Price(CONTEXT, horizon=horizon)
    label = label_of(head, world, times)
    mean, _ = source.best_forecast("ETHUSDT", times, horizon * MINUTE)
    best = mean / (world.label_volatility(times) * math.sqrt(horizon))
    references = {}
    for baseline in (Zero(), TrainMean()):
        baseline.fit(head, "prediction", world, times, label)
        references[baseline.name] = baseline.predict(world, times)
    found = head.metrics("prediction", {"prediction": best[:, None]}, label, references)
    foreseen = sum(rho**k for k in range(1, horizon + 1)) ** 2 / (1 - rho**2)
    unforeseen = sum(sum(rho**j for j in range(k)) ** 2 for k in range(1, horizon + 1))
    wanted = foreseen / (foreseen + unforeseen)
    assert point_value(found["skill"]) == pytest.approx(wanted, abs=0.012)  # 2 standard errors
    if rho:
        assert wanted == pytest.approx(0.1392, abs=1e-4)
        orders = 6 / math.pi * math.asin(math.sqrt(wanted) / 2)  # Spearman of a normal pair
        assert point_value(found["rank_ic"]) == pytest.approx(orders, abs=0.02)


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match=r"found horizon 0\n.*at least 1 clock step"):
        Price(CONTEXT, horizon=0)
