"""What is known at t: small stories, and a brute-force rebuild of the world at random times.

``believed`` is the other opinion: plain Python over the raw candles that had arrived by t, without
scans, saved states or anything else of what it checks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from histories import candles, closes, spec, walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mtf.market.asof
import mtf.market.scale
import mtf.market.stream
from mtf.market.asof import NEVER_MS, Known, as_of, window
from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.features import Indicators, Ohlcv
from mtf.market.stream import Stream, StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.plugins import registry

FEATURES = registry.names("feature")
FRAMES = ["1s", "1m", "5m", "15m", "1h", "4h", "1d", "1w"]
MINUTE_MS = 60_000
HALF_LIFE = 4
NAN = math.nan


@pytest.fixture(autouse=True, scope="module")
def short_pieces() -> Iterator[None]:
    """Save states every 8 rows, so that short histories have many pieces to start again from."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (mtf.market.asof, mtf.market.scale, mtf.market.stream):
            patch.setattr(module, "SAVE_EVERY", 8)
        yield


def quick() -> Ohlcv:
    """Warm after four returns."""
    return Ohlcv(volatility_half_life=HALF_LIFE, volume_half_life=HALF_LIFE)


def at(stream: Stream, *times: int) -> Known:
    return as_of(stream, np.array(times, np.int64))


# --- stories ---------------------------------------------------------------------------------


def six_candles(**options: float) -> Stream:
    """Six minutes from 00:00, the fourth is missing; latency 250 ms."""
    ohlcv = closes([100.0, 101.0, 102.0, NAN, 104.0, 105.0])
    there = ~np.isnan(ohlcv[:, 0])
    what = replace(spec(latency_ms=250, lookback=3), **options)  # type: ignore[arg-type]
    return compute_stream(what, candles(ohlcv, there, first_slot=0), Ohlcv(volatility_half_life=1))


def test_a_candle_is_seen_at_its_close_plus_latency_and_not_a_millisecond_before() -> None:
    known = at(six_candles(), MINUTE_MS + 249, MINUTE_MS + 250)
    assert known.last_slot.tolist() == [-1, 0]
    assert known.row.tolist() == [-1, 0]
    assert known.age_ms.tolist() == [NEVER_MS, 250]
    assert np.isnan(known.last_close[0])
    assert known.last_close[1] == 100.0


def test_a_missing_candle_leaves_the_timetable_and_ages_the_last_one() -> None:
    known = at(six_candles(), 4 * MINUTE_MS + 250)
    assert known.last_slot[0] == 3
    assert known.row[0] == 2
    assert known.age_ms[0] == MINUTE_MS + 250
    assert known.last_close[0] == 102.0
    assert not known.late[0]


def test_sigma_includes_the_last_closed_return() -> None:
    known = at(six_candles(), 3 * MINUTE_MS + 250)
    one, two = math.log(101 / 100), math.log(102 / 101)
    assert known.sigma[0] == pytest.approx(math.sqrt((two**2 + one**2 / 2) / 1.5))
    assert known.volume_mean[0] == pytest.approx(1.0)


def test_a_stale_stream_is_absent() -> None:
    closed = 6 * MINUTE_MS  # the last candle's close
    limit = closed + 3 * MINUTE_MS
    stream = six_candles(lookback=100)
    assert at(stream, limit, limit + 1).present.tolist() == [True, False]
    patient = six_candles(lookback=100, max_age=math.inf)
    assert at(patient, 10**12).present.tolist() == [False]  # fresh enough, but out of the lookback
    assert at(patient, limit + 1).present.tolist() == [True]


def test_a_stream_without_a_usable_candle_in_its_lookback_is_absent() -> None:
    stream = six_candles(lookback=1, max_age=10.0)
    times = [MINUTE_MS * k + 250 for k in range(1, 7)]
    # Candles 0 and 1 are needed for sigma; candle 2 is the first usable one, candle 3 is missing.
    assert at(stream, *times).present.tolist() == [False, False, True, False, True, True]


def test_an_empty_history_is_absent_at_any_time() -> None:
    stream = compute_stream(spec(), candles(np.empty((0, 5))), quick())
    known = at(stream, -(10**12), 0, 10**12)
    assert known.row.tolist() == [-1, -1, -1]
    assert not known.present.any()
    assert not known.late.any()
    values, valid, _ = window(stream, quick(), 0, 5)
    assert values.shape == (5, 5)
    assert not valid.any()


def test_a_window_ends_at_the_last_slot_and_is_empty_outside_the_history() -> None:
    stream = six_candles()
    values, valid, known = window(stream, Ohlcv(volatility_half_life=1), 8 * MINUTE_MS + 250, 10)
    assert known.last_slot[0] == 7
    # slots -2 … 7: two before the history, two not usable, 2, missing, 4, 5, two after its end
    assert valid.tolist() == [bool(int(x)) for x in "0000101100"]
    np.testing.assert_array_equal(values[4], stream.features[2])
    assert not values[~valid].any()


def late_third(rows: int = 12, late_ms: int = 3 * MINUTE_MS) -> tuple[Stream, Candles]:
    """Minutes from 00:00; the candle of slot 7 comes ``late_ms`` after its close."""
    ohlcv, _ = walk(rows, 1)
    closed = (np.arange(rows) + 1) * MINUTE_MS
    closed[7] += late_ms
    raw = candles(ohlcv, first_slot=0, available_at=closed)
    return compute_stream(spec(), raw, quick()), raw


def test_between_a_later_slot_and_the_late_one_features_are_as_then_known() -> None:
    stream, raw = late_third()
    absent = raw.ohlcv.copy()
    absent[7] = NAN
    without = compute_stream(
        spec(), candles(absent, ~np.isnan(absent[:, 0]), first_slot=0), quick()
    )
    arrival = 11 * MINUTE_MS  # slot 7 closes at 8 minutes
    known, then = at(stream, arrival - 1, arrival), at(without, arrival - 1)
    assert known.late.tolist() == [True, False]
    assert known.sigma[0] == then.sigma[0] != known.sigma[1]
    assert known.volume_mean[0] == then.volume_mean[0]
    assert known.row.tolist() == [9, 10]
    values, valid, _ = window(stream, quick(), arrival - 1, 10)
    expected, usable, _ = window(without, quick(), arrival - 1, 10)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(valid, usable)
    values, valid, _ = window(stream, quick(), arrival, 11)  # afterwards as if in order
    np.testing.assert_array_equal(values, stream.features[:11])
    np.testing.assert_array_equal(valid, stream.feature_valid[:11])


def test_until_a_later_slot_comes_the_late_one_is_just_missing() -> None:
    stream, _ = late_third(late_ms=MINUTE_MS // 2)
    known = at(stream, 8 * MINUTE_MS, 8 * MINUTE_MS + 30_000)
    assert known.late.tolist() == [True, False]
    assert known.row.tolist() == [6, 7]
    assert known.sigma.tolist() == [stream.scale.sigma[6], stream.scale.sigma[7]]


def test_late_candles_without_saved_states_are_refused() -> None:
    stream, _ = late_third()
    bare = replace(stream, feature_set=None, feature_states=None)
    assert at(bare, 8 * MINUTE_MS).late[0]  # known without a rescan
    with pytest.raises(ValueError, match="build it with compute_stream"):
        at(bare, 9 * MINUTE_MS)


def test_many_decisions_are_answered_at_once() -> None:
    ohlcv, valid = walk(100_000, 2, 0.01)
    stream = compute_stream(spec(lookback=600), candles(ohlcv, valid), quick())
    times = stream.candles.open_time()
    as_of(stream, times[:10])
    started = time.perf_counter()
    as_of(stream, times)
    assert time.perf_counter() - started < 0.5  # seen: 3 ms


def test_the_halt_of_march_2023(real_data: Path) -> None:
    table = parquet.read_table(real_data / "candles" / "ETHUSDT_1m_2023.parquet")
    columns = [table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    opened = table["open_time"].to_numpy()
    raw = Candles.from_rows("ETHUSDT", Timeframe.parse("1m"), opened, np.stack(columns, axis=1))
    stream = compute_stream(spec(lookback=600), raw, Ohlcv())
    halt = int(datetime(2023, 3, 24, 12, 40, tzinfo=UTC).timestamp()) * 1000
    known = at(stream, *(halt + minute * MINUTE_MS for minute in (0, 1, 3, 4, 80, 81)))
    assert (known.age_ms // MINUTE_MS).tolist() == [0, 1, 3, 4, 80, 0]
    assert known.present.tolist() == [True, True, True, False, False, True]
    assert (
        len(set(known.sigma.tolist())) == 1
    )  # nothing was observed; the jump after it is no return
    values, valid, _ = window(stream, Ohlcv(), halt + 81 * MINUTE_MS, 600)
    assert valid.sum() == 600 - 80
    assert valid[-1]
    assert np.isfinite(values).all()


# --- the other opinion ------------------------------------------------------------------------


@dataclass
class Belief:
    last_slot: int
    row: int
    age_ms: int
    late: bool
    sigma: float
    volume_mean: float
    last_close: float
    features: list[list[float] | None]  # of every slot from the first of the history


def believed(raw: Candles, what: StreamSpec, t: int) -> Belief:
    """Rebuild what one could know at ``t`` from the candles that had arrived."""
    duration = raw.timeframe.duration_ms
    anchor = 4 * 86_400_000 if raw.timeframe.name == "1w" else 0
    shown: list[list[float] | None] = []
    late = False
    row, close_time = -1, anchor + (raw.first_slot + 1) * duration
    while close_time + what.latency_ms <= t:
        i = len(shown)
        there = i < len(raw.valid) and bool(raw.valid[i])
        arrived = raw.available_at is None or not there or int(raw.available_at[i]) <= t
        shown.append(raw.ohlcv[i].tolist() if there and arrived else None)
        late |= there and not arrived
        if shown[-1] is not None:
            row, newest = i, close_time
        close_time += duration
    returns: list[float] = []
    volumes: list[float] = []
    features: list[list[float] | None] = []
    last, adjacent = NAN, False
    for candle in shown:
        features.append(feature(candle, last, sigma_of(returns), mean(volumes)))
        if candle is not None:
            if adjacent:
                returns.append(math.log(candle[3] / last))
            volumes.append(candle[4])
            last = candle[3]
        adjacent = candle is not None
    return Belief(
        last_slot=(t - what.latency_ms - anchor) // duration - 1,
        row=row,
        age_ms=t - newest if row >= 0 else int(NEVER_MS),
        late=late,
        sigma=sigma_of(returns),
        volume_mean=mean(volumes),
        last_close=last,
        features=features,
    )


def mean(values: list[float]) -> float:
    weights = [0.5 ** (age / HALF_LIFE) for age in reversed(range(len(values)))]
    total = math.fsum(w * v for w, v in zip(weights, values, strict=True))
    return total / math.fsum(weights) if values else NAN


def sigma_of(returns: list[float]) -> float:
    if len(returns) < HALF_LIFE:
        return NAN
    return max(math.sqrt(mean([r * r for r in returns])), 1e-5)


def feature(
    candle: list[float] | None, last: float, sigma: float, volume: float
) -> list[float] | None:
    if candle is None or math.isnan(sigma):
        return None
    prices = [math.log(price / last) / sigma for price in candle[:4]]
    share = math.log((candle[4] + 0.01 * volume) / (1.01 * volume)) if volume > 0 else 0.0
    return [min(max(x, -8.0), 8.0) for x in (*prices, share)]


@dataclass
class Case:
    raw: Candles
    what: StreamSpec
    before: list[int]  # moments at which something became known
    times: list[int]
    length: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A history with gaps, latency and late candles, and times around one of its boundaries."""
    frame = Timeframe.parse(draw(st.sampled_from(FRAMES)))
    rows, duration = draw(st.integers(1, 60)), frame.duration_ms
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ohlcv, valid = walk(rows, int(random.integers(2**32)), draw(st.sampled_from([0.0, 0.1, 0.4])))
    first = draw(st.sampled_from([-30, 0, 2_800]))
    latency = draw(st.sampled_from([0, 1, 250, duration // 2, duration, 3 * duration + 7]))
    closed = frame.close_time(np.arange(first, first + rows, dtype=np.int64))
    delays = draw(st.sampled_from(["none", "a few", "a few in step", "every", "within latency"]))
    few = random.random(rows) < 0.3
    delay = {
        "none": np.zeros(rows),
        "a few": latency + few * random.integers(0, 8 * duration, rows),
        "a few in step": latency + few * random.integers(0, 8, rows) * duration,
        "every": latency + random.integers(0, 4 * duration, rows),
        "within latency": random.integers(0, latency + 1, rows),
    }[delays].astype(np.int64)
    available_at = None if delays == "none" else closed + delay  # also of the absent: means nothing
    raw = candles(ohlcv, valid, frame, first, available_at)
    row = draw(st.integers(rows // 3, rows - 1))
    boundary = int(closed[row]) + draw(st.sampled_from([0, latency, int(delay[row])]))
    boundary += duration * draw(st.sampled_from([0, 0, 0, 1, 5]))
    what = spec(
        frame,
        latency_ms=latency,
        lookback=draw(st.sampled_from([1, 2, 5, 20])),
        max_age=draw(st.sampled_from([0.5, 1.0, 3.0])),
    )
    events = np.unique(np.concatenate([closed + latency, closed + delay]))
    before = events[events < boundary - 1][-20:].tolist()
    times = [boundary - 1, boundary, boundary + 1]
    return Case(raw, what, before, times, draw(st.integers(1, 80)))


def check(case: Case) -> None:
    stream = compute_stream(case.what, case.raw, quick())
    known = at(stream, *case.before, *case.times)  # one answer for many, in order
    for d, t in enumerate(case.times, start=len(case.before)):
        belief = believed(case.raw, case.what, t)
        for name in ("last_slot", "row", "age_ms", "late"):
            assert getattr(known, name)[d] == getattr(belief, name), name
        for name in ("sigma", "volume_mean", "last_close"):
            expected = getattr(belief, name)
            assert getattr(known, name)[d] == pytest.approx(expected, rel=1e-9, nan_ok=True), name
        usable = belief.features[-case.what.lookback :]
        fresh = belief.age_ms <= case.what.max_age * case.raw.timeframe.duration_ms
        assert known.present[d] == (fresh and any(x is not None for x in usable))
        check_window(stream, t, case.length, belief)


def check_window(stream: Stream, t: int, length: int, belief: Belief) -> None:
    values, valid, _ = window(stream, quick(), t, length)
    slots = range(belief.last_slot - length + 1, belief.last_slot + 1)
    rows = [slot - stream.candles.first_slot for slot in slots]
    expected = [belief.features[row] if row >= 0 else None for row in rows]
    assert valid.tolist() == [x is not None for x in expected]
    zeros = [0.0] * 5
    np.testing.assert_allclose(values, [x or zeros for x in expected], rtol=1e-5, atol=1e-6)


ENOUGH = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(ENOUGH, max_examples=1_000)
@given(cases())
def test_the_world_rebuilt_at_a_random_time(case: Case) -> None:
    check(case)


@pytest.mark.long
@settings(ENOUGH, max_examples=50_000)
@given(cases())
def test_the_world_rebuilt_at_fifty_thousand_random_times(case: Case) -> None:
    check(case)


@settings(ENOUGH, max_examples=100)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_times_does_not_matter(case: Case, random: object) -> None:
    stream = compute_stream(case.what, case.raw, quick())
    duration = case.raw.timeframe.duration_ms
    grid = case.raw.open_time()[:, None] + np.array([0, duration // 3])
    times = np.concatenate([grid.ravel(), case.before, case.times]).astype(np.int64)
    known = as_of(stream, times)
    order = np.random.default_rng(random.randrange(2**32)).permutation(len(times))  # type: ignore[attr-defined]
    shuffled = as_of(stream, times[order])
    for name, values in vars(known).items():
        np.testing.assert_array_equal(values[order], getattr(shuffled, name), err_msg=name)


# --- nothing from the future ------------------------------------------------------------------


def ordinary(name: str, raw: Candles, latency_ms: int) -> tuple[Stream, FeatureSet]:
    feature_set = registry.load("feature", name)()
    return compute_stream(spec(raw.timeframe, latency_ms=latency_ms), raw, feature_set), feature_set


def everything(stream: Stream, feature_set: FeatureSet, t: int) -> list[np.ndarray]:
    values, valid, known = window(stream, feature_set, t, 100)
    return [values, valid, *vars(known).values()]


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("late", [False, True])
def test_the_future_moves_nothing_and_the_last_visible_candle_does(
    name: str, frame: str, late: bool
) -> None:
    timeframe, latency, rows, last = Timeframe.parse(frame), 250, 200, 150
    ohlcv, valid = walk(rows, 5, 0.02)
    valid[[last, last + 1]] = True
    ohlcv[last + 1] = np.nan_to_num(ohlcv[last + 1], nan=100.0)
    ohlcv[last] = np.nan_to_num(ohlcv[last], nan=100.0)
    slots = np.arange(100, 100 + rows, dtype=np.int64)
    arrival = timeframe.close_time(slots) + latency
    if late:
        arrival[last - 20 : last : 5] += 1_000 * timeframe.duration_ms
    t = int(timeframe.close_time(100 + last)) + latency  # the candle of row ``last`` is just known

    def world(change: np.ndarray) -> list[np.ndarray]:
        changed, there = ohlcv.copy(), valid.copy()
        changed[change] *= 1.01
        there[change[1::3]] = False
        raw = candles(changed, there, timeframe, 100, arrival if late else None)
        return everything(*ordinary(name, raw, latency), t)

    untouched = world(np.array([], np.int64))
    assert untouched[3].tolist() == [last]  # the row
    assert same(untouched, world(np.arange(last + 1, rows)))
    assert same(untouched, world(np.array([last + 1])))
    assert not same(untouched, world(np.array([last])))
    if late:  # a candle that has not come is as far away as the future
        assert same(untouched, world(np.array([last - 5])))


@pytest.mark.parametrize("feature_set", [Ohlcv(), Indicators()], ids=["ohlcv", "indicators"])
def test_a_long_history_with_late_candles_equals_a_fresh_scan(feature_set: FeatureSet) -> None:
    ohlcv, valid = walk(3_000, 6, 0.02)
    random = np.random.default_rng(7)
    closed = (np.arange(3_000) + 1) * MINUTE_MS
    arrival = closed + (random.random(3_000) < 0.02) * random.integers(0, 90 * MINUTE_MS, 3_000)
    raw = candles(ohlcv, valid, first_slot=0, available_at=arrival)
    stream = compute_stream(spec(), raw, feature_set)
    for t in random.choice(closed[1_000:], 50).tolist():
        there = valid & (arrival <= t) & (closed <= t)
        seen = np.where(there[:, None], ohlcv, np.nan)
        features, usable = feature_set.scan(seen, there, feature_set.initial_state())
        values, valid_now, known = window(stream, feature_set, t, 300)
        end = int(known.last_slot[0]) + 1
        np.testing.assert_array_equal(values, features[end - 300 : end])
        np.testing.assert_array_equal(valid_now, usable[end - 300 : end])
