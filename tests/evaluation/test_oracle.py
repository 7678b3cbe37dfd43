"""The oracle: a normal forecast as chances of three classes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from fakes_of_evaluation import Candle, Direction, Knowing, decisions
from scipy import stats
from worlds import MINUTE, random_candles, world_of

from mtf.data_sources.synthetic import Synthetic
from mtf.errors import DataError
from mtf.evaluation.evaluate import evaluate_part
from mtf.evaluation.oracle import Oracle, three_ways
from mtf.market.labels import Label
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

TIMES = np.arange(300, 305) * MINUTE


class Coarse(Knowing):
    """Knows its law on another grid only."""

    def best_forecast(self, symbol: str, times: np.ndarray, horizon_ms: int) -> None:
        raise DataError("off the grid")


class Silent(Knowing):
    """Does not know its own law."""

    def best_forecast(self, symbol: str, times: np.ndarray, horizon_ms: int) -> None:
        return None


def test_chances_by_the_normal_distribution() -> None:
    probs = three_ways(np.array([1.0]), np.array([4.0]), np.array([0.5]))[0]
    law = stats.norm(1.0, 2.0)
    assert probs == pytest.approx([law.sf(0.5), law.cdf(-0.5), law.cdf(0.5) - law.cdf(-0.5)])


def test_what_is_not_known_is_equally_likely() -> None:
    probs = three_ways(np.array([np.nan]), np.array([1.0]), np.array([0.5]))
    assert probs.tolist() == [[1 / 3] * 3]


def test_a_certain_forecast_is_certain() -> None:
    assert three_ways(np.array([-1.0]), np.array([0.0]), np.array([0.5])).tolist() == [[0, 1, 0]]


def test_it_uses_the_thresholds_of_the_head() -> None:
    world, head, oracle = world_of(random_candles(400)), Direction(), Oracle(Knowing())
    label = Label({}, np.ones(5, dtype=bool), np.arange(5))
    oracle.fit(head, "direction", world, TIMES, label)
    probs = oracle.predict(world, TIMES)["probs"]
    threshold = head.threshold(world.label_volatility(TIMES))
    assert probs[:, 0] == pytest.approx(stats.norm(1e-3, 1e-3).sf(threshold))


def test_it_speaks_only_where_somebody_knows() -> None:
    world = world_of(random_candles(400))
    assert Oracle(Knowing()).suits(Direction(), "direction")
    assert not Oracle(Knowing()).suits(Candle(("1m",)), "1m")
    assert Oracle(Knowing()).knows(Direction(), "direction", world, TIMES)
    for nobody in (Silent(), Coarse()):
        assert not Oracle(nobody).knows(Direction(), "direction", world, TIMES)


@pytest.mark.parametrize(("world", "gain"), [("momentum", 0.01), ("market", 0.01)])
def test_nobody_beats_the_oracle_of_a_synthetic_world(
    world: Literal["momentum", "market"], gain: float
) -> None:
    day = 86_400_000
    source = Synthetic(world=world, rho=0.3)
    symbols = ("ETHUSDT", "BTCUSDT")
    requests = [Request(symbol, Timeframe.parse("1m"), 0, 20 * day) for symbol in symbols]
    eth, btc = source.load(requests)
    market = world_of(eth, btc=btc)
    heads = {"way": Direction(minutes=5)}
    train = decisions(heads, market, np.arange(day, 14 * day, 2 * MINUTE))
    test = decisions(heads, market, np.arange(14 * day, 20 * day, MINUTE))
    guess = {"way": {"probs": np.full((len(test.times), 3), 1 / 3)}}
    results = evaluate_part(heads, guess, test, train, source=source, bootstrap=20)
    beside = results.heads["way"]["direction"].baselines
    losses = {name: one.metrics["log_loss"].value for name, one in beside.items()}
    assert min(losses, key=lambda name: losses[name]) == "oracle"
    assert losses["oracle"] < losses["class_prior"] - gain
