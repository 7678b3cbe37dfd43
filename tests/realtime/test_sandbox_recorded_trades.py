"""Recorded trades, served: each of them once, and the candles that they make."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listening import MINUTE, Heard, closed, listening, until

from mtf.errors import DataError
from mtf.realtime.sandbox.interval import HOUR
from mtf.realtime.sandbox.interval import MINUTE as ONE
from mtf.realtime.sandbox.recorded_trades import RecordedTradesMarket
from mtf.realtime.sandbox.server import Sandbox

START = 1_748_736_000_000  # 2025-06-01
NAMES = ["trade_id", "time_ms", "price", "size", "side"]


def write(folder: Path, rows: list[list[object]]) -> None:
    """A file of trades."""
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=NAMES), folder / "ETHUSDT_spot.parquet")


def test_six_trades_and_a_minute_without_any(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            [15, START + 125_000, 10.25, 1.0, "Buy"],  # out of order
            [11, START + 30_000, 10.0, 0.5, "Buy"],
            [12, START + 30_000, 10.5, 0.25, "Buy"],
            [13, START + 59_999, 9.5, 2.0, "Sell"],
            [14, START + 120_000, 11.0, 1.0, "Buy"],
            [16, START + 179_000, 10.75, 0.125, "Sell"],
        ],
    )
    market = RecordedTradesMarket(tmp_path)
    bars = market.base("ETHUSDT", ONE, START, START + 4 * MINUTE)
    assert bars.open_time.tolist() == [START, START + MINUTE, START + 2 * MINUTE]
    assert bars.values[:, :5].tolist() == [
        [1000, 1050, 950, 950, 2750],
        [950, 950, 950, 950, 0],
        [1100, 1100, 1025, 1075, 2125],
    ]
    assert market.bars("ETHUSDT", HOUR, START, START + 1).values[0, :5].tolist() == [
        1000, 1100, 950, 1075, 4875,
    ]  # fmt: skip
    assert (market.start_ms, market.end_ms) == (START, START + 3 * MINUTE)
    with Sandbox(market) as sandbox:
        exchange = sandbox.exchange
        assert sandbox.advance(90_000) == START + 90_000
        assert exchange.open_bar("ETHUSDT", ONE, START + 90_000).values[0, :5].tolist() == [
            950, 950, 950, 950, 0,
        ]  # fmt: skip
        sequence = [
            number
            for part in exchange.trades("ETHUSDT", START, START + 4 * MINUTE)
            for number in part.sequence.tolist()
        ]
        assert sequence == [11, 12, 13, 14, 15, 16]


def test_before_its_first_trade_a_minute_knows_the_price_before(tmp_path: Path) -> None:
    write(tmp_path, [[1, START, 10.0, 1.0, "Buy"], [2, START + 90_000, 99.0, 1.0, "Buy"]])
    market = RecordedTradesMarket(tmp_path)
    with Sandbox(market) as sandbox:
        bar = sandbox.exchange.open_bar("ETHUSDT", ONE, START + 89_999)
        assert bar.values[0, :5].tolist() == [10, 10, 10, 10, 0]
        bar = sandbox.exchange.open_bar("ETHUSDT", ONE, START + 90_000)
        assert bar.values[0, :5].tolist() == [99, 99, 99, 99, 1]


def test_the_sample_is_streamed_whole(real_data: Path) -> None:
    market = RecordedTradesMarket(real_data / "trades")
    file = pq.read_table(real_data / "trades" / "ETHUSDT_spot_20240808.parquet").to_pydict()
    columns = [file[name] for name in ("time_ms", "trade_id", "price", "size")]
    wanted = sorted(zip(*columns, strict=True))
    start = min(file["time_ms"]) // MINUTE * MINUTE
    with Sandbox(market, start_ms=start) as sandbox, listening(sandbox) as stream:
        trades, candles = Heard(), Heard()
        stream.trade_stream("ETHUSDT", trades)
        stream.kline_stream(1, "ETHUSDT", candles)
        until(lambda: len(sandbox.subscribed) == 2)
        for _ in range(24):
            sandbox.advance(MINUTE // 2)
        candles.wait(lambda messages: len(closed(messages)) == 12)
        trades.wait(lambda messages: sum(len(one["data"]) for one in messages) == len(wanted))
    heard = [trade for message in trades.messages for trade in message["data"]]
    told = [(one["T"], one["seq"], float(one["p"]), float(one["v"])) for one in heard]
    assert told == wanted
    for candle in candles.closed:
        part = [one for one in wanted if 0 <= one[0] - candle["start"] < MINUTE]
        prices = [one[2] for one in part]
        assert [float(candle[name]) for name in ("open", "high", "low", "close")] == [
            prices[0], max(prices), min(prices), prices[-1],
        ]  # fmt: skip
        lots = sum(round(one[3] * 10_000) for one in part)
        assert round(float(candle["volume"]) * 10_000) == lots


def test_what_is_no_folder_of_trades(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no parquet file"):
        RecordedTradesMarket(tmp_path)
    pq.write_table(pa.table({"price": [1.0]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no column trade_id, time_ms, size, side"):
        RecordedTradesMarket(tmp_path)
