"""The momentum trader beside the best long-only rule, and on white noise, where nobody earns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tasks import Silent

from mtf.config.load import load_config
from mtf.data_sources.synthetic import Synthetic
from mtf.evaluation.part import evaluate_part_of
from mtf.learning.checkpoint import read_newest
from mtf.learning.optimise import set_tensors
from mtf.learning.task import prepare
from mtf.market.candles import CLOSE
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

RHO, MINUTE = 0.2, 60_000
BEST = RHO / math.sqrt(2 * math.pi * (1 - RHO**2))
"""What holding after a rise earns a step, in standard deviations of the shocks: 0.0814."""
DROPOUT = "model.encoder.dropout=0.5"
SEEDS, SAMPLE = 20, 4
"""Pinned seeds of the white noise, and how many of them the shorter test takes."""


@dataclass(frozen=True)
class Trader:
    """One training run as the config has it, judged by its best weights on the test part.

    Figures are returns a step in standard deviations of the shocks.

    Attributes:
        earned: on the test part.
        expected: on the test part, had every return been what the law foresees of it.
        rule: what holding after a rise earned on the same decisions.
        train: the curve of the mean return on the training part, an epoch each.
        validation: the same of the validation part.
    """

    earned: float
    expected: float
    rule: float
    train: np.ndarray
    validation: np.ndarray

    @property
    def late(self) -> tuple[float, float]:
        """The last third of both curves, in training and in validation."""
        third = len(self.train) // 3
        return float(self.train[-third:].mean()), float(self.validation[-third:].mean())


LUCK = 0.6 / math.sqrt(56_000)
"""Standard error of what half a position earns on the test part, in shocks a minute."""


@cache
def trader(seed: int, rho: float, *overrides: str) -> Trader:
    """Train and judge; candles, weights and batches are of that seed."""
    given = [f"seed={seed}", f"data.seed={seed}", f"data.rho={rho}", "evaluation.bootstrap=0"]
    task = prepare(load_config("momentum_trader", [*given, *overrides]))
    log = Silent()
    with TemporaryDirectory() as folder:
        task.fitting(log, Silent(), Path(folder)).run()
        best = read_newest(Path(folder), "best")
        set_tensors(task.model, best.tensors["weights"])
    done = evaluate_part_of(task, "test")
    said = done.predictions
    forecast = task.source.best_forecast("ETHUSDT", said.times, MINUTE)
    assert forecast is not None
    weight, happened = said.arrays["position.weight"], said.arrays["position.label_log_return"]
    shock = math.sqrt(float(forecast[1][0]))
    rule = done.results.heads["position"]["weight"].baselines["momentum_rule"]
    return Trader(
        float(np.nanmean(weight * happened)) / shock,
        float(np.mean(weight * forecast[0])) / shock,
        rule.metrics["net_bps"].value / 1e4 / shock,
        np.array(log.scalars["train_measured/position/net"]),
        np.array(log.scalars["validation/position/net"]),
    )


def returns(rho: float, days: int = 100) -> np.ndarray:
    """Log returns of the world in standard deviations of its shocks."""
    source = Synthetic(world="momentum", rho=rho)
    clock = Timeframe.parse("1m")
    candles = source.load([Request("ETHUSDT", clock, 0, days * 1440 * MINUTE)])[0]
    sd = 0.03 / math.sqrt(1440) * math.sqrt(1 - rho**2)
    return np.asarray(np.diff(np.log(candles.ohlcv[:, CLOSE])) / sd)


def test_the_best_linear_rule_earns_0_0814_a_step_and_looks_at_the_last_return_alone() -> None:
    """Long where a·r_t + b·r_(t-1) > 0 earns cov(score, r_next) / (sd(score)·√(2π)).

    Largest where score and next return correlate most: at what is foreseen, ρ·r_t.
    """
    assert pytest.approx(0.0814, abs=5e-5) == BEST
    r = returns(RHO)
    last, before, following = r[1:-1], r[:-2], r[2:]
    error = 0.6 / math.sqrt(len(following))
    earned = {b: float(np.mean((last + b * before > 0) * following)) for b in (-0.5, 0.0, 0.5)}
    assert earned[0.0] == pytest.approx(BEST, abs=2 * error)
    for b in (-0.5, 0.5):
        covariance = (RHO + b * RHO**2) / (1 - RHO**2)
        sd = math.sqrt((1 + b**2 + 2 * b * RHO) / (1 - RHO**2))
        wanted = covariance / (sd * math.sqrt(2 * math.pi))
        assert earned[b] == pytest.approx(wanted, abs=2 * error)
        assert wanted < 0.95 * BEST


def test_the_config_is_the_published_setup() -> None:
    config = load_config("momentum_trader")
    sampling, optimizer = config.training.sampling, config.training.optimizer
    assert sampling.groups * sampling.steps_per_epoch == 1_000
    assert sampling.decisions == 20 - config.streams["1m"].lookback == 16
    minutes = (config.decisions.end_ms - config.decisions.start_ms) / MINUTE
    assert minutes * config.split.train == 20 * 1_000
    assert minutes * config.split.validation == 20 * 100
    assert (config.model.embed_dim, optimizer.name, optimizer.lr) == (5, "rmsprop", 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), (DROPOUT,)], ids=["plain", "dropout"])
def test_it_earns_nine_tenths_of_what_the_best_rule_does(overrides: tuple[str, ...]) -> None:
    found = trader(0, RHO, *overrides)
    assert found.rule == pytest.approx(BEST, abs=2 * LUCK)
    assert found.expected >= 0.9 * BEST
    assert found.earned >= 0.9 * found.rule


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean over seeds, and its standard error."""
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Late in the curves, in training and in validation, a row a seed: plain, and with dropout.

    On white noise every rule earns 0 in truth, so what training earns is overfitting. Checked on
    the way: on the test part nobody earns anything.
    """
    plain = [trader(seed, 0.0) for seed in range(count)]
    dropped = [trader(seed, 0.0, DROPOUT) for seed in range(count)]
    # The law of the noise tells the error; the spread of four seeds is too rough a guess at it.
    error = LUCK / math.sqrt(count)
    for found in (plain, dropped):
        assert abs(np.mean([one.earned for one in found])) <= 2 * error
    return np.array([one.late for one in plain]), np.array([one.late for one in dropped])


@pytest.mark.slow
def test_on_white_noise_only_training_earns_and_less_with_dropout_4_of_20_seeds() -> None:
    plain, dropped = noise(SAMPLE)
    mean, error = mean_and_error(plain[:, 0])
    assert mean > 2 * error
    assert plain[:, 1].mean() < 0 < dropped[:, 0].mean() < plain[:, 0].mean()


@pytest.mark.long
def test_on_white_noise_only_training_earns_and_less_with_dropout_20_seeds() -> None:
    plain, dropped = noise(SEEDS)
    for surplus in (plain[:, 0], plain[:, 0] - plain[:, 1], plain[:, 0] - dropped[:, 0]):
        mean, error = mean_and_error(surplus)
        assert mean > 2 * error
