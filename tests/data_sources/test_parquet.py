"""Candles from parquet: several files, only what is wanted, little memory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtf.data_sources.parquet import Parquet
from mtf.errors import DataError
from mtf.market.parquet_file import ParquetFile
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

START = 1_640_995_200_000
MINUTE = Timeframe.parse("1m")


def table(first: int, count: int) -> pa.Table:
    """Minutes from ``first`` on; the close is the number of the minute + 1."""
    number = np.arange(first, first + count)
    close = number + 1.0
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), close)
    return pa.table({"open_time": START + 60_000 * number, **prices})


def request(first: int = 0, end: int = 10_000, timeframe: Timeframe = MINUTE) -> Request:
    return Request("ETHUSDT", timeframe, START + 60_000 * first, START + 60_000 * end)


def closes(path: Path, first: int = 0, end: int = 10_000, **options: object) -> list[float]:
    source = Parquet(path=str(path), **options)  # type: ignore[arg-type]
    return source.load([request(first, end)])[0].ohlcv[:, 3].tolist()  # type: ignore[no-any-return]


def test_files_of_a_symbol_are_read_as_one_history(tmp_path: Path) -> None:
    pq.write_table(table(0, 5), tmp_path / "ETHUSDT_1m_2021.parquet")
    pq.write_table(table(5, 5), tmp_path / "ETHUSDT_1m_2022.parquet")
    pq.write_table(table(90, 5), tmp_path / "ETHUSDT_1h.parquet")
    assert closes(tmp_path) == list(range(1, 11))


def test_only_the_wanted_minutes_are_delivered(tmp_path: Path) -> None:
    pq.write_table(table(0, 100), tmp_path / "ETHUSDT_1m.parquet", row_group_size=10)
    assert closes(tmp_path, 25, 28) == [26, 27, 28]


def test_row_groups_outside_of_the_window_are_not_read(tmp_path: Path) -> None:
    pq.write_table(table(0, 100), tmp_path / "a.parquet", row_group_size=10)
    with ParquetFile(tmp_path / "a.parquet") as file:
        window = (START + 60_000 * 25, START + 60_000 * 35)
        assert file.at_most(None, "ms", window) == 20
        times, _, first = file.candles(window=window)
    assert (len(times), first) == (10, 25)


def test_one_file_serves_its_symbol(tmp_path: Path) -> None:
    path = tmp_path / "ETHUSDT_1m.parquet"
    pq.write_table(table(0, 3), path)
    assert closes(path) == [1, 2, 3]
    with pytest.raises(DataError, match="holds ETHUSDT"):
        Parquet(path=str(path)).load([Request("BTCUSDT", MINUTE, START, START * 2)])


def test_other_file_names_have_a_pattern(tmp_path: Path) -> None:
    pq.write_table(table(0, 3), tmp_path / "bybit_linear_ETHUSDT_1m_20250530.parquet")
    pattern = "bybit_linear_{symbol}_{timeframe}*.parquet"
    assert closes(tmp_path, pattern=pattern) == [1, 2, 3]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns", tz="UTC"), pa.timestamp("us"), pa.timestamp("s"), pa.string()]
)
def test_timestamps_know_their_unit(tmp_path: Path, kind: pa.DataType) -> None:
    made = table(0, 3)
    stamps = pa.array([datetime.fromtimestamp(START / 1e3 + 60 * i, UTC) for i in range(3)])
    naive = stamps.cast(pa.timestamp("us"))
    made = made.set_column(
        0, "ts", naive.cast(kind) if kind.equals(pa.string()) else stamps.cast(kind)
    )
    pq.write_table(made, tmp_path / "ETHUSDT_1m.parquet")
    assert closes(tmp_path, columns={"open_time": "ts"}) == [1, 2, 3]


def test_seconds_are_read_when_said_and_refused_when_not(tmp_path: Path) -> None:
    made = table(0, 3)
    seconds = pa.array(made["open_time"].to_numpy() // 1_000)
    pq.write_table(made.set_column(0, "open_time", seconds), tmp_path / "ETHUSDT_1m.parquet")
    assert closes(tmp_path, time_unit="s") == closes(tmp_path, time_unit="auto") == [1, 2, 3]
    with pytest.raises(DataError, match="`time_unit: s`"):
        closes(tmp_path)


def test_numbers_of_other_types_and_nulls(tmp_path: Path) -> None:
    made = table(0, 3)
    made = made.set_column(1, "open", pa.array([1, None, 3], pa.int32()))
    made = made.set_column(5, "volume", made["volume"].cast(pa.float32()))
    pq.write_table(made, tmp_path / "ETHUSDT_1m.parquet")
    with pytest.raises(DataError, match=r"1 NaN or infinite \(first: ETHUSDT_1m.parquet row 2"):
        closes(tmp_path)
    assert closes(tmp_path, bad_rows="mask")[::2] == [1, 3]


def test_a_bad_row_is_told_with_its_file_and_row(tmp_path: Path) -> None:
    pq.write_table(table(0, 5), tmp_path / "ETHUSDT_1m_2021.parquet")
    made = table(5, 5)
    made = made.set_column(2, "high", pa.array([6.0, 7.0, 7.5, 9.0, 10.0]))
    pq.write_table(made, tmp_path / "ETHUSDT_1m_2022.parquet")
    with pytest.raises(DataError, match=r"ETHUSDT_1m_2022.parquet row 3, 2022-01-01 00:07"):
        closes(tmp_path, 2)


def test_rows_out_of_order_are_sorted_and_cut(tmp_path: Path) -> None:
    made = table(0, 10).take([3, 1, 0, 2, 9, 5, 4, 8, 7, 6])
    pq.write_table(made, tmp_path / "ETHUSDT_1m.parquet")
    assert closes(tmp_path, 2, 6) == [3, 4, 5, 6]


def test_real_years_are_one_history_with_one_gap(real_data: Path) -> None:
    source = Parquet(path=str(real_data / "candles"))
    start, end = 1_671_000_000_000, 1_680_000_000_000  # over the new year, and the halt
    candles = source.load([Request("ETHUSDT", MINUTE, start, end)])[0]
    assert candles.report.gaps.count == 1
    assert candles.report.gaps.missing == 80
    assert "2023-03-24 12:40 to 2023-03-24 14:00 (80 candles, 1.33 h)" in "\n".join(
        candles.report.lines()
    )
    assert len(candles) == (end - start) // 60_000


@pytest.mark.slow
def test_loading_needs_less_than_a_hundred_bytes_a_row(tmp_path: Path) -> None:
    import subprocess
    import sys

    rows = 3_000_000
    made = table(0, rows).filter(pa.array(np.arange(rows) % 100_000 != 5))  # gaps: the dear case
    pq.write_table(made, tmp_path / "ETHUSDT_1m.parquet")
    program = (
        "import resource, sys\n"
        "from mtf.data_sources.parquet import Parquet\n"
        "from mtf.market.timeframe import Timeframe\n"
        "from mtf.plugins.contracts import Request\n"
        "def load(end):\n"
        "    request = Request('ETHUSDT', Timeframe.parse('1m'), 0, end)\n"
        "    candles = Parquet(path=sys.argv[1]).load([request])[0]\n"
        "    candles.report\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        f"few = load({START + 60_000 * 1_000})\n"
        "print((load(2**62) - few) / int(sys.argv[2]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(rows)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 105
