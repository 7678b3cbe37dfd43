"""A trial among all others: what counts as one, which days are compared, what is said of luck."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.evaluation.ledger import Records
from mtf.evaluation.standing import distinct, looks, rivals, rows, shared_days, standing
from mtf.evaluation.trial import REAL, Trial

DAY_MS = 86_400_000


def trial(seed: int = 0, returns: object = (), first_day: int = 0, **changes: object) -> Trial:
    """A backtest on days 0 … of 1970."""
    earned = np.asarray(returns, np.float64)
    usual = Trial(
        kind="backtest",
        run="",
        name=f"seed {seed}",
        config_hash="c0ffee",
        data_hash="da7a",
        market=REAL,
        symbols=("ETHUSDT",),
        seed=seed,
        part="test",
        start_ms=0,
        end_ms=100 * DAY_MS,
        days=first_day + np.arange(len(earned)),
        net_return=earned,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def records(*trials: Trial) -> Records:
    return Records(trials, ())


def noise(count: int, days: int = 90, seed: int = 0) -> list[Trial]:
    """So many trials without skill and with nothing in common."""
    draws = np.random.default_rng(seed).normal(0, 0.01, (count, days))
    return [trial(number, draw) for number, draw in enumerate(draws)]


def test_the_same_again_is_one_trial_and_two_looks() -> None:
    once, again, other = trial(0, [0.1, 0.2]), trial(0, [0.1, 0.2]), trial(1, [0.3, 0.1])
    found = standing(records(once, other, again), once)
    assert len(found.trials) == 2
    assert found.looks == 3


def test_a_training_is_no_trial_beside_a_backtest_of_its_model() -> None:
    trained, looked = trial(0, kind="train"), trial(0, kind="look")
    assert [one.kind for one in distinct([trained, looked])] == ["look"]
    traded = trial(0, [0.1, 0.2], terms={"policy": "argmax"})
    cheaper = trial(0, [0.2, 0.3], terms={"policy": "argmax", "commission": 0})
    other = trial(1, kind="train")
    assert distinct([trained, looked, traded, cheaper, other]) == (traded, cheaper, other)


def test_rivals_are_those_of_the_same_market_symbol_and_time() -> None:
    judged = trial(0, [0.1, 0.2])
    other_lookback = trial(1, data_hash="0ther", config_hash="0ther")  # still chosen among
    panel = trial(2, symbols=("SOLUSDT", "ETHUSDT"))
    overlapping = trial(3, start_ms=99 * DAY_MS, end_ms=200 * DAY_MS)
    apart = [
        trial(4, market="a random walk"),
        trial(5, symbols=("BTCUSDT",)),
        trial(6, start_ms=100 * DAY_MS, end_ms=200 * DAY_MS),
        trial(7, kind="null"),
        trial(8, part="train"),
    ]
    same = [judged, other_lookback, panel, overlapping]
    assert rivals([*same, *apart], judged) == same


def test_a_look_is_at_the_test_part_only() -> None:
    judged = trial(0, [0.1, 0.2])
    seen = [judged, trial(1, kind="look"), trial(2, part="validation"), trial(3, kind="null")]
    assert looks(seen, judged) == 2
    walk = [trial(4, kind="fold", part="out_of_sample"), trial(5, kind="fold")]
    walk.append(trial(4, kind="walk_forward", part="out_of_sample"))
    assert looks([*seen, *walk], judged) == 3, "a walk-forward is one look"
    assert standing(records(), judged).looks == 0  # judged before it is recorded


def test_days_are_those_that_most_trials_have_and_nine_tenths_at_least() -> None:
    judged = trial(0, np.arange(20.0))
    two_less = trial(1, 100 + np.arange(18.0), first_day=2)
    short = trial(2, np.zeros(5))
    longer = trial(3, 200 + np.arange(30.0), first_day=-5)
    days, matrix = shared_days(judged, [judged, short, two_less, longer])
    assert days.tolist() == list(range(2, 20))
    assert matrix[:, 0].tolist() == [2.0, 100.0, 207.0]  # the short one is left out
    assert len(matrix) == 3


def test_together_others_never_cost_a_trial_more_than_a_tenth_of_its_days() -> None:
    judged = trial(0, np.zeros(20))
    holed = []
    for number in range(1, 6):  # each lacks two other days
        days = np.delete(np.arange(20), [2 * number, 2 * number + 1])
        holed.append(trial(number, np.zeros(18), days=days))
    days, matrix = shared_days(judged, [judged, *holed])
    assert len(days) == 18
    assert len(matrix) == 2


@given(st.lists(st.sets(st.integers(0, 30)), max_size=6))
def test_shared_days_are_some_of_the_trials_own_and_the_matrix_is_whole(
    seen: list[set[int]],
) -> None:
    judged = trial(0, np.ones(20))
    others = [
        trial(1 + number, np.full(len(days), 2.0), days=np.array(sorted(days), np.int64))
        for number, days in enumerate(seen)
    ]
    days, matrix = shared_days(judged, [judged, *others])
    assert set(days.tolist()) <= set(range(20))
    assert len(days) >= 18
    assert matrix.shape[1] == len(days)
    assert (matrix[0] == 1.0).all()
    assert (matrix[1:] == 2.0).all()


def test_the_effective_number_by_hand() -> None:
    up, down = [0.01, -0.01, 0.01, -0.01], [0.01, 0.01, -0.01, -0.01]
    copies = standing(records(*(trial(seed, up) for seed in range(3))), trial(0, up))
    assert copies.sharpe is not None
    assert copies.sharpe.effective_trials == pytest.approx(1.0)  # r = 1: 3² / 9
    apart = standing(records(trial(0, up), trial(1, down)), trial(0, up))
    assert apart.sharpe is not None
    assert apart.sharpe.effective_trials == pytest.approx(2.0)  # r = 0


def test_trials_without_returns_count_as_much_alike_as_the_others() -> None:
    up, down = [0.01, -0.01, 0.01, -0.01], [0.01, 0.01, -0.01, -0.01]
    untraded = [trial(seed, kind="train") for seed in (2, 3, 4, 5)]
    found = standing(records(trial(0, up), trial(1, down), *untraded), trial(0, up))
    assert found.sharpe is not None
    assert found.sharpe.num_trials == 6
    assert found.sharpe.effective_trials == pytest.approx(6.0)


def test_the_best_of_a_hundred_without_skill_looks_good_and_is_luck() -> None:
    trials = noise(100)
    best = max(trials, key=lambda one: one.net_return.mean() / one.net_return.std())
    found = standing(records(*trials), best)
    assert found.sharpe is not None
    assert found.sharpe.probabilistic > 0.98
    assert found.sharpe.value < 0.9
    assert not found.beyond_luck
    assert found.overfitting.probability is not None
    assert "100 trials worth" in found.text()
    assert "not more than luck (< 0.95)" in found.text()
    assert "test part looked at 100 times." in found.text()


def test_skill_is_more_than_luck_among_as_many() -> None:
    skilled = trial(1_000, 0.006 + noise(1, seed=1)[0].net_return)
    found = standing(records(*noise(99), skilled), skilled)
    assert found.beyond_luck
    assert ", more than luck;" in found.text()
    assert found.overfitting.probability == pytest.approx(0.0, abs=0.05)


def test_too_few_trials_are_said_to_be_too_few() -> None:
    found = standing(records(*noise(3)), noise(3)[0])
    told = found.as_dict()
    assert "3 trials worth" in found.text()
    assert "probability of overfitting too few trials: 3 of 10" in found.text()
    assert told["probability_of_overfitting"] is None
    assert told["why_no_probability"] == "too few trials: 3 of 10"
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [np.nan, np.nan]])
def test_a_trial_without_a_ratio_says_so(returns: list[float]) -> None:
    found = standing(Records((), ("ledger/torn.json: torn",)), trial(0, returns))
    assert not found.beyond_luck
    assert found.text().startswith("1 trial, of which this one has no Sharpe ratio to deflate; ")
    assert found.text().endswith("test part looked at 0 times, 1 unreadable record.")
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_table_has_the_best_in_front_and_those_without_a_figure_last() -> None:
    ratios = {0: 1.0, 1: float("nan"), 2: 3.0}
    trials = [trial(seed, figures={"sharpe_ratio": value}) for seed, value in ratios.items()]
    trials.append(trial(3, time="2023-01-02T03:04:05.678+00:00"))
    table = rows(trials)
    assert [row["seed"] for row in table] == [2, 0, 1, 3]
    assert table[3]["recorded"] == "2023-01-02 03:04"
    assert len(rows(trials, most=2)) == 2
