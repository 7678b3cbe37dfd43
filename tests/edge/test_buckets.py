"""Longer candles from shorter ones, as ``resample`` makes them, in any order of arrival."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.edge.buckets import Buckets
from mtf.edge.candle import Candle
from mtf.edge.frame import Frame
from mtf.market.candles import Candles
from mtf.market.resample import resample
from mtf.market.timeframe import Timeframe

MINUTE = 60_000
FINE, COARSE = Frame("1m", MINUTE, 0), Frame("5m", 5 * MINUTE, 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(0, 9), slots=st.integers(1, 60))
def test_built_candles_are_those_of_resample(seed: int, first: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    path = rng.uniform(1, 2, (slots, 4))
    ohlcv = np.stack([path[:, 0], path.max(1), path.min(1), path[:, 3], path[:, 1]], axis=1)
    valid = rng.random(slots) > 0.05
    late = (np.arange(first, first + slots) + 1) * MINUTE + rng.integers(0, MINUTE, slots)
    candles = Candles("X", Timeframe.parse("1m"), first, ohlcv, valid, late)
    oracle = resample(candles, Timeframe.parse("5m"))

    buckets, built = Buckets(FINE, COARSE, 0, 100), dict[int, Candle]()
    for row in rng.permutation(np.flatnonzero(valid)):
        done = buckets.add(first + int(row), Candle._make([*ohlcv[row].tolist(), int(late[row])]))
        if done is not None:
            built[done[0]] = done[1]

    assert sorted(built) == (oracle.first_slot + np.flatnonzero(oracle.valid)).tolist()
    for slot, candle in built.items():
        row = slot - oracle.first_slot
        assert np.allclose(candle[:5], oracle.ohlcv[row])
        assert oracle.available_at is not None
        assert candle.available_at == oracle.available_at[row]


def test_unfinished_buckets_are_forgotten_oldest_first() -> None:
    buckets = Buckets(FINE, COARSE, 0, 3)
    one = Candle(1.0, 1.0, 1.0, 1.0, 1.0, 0)
    for bucket in range(5):
        assert buckets.add(5 * bucket, one) is None
    assert all(buckets.add(slot, one) is None for slot in range(1, 5))
    assert [buckets.add(20 + slot, one) for slot in range(1, 5)][-1] is not None
