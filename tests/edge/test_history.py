"""What is known of a stream at t: as ``as_of`` has it, with gaps, late and too late candles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.edge.candle import Candle
from mtf.edge.errors import RunnerError
from mtf.edge.features import features_of
from mtf.edge.frame import Frame
from mtf.edge.history import History, Spec
from mtf.market.asof import NEVER_MS, window
from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe

MINUTE = 60_000
OPTIONS = {"volatility_half_life": 4, "volume_half_life": 4, "clip": 8.0}
FRAME = Frame("1m", MINUTE, 0)
SPEC = Spec("1m", "ETHUSDT", FRAME, 12, 15, 500, 3.0, None, 300)


def made(seed: int, slots: int) -> Candles:
    """Candles of which some never come and some come late, now and then by an hour."""
    rng = np.random.default_rng(seed)
    path = 50 * np.exp(np.cumsum(rng.normal(0, 0.003, slots * 4))).reshape(slots, 4)
    ohlcv = np.stack([path[:, 0], path.max(1), path.min(1), path[:, 3], path[:, 1]], axis=1)
    valid = rng.random(slots) > 0.15
    valid[[0, -1]] = True
    close = (np.arange(slots) + 1 + 7) * MINUTE
    late = np.where(rng.random(slots) < 0.1, rng.integers(1, 9 * MINUTE, slots), 0)
    late = np.where(rng.random(slots) < 0.02, 60 * MINUTE, late)
    ohlcv = np.where(valid[:, None], ohlcv, np.nan)
    return Candles("ETHUSDT", Timeframe.parse("1m"), 7, ohlcv, valid, close + late)


def fed(history: History, candles: Candles) -> None:
    assert candles.available_at is not None
    for row in np.random.default_rng(0).permutation(np.flatnonzero(candles.valid)):
        at = max(int(candles.available_at[row]), FRAME.close_time(int(row) + 7) + 500)
        candle = Candle._make([*candles.ohlcv[row].tolist(), at])
        assert history.add(int(row) + 7, candle)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.integers(1, 3))
def test_windows_age_and_scale_are_those_of_as_of(seed: int, step: int) -> None:
    candles = made(seed, 200)
    spec = StreamSpec("1m", "ETHUSDT", Timeframe.parse("1m"), "primary", 12, 500, 3.0)
    features = Ohlcv(volatility_half_life=4, volume_half_life=4)
    stream = compute_stream(spec, candles, features)
    history = History(SPEC, features_of("ohlcv", OPTIONS))
    fed(history, candles)
    for t in range(5 * MINUTE, 215 * MINUTE, step * MINUTE):
        values, valid, known = window(stream, features, t, 15)
        history.advance(t)
        mine = history.known(t)
        ours, usable = history.window(mine.last_slot, 15)
        assert (usable == valid).all()
        assert np.abs(ours - values).max() < 1e-5
        assert mine.present == known.present[0]
        assert (mine.age_ms or NEVER_MS) == known.age_ms[0]
        scale = mine.scale.sigma, mine.scale.volume_mean, mine.scale.last_close
        oracle = known.sigma[0], known.volume_mean[0], known.last_close[0]
        assert scale == pytest.approx(oracle, nan_ok=True)


def test_what_is_kept_does_not_grow_and_what_is_older_comes_too_late() -> None:
    history = History(replace(SPEC, keep=130), features_of("ohlcv", OPTIONS))
    for slot in range(2_000):
        history.add(slot, Candle(1.0, 1.0, 1.0, 1.0, 1.0, FRAME.close_time(slot)))
        history.advance(FRAME.close_time(slot) + 500)
    assert len(history.candles) < 130 + 2 * 64
    gone = Candle(1.0, 1.0, 1.0, 1.0, 1.0, 0)
    assert not history.add(1_000, gone)
    assert history.too_late == 1


def test_the_same_candle_twice_is_one_and_another_one_is_a_message() -> None:
    history = History(SPEC, features_of("ohlcv", OPTIONS))
    candle = Candle(2.0, 3.0, 1.0, 2.0, 5.0, 0)
    assert history.add(3, candle)
    assert not history.add(3, candle)
    with pytest.raises(RunnerError, match="two candles of 180000 ms"):
        history.add(3, candle._replace(close=2.5))


def steady(seed: int, slots: int) -> list[Candle]:
    """Candles of the slots from 0 on, each known at its close."""
    path = 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.003, slots)))
    return [Candle(p, p, p, p, 1.0, FRAME.close_time(slot)) for slot, p in enumerate(path.tolist())]


@pytest.mark.parametrize("delivered", [100, 250], ids=["in order", "late itself"])
@pytest.mark.parametrize("known", [340, 900], ids=["known soon", "known once all is gone"])
def test_a_candle_known_later_than_candles_are_kept_is_as_if_it_never_came(
    delivered: int, known: int
) -> None:
    candles = steady(0, 1_000)
    spec = replace(SPEC, keep=130, latency_ms=0)
    whole, lacking = (History(spec, features_of("ohlcv", OPTIONS)) for _ in range(2))
    sigmas: dict[History, list[float]] = {whole: [], lacking: []}
    for slot, candle in enumerate(candles):
        if slot == delivered:
            whole.add(100, candles[100]._replace(available_at=FRAME.close_time(known)))
        for history, found in sigmas.items():
            if slot != 100:
                history.add(slot, candle)
            history.advance(FRAME.close_time(slot))
            found.append(history.features.scale.sigma)
    assert np.array_equal(sigmas[whole], sigmas[lacking], equal_nan=True)
    assert (whole.too_late, whole.rescans) == (1, 0)
    assert whole.candles == lacking.candles


def test_a_candle_of_the_far_future_does_not_keep_those_before_it() -> None:
    history = History(replace(SPEC, keep=130), features_of("ohlcv", OPTIONS))
    candles = steady(1, 1_000)
    for slot in (0, 999, *range(1, 999)):
        history.add(slot, candles[slot])
        history.advance(FRAME.close_time(min(slot, 998)) + 500 if slot != 999 else 0)
    assert len(history.candles) < 130 + 2 * 64
