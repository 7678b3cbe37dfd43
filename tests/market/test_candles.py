"""The border: rows that are candles get through, in order and once; nothing else does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import DataError
from mtf.market.candles import CLOSE, BadRows, Candles, join
from mtf.market.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")
HOUR = Timeframe.parse("1h")
START = 1_640_995_200_000  # 2022-01-01 00:00

SIX = np.array(
    [
        [10.0, 11.0, 9.0, 10.5, 1.0],
        [10.5, 12.0, 10.0, 11.0, 2.0],
        [11.0, 11.0, 11.0, 11.0, 0.0],
        [11.0, 11.5, 10.5, 10.6, 3.0],
        [10.6, 10.8, 10.2, 10.4, 1.5],
        [10.4, 13.0, 10.4, 12.0, 9.0],
    ]
)


def times(*minutes: int) -> np.ndarray:
    return START + 60_000 * np.array(minutes, dtype=np.int64)


def make(minutes: list[int], rows: list[int], **options: object) -> Candles:
    return Candles.from_rows("ETHUSDT", MINUTE, times(*minutes), SIX[rows], **options)  # type: ignore[arg-type]


def test_rows_without_gaps_are_used_without_a_copy() -> None:
    candles = Candles.from_rows("ETHUSDT", MINUTE, times(*range(6)), SIX)
    assert candles.ohlcv is SIX
    assert candles.valid.all()
    assert candles.first_slot == START // 60_000


def test_a_missing_minute_is_an_absent_slot_and_never_filled() -> None:
    candles = make([0, 1, 3], [0, 1, 3])
    assert candles.valid.tolist() == [True, True, False, True]
    assert np.isnan(candles.ohlcv[2]).all()


def test_disorder_is_sorted_and_counted() -> None:
    candles = make([0, 2, 1, 3], [0, 2, 1, 3])
    np.testing.assert_array_equal(candles.ohlcv, SIX[:4])
    assert candles.counts is not None
    assert candles.counts.disorder == 1


def test_exact_duplicates_are_dropped_and_counted() -> None:
    candles = make([0, 1, 1, 2], [0, 1, 1, 2])
    np.testing.assert_array_equal(candles.ohlcv, SIX[:3])
    assert candles.counts is not None
    assert candles.counts.duplicates == 1


def test_the_same_time_with_different_values_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"2 same time, different values \(first: row 2, 2022-01-01 00:01"
    ):
        make([0, 1, 1, 2], [0, 1, 4, 2])


def test_masking_conflicting_rows_leaves_their_slot_absent() -> None:
    candles = make([0, 1, 1, 2], [0, 1, 4, 2], bad_rows="mask")
    assert candles.valid.tolist() == [True, False, True]
    assert candles.counts is not None
    assert candles.counts.conflicting == 2


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (CLOSE, np.nan, "NaN or infinite"),
        (0, np.inf, "NaN or infinite"),
        (4, -np.inf, "NaN or infinite"),
        (2, -9.0, "price not above 0"),
        (2, 0.0, "price not above 0"),
        (1, 9.5, "high or low on the wrong side"),
        (2, 10.8, "high or low on the wrong side"),
        (4, -1.0, "volume below 0"),
    ],
)
def test_a_row_that_is_no_candle_is_refused_with_its_number(
    column: int, value: float, words: str
) -> None:
    rows = SIX.copy()
    rows[1, column] = value
    with pytest.raises(DataError) as error:
        Candles.from_rows("ETHUSDT", MINUTE, times(*range(6)), rows, origin="prices.csv")
    assert f"prices.csv: 1 of 6 rows are no candles: 1 {words}" in str(error.value)
    assert "row 2, 2022-01-01 00:01" in str(error.value)
    assert "data.bad_rows=mask" in str(error.value)


def test_masking_treats_bad_rows_as_missing() -> None:
    rows = SIX.copy()
    rows[2, 0] = np.nan
    candles = Candles.from_rows("ETHUSDT", MINUTE, times(*range(6)), rows, bad_rows="mask")
    assert candles.valid.tolist() == [True, True, False, True, True, True]
    assert candles.counts is not None
    assert candles.counts.non_finite == 1


def test_bad_rows_at_the_ends_are_trimmed() -> None:
    rows = SIX.copy()
    rows[0, 0] = rows[5, 0] = np.nan
    candles = Candles.from_rows("ETHUSDT", MINUTE, times(*range(6)), rows, bad_rows="mask")
    assert len(candles) == 4
    assert candles.first_slot == START // 60_000 + 1


def test_nothing_but_bad_rows_is_refused_even_when_masking() -> None:
    with pytest.raises(DataError, match="6 of 6 rows are no candles"):
        Candles.from_rows("X", MINUTE, times(*range(6)), -SIX, bad_rows="mask")


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        Candles.from_rows("X", MINUTE, times(), SIX[:0])


def test_one_row_off_the_grid_is_a_bad_row() -> None:
    off = times(*range(6))
    off[3] += 1
    with pytest.raises(DataError, match="1 open time off the grid"):
        Candles.from_rows("X", MINUTE, off, SIX)


def test_seconds_are_not_taken_for_milliseconds() -> None:
    with pytest.raises(DataError) as error:
        Candles.from_rows("X", MINUTE, times(*range(6)) // 1_000, SIX)
    assert "open_time such as 1640995200 looks like seconds" in str(error.value)
    assert "`time_unit: s`" in str(error.value)


@pytest.mark.parametrize(("factor", "unit"), [(1_000, "us"), (1_000_000, "ns")])
def test_micro_and_nanoseconds_are_not_taken_for_milliseconds(factor: int, unit: str) -> None:
    with pytest.raises(DataError, match=f"`time_unit: {unit}`"):
        Candles.from_rows("X", MINUTE, times(*range(6)) * factor, SIX)


def test_minutes_are_not_taken_for_hours() -> None:
    with pytest.raises(DataError) as error:
        Candles.from_rows("X", HOUR, times(*range(6)), SIX)
    assert "candles are 60 s apart (1m)" in str(error.value)
    assert "expected: 1h" in str(error.value)
    assert "`streams.<name>.from: 1m`" in str(error.value)


def test_hours_are_not_taken_for_minutes_with_gaps() -> None:
    hours = times(*range(0, 60 * 12, 60))
    with pytest.raises(DataError, match=r"candles are 3600 s apart \(1h\)"):
        Candles.from_rows("X", MINUTE, hours, np.tile(SIX, (2, 1)))


def test_close_times_are_not_taken_for_open_times() -> None:
    with pytest.raises(DataError, match="these look like close times"):
        Candles.from_rows("X", MINUTE, times(*range(6)) + 59_999, SIX)


def test_a_stray_time_does_not_ask_for_terabytes() -> None:
    stray = times(*range(6))
    stray[5] += 60_000 * 60 * 24 * 365 * 400
    with pytest.raises(DataError, match="slots of 1m"):
        Candles.from_rows("X", MINUTE, stray, SIX)


def test_a_candle_can_not_be_known_before_it_closes() -> None:
    closes = times(*range(1, 7))
    assert Candles.from_rows("X", MINUTE, times(*range(6)), SIX, available_at=closes).valid.all()
    closes[2] -= 1
    with pytest.raises(DataError, match="1 available_at before the close"):
        Candles.from_rows("X", MINUTE, times(*range(6)), SIX, available_at=closes)


def test_an_absent_slot_is_not_waited_for() -> None:
    late = times(1, 2, 4) + 5_000
    candles = Candles.from_rows("X", MINUTE, times(0, 1, 3), SIX[:3], available_at=late)
    assert candles.available_at is not None
    assert candles.available_at.tolist() == [*late[:2], times(3)[0], late[2]]


def test_slice_is_by_open_time_and_without_absent_ends() -> None:
    candles = make([0, 1, 3, 4], [0, 1, 3, 4])
    part = candles.slice(int(times(1)[0]), int(times(4)[0]))
    assert part.open_time().tolist() == times(1, 2, 3).tolist()
    assert candles.slice(int(times(0)[0]) + 1, int(times(3)[0])).open_time().tolist() == [
        times(1)[0]
    ]
    assert len(candles.slice(int(times(2)[0]), int(times(3)[0]))) == 0
    assert len(candles.slice(0, START)) == 0
    assert len(candles.slice(START * 2, START * 3)) == 0


def test_files_that_overlap_are_joined_where_they_agree() -> None:
    joined = join([make([0, 1, 2], [0, 1, 2]), make([2, 3], [2, 3])], "folder")
    np.testing.assert_array_equal(joined.ohlcv, SIX[:4])
    with pytest.raises(DataError, match="same time, different values"):
        join([make([0, 1], [0, 1]), make([1, 2], [3, 2])], "folder")


def test_equal_candles_have_the_same_fingerprint() -> None:
    assert make([0, 1], [0, 1]).fingerprint() == make([1, 0], [1, 0]).fingerprint()
    assert make([0, 1], [0, 1]).fingerprint() != make([1, 2], [0, 1]).fingerprint()


FAULTS = ("duplicate", "shuffle", "gap", "nan", "inf", "negative", "high_below_low", "seconds")


def damage(
    fault: str, at: np.ndarray, rows: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Break rows in one way."""
    random = np.random.default_rng(seed)
    row = int(random.integers(len(at)))
    rows, column = rows.copy(), int(random.integers(5))
    if fault == "duplicate":
        return np.append(at, at[row]), np.vstack([rows, rows[row]])
    if fault == "shuffle":
        order = random.permutation(len(at))
        return at[order], rows[order]
    if fault == "gap" and len(at) > 2:
        return np.delete(at, row), np.delete(rows, row, axis=0)
    if fault == "high_below_low":
        rows[row, [1, 2]] = rows[row, 2] * 0.9, rows[row, 1]
    if fault == "seconds":
        return at // 1_000, rows
    if fault in ("nan", "inf", "negative"):
        rows[row, column] = {"nan": np.nan, "inf": np.inf, "negative": -1.0}[fault]
    return at, rows


def assert_sound(candles: Candles) -> None:
    """What everything behind the border relies on."""
    good = candles.ohlcv[candles.valid]
    open_, high, low, close, volume = good.T
    assert np.isfinite(good).all()
    assert (good[:, :4] > 0).all()
    assert (volume >= 0).all()
    assert (low <= np.minimum(open_, close)).all()
    assert (np.maximum(open_, close) <= high).all()
    assert np.isnan(candles.ohlcv[~candles.valid]).all()
    assert candles.valid[0]
    assert candles.valid[-1]


def border(at: np.ndarray, rows: np.ndarray, bad_rows: BadRows) -> Candles | None:
    """The candles, or None where the rows are refused."""
    try:
        return Candles.from_rows("X", MINUTE, at, rows, bad_rows=bad_rows)
    except DataError:
        return None


def is_candle(row: list[float]) -> bool:
    """The rule, said row by row and by hand."""
    open_, high, low, close, volume = row
    if not all(math.isfinite(value) for value in row):
        return False
    return 0 < low <= min(open_, close) and max(open_, close) <= high and volume >= 0


def sound_times(at: np.ndarray, rows: np.ndarray) -> set[int]:
    """Times at which all rows are one and the same candle."""
    by_time: dict[int, list[list[float]]] = {}
    for time, row in zip(at.tolist(), rows.tolist(), strict=True):
        by_time.setdefault(time, []).append(row)
    return {
        time
        for time, same in by_time.items()
        if all(is_candle(row) and row == same[0] for row in same)
    }


@settings(max_examples=500, deadline=None)
@given(
    faults=st.lists(st.sampled_from(FAULTS), min_size=0, max_size=4),
    seed=st.integers(0, 2**31),
    count=st.integers(3, 30),
    bad_rows=st.sampled_from(["refuse", "mask"]),
)
def test_no_bad_row_gets_through(
    faults: list[str], seed: int, count: int, bad_rows: BadRows
) -> None:
    at, rows = times(*range(count)), SIX[np.random.default_rng(seed).integers(0, 6, count)]
    for number, fault in enumerate(faults):
        at, rows = damage(fault, at, rows, seed + number)
    sound = set() if "seconds" in faults else sound_times(at, rows)
    enough = sound == set(at.tolist()) if bad_rows == "refuse" else bool(sound)
    candles = border(at, rows, bad_rows)
    assert (candles is not None) == enough
    if candles is None:
        return
    assert_sound(candles)
    assert set(candles.open_time()[candles.valid].tolist()) == sound
    again = Candles.from_rows(
        "X", MINUTE, candles.open_time()[candles.valid], candles.ohlcv[candles.valid]
    )
    assert again.fingerprint() == candles.fingerprint()
