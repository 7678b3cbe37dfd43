"""Files as they come: every mistake is told with its place, what is there, and what to do."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtf.data_sources.csv import Csv
from mtf.data_sources.parquet import Parquet
from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import DataSource, Request

START = 1_640_995_200_000
HEADER = "open_time,open,high,low,close,volume\n"
ROW = "{time},10,11,9,10.5,1\n"
GOOD = "".join(ROW.format(time=START + 60_000 * i) for i in range(12))


def message(source: DataSource, timeframe: str = "1m", symbol: str = "ETHUSDT") -> str:
    """What a user reads."""
    with pytest.raises(DataError) as error:
        source.load([Request(symbol, Timeframe.parse(timeframe), 0, 2**62)])
    assert error.value.found
    assert error.value.expected, "a message says what was expected"
    return str(error.value)


def bytes_of(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


# name: (content, options, words that the message must have)
TEXTS: dict[str, tuple[str | bytes, dict[str, object], list[str]]] = {
    "empty": ("", {}, ["p.csv is empty"]),
    "blank": ("\n \n\n", {}, ["p.csv is empty"]),
    "header_only": (HEADER, {}, ["a header and no rows"]),
    "binary": (bytes(range(256)) * 4, {}, ["binary data", "a text file"]),
    "parquet_named_csv": (b"PAR1" + b"\1" * 90, {}, ["a parquet file", "data.name=parquet"]),
    "gzip": (gzip.compress(GOOD.encode()), {}, ["a gzip file", "unpack it"]),
    "zip": (b"PK\x03\x04" + b"\1" * 90, {}, ["a zip archive", "unpack it"]),
    "utf16": ((HEADER + GOOD).encode("utf-16"), {}, ["UTF-16", "UTF-8"]),
    "no_separator": ("1640995200\n1640995260\n", {}, ["no separator", "separator"]),
    "html": (
        "<html>\n<body>Not found</body>\n</html>\n",
        {},
        ["p.csv:1: found '<html>'", "JSON or a web page"],
    ),
    "json": (
        '{"code": -1121, "msg": "Invalid symbol."}\n',
        {},
        ["p.csv:1: found", "Invalid symbol", "a server's error message"],
    ),
    "too_few_fields": ("1640995200,10,11,9\n", {}, ["p.csv:1: 4 fields, 6 columns", "columns: ["]),
    "ragged": (HEADER + GOOD + "1640995920000,10,11\n", {}, ["p.csv:14: 3 fields", "6 fields"]),
    "too_many_fields": (
        HEADER + GOOD + "1640995920000,10,11,9,10,1,7\n",
        {},
        ["p.csv:14: 7 fields", "6 fields"],
    ),
    "cut_within_a_line": (GOOD + "16409959", {}, ["p.csv:13: 1 fields", "loaded again"]),
    "text_in_a_price": (
        HEADER + GOOD + "1640995920000,10,11,9,ten,1\n",
        {},
        ["p.csv:14: column 'close': found 'ten'", "expected: a number"],
    ),
    "decimal_comma": (
        "1640995200;10,5;11;9;10;1\n1640995260;10,5;11;9;10;1\n",
        {"header": False},
        ["p.csv:1: column 'open': found '10,5'", "decimal comma"],
    ),
    "thousands": (
        HEADER + GOOD + '1640995920000,"1,000",11,9,10,1\n',
        {},
        ["p.csv:14: column 'open': found '1,000'"],
    ),
    "text_in_the_time": (
        HEADER + GOOD + "tomorrow,10,11,9,10,1\n",
        {},
        ["p.csv:14: column 'open_time': found 'tomorrow'"],
    ),
    "no_time": (
        HEADER + GOOD + ",10,11,9,10,1\n",
        {},
        ["p.csv:14: column 'open_time' has no time"],
    ),
    "american_dates": (
        HEADER + "01/02/2022 00:00,10,11,9,10,1\n",
        {},
        ["'01/02/2022 00:00'", "an ISO time"],
    ),
    "mixed_zones": (
        HEADER + "2022-01-01 00:00:00Z,10,11,9,10,1\n2022-01-01 00:01:00,10,11,9,10,1\n",
        {},
        ["p.csv:3: column 'open_time': found '2022-01-01 00:01:00'", "all rows alike"],
    ),
    "missing_column": (
        "open_time,open,high,low,closing\n1640995200,1,1,1,1\n",
        {},
        ["no column for close (nearest: 'closing'), volume", "columns: {close:"],
    ),
    "unknown_role": (
        HEADER + GOOD,
        {"columns": {"closed": "x"}},
        ["unknown key 'closed' (nearest: 'close')"],
    ),
    "column_not_there": (
        HEADER + GOOD,
        {"columns": {"volume": "Volumes"}},
        ["no column 'Volumes' for volume", "nearest: 'volume'"],
    ),
    "names_without_header": (
        GOOD,
        {"columns": {"volume": "v"}},
        ["has no header", "by position"],
    ),
    "twice": (
        "open_time,open,high,low,close,close,volume\n1640995200,1,1,1,1,1,1\n",
        {},
        ["column 'close' (close) is there twice"],
    ),
    "long_separator": (GOOD, {"separator": "::"}, ["found separator '::'", "one character"]),
    "wrong_separator": (GOOD, {"separator": "|"}, ["no column for open_time", "columns:"]),
    "header_said_where_none_is": (GOOD, {"header": True}, ["no column for"]),
    "seconds_said_to_be_ms": (
        "".join(ROW.format(time=1_640_995_200 + 60 * i) for i in range(5)),
        {"time_unit": "ms"},
        ["looks like seconds", "`time_unit: s`"],
    ),
    "numbers_said_to_be_iso": (
        GOOD,
        {"time_unit": "iso"},
        ["p.csv:1: column 'open_time' has numbers", "time_unit"],
    ),
    "first_time_nan": (
        "nan,10,11,9,10,1\n" + GOOD,
        {},
        ["p.csv:1: column 'open_time' has no time"],
    ),
    "infinite": (
        GOOD + "1640995920000,10,inf,9,10,1\n",
        {},
        ["1 of 13 rows are no candles", "NaN or infinite (first: p.csv:13, 2022-01-01 00:12)"],
    ),
    "nan": (GOOD + "1640995920000,10,NaN,9,10,1\n", {}, ["NaN or infinite (first: p.csv:13"]),
    "negative": (
        GOOD + "1640995920000,10,11,-9,10,1\n",
        {},
        ["price not above 0 (first: p.csv:13"],
    ),
    "high_below_low": (GOOD + "1640995920000,10,9,11,10,1\n", {}, ["wrong side", "p.csv:13"]),
    "negative_volume": (GOOD + "1640995920000,10,11,9,10,-1\n", {}, ["volume below 0", "p.csv:13"]),
    "off_grid": (GOOD + "1640995920001,10,11,9,10,1\n", {}, ["off the grid", "p.csv:13"]),
    "conflict": (
        GOOD + "1640995200000,10,11,9,10,2\n",
        {},
        ["same time, different values", "p.csv:1,"],
    ),
    "time_too_far": (GOOD + "99999999999999,10,11,9,10,2\n", {}, ["off the grid", "p.csv:13"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_bad_text_files(tmp_path: Path, name: str) -> None:
    content, options, words = TEXTS[name]
    (tmp_path / "p.csv").write_bytes(bytes_of(content))
    try:
        source = Csv(path=str(tmp_path / "p.csv"), **options)  # type: ignore[arg-type]
    except DataError as error:
        told = str(error)
    else:
        told = message(source)
    for word in words:
        assert word in told


def test_minutes_asked_for_as_hours(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(GOOD)
    told = message(Csv(path=str(tmp_path / "p.csv")), "1h")
    assert "candles are 60 s apart (1m)" in told
    assert "`streams.<name>.from: 1m`" in told


def good_table() -> pa.Table:
    time = START + 60_000 * np.arange(12)
    prices = {name: np.full(12, 10.0) for name in ("open", "high", "low", "close", "volume")}
    return pa.table({"open_time": time, **prices})


def renamed(old: str, new: str) -> pa.Table:
    table = good_table()
    return table.rename_columns([new if name == old else name for name in table.column_names])


def changed(column: str, values: pa.Array) -> pa.Table:
    table = good_table()
    return table.set_column(table.column_names.index(column), column, values)


def with_row(row: int, column: str, value: float) -> pa.Table:
    values = good_table()[column].to_numpy().copy()
    values[row] = value
    return changed(column, pa.array(values))


TABLES: dict[str, tuple[Callable[[], pa.Table], dict[str, object], list[str]]] = {
    "missing_column": (
        lambda: renamed("volume", "volum_usd"),
        {},
        ["no column for volume (nearest: 'volum_usd')"],
    ),
    "missing_time": (lambda: renamed("open_time", "x"), {}, ["no column for open_time", "'x'"]),
    "column_not_there": (
        good_table,
        {"columns": {"close": "closed"}},
        ["no column 'closed' for close"],
    ),
    "text_column": (
        lambda: changed("close", pa.array(["10"] * 12)),
        {},
        ["column 'close' (close) has type string", "expected: numbers"],
    ),
    "time_of_bool": (
        lambda: changed("open_time", pa.array([True] * 12)),
        {},
        ["column 'open_time' (open_time) has type bool", "timestamps"],
    ),
    "time_of_words": (
        lambda: changed("open_time", pa.array(["noon"] * 12)),
        {},
        ["ETHUSDT_1m.parquet row 1: column 'open_time': found 'noon'", "an ISO time"],
    ),
    "time_null": (
        lambda: changed("open_time", pa.array([*range(START, START + 660_000, 60_000), None])),
        {},
        ["ETHUSDT_1m.parquet row 12: column 'open_time' has no time"],
    ),
    "no_rows": (lambda: good_table().slice(0, 0), {}, ["no rows"]),
    "seconds": (
        lambda: changed("open_time", pa.array(START // 1_000 + 60 * np.arange(12))),
        {},
        ["looks like seconds", "`time_unit: s`"],
    ),
    "microseconds": (
        lambda: changed("open_time", pa.array((START + 60_000 * np.arange(12)) * 1_000)),
        {},
        ["looks like microseconds", "`time_unit: us`"],
    ),
    "nan": (
        lambda: with_row(4, "open", np.nan),
        {},
        ["ETHUSDT_1m.parquet row 5, 2022-01-01 00:04"],
    ),
    "inf": (lambda: with_row(4, "high", np.inf), {}, ["1 NaN or infinite", "row 5"]),
    "zero": (lambda: with_row(0, "low", 0.0), {}, ["1 price not above 0", "row 1"]),
    "high_below_close": (lambda: with_row(4, "high", 9.0), {}, ["wrong side", "row 5"]),
    "bad_volume": (lambda: with_row(4, "volume", -1.0), {}, ["1 volume below 0", "row 5"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_bad_parquet_files(tmp_path: Path, name: str) -> None:
    make, options, words = TABLES[name]
    pq.write_table(make(), tmp_path / "ETHUSDT_1m.parquet")
    told = message(Parquet(path=str(tmp_path), **options))  # type: ignore[arg-type]
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"open_time,open\n1,2\n", b"PAR1" + b"x" * 99 + b"PAR1"]
)
def test_what_is_no_parquet_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ETHUSDT_1m.parquet").write_bytes(content)
    told = message(Parquet(path=str(tmp_path)))
    assert "ETHUSDT_1m.parquet can't be read as parquet" in told
    assert "load or copy the file again" in told


def test_a_parquet_file_cut_in_two(tmp_path: Path) -> None:
    path = tmp_path / "ETHUSDT_1m.parquet"
    pq.write_table(good_table(), path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "can't be read as parquet" in message(Parquet(path=str(path)))


def test_a_parquet_file_damaged_inside(tmp_path: Path) -> None:
    path = tmp_path / "ETHUSDT_1m.parquet"
    pq.write_table(good_table(), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[8:200] = b"\xff" * 192
    path.write_bytes(bytes(content))
    assert "can't be read as parquet" in message(Parquet(path=str(path)))


@pytest.mark.parametrize("source", [Csv, Parquet])
def test_a_path_that_is_not_there(tmp_path: Path, source: type) -> None:
    (tmp_path / "candles").mkdir()
    told = message(source(path=str(tmp_path / "candels")))
    assert "no file or folder" in told
    assert "(nearest: 'candles')" in told
    assert "data.path" in told


@pytest.mark.parametrize(("source", "suffix"), [(Csv, "csv"), (Parquet, "parquet")])
def test_a_folder_without_the_symbol_or_timeframe(
    tmp_path: Path, source: type, suffix: str
) -> None:
    assert "nothing at all" in message(source(path=str(tmp_path)))
    (tmp_path / f"ETHUSDT_1m_2022.{suffix}").touch()
    (tmp_path / f"BTCUSDT_1h.{suffix}").touch()
    told = message(source(path=str(tmp_path)), symbol="ETHUSD")
    assert "one of BTCUSDT: 1h; ETHUSDT: 1m" in told
    assert "nearest: 'ETHUSDT'" in told
    told = message(source(path=str(tmp_path)), "1h")
    assert "no 1h candles of ETHUSDT" in told
    assert "streams.<name>.from" in told
    told = message(source(path=str(tmp_path)), "1m", "BTCUSDT")
    assert "add a file of 1m candles" in told


def test_a_pattern_without_its_words(tmp_path: Path) -> None:
    told = message(Parquet(path=str(tmp_path), pattern="*.parquet"))
    assert "found pattern '*.parquet'" in told
    assert "data.pattern" in told
