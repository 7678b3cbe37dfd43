"""Funding rates of a file beside bars, and holes in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from money import bars_of, flat

from mtf.errors import DataError
from mtf.trading.bars import Bars
from mtf.trading.funding import read_funding, with_funding

HOUR = 3_600_000


def rates(path: Path, hours: list[float], rate: float = 1e-4) -> Path:
    """A file of rates at some hours."""
    times = np.array([int(hour * HOUR) for hour in hours])
    table = pa.table({"time_ms": times, "funding_rate": np.full(len(times), rate)})
    pq.write_table(table, path)
    return path


def hourly(first: int, last: int) -> Bars:
    """Flat hours from ``first`` up to ``last``."""
    bars = bars_of([flat(100.0)] * (last - first), timeframe="1h")
    return replace(bars, open_time=bars.open_time + first * HOUR)


def test_payments_within_the_bars(tmp_path: Path) -> None:
    found = read_funding(str(rates(tmp_path / "ETHUSDT.parquet", [0, 8, 16, 24, 32])), "ETHUSDT")
    bars = with_funding(hourly(8, 24), found)
    assert (bars.funding_time / HOUR).tolist() == [8, 16]
    assert bars.funding_rate.tolist() == [1e-4, 1e-4]


def test_the_symbol_in_the_name_and_text_files(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT.csv").write_text("time_ms,funding_rate\n0,0.1\n28800000,-0.2\n")
    found = read_funding(str(tmp_path / "{symbol}.csv"), "ETHUSDT")
    assert found.values[:, 0].tolist() == [0.1, -0.2]


@pytest.mark.parametrize(("hours", "first", "last", "words"), [
    ([0, 8, 24, 32], 1, 30, "between 1970-01-01 08:00 and 1970-01-02 00:00"),
    ([16, 24, 32], 1, 30, "between 1970-01-01 01:00 and 1970-01-01 16:00"),
    ([0, 8, 16], 1, 30, "between 1970-01-01 16:00 and 1970-01-02 06:00"),
    ([0, 8, 16], 40, 50, "between 1970-01-02 16:00 and 1970-01-03 02:00"),
    ([80, 88, 96], 40, 50, "between 1970-01-02 16:00 and 1970-01-03 02:00"),
])  # fmt: skip
def test_a_hole_is_named(
    tmp_path: Path, hours: list[float], first: int, last: int, words: str
) -> None:
    found = read_funding(str(rates(tmp_path / "a.parquet", hours)), "ETHUSDT")
    with pytest.raises(DataError, match=words) as told:
        with_funding(hourly(first, last), found)
    assert "one every 8h" in str(told.value)
    assert "costs.funding=none" in str(told.value)


@pytest.mark.parametrize("hours", [[0, 8, 16, 24], [8, 16, 24], [8, 16], [8, 16.001, 24]])
def test_no_hole_where_nothing_need_be(tmp_path: Path, hours: list[float]) -> None:
    found = read_funding(str(rates(tmp_path / "a.parquet", hours)), "ETHUSDT")
    assert len(with_funding(hourly(1, 24), found).funding_time) >= 2


def test_rates_that_are_none(tmp_path: Path) -> None:
    file = rates(tmp_path / "a.parquet", [0, 8], float("nan"))
    with pytest.raises(DataError, match="2 rates are no numbers, the first at 1970-01-01 00:00"):
        read_funding(str(file), "ETHUSDT")
    one = read_funding(str(rates(tmp_path / "b.parquet", [0])), "ETHUSDT")
    with pytest.raises(DataError, match="at least two"):
        with_funding(hourly(0, 2), one)


def test_without_bars_nothing_is_asked(tmp_path: Path) -> None:
    found = read_funding(str(rates(tmp_path / "a.parquet", [0])), "ETHUSDT")
    assert not len(with_funding(bars_of([]), found).funding_time)


def test_real_rates_cover_a_real_year(real_data: Path) -> None:
    found = read_funding(str(real_data / "funding/{symbol}_perp_funding.parquet"), "ETHUSDT")
    year = 1_672_531_200_000 // HOUR
    bars = with_funding(hourly(year, year + 364 * 24), found)
    assert len(bars.funding_time) == 364 * 3
