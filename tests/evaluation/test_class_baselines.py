"""Class prior, momentum and logistic regression: small answers, and a signal they must find."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fakes_of_evaluation import Direction, decisions
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.evaluation.baseline import Baseline
from mtf.evaluation.class_baselines import ClassPrior, Logistic, Momentum, class_frequencies
from mtf.evaluation.metrics import log_loss, point_value
from mtf.evaluation.past import clock_histories, past_log_closes
from mtf.evaluation.prior import prior_log_losses
from mtf.market.candles import Candles
from mtf.market.labels import Label
from mtf.market.world import World

TRAIN = np.arange(300, 3000) * MINUTE
TEST = np.arange(3000, 3900) * MINUTE


def trending(
    slots: int = 4000, seed: int = 0, rho: float = 0.6, symbol: str = "ETHUSDT"
) -> Candles:
    """Each minute goes on with part of the one before."""
    random = np.random.default_rng(seed)
    moves = random.normal(0, 1e-3, slots)
    for row in range(1, slots):
        moves[row] += rho * moves[row - 1]
    candles = random_candles(slots, symbol=symbol)
    close = 100 * np.exp(np.cumsum(moves))
    opening = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opening, close), np.minimum(opening, close)
    ohlcv = np.stack([opening, high, low, close, candles.ohlcv[:, 4]], axis=1)
    return dataclasses.replace(candles, ohlcv=ohlcv)


def fitted(baseline: Baseline, world: World, head: Direction) -> Baseline:
    """The baseline, fitted on the training times."""
    train = decisions({"d": head}, world, TRAIN)
    baseline.fit(head, "direction", world, TRAIN, train.labels["d"]["direction"])
    return baseline


def loss_of(baseline: Baseline, world: World, head: Direction) -> float:
    """Its log loss on the test times."""
    label = decisions({"d": head}, world, TEST).labels["d"]["direction"]
    probs = baseline.predict(world, TEST)["probs"]
    assert probs.shape == (len(TEST), 3)
    assert probs.sum(axis=1) == pytest.approx(1.0)
    return point_value(log_loss(probs[label.present], label.values["class"][label.present]))


def test_frequencies_by_hand() -> None:
    assert class_frequencies(np.array([0, 2, 2, 2])).tolist() == [0.25, 0.0, 0.75]
    assert class_frequencies(np.zeros(0, dtype=np.int64)).tolist() == [1 / 3] * 3


def test_the_prior_counts_only_decisions_with_a_label() -> None:
    label = Label(
        {"class": np.array([0, 1, 1, 2])}, np.array([False, True, True, True]), np.arange(4)
    )
    world = world_of(random_candles(10))
    prior = ClassPrior()
    prior.fit(Direction(), "direction", world, np.arange(4) * MINUTE, label)
    assert prior.predict(world, TEST[:2])["probs"].tolist() == [[0, 2 / 3, 1 / 3]] * 2


def test_past_closes_by_hand() -> None:
    candles = candles_of([(1, 1, 1, 1, 1), (2, 2, 2, 2, 1), None, (4, 4, 4, 4, 1)])
    closes = past_log_closes(candles, 0, np.array([4 * MINUTE, 2 * MINUTE]), (0, 1, 2, 3, 4))
    expected = [[np.log(4), np.nan, np.log(2), 0, np.nan], [np.log(2), 0, np.nan, np.nan, np.nan]]
    np.testing.assert_allclose(closes, expected)
    late = dataclasses.replace(candles, available_at=np.array([1, 2, 3, 4]) * MINUTE + 30_000)
    closes = past_log_closes(late, 0, np.array([4 * MINUTE]), (0, 2))
    np.testing.assert_allclose(closes, [[np.nan, np.log(2)]])
    closes = past_log_closes(candles, 1, np.array([4 * MINUTE]), (0, 1))
    np.testing.assert_allclose(closes, [[np.nan, np.log(2)]])


def test_histories_are_the_primary_and_the_references_at_the_clock() -> None:
    world = world_of(random_candles(400), {"1m": 8, "5m": 8}, random_candles(400, symbol="BTCUSDT"))
    assert [candles.symbol for candles, _ in clock_histories(world)] == ["ETHUSDT", "BTCUSDT"]


@pytest.mark.parametrize("make", [Momentum, Logistic])
def test_a_trend_is_found(make: type[Baseline]) -> None:
    world, head = world_of(trending()), Direction()
    gain = loss_of(fitted(ClassPrior(), world, head), world, head)
    gain -= loss_of(fitted(make(), world, head), world, head)
    assert gain > 0.02


@pytest.mark.parametrize("make", [Momentum, Logistic])
def test_little_is_lost_where_nothing_is(make: type[Baseline]) -> None:
    world, head = world_of(random_candles(4000)), Direction()
    gain = loss_of(fitted(ClassPrior(), world, head), world, head)
    gain -= loss_of(fitted(make(), world, head), world, head)
    assert abs(gain) < 0.03


def test_logistic_reads_the_reference() -> None:
    btc = trending(rho=0.0, seed=1, symbol="BTCUSDT")
    ahead = np.concatenate([btc.ohlcv[:1].repeat(3, axis=0), btc.ohlcv[:-3]])  # ETH is BTC, later
    world = world_of(dataclasses.replace(btc, symbol="ETHUSDT", ohlcv=ahead), btc=btc)
    head = Direction(minutes=3)
    assert loss_of(fitted(Logistic(), world, head), world, head) < 0.5
    assert loss_of(fitted(Momentum(), world, head), world, head) > 0.9


@pytest.mark.parametrize("make", [ClassPrior, Momentum, Logistic])
def test_nothing_after_t_moves_a_forecast(make: type[Baseline]) -> None:
    candles = trending()
    later = candles.ohlcv.copy()
    later[3500:] *= np.linspace(1, 2, 500)[:, None]
    world = world_of(candles)
    changed = world_of(dataclasses.replace(candles, ohlcv=later))
    baseline = fitted(make(), world, Direction())
    times = np.arange(3400, 3501) * MINUTE
    first, second = (baseline.predict(one, times)["probs"] for one in (world, changed))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("make", [ClassPrior, Momentum, Logistic])
def test_gaps_and_unknown_volatility_are_taken(make: type[Baseline]) -> None:
    world = world_of(random_candles(4000, missing=0.2))
    baseline = fitted(make(), world, Direction())
    probs = baseline.predict(world, np.arange(0, 200) * MINUTE)["probs"]
    assert np.isfinite(probs).all()
    assert probs.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("make", [ClassPrior, Momentum, Logistic])
def test_a_training_part_without_labels_or_with_one_class_is_taken(make: type[Baseline]) -> None:
    world, baseline = world_of(random_candles(4000)), make()
    none = np.zeros(len(TRAIN), dtype=np.int64)
    for present, expected in ((False, [1 / 3] * 3), (True, [1, 0, 0])):
        label = Label({"class": none}, np.full(len(TRAIN), present), none)
        baseline.fit(Direction(), "direction", world, TRAIN, label)
        probs = baseline.predict(world, TEST[:3])["probs"]
        np.testing.assert_allclose(probs, [expected] * 3, atol=1e-12)


def test_logistic_is_fitted_on_a_bounded_number_of_decisions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, head = world_of(trending()), Direction()
    monkeypatch.setattr(Logistic, "most_rows", 1000)
    monkeypatch.setattr(Logistic, "rows_at_once", 100)
    few = loss_of(fitted(Logistic(), world, head), world, head)
    monkeypatch.undo()
    assert few == pytest.approx(loss_of(fitted(Logistic(), world, head), world, head), abs=0.05)


def test_the_priors_mark_is_what_the_baseline_scores() -> None:
    world, head = world_of(trending()), Direction()
    train, test = (decisions({"d": head}, world, times).labels for times in (TRAIN, TEST))
    mark = prior_log_losses({"d": head}, train, test)
    assert mark == {
        "d/log_loss": pytest.approx(loss_of(fitted(ClassPrior(), world, head), world, head))
    }
