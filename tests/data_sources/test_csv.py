"""Candles from text: any separator, with or without names, any unit of time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtf.data_sources.csv import Csv
from mtf.errors import DataError
from mtf.market.candles import CLOSE, Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

START = 1_640_995_200_000
END = START + 86_400_000
NUMBERS = "10,11,9,10.5,1"


def request(symbol: str = "ETHUSDT", timeframe: str = "1m", start: int = START) -> Request:
    return Request(symbol, Timeframe.parse(timeframe), start, END)


def write(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def load(path: Path, **options: object) -> Candles:
    return Csv(path=str(path), **options).load([request()])[0]  # type: ignore[arg-type]


def lines(times: list[str], separator: str = ",", end: str = "\n") -> str:
    return "".join(f"{time},{NUMBERS}".replace(",", separator) + end for time in times)


SECONDS = ["1640995200", "1640995260", "1640995320"]


@pytest.mark.parametrize("separator", [",", ";", "|", "\t", " "])
def test_the_separator_is_found_out(tmp_path: Path, separator: str) -> None:
    assert len(load(write(tmp_path, lines(SECONDS, separator)))) == 3


@pytest.mark.parametrize(
    "times",
    [
        SECONDS,
        [f"{s}000" for s in SECONDS],
        [f"{s}000000" for s in SECONDS],
        [f"{s}000000000" for s in SECONDS],
        [f"{s}.0" for s in SECONDS],
        ["2022-01-01 00:00:00", "2022-01-01 00:01:00", "2022-01-01 00:02:00"],
        ["2022-01-01T00:00:00Z", "2022-01-01T00:01:00Z", "2022-01-01T00:02:00Z"],
        ["2022-01-01 00:00", "2022-01-01 00:01", "2022-01-01 00:02"],
        ["2022-01-01 01:00:00+01:00", "2022-01-01 01:01:00+01:00", "2022-01-01 01:02:00+01:00"],
        ["2022-01-01 00:00:00.000000", "2022-01-01 00:01:00.000000", "2022-01-01 00:02:00.000000"],
    ],
)
def test_every_unit_of_time_gives_the_same_minutes(tmp_path: Path, times: list[str]) -> None:
    candles = load(write(tmp_path, lines(times)))
    assert candles.open_time().tolist() == [START, START + 60_000, START + 120_000]


def test_names_are_understood_in_any_order_and_case(tmp_path: Path) -> None:
    text = "Close,Volume,Open Time,High,Low,Open,note\n10.5,1,1640995200,11,9,10,hello\n"
    candles = load(write(tmp_path, text))
    assert candles.ohlcv.tolist() == [[10.0, 11.0, 9.0, 10.5, 1.0]]


def test_names_can_be_said_by_role(tmp_path: Path) -> None:
    text = "when,open,high,low,close,Volume USDT,volume\n1640995200,10,11,9,10.5,7,1\n"
    candles = load(write(tmp_path, text), columns={"open_time": "when", "volume": "Volume USDT"})
    assert candles.ohlcv[0].tolist() == [10.0, 11.0, 9.0, 10.5, 7.0]


def test_names_can_be_said_by_position(tmp_path: Path) -> None:
    text = "7|1640995200|10.5|10|11|9\n"
    names = ["volume", "open_time", "close", "open", "high", "low"]
    candles = load(write(tmp_path, text), columns=names)
    assert candles.ohlcv[0].tolist() == [10.0, 11.0, 9.0, 10.5, 7.0]


def test_the_exchanges_own_dump_of_twelve_fields_is_read(tmp_path: Path) -> None:
    text = "1640995200000,10,11,9,10.5,1,1640995259999,10.2,5,0.5,5.1,0\n"
    assert load(write(tmp_path, text)).ohlcv[0].tolist() == [10.0, 11.0, 9.0, 10.5, 1.0]


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n\n", "  \n"])
def test_marks_and_blank_lines_do_not_matter(
    tmp_path: Path, mark: str, end: str, tail: str
) -> None:
    header = "open_time,open,high,low,close,volume" + end
    path = write(tmp_path, mark + header + lines(SECONDS, end=end) + tail)
    assert len(load(path)) == 3
    path = write(tmp_path, mark + lines(SECONDS, end=end).removesuffix(end))
    assert len(load(path)) == 3


def test_limit_reads_only_the_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path, lines(SECONDS) + "no number,at,all\n")
    assert len(load(path, limit=2)) == 2
    with pytest.raises(DataError, match=r"found data.limit 0"):
        Csv(path=str(path), limit=0)


def test_missing_numbers_are_masked_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path, lines(SECONDS) + "1640995380,10,11,9,,1\n" + lines(["1640995440"]))
    assert load(path, bad_rows="mask").valid.tolist() == [True, True, True, False, True]
    with pytest.raises(
        DataError, match=r"1 NaN or infinite \(first: prices.csv:4, 2022-01-01 00:03"
    ):
        load(path)


def test_a_bad_row_is_told_with_its_line_whatever_comes_before(tmp_path: Path) -> None:
    header = "open_time,open,high,low,close,volume\n\n"
    path = write(tmp_path, header + lines(SECONDS) + "\n1640995380,10,9,11,10,1\n")
    with pytest.raises(DataError, match=r"prices.csv:7, 2022-01-01 00:03"):
        load(path)


def test_only_the_wanted_time_is_delivered(tmp_path: Path) -> None:
    source = Csv(path=str(write(tmp_path, lines(SECONDS))))
    candles = source.load([request(start=START + 60_000)])[0]
    assert candles.open_time().tolist() == [START + 60_000, START + 120_000]
    with pytest.raises(
        DataError, match="there are those from 2022-01-01 00:00 to 2022-01-01 00:02"
    ):
        source.load([Request("ETHUSDT", Timeframe.parse("1m"), END, END + 1)])


def test_a_folder_is_searched_by_symbol_and_timeframe(tmp_path: Path) -> None:
    write(tmp_path, lines(SECONDS[:1]), "ETHUSDT_1m_2021.csv")
    write(tmp_path, lines(SECONDS[1:]), "ETHUSDT_1m_2022.csv")
    write(tmp_path, lines(SECONDS), "BTCUSDT_1m.csv")
    eth, btc = Csv(path=str(tmp_path)).load([request(), request("BTCUSDT")])
    assert (eth.symbol, len(eth), btc.symbol, len(btc)) == ("ETHUSDT", 3, "BTCUSDT", 3)


def test_one_file_is_not_two_symbols(tmp_path: Path) -> None:
    source = Csv(path=str(write(tmp_path, lines(SECONDS))))
    with pytest.raises(DataError, match="is one file, and BTCUSDT, ETHUSDT are wanted"):
        source.load([request(), request("BTCUSDT")])


def test_a_file_of_another_symbol_is_not_taken_for_it(tmp_path: Path) -> None:
    path = write(tmp_path, lines(SECONDS), "BTCUSDT_1m.csv")
    with pytest.raises(DataError, match="holds BTCUSDT"):
        load(path)
    assert load(path, symbol="ETHUSDT").symbol == "ETHUSDT"


def test_a_coarser_timeframe_than_the_files_points_to_resampling(tmp_path: Path) -> None:
    source = Csv(path=str(write(tmp_path, lines(SECONDS))))
    with pytest.raises(DataError, match=r"streams.<name>.from: 1m"):
        source.load([request(timeframe="1h")])


def test_the_dump_with_bars_loads_as_it_is(real_data: Path) -> None:
    path = real_data / "candles/btcusdt_pipe_headerless.csv"
    source = Csv(path=str(path))
    candles = source.load([Request("BTCUSDT", Timeframe.parse("1m"), 0, 2**62)])[0]
    assert len(candles) == 1_000
    assert candles.valid.all()
    assert candles.ohlcv[0, CLOSE] == float(path.read_text().splitlines()[0].split("|")[4])
    assert candles.open_time()[0] == START
    np.testing.assert_array_equal(np.diff(candles.open_time()), 60_000)
