"""Which decisions a step sees: pure functions of (seed, epoch, step)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.errors import DataError
from mtf.learning.sampling import Sampler, group_starts
from mtf.learning.splits import Part


def sampler(**changes: float) -> Sampler:
    """Four groups of three decisions, two minutes apart."""
    starts = np.arange(100, 200) * MINUTE
    settings = {"seed": 1, "groups": 4, "decisions": 3, "stride_ms": 2 * MINUTE}
    return Sampler(starts=starts, **{"stream_dropout": 0.3, **settings, **changes})  # type: ignore[arg-type]


def test_the_same_step_sees_the_same_decisions_and_another_step_others() -> None:
    one = sampler()
    np.testing.assert_array_equal(one.times(2, 7), sampler().times(2, 7))
    assert not np.array_equal(one.times(2, 7), one.times(2, 8))
    assert not np.array_equal(one.times(2, 7), one.times(3, 7))
    assert not np.array_equal(one.times(2, 7), one.times(2, 7, part=1))
    assert not np.array_equal(one.times(2, 7), sampler(seed=2).times(2, 7))


def test_a_group_is_spaced_by_the_stride() -> None:
    times = sampler().times(0, 0)
    assert times.shape == (4, 3)
    assert (np.diff(times, axis=1) == 2 * MINUTE).all()


def test_the_number_of_missing_streams_is_uniform_where_any_are_dropped() -> None:
    many = sampler(groups=20_000, stream_dropout=1.0)
    lost = many.dropped(0, 0, streams=4)
    shares = np.bincount(lost.sum(axis=1), minlength=5) / len(lost)
    np.testing.assert_allclose(shares, 0.2, atol=0.01)
    np.testing.assert_allclose(lost.mean(axis=0), 0.5, atol=0.01)  # no stream is preferred


def test_the_probability_of_dropping_is_kept() -> None:
    lost = sampler(groups=20_000).dropped(0, 0, streams=4)
    # of those drawn (0.3), one fifth loses none
    assert lost.any(axis=1).mean() == pytest.approx(0.3 * 0.8, abs=0.01)
    assert not sampler(stream_dropout=0.0).dropped(0, 0, streams=4).any()


def panel_sampler(**changes: object) -> Sampler:
    """A symbol with 300 places to start and one with 100, which lie later."""
    starts = np.concatenate([np.arange(300), np.arange(1000, 1100)]) * MINUTE
    return replace(sampler(), starts=starts, counts=(300, 100), **changes)  # type: ignore[arg-type]


def test_groups_of_a_panel_stand_symbol_by_symbol_and_start_where_theirs_may() -> None:
    for step in range(50):
        times, symbols = panel_sampler().times(0, step), panel_sampler().symbols(0, step)
        assert symbols.tolist() == sorted(symbols)
        np.testing.assert_array_equal(times[:, 0] >= 1000 * MINUTE, symbols == 1)


def test_symbols_are_drawn_in_proportion_to_where_their_groups_may_start() -> None:
    share = panel_sampler(groups=40_000).symbols(0, 0).mean()
    assert share == pytest.approx(0.25, abs=0.01)


def test_one_symbol_draws_as_if_there_were_no_panels() -> None:
    one = sampler(groups=50)
    drawn = np.random.default_rng([1, 2, 7, 0, 0]).choice(one.starts, 50)
    np.testing.assert_array_equal(one.times(2, 7)[:, 0], drawn)
    np.testing.assert_array_equal(replace(one, counts=(100,)).times(2, 7), one.times(2, 7))
    assert not one.symbols(2, 7).any()


def test_a_share_of_the_decisions_is_not_told_its_symbol() -> None:
    untold = panel_sampler(groups=20_000, symbol_dropout=0.1).untold(0, 0)
    assert untold.shape == (60_000,)
    assert untold.mean() == pytest.approx(0.1, abs=0.005)
    assert not panel_sampler(symbol_dropout=0.0).untold(0, 0).any()


def test_groups_start_where_they_fit_and_a_candle_is() -> None:
    world = world_of(random_candles(100))
    part = Part("train", 10 * MINUTE, 20 * MINUTE)
    starts = group_starts(world, part, decisions=3, stride=2)
    assert (starts // MINUTE).tolist() == [10, 11, 12, 13, 14, 15]  # the last one's end: 15 + 4


def test_no_group_starts_in_a_gap() -> None:
    rows = [(10.0, 11.0, 9.0, 10.0, 1.0)] * 8
    world = world_of(candles_of([*rows[:4], None, None, *rows[6:]]))
    starts = group_starts(world, Part("train", 1 * MINUTE, 9 * MINUTE), decisions=1, stride=1)
    assert (starts // MINUTE).tolist() == [1, 2, 3, 4, 7, 8]


def test_a_part_shorter_than_a_group_says_what_it_needs_and_has() -> None:
    world = world_of(random_candles(100))
    with pytest.raises(DataError, match=r"10 clock steps\n.*needs 16: 6 decisions . stride 3"):
        group_starts(world, Part("train", 0, 10 * MINUTE), decisions=6, stride=3)
    with pytest.raises(DataError, match="no 1m candle of ETHUSDT in the train part"):
        group_starts(world, Part("train", 500 * MINUTE, 600 * MINUTE), decisions=6, stride=3)


def test_groups_are_cut_among_processes_and_stay_whole() -> None:
    assert sampler(groups=5).edges(2) == [0, 9, 15]  # three groups of three, and two
    assert sampler(groups=4).edges(4) == [0, 3, 6, 9, 12]
    assert sampler(groups=4).edges(1) == [0, 12]


def test_processes_draw_their_own_random_numbers_in_every_step() -> None:
    drawn = {sampler().noise(epoch, step, rank) for epoch, step, rank in np.ndindex(2, 3, 4)}
    assert len(drawn) == 24
    assert sampler().noise(1, 2, 3) == sampler().noise(1, 2, 3)
    assert sampler().noise(0, 0, 0) != sampler(seed=2).noise(0, 0, 0)
    assert all(0 <= one < 2**64 for one in drawn)
