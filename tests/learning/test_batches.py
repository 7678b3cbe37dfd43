"""Blocks of candles, and where each decision looks in them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, random_candles, world_of

from mtf.learning.batches import MAX_BLOCK_SLOTS, BatchBuilder, lay_out
from mtf.learning.kernels import gather_blocks
from mtf.market.asof import window
from mtf.market.world import World

LOOKBACKS = {"1m": 20, "5m": 12, "1h": 3}
MARKET = world_of(
    random_candles(600, seed=3, missing=0.1), LOOKBACKS,
    btc=random_candles(400, seed=4, symbol="BTCUSDT", first_slot=150), half_life=2,
)  # fmt: skip
NEED = {**LOOKBACKS, "btc": 8}


def builder(once: bool, world: World = MARKET) -> BatchBuilder:
    """Both layouts of the same market, without heads."""
    return BatchBuilder(world, {}, NEED, dict.fromkeys(NEED, once))


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.integers(-30, 620), min_size=1, max_size=4),
    decisions=st.integers(1, 6),
    stride=st.integers(1, 40),
    once=st.booleans(),
)
def test_every_decision_finds_exactly_the_slots_known_at_its_time(
    starts: list[int], decisions: int, stride: int, once: bool
) -> None:
    times = (np.array(starts)[:, None] + np.arange(decisions) * stride) * MINUTE
    batch = builder(once).build(times, None)
    for name, stream in batch.streams.items():
        data, need = MARKET.streams[name], NEED[name]
        for index, t in enumerate(times.reshape(-1).tolist()):
            assert data.feature_set is not None
            values, usable, _ = window(data, data.feature_set, t, need)
            block, last = int(stream.block[index]), int(stream.last[index])
            rows = slice(last - need + 1, last + 1)
            np.testing.assert_array_equal(stream.values[block, rows].numpy(), values)
            np.testing.assert_array_equal(stream.valid[block, rows].numpy(), usable)


def test_a_group_shares_one_block_and_a_window_has_its_own() -> None:
    times = np.arange(300, 308)[None, :] * MINUTE
    shared, own = builder(True).build(times, None), builder(False).build(times, None)
    assert shared.streams["1m"].values.shape == (1, 20 + 7, 5)
    assert own.streams["1m"].values.shape == (8, 20, 5)
    assert own.streams["1h"].values.shape == (1, 3, 5)  # eight minutes see the same three hours


def test_equal_blocks_of_different_groups_are_one() -> None:
    layout = lay_out(np.array([[10], [10], [112]]), need=4, once=True)
    assert layout.block.tolist() == [0, 0, 1]
    assert layout.start.tolist() == [7, 109]


def test_groups_that_overlap_share_a_block_where_that_saves_slots() -> None:
    """3 blocks of 104 slots or one of 106: a slow stream is hardly encoded more than once."""
    layout = lay_out(np.array([[10, 11], [12, 13], [16, 15]]), need=100, once=True)
    assert (layout.start.tolist(), layout.length) == ([-89], 106)
    assert layout.block.tolist() == [0] * 6


def test_decisions_far_apart_do_not_share_a_block() -> None:
    """A group's own block would hold 904 slots for its ten decisions; alone they need 4 each."""
    layout = lay_out(np.arange(0, 1000, 100)[None, :], need=4, once=True)
    assert (len(layout.start), layout.length) == (10, 4)


def test_on_the_window_path_only_equal_windows_are_one() -> None:
    layout = lay_out(np.array([[10, 11, 10]]), need=4, once=False)
    assert (layout.start.tolist(), layout.length) == ([7, 8], 4)
    assert layout.block.tolist() == [0, 1, 0]


@settings(max_examples=60, deadline=None)
@given(
    last=st.lists(st.integers(0, 60_000), min_size=12, max_size=48),
    groups=st.sampled_from([1, 2, 3, 4]),
    need=st.integers(1, 9_000),
    once=st.booleans(),
)
def test_no_block_is_longer_than_allowed_and_each_holds_what_its_decisions_need(
    last: list[int], groups: int, need: int, once: bool
) -> None:
    slots = np.array(last[: len(last) // 12 * 12]).reshape(groups, -1)
    layout = lay_out(slots, need, once)
    assert layout.length <= max(MAX_BLOCK_SLOTS, need)
    start = layout.start[layout.block]
    assert (start <= slots.reshape(-1) - need + 1).all()
    assert (slots.reshape(-1) < start + layout.length).all()
    windows = len(np.unique(slots)) * need
    assert len(layout.start) * layout.length <= windows  # never more than the window path


def test_slots_outside_the_history_are_invalid_zeros() -> None:
    features = np.array([[1, 2], [0, 0], [5, 6]], np.float32)
    values, valid = gather_blocks(features, np.array([True, False, True]), np.array([-2, 1, 9]), 4)
    assert valid.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert values[0].tolist() == [[0, 0], [0, 0], [1, 2], [0, 0]]
    assert values[1].tolist() == [[0, 0], [5, 6], [0, 0], [0, 0]]


def test_dropping_a_stream_drops_what_is_derived_from_it() -> None:
    times = np.array([[400 * MINUTE, 401 * MINUTE]])
    dropped = np.zeros((2, 4), bool)
    dropped[1, list(NEED).index("1m")] = True
    streams = builder(True).build(times, None, dropped).streams
    assert [streams[name].present.tolist() for name in ("1m", "5m", "btc")] == [
        [True, False],
        [True, False],
        [True, True],
    ]


def test_scale_and_age_are_those_of_the_decision() -> None:
    times = np.array([[400 * MINUTE]])
    stream = builder(True).build(times, None).streams["5m"]
    known = MARKET.known(times.reshape(-1))["5m"]
    sigma_bps = known.sigma[0] * 1e4
    assert np.isclose(stream.log_sigma[0], (np.log(sigma_bps) - 2) / 2, rtol=1e-6)
    assert np.isclose(stream.age[0], np.log1p(known.age_ms[0] / 300_000))
