"""``mtf inspect``: the four broken sets by name, other files without false alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtf.errors import DataError
from mtf.inspect import inspect_file, main
from mtf.market.report import DataReport

START = 1_640_995_200_000


def kinds(report: DataReport) -> list[str]:
    return [finding.kind for finding in report.findings()]


def text(report: DataReport) -> str:
    return "\n".join(report.lines())


def diagnosis(report: DataReport) -> list[str]:
    """The lines under the head, before all else there is to tell."""
    lines = report.lines()[1:]
    told = [line for line in lines if line.startswith("  diagnosis: ")]
    assert told
    assert lines[: len(told)] == told
    return [line.removeprefix("  diagnosis: ") for line in told]


def test_testnet_prices_and_holes(real_data: Path) -> None:
    report = inspect_file(
        real_data / "broken/testnet_prices_and_holes_BTCUSDT_1m.parquet",
        real_data / "exchange/bybit_linear_BTCUSDT_1h.parquet",
    )
    prices, holes = diagnosis(report)
    assert prices.startswith("looks like another market, such as an exchange's testnet: closes ")
    assert "closes are typically 1 % away from bybit_linear_BTCUSDT_1h.parquet" in prices
    assert "2024-09-23 15:00 close 61516.2 against 63592.4" in prices
    assert holes.startswith("80.0 % of candles are missing at regular distance, 200 kept of every ")
    assert "200 kept of every 1,001: looks like a download" in holes
    assert "19,224 missing candles (79.36 %)" in text(report)


def test_candles_stored_before_they_closed(real_data: Path) -> None:
    path = real_data / "broken/unclosed_last_candles_ETHUSDT_1h.parquet"
    report = inspect_file(path, real_data / "candles/ETHUSDT_1h.parquet")
    (unclosed,) = diagnosis(report)
    assert unclosed.startswith(
        "looks like candles stored before they closed: 1 candle with a close time before the 1h "
        "was over (first: the candle of 2023-03-24 12:00 closes 2023-03-24 12:39:43.061)"
    )
    # Of the file's prices and volumes the second source confirms every one.
    assert report.agreement is not None
    assert (report.agreement.compared, report.agreement.differing) == (10_435, 0)


def test_one_minute_lost_per_page(real_data: Path) -> None:
    path = real_data / "broken/one_minute_lost_per_page_BTCUSDT_1m.csv"
    report = inspect_file(
        path, real_data / "exchange/bybit_linear_BTCUSDT_1m_20250530-20250605.parquet"
    )
    assert kinds(report) == ["gap_pattern", "missing", "gaps"]
    (lost,) = diagnosis(report)
    assert lost.startswith(
        "one candle is missing after every 1,000 rows: looks like a download that loses one per "
        "page\n    load the missing candles again"
    )
    assert diagnosis(inspect_file(path)) == [lost], "without a second source, too"
    assert "has 5 1m candles with trades that this file lacks" in text(report)


@pytest.mark.parametrize(
    ("against", "times", "close"),
    [
        ("exchange/bybit_linear_ETHUSDT_1h.parquet", "20.5", "2,413.12 at 2025-06-05 23:00"),
        ("candles/ETHUSDT_1h.parquet", "21.7", "2,281.87 at 2023-12-31 23:00"),
    ],
)
def test_made_up_trades(real_data: Path, against: str, times: str, close: str) -> None:
    path = real_data / "broken/synthetic_called_real_ETHUSDT_trades.csv"
    report = inspect_file(path, real_data / against)
    price, steps = diagnosis(report)
    assert price.startswith("the price 49,489.2 at 2025-09-01 07:00 is ")
    assert f" is {times} times the nearest known close, {close} in {Path(against).name}" in price
    assert "looks like another asset, unit or currency, or made-up prices" in price
    assert steps.startswith("the price moves 0.14 % from one trade to the next (median)")
    assert "looks synthetic" in steps
    assert "2,000 trades, built into 1m candles" in text(report)


def test_real_trades_become_the_real_seconds(real_data: Path) -> None:
    report = inspect_file(
        real_data / "trades/ETHUSDT_spot_20240808.parquet",
        real_data / "candles/ETHUSDT_1s_20240808.parquet",
    )
    assert report.agreement is not None
    assert report.agreement.differing == 0
    assert report.agreement.compared > 600
    assert "trade_steps" not in kinds(report)


SOUND = [
    ("candles/btcusdt_pipe_headerless.csv", "candles/BTCUSDT_1m_2022.parquet"),
    ("candles/SOLUSDT_1m_2022.parquet", "candles/SOLUSDT_1h.parquet"),
    ("candles/BTCUSDT_1m_2023.parquet", "candles/BTCUSDT_1h.parquet"),
    ("candles/BTCUSDT_1h.parquet", "candles/BTCUSDT_1m_2022.parquet"),
    ("candles/ETHUSDT_1h.parquet", "candles/ETHUSDT_1m_2023.parquet"),
    ("candles/ETHUSDT_1h.parquet", "candles/ETHUSDT_1d.parquet"),
    ("candles/ETHUSDT_1s_20240720.parquet", "candles/ETHUSDT_1d.parquet"),
    ("candles/BTCUSDT_1d.parquet", "exchange/bybit_linear_BTCUSDT_1d.parquet"),
    ("trades/BTCUSDT_spot_20240808.parquet", "candles/BTCUSDT_1s_20240808.parquet"),
    *(
        (
            f"exchange/bybit_linear_{symbol}USDT_1m_20250530-20250605.parquet",
            f"exchange/bybit_linear_{symbol}USDT_1h.parquet",
        )
        for symbol in ("BTC", "ETH", "SOL")
    ),
]


@pytest.mark.parametrize(("file", "against"), SOUND)
def test_sound_files_raise_no_alarm(real_data: Path, file: str, against: str) -> None:
    report = inspect_file(real_data / file, real_data / against)
    (told,) = diagnosis(report)
    assert told in ("nothing looks broken", "nothing to report")
    assert report.agreement is not None
    assert report.agreement.differing == 0 or against.startswith("exchange")
    allowed = {"gaps", "zero_volume", "implausible", "differs", "missing", "no_overlap", "trades"}
    assert set(kinds(report)) <= allowed


def test_candles_are_kept_apart_from_those_of_another_exchange(real_data: Path) -> None:
    """Spot at one exchange, perpetuals at another: 0.1 % apart is no testnet."""
    report = inspect_file(
        real_data / "candles/ETHUSDT_1h.parquet",
        real_data / "exchange/bybit_linear_ETHUSDT_1h.parquet",
    )
    assert report.agreement is not None
    assert report.agreement.share > 0.9
    assert diagnosis(report) == ["nothing looks broken"]


def minutes(path: Path, count: int = 20, **changed: list[float]) -> Path:
    """A small csv file of flat minutes."""
    columns = {"t": [START + 60_000 * i for i in range(count)], "o": [10.0] * count}
    columns |= {"h": [11.0] * count, "l": [9.0] * count, "c": [10.0] * count, "v": [1.0] * count}
    columns |= changed
    rows = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_short_names_are_candles_and_no_trades(tmp_path: Path) -> None:
    report = inspect_file(minutes(tmp_path / "x.csv"))
    assert (report.candles, str(report.timeframe), report.symbol) == (20, "1m", "x")


def test_bad_rows_are_counted_and_not_refused(tmp_path: Path) -> None:
    opens = [10.0] * 18 + [float("nan"), 12.0]
    report = inspect_file(minutes(tmp_path / "x.csv", o=opens))
    assert kinds(report) == ["non_finite", "bad_ohlc"]


def test_a_name_that_promises_another_timeframe(tmp_path: Path) -> None:
    report = inspect_file(minutes(tmp_path / "ETHUSDT_1h.csv"))
    assert "the name says 1h, the rows are 1m apart" in text(report)


def test_parquet_trades_without_a_price(tmp_path: Path) -> None:
    path = tmp_path / "trades.parquet"
    time = START + 100 * np.arange(50)
    pq.write_table(
        pa.table({"time_ms": time, "price": [0.0] + [10.0] * 49, "qty": [1.0] * 50}), path
    )
    report = inspect_file(path)
    assert str(report.timeframe) == "1s"
    assert "1 trade without a price above 0" in text(report)


def test_the_report_is_printed_and_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(minutes(tmp_path / "x.csv"), json=tmp_path / "x.json")
    assert "x 1m: 20 candles, 2022-01-01 00:00 to 2022-01-01 00:19" in capsys.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text())["candles"] == 20
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.csv", None, "no file or folder"),
        ("one.csv", "t,o,h,l,c,v\n1640995200,1,1,1,1,1\n", "no timeframe can be told"),
        (
            "close.csv",
            "t,o,h,l,c,v\n1640995200000,1,1,1,1,1\n1640995200500,1,1,1,1,1\n",
            "rows are 500 ms apart",
        ),
        ("bad.parquet", "no", "can't be read as parquet"),
        ("words.csv", "a,b\nx,y\n", "no column for open_time"),
        ("dead.csv", "time,price,qty\n1640995200,0,1\n", "no trade with a price above 0"),
    ],
)
def test_what_can_not_be_inspected(
    tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        inspect_file(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        inspect_file(tmp_path)
