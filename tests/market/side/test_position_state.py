"""Positions: flat in evaluation, drawn at training, true where given."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sides import MINUTE, asked, context
from worlds import random_candles, world_of

from mtf.errors import ConfigError
from mtf.market.side.position import PositionState, position_elements, uniform

CANDLES = random_candles(3_000, seed=1, missing=0.02)
WORLD = world_of(CANDLES, {"1m": 20, "5m": 10})
TIMES = np.arange(500, 3_000) * MINUTE


def test_flat_in_evaluation() -> None:
    said = asked(PositionState(context(WORLD)), WORLD, TIMES)
    assert (said == 0).all(axis=None)


def test_drawn_positions_are_a_function_of_seed_symbol_and_time() -> None:
    side = PositionState(context(WORLD, seed=3))
    said = asked(side, WORLD, TIMES, training=True)
    alone = asked(PositionState(context(WORLD, seed=3)), WORLD, TIMES[7:8], training=True)
    assert said.iloc[7].equals(alone.iloc[0])
    for other in (context(WORLD, seed=4), replace(context(WORLD, seed=3), symbol="SOLUSDT")):
        specs = tuple(replace(spec, symbol=other.symbol) for spec in other.streams)
        drawn = asked(PositionState(replace(other, streams=specs)), WORLD, TIMES, training=True)
        assert (drawn["side"] != said["side"]).mean() > 0.5


def test_a_third_is_flat_and_every_position_could_have_been_held() -> None:
    side = PositionState(context(WORLD), max_held=100)
    said = asked(side, WORLD, TIMES, training=True)
    assert said["side"].value_counts(normalize=True)[[0.0, 1.0, -1.0]].tolist() == pytest.approx(
        [1 / 3] * 3, abs=0.03
    )
    held_long = said["side"] != 0
    assert (said.loc[~held_long] == 0).all(axis=None)
    assert said.loc[held_long, "size"].between(0, 1, inclusive="right").all()
    assert said.loc[held_long, "size"].mean() == pytest.approx(0.5, abs=0.03)
    held = np.expm1(said.loc[held_long, "time_held"] * 5).round().astype(int)
    assert held.min() == 1
    assert held.max() == 100
    known = WORLD.known(TIMES)["1m"]
    for row in np.flatnonzero(held_long)[:200]:
        entry_row = int(known.row[row]) - int(held[row])
        entry, price = CANDLES.ohlcv[entry_row, 3], known.last_close[row]
        if not CANDLES.valid[entry_row]:
            assert math.isnan(said["entry_distance"][row])
            continue
        moved = math.log(price / entry) / known.sigma[row] / math.sqrt(held[row])
        profit = 100 * said["side"][row] * said["size"][row] * (price / entry - 1)
        assert said["entry_distance"][row] == pytest.approx(np.clip(moved, -8, 8), rel=1e-4)
        assert said["unrealised"][row] == pytest.approx(profit, rel=1e-4)


def test_long_only_and_a_stream_by_name() -> None:
    side = PositionState(context(WORLD), long_only=True, stream="5m")
    assert side.sources == {"entry_distance": ("5m",), "unrealised": ("5m",)}
    assert side.history == {"5m": 241}
    assert set(asked(side, WORLD, TIMES, training=True)["side"]) == {0.0, 1.0}
    with pytest.raises(ConfigError, match="max_held 0"):
        PositionState(context(WORLD), max_held=0)


def test_a_true_position_written_out() -> None:
    """Half the capital short at 100, 4 candles ago, price 99, sigma 1 %; and a flat one."""
    found = position_elements(
        np.array([-1.0, 0.0]), np.array([0.5, 0.0]), np.array([100.0, np.nan]),
        np.array([99.0, 99.0]), np.array([4, 0]), np.array([0.01, 0.01]),
    )  # fmt: skip
    distance = math.log(0.99) / (0.01 * 2)
    assert found[0].tolist() == pytest.approx([-1, 0.5, distance, 0.5, math.log(5) / 5])
    assert found[1].tolist() == [0, 0, 0, 0, 0]


def test_uniform_numbers_are_uniform_and_unlike_each_other() -> None:
    """Of 20,000 consecutive minutes: every tenth is as full as chance lets it be."""
    drawn = uniform(7, np.arange(20_000) * MINUTE, 4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for column in drawn.T:
        counts, _ = np.histogram(column, 10, (0, 1))
        assert ((counts - 2_000) ** 2 / 2_000).sum() < 27.9  # chi-squared, 9 degrees, p = 0.001
    correlation = np.corrcoef(np.concatenate([drawn[1:].T, drawn[:-1].T]))
    assert np.abs(correlation - np.eye(8)).max() < 4 / math.sqrt(20_000)
