"""A stream that comes candle by candle knows what the scan of all of it knows, bit for bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, random_candles

from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.features import Indicators, Ohlcv
from mtf.market.flow import NO_SLOT, PIECE, Flow, Outcome, check_candle
from mtf.market.flow_parts import Buckets, FormingSoFar
from mtf.market.forming_kernels import forming_candles
from mtf.market.resample import resample
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe

CLOCK = Timeframe.parse("1m")
FIRST = 1_000
FEATURES = Ohlcv(volatility_half_life=5)


def spec(timeframe: str = "1m", derived_from: str | None = None) -> StreamSpec:
    frame = Timeframe.parse(timeframe)
    return StreamSpec(timeframe, "ETHUSDT", frame, "primary", 20, derived_from=derived_from)


def flow_of(reach: int = 100, timeframe: str = "1m") -> Flow:
    return Flow(spec(timeframe), FEATURES, window=30, reach=reach)


def give(flow: Flow, candles: Candles, rows: np.ndarray) -> list[Outcome]:
    return [flow.take(candles.first_slot + int(row), candles.ohlcv[row]) for row in rows]


def assert_knows(flow: Flow, candles: Candles) -> None:
    """What stands in the rings is what the scan of all candles finds."""
    stream = compute_stream(flow.spec, candles, flow.feature_set)
    slots = np.arange(max(flow.first, flow.end - flow.window - flow.reach), flow.end)
    rows, own = slots - candles.first_slot, slots % flow.size
    for found, expected in (
        (flow.features[own], stream.features[rows]),
        (flow.usable[own], stream.feature_valid[rows]),
        (flow.scale[own, 0], stream.scale.sigma[rows]),
        (flow.scale[own, 1], stream.scale.volume_mean[rows]),
    ):
        np.testing.assert_array_equal(found, expected)
    last = np.where(flow.last[own] == NO_SLOT, -1, flow.last[own] - candles.first_slot)
    np.testing.assert_array_equal(last, stream.scale.last_valid[rows])


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.7])
def test_in_order_it_is_the_scan_of_the_history(missing: float) -> None:
    candles = random_candles(700, missing=missing, first_slot=FIRST).trim()
    flow = flow_of()
    assert set(give(flow, candles, np.flatnonzero(candles.valid))) == {Outcome.TAKEN}
    assert_knows(flow, candles)


def test_indicators_carry_more_than_a_scale() -> None:
    candles = random_candles(700, missing=0.05, first_slot=FIRST).trim()
    flow = Flow(spec(), Indicators(), window=30, reach=100)
    give(flow, candles, np.flatnonzero(candles.valid)[:-60])
    give(flow, candles, np.flatnonzero(candles.valid)[:-61:-1])
    assert_knows(flow, candles)


@given(st.integers(0, 10_000), st.integers(1, 90), st.integers(1, 250))
@settings(max_examples=40, deadline=None)
def test_in_any_order_within_reach_it_is_the_same(seed: int, delay: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    candles = random_candles(slots + 1, seed, missing=0.3, first_slot=FIRST + seed)
    if not candles.valid.any():
        return
    candles = candles.trim()
    there = np.flatnonzero(candles.valid)
    order = there[np.argsort(there + rng.uniform(0, delay, len(there)), kind="stable")]
    flow = flow_of()
    assert set(give(flow, candles, order)) <= {Outcome.TAKEN, Outcome.LATE}
    assert (flow.first, flow.end) == (candles.first_slot, candles.end_slot)
    assert_knows(flow, candles)


def test_a_history_in_one_go_is_the_same_as_candle_by_candle() -> None:
    candles = random_candles(1_500, missing=0.2, first_slot=FIRST).trim()
    flow, cut = flow_of(), 900
    start, end = (int(candles.open_time()[row]) for row in (0, cut))
    flow.take_all(candles.slice(start, end))
    rest = np.flatnonzero(candles.valid)
    give(flow, candles, rest[rest >= cut])
    assert_knows(flow, candles)
    with pytest.raises(DataError, match="a history that begins where the stream ends"):
        flow.take_all(candles)


@pytest.mark.parametrize("gap", [3, PIECE, 10 * PIECE, 5_000])
def test_a_gap_longer_than_the_rings_is_a_gap(gap: int) -> None:
    before = random_candles(80, 0, first_slot=FIRST)
    after = random_candles(40, 1, first_slot=FIRST + 80 + gap)
    flow = flow_of()
    for candles in (before, after):
        give(flow, candles, np.arange(len(candles)))
    absent = np.full((gap, 5), np.nan)
    ohlcv = np.concatenate([before.ohlcv, absent, after.ohlcv])
    whole = Candles("ETHUSDT", CLOCK, FIRST, ohlcv, ~np.isnan(ohlcv[:, 0]))
    assert_knows(flow, whole)


def test_what_becomes_of_a_candle_is_told_and_counted() -> None:
    candles = random_candles(300, first_slot=FIRST)
    flow = flow_of(reach=100)
    give(flow, candles, np.delete(np.arange(300), [50, 250]))
    before = flow.features.copy()
    assert give(flow, candles, np.array([299, 201])) == [Outcome.REPEATED] * 2
    assert flow.take(FIRST + 240, candles.ohlcv[241]) is Outcome.CONFLICTING
    assert give(flow, candles, np.array([50])) == [Outcome.TOO_LATE]
    np.testing.assert_array_equal(flow.features, before)
    assert give(flow, candles, np.array([250])) == [Outcome.LATE]
    assert flow.counts == {
        "taken": 298, "repeated": 2, "conflicting": 1, "too_late": 1, "late": 1,
    }  # fmt: skip


def test_a_candle_from_before_the_first_one_is_late_too() -> None:
    candles = random_candles(60, first_slot=FIRST)
    flow = flow_of()
    give(flow, candles, np.arange(10, 60))
    assert give(flow, candles, np.arange(9, -1, -1)) == [Outcome.LATE] * 10
    assert_knows(flow, candles)


def test_what_is_no_candle_is_refused() -> None:
    flow = flow_of()
    assert flow.slot_of(FIRST * MINUTE) == FIRST
    with pytest.raises(DataError, match="expected: the open of a 1m candle"):
        flow.slot_of(FIRST * MINUTE + 1)
    good = np.array([1.0, 2.0, 0.5, 1.5, 0.0])
    check_candle("1m", 0, good)
    bad = [(0, np.nan), (1, 1.2), (2, 1.1), (2, 0.0), (4, -1.0), (1, np.inf), (4, np.inf)]
    for column, value in bad:
        wrong = good.copy()
        wrong[column] = value
        with pytest.raises(DataError, match="finite prices above 0"):
            check_candle("1m", 0, wrong)
    flow.take(FIRST, good)
    with pytest.raises(DataError, match="slots after the newest one"):
        flow.take(FIRST * 10**9, good)


def test_rings_do_not_grow() -> None:
    flow = flow_of()
    sizes = {name: array.nbytes for name, array in vars(flow).items() if hasattr(array, "nbytes")}
    for seed in range(3):
        flow.take_all(random_candles(5_000, seed, first_slot=FIRST + seed * 6_000))
    assert sizes == {
        name: array.nbytes for name, array in vars(flow).items() if hasattr(array, "nbytes")
    }


@given(st.integers(0, 10_000), st.integers(1, 40), st.booleans())
@settings(max_examples=30, deadline=None)
def test_longer_candles_are_those_of_the_whole_history(
    seed: int, delay: int, in_pieces: bool
) -> None:
    rng = np.random.default_rng(seed)
    candles = random_candles(301, seed, missing=0.02, first_slot=FIRST + seed).trim()
    longer = flow_of(timeframe="5m")
    buckets = Buckets(CLOCK, longer)
    found: dict[int, np.ndarray] = {}
    if in_pieces:
        edges = np.unique([0, *rng.integers(0, len(candles), 4), len(candles)])
        for start, end in pairwise(edges.tolist()):
            part = candles.ohlcv[start:end], candles.valid[start:end]
            found |= {s: c.copy() for s, c in buckets.add(candles.first_slot + start, *part)}
    else:
        there = np.flatnonzero(candles.valid)
        for row in there[np.argsort(there + rng.uniform(0, delay, len(there)))]:
            one = candles.ohlcv[row : row + 1], candles.valid[row : row + 1]
            found |= {s: c.copy() for s, c in buckets.add(candles.first_slot + int(row), *one)}
    expected = resample(candles, longer.spec.timeframe)
    rows = np.flatnonzero(expected.valid)
    assert sorted(found) == (expected.first_slot + rows).tolist()
    for row in rows:
        np.testing.assert_allclose(
            found[expected.first_slot + int(row)], expected.ohlcv[row], rtol=1e-14
        )


def test_more_longer_candles_at_once_than_there_is_room_for_are_all_told() -> None:
    candles = random_candles(3_000, 1, first_slot=FIRST).trim()
    longer = flow_of(reach=64, timeframe="5m")
    assert longer.size * 5 < len(candles), "their places are taken more than once"
    found = dict(Buckets(CLOCK, longer).add(candles.first_slot, candles.ohlcv, candles.valid))
    expected = resample(candles, longer.spec.timeframe)
    rows = np.flatnonzero(expected.valid)
    assert list(found) == (expected.first_slot + rows).tolist()
    np.testing.assert_allclose(list(found.values()), expected.ohlcv[rows], rtol=1e-14)


@given(st.integers(0, 10_000), st.integers(0, 20))
@settings(max_examples=12, deadline=None)
def test_the_forming_candle_is_that_of_the_history_so_far(seed: int, delay: int) -> None:
    rng, hour = np.random.default_rng(seed), Timeframe.parse("1h")
    candles = random_candles(400, seed, missing=0.1, first_slot=FIRST + seed).trim()
    come = np.arange(len(candles)) + 1 + rng.integers(0, delay + 1, len(candles))
    flow = Flow(spec(), FEATURES, window=30, reach=40)
    so_far = FormingSoFar(flow, hour)
    for row in range(0, len(candles), 3):
        for one in np.flatnonzero(candles.valid & (come > row - 3) & (come <= row)):
            slot = candles.first_slot + int(one)
            if flow.take(slot, candles.ohlcv[one]) is Outcome.LATE:
                so_far.late(slot, candles.ohlcv[one])
        time = (candles.first_slot + row) * MINUTE
        candle, elapsed = so_far.at(time, candles.first_slot + row - 1)
        first = hour.open_time(hour.slot(time)) // MINUTE - candles.first_slot
        known = np.where(candles.valid, come, 0)
        expected, found = forming_candles(
            candles.ohlcv, candles.valid, known, np.array([row]), np.array([first]),
            np.array([row - 1]),
        )  # fmt: skip
        assert (elapsed[0] > 0) == bool(found[0])
        np.testing.assert_allclose(candle, expected, rtol=1e-12)
