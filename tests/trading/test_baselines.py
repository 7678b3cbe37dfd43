from __future__ import annotations

import numpy as np
import pytest
from accounts import account, earning
from hypothesis import given, settings
from hypothesis import strategies as st
from money import MINUTE, bars_of, flat, targets_of, traded

from mtf.trading import baselines
from mtf.trading.metrics import trading_metrics
from mtf.trading.targets import Targets

NAN = float("nan")


def stepped(*weights: float) -> Targets:
    """A decision a minute."""
    return targets_of(dict(enumerate(weights)))


def test_buy_and_hold_trades_once() -> None:
    candles = [flat(100.0), flat(110.0), flat(90.0), flat(120.0)]
    targets = baselines.buy_and_hold(np.arange(4, dtype=np.int64) * MINUTE)
    outcome = traded(candles, targets, commission=0.01, used=0.5)
    assert outcome.equity[-1] == pytest.approx(1000 - 5 + 100)
    assert len(outcome.fills) == 1
    assert len(baselines.buy_and_hold(np.empty(0, dtype=np.int64))) == 0


def test_momentum_reads_closed_bars_only() -> None:
    bars = bars_of([flat(100.0), flat(101.0), None, flat(99.0), flat(98.0), flat(98.0)])
    times = np.arange(7, dtype=np.int64) * MINUTE
    targets = baselines.momentum_rule(times, bars, lookback=1)
    # the close of minute 1 is known at 2:00; minute 2 is missing, so nothing is known at 3 and 4
    assert targets.weight.tolist() == [0, 0, 1, 0, 0, -1, 0]
    later = bars_of([flat(100.0), flat(101.0), None, flat(99.0), flat(500.0), flat(1.0)])
    again = baselines.momentum_rule(times, later, lookback=1)
    assert again.weight[:5].tolist() == targets.weight[:5].tolist()


def test_momentum_without_short_positions() -> None:
    bars = bars_of([flat(100.0), flat(99.0), flat(98.0)])
    targets = baselines.momentum_rule(np.array([3 * MINUTE]), bars, lookback=2, lowest=0.0)
    assert targets.weight.tolist() == [0]


def test_turned_by_hand() -> None:
    targets = stepped(NAN, 1, NAN, NAN, 0, -1)
    # what was wanted from 2 on comes first, and the long position is held there
    turned = baselines._turned(targets, 2)
    assert np.array_equal(turned.weight, [1, NAN, 0, -1, 0, 1], equal_nan=True)
    assert turned.times.tolist() == targets.times.tolist()


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([NAN, 0.0, 1.0, -1.0, 0.5]), min_size=2, max_size=40),
    st.integers(0, 99),
)
def test_random_entries_hold_as_much_and_as_long(weights: list[float], seed: int) -> None:
    turned = baselines.random_entries(stepped(*weights), seed).weight
    before, after = held(np.array(weights)), held(turned)
    assert sorted(before) == sorted(after)  # exposure, and the weights themselves
    # around the circle every change comes as often as before: so do turnover and holding times
    assert sorted(np.diff(before, append=before[0])) == sorted(np.diff(after, append=after[0]))


def held(weights: np.ndarray) -> list[float]:
    """The position at every decision, flat at first."""
    positions, position = [], 0.0
    for weight in weights:
        position = position if np.isnan(weight) else weight
        positions.append(position)
    return positions


def test_stops_and_confidence_move_with_their_decisions() -> None:
    targets = Targets(
        np.arange(5, dtype=np.int64) * MINUTE,
        np.array([0.0, 1, NAN, 0, 0]),
        np.array([0.5, 0.9, 0.6, 0.7, 0.8]),
        np.array([NAN, 0.02, NAN, NAN, NAN]),
        np.array([NAN, 0.03, NAN, NAN, NAN]),
    )
    turned = baselines._turned(targets, 2)
    assert turned.weight[0] == 1
    assert (turned.confidence[0], turned.stop_loss[0], turned.take_profit[0]) == (0.9, 0.02, 0.03)
    assert turned.confidence[1:].tolist() == [0.7, 0.8, 0.5, 0.9]


def test_draws_differ_and_repeat() -> None:
    targets = stepped(*np.arange(100) / 100)
    first, again = (list(baselines.random_draws(targets, 5, seed=3)) for _ in range(2))
    begins = [one.weight[0] for one in first]
    assert begins == [one.weight[0] for one in again]
    assert len(set(begins)) > 3
    assert all(0.1 <= begin <= 0.9 for begin in begins)
    assert baselines.random_entries(stepped(1.0)).weight.tolist() == [1]


def test_a_difference_that_is_there_is_found() -> None:
    random = np.random.default_rng(0)
    market = random.normal(0, 0.02, 300)
    better = earning(market + 0.002 + random.normal(0, 0.005, 300))
    found = baselines.paired(better, earning(market), resamples=500)
    assert (found.over, found.count) == ("days", 300)
    assert found.mean.value == pytest.approx(0.002, abs=0.001)
    assert found.mean.low > 0
    assert found.mean.p_better < 0.01
    assert found.sharpe.p_better < 0.01
    worse = baselines.paired(earning(market), better, resamples=500)
    assert worse.mean.value == -found.mean.value
    assert worse.mean.p_better > 0.99
    assert worse.mean.p_two_sided < 0.02


def test_pairing_takes_out_the_market_that_both_have() -> None:
    random = np.random.default_rng(1)
    market, own = random.normal(0, 0.05, 200), random.normal(0.001, 0.003, 200)
    # 0.001 a day drowns in a market of 0.05 a day, unless both are drawn on the same days
    found = baselines.paired(earning(market + own), earning(market), resamples=500)
    assert found.mean.high - found.mean.low < 0.002


def test_the_same_account_does_not_differ_from_itself() -> None:
    outcome = earning(np.random.default_rng(2).normal(0, 0.02, 50))
    found = baselines.paired(outcome, outcome, resamples=100)
    assert (found.mean.value, found.mean.p_two_sided, found.mean.p_better) == (0, 1, 1)


def test_chance_is_rarely_called_skill() -> None:
    found = []
    for seed in range(60):
        ours, theirs = np.random.default_rng(seed).normal(0, 0.01, (2, 120))
        found.append(baselines.paired(earning(ours), earning(theirs), 200).mean.p_better)
    assert 0 <= sum(p <= 0.05 for p in found) <= 8
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def test_below_twenty_days_bars_are_drawn() -> None:
    random = np.random.default_rng(3)
    ours, theirs = (earning(random.normal(0, 0.01, 24 * 19), "1h") for _ in range(2))
    found = baselines.paired(ours, theirs, resamples=20)
    assert (found.over, found.count) == ("bars", 456)


def test_only_shared_days_count() -> None:
    outcome, shorter = account([101.0] * 30), account([101.0] * 25)
    assert baselines.paired(outcome, shorter, resamples=20).count == 25
    empty = baselines.paired(outcome, account([]), resamples=20)
    assert empty.count == 0
    assert np.isnan([empty.mean.value, empty.mean.p_better, empty.sharpe.p_two_sided]).all()


def test_against_random_moments() -> None:
    draws = [account([100.0, end]) for end in (90, 100, 110, 120)]
    found = baselines.against_random(account([100.0, 110]), draws)
    # 110 and 120 are as good, and the strategy itself: 3 of 5
    assert (found.num, found.p_better) == (4, 3 / 5)
    assert found.median == pytest.approx(0.05)
    assert np.isnan(baselines.against_random(account([100.0]), []).p_better)


def test_what_is_unknown_is_no_success() -> None:
    found = baselines.against_random(account([]), [account([100.0, 90])] * 9)
    assert found.p_better == 1


def test_the_engine_trades_random_entries_as_much() -> None:
    random = np.random.default_rng(4)
    prices = 100 * np.exp(np.cumsum(random.normal(0, 1e-3, 600)))
    bars = bars_of([flat(price) for price in prices])
    weights = np.repeat(random.choice([0.0, 0.0, 1.0, -1.0], size=60), 10)
    targets = targets_of(dict(enumerate(weights)))
    own = trading_metrics(traded(bars, targets, commission=0.001), 2)
    for other in baselines.random_draws(targets, 5):
        turned = trading_metrics(traded(bars, other, commission=0.001), 2)
        assert turned["exposure"].value == pytest.approx(own["exposure"].value)
        assert turned["turnover"].value == pytest.approx(own["turnover"].value, rel=0.08)
        assert abs(turned["num_trades"].value - own["num_trades"].value) <= 1
