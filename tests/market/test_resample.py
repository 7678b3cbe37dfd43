"""Longer candles from shorter ones, by hand and against candles of the exchange itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.parquet_file import ParquetFile
from mtf.market.resample import resample
from mtf.market.second_source import compare
from mtf.market.timeframe import Timeframe

MINUTE, FIVE, HOUR = (Timeframe.parse(name) for name in ("1m", "5m", "1h"))
START = 1_640_995_200_000


def minutes(*numbers: int, late: int | None = None) -> Candles:
    """Minute n: open n+1, high n+3, low n+0.5, close n+2, volume n."""
    n = np.array(numbers, dtype=np.float64)
    rows = np.stack([n + 1, n + 3, n + 0.5, n + 2, n], axis=1)
    times = START + 60_000 * np.array(numbers, dtype=np.int64)
    available = None if late is None else times + 60_000 + (np.array(numbers) == late) * 90_000
    return Candles.from_rows("X", MINUTE, times, rows, available_at=available)


def test_five_minutes_become_one_candle() -> None:
    candles = resample(minutes(0, 1, 2, 3, 4), FIVE)
    assert candles.ohlcv.tolist() == [[1.0, 7.0, 0.5, 6.0, 10.0]]
    assert candles.first_slot == START // 300_000


def test_incomplete_buckets_at_the_ends_are_no_candles() -> None:
    candles = resample(minutes(*range(3, 12)), FIVE)
    assert candles.open_time().tolist() == [START + 300_000]


def test_a_bucket_with_a_missing_minute_is_absent() -> None:
    candles = resample(minutes(*(n for n in range(15) if n != 7)), FIVE)
    assert candles.valid.tolist() == [True, False, True]
    assert np.isnan(candles.ohlcv[1]).all()


def test_a_bucket_is_known_when_its_last_minute_is() -> None:
    candles = resample(minutes(*range(10), late=3), FIVE)
    assert candles.available_at is not None
    # Minute 3 closes at 4:00 and comes 90 s later, at 5:30: after the bucket's own close.
    assert (candles.available_at - START).tolist() == [330_000, 600_000]


def test_no_complete_bucket_gives_no_candles() -> None:
    assert len(resample(minutes(0, 1, 2), FIVE)) == 0
    assert len(resample(minutes(0, 1, 2, 4), FIVE)) == 0


def test_the_same_timeframe_changes_nothing() -> None:
    candles = minutes(0, 1, 3)
    assert resample(candles, MINUTE).fingerprint() == candles.fingerprint()


def test_in_steps_or_at_once_gives_the_same() -> None:
    candles = minutes(*range(240))
    steps = resample(resample(candles, FIVE), HOUR)
    np.testing.assert_array_equal(steps.ohlcv, resample(candles, HOUR).ohlcv)


def test_weeks_start_on_monday() -> None:
    days = np.arange(14, dtype=np.int64) * 86_400_000 + START  # 2022-01-01 is a Saturday
    rows = np.tile([1.0, 1.0, 1.0, 1.0, 1.0], (14, 1))
    week = resample(
        Candles.from_rows("X", Timeframe.parse("1d"), days, rows), Timeframe.parse("1w")
    )
    assert week.open_time().tolist() == [START + 2 * 86_400_000]


@pytest.mark.parametrize(("source", "target"), [("5m", "1m"), ("5m", "7m"), ("2m", "5m")])
def test_what_does_not_divide_is_refused(source: str, target: str) -> None:
    with pytest.raises(DataError, match=f"found {target} candles to be built from {source}"):
        resample(Candles.empty("X", Timeframe.parse(source)), Timeframe.parse(target))


def load(path: Path, timeframe: Timeframe) -> Candles:
    with ParquetFile(path) as file:
        times, rows, _ = file.candles()
    return Candles.from_rows("X", timeframe, times, rows)


@pytest.mark.parametrize(("symbol", "year"), [("ETHUSDT", 2023), ("BTCUSDT", 2022)])
def test_minutes_of_the_exchange_become_its_hours(real_data: Path, symbol: str, year: int) -> None:
    minute = load(real_data / f"candles/{symbol}_1m_{year}.parquet", MINUTE)
    native = load(real_data / f"candles/{symbol}_1h.parquet", HOUR)
    found = compare(minute, native)
    # The halt of 2023-03-24 12:40 to 13:59: no 12:00 hour here, a flat one there, 13:00 nowhere.
    assert found.compared == (8_758 if year == 2023 else 8_760)
    assert found.differing == 0
    halt = resample(minute, HOUR)
    assert int(np.count_nonzero(~halt.valid)) == (2 if year == 2023 else 0)
