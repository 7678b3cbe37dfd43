"""Many small configs trained where there is nothing to find: the best looks good, and is luck.

Every config is drawn at random, really trained and traded on one random walk, without costs, which
would make all of them lose. Among two hundred the best Sharpe ratio is one that anybody would show;
deflated by the trials that it took, it is nothing, and the standing says so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.evaluation.ledger import Ledger
from mtf.evaluation.predict import predictions_of
from mtf.evaluation.short_run import asked, trained
from mtf.evaluation.standing import Standing, standing
from mtf.evaluation.trial import Trial, config_hash, market_of
from mtf.predictions import Predictions
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.contracts import Policy
from mtf.trading.costs import Broker
from mtf.trading.metrics import sharpe_ratio
from mtf.trading.run import backtest
from mtf.trading.sharpe import moments
from mtf.trading.targets import Targets

FREE = Broker(commission=0.0)
STEPS = 40


def drawn(draw: random.Random, seed: int) -> Config:
    """A small config on the random walk: hours of one symbol, a test part of three months."""
    values: dict[str, Any] = {
        "name": "noise",
        "seed": seed,
        "data": {"name": "synthetic", "world": "random_walk", "seed": 7},
        "decisions": {
            "clock": "1h",
            "start": "2023-01-01",
            "end": "2024-01-01",
            "symbols": ["ETHUSDT"],
        },
        "streams": {"1h": {"lookback": draw.choice([8, 16, 32, 64])}},
        "split": {"train": 0.6, "validation": 0.1, "calibration": 0.05, "test": 0.25},
        "model": {
            "embed_dim": draw.choice([4, 8, 16]),
            "encoder": {"name": draw.choice(["linear", "mlp"])},
            "tokens": {"name": draw.choice(["log", "last", "mean"])},
            "fusion": {"num_layers": 1, "num_heads": 1, "feedforward_dim": 8},
        },
        "heads": {"price": {"horizon": draw.choice([1, 3, 6, 12, 24])}},
        "training": {
            "sampling": {"groups": 16, "decisions": 8, "stride": 2},
            "optimizer": {"lr": 10 ** draw.uniform(-3, -2)},
            "stream_dropout": 0.0,
        },
        "fabric": {"accelerator": "cpu", "threads": 1},
    }
    return parse_config(values)


@dataclass(frozen=True)
class Unusual(Policy):
    """Long where more is expected than usually of late, else short, or flat.

    Where there is nothing to find a model soon says nearly the same at all times, and a threshold
    on it would be one decision for the whole part. What is left of its opinions is traded here.
    """

    span: int
    holding: int
    long_only: bool

    def targets(self, predictions: Predictions) -> Targets:
        said = pd.Series(predictions.arrays["price.prediction"])
        more = np.sign(np.asarray(said - said.ewm(span=self.span).mean()))
        weight = np.maximum(more, 0.0) if self.long_only else more
        asked = np.arange(len(weight)) % self.holding == 0
        return Targets.plain(predictions.times, np.where(asked, weight, np.nan))


def policy(draw: random.Random) -> Unusual:
    """A policy at random."""
    return Unusual(draw.choice([12, 48, 192]), draw.choice([1, 3, 8, 24]), draw.random() < 0.3)


def tried(seed: int) -> Trial:
    """One config trained and traded on the test part."""
    draw = random.Random(seed)
    config = drawn(draw, seed)
    chosen = policy(draw)
    task = trained(config, STEPS, seed)
    test = task.parts["test"]
    said = predictions_of(task.panel.heads, asked(task, "test"), config.symbol, "test")
    bars = Bars.of(task.world.clock_candles, test.start_ms, test.end_ms)
    outcome = backtest(said, bars, chosen, Candle(), FREE)
    days, net_return = outcome.daily()
    return Trial(
        kind="backtest",
        run="",
        name=config.name,
        config_hash=config_hash(config),
        data_hash=task.fingerprint,
        market=market_of(config, task.source),
        symbols=(config.symbol,),
        seed=config.seed,
        part="test",
        start_ms=test.start_ms,
        end_ms=test.end_ms,
        terms={"policy": vars(chosen), "commission": 0.0},
        days=days,
        net_return=net_return,
        figures={"sharpe_ratio": sharpe_ratio(outcome.returns, outcome.timeframe)},
    )


def best_of(folder: Path, count: int) -> tuple[Trial, Standing]:
    """Try so many, record all, and judge the one with the best Sharpe ratio of days."""
    ledger = Ledger(folder)
    for seed in range(count):
        ledger.record(tried(seed))
    records = ledger.read()
    assert records.passed_over == ()
    best = max(records.trials, key=lambda one: np.nan_to_num(moments(one.net_return).sharpe))
    return best, standing(records, best)


@pytest.mark.slow
def test_the_best_of_twelve_is_not_taken_for_more_than_luck(tmp_path: Path) -> None:
    _, found = best_of(tmp_path, 12)
    assert found.sharpe is not None
    assert found.sharpe.num_trials == 12
    assert found.sharpe.sharpe > 0
    assert not found.beyond_luck
    assert "not more than luck" in found.text()
    assert "test part looked at 12 times" in found.text()


@pytest.mark.long
def test_the_best_of_two_hundred_looks_good_and_is_said_to_be_luck(tmp_path: Path) -> None:
    best, found = best_of(tmp_path, 200)
    print(found.text())
    assert found.sharpe is not None
    assert found.sharpe.num_trials == 200
    assert best.figures["sharpe_ratio"] > 2
    assert found.sharpe.probabilistic > 0.95  # alone it would pass
    assert found.sharpe.value < 0.9
    assert not found.beyond_luck
    assert "not more than luck" in found.text()
    assert found.overfitting.probability is not None
