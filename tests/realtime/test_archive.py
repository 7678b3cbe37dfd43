"""1s candles of trades: those of the stream and of the archive are the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from archives import linear_file, path_of, serving, spot_file
from fetching import QuickTime, contents, stored
from listening import Heard, listening, until

from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.market.trade_candles import TradeCandles
from mtf.realtime.archive import ArchiveClient, check_archive, fetch_seconds
from mtf.realtime.hosts import HostError
from mtf.realtime.public_trades import archived_trades, stream_trades
from mtf.realtime.rest import BannedError, RefusedError, Rest
from mtf.realtime.sandbox.recorded_trades import RecordedTradesMarket
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.store import Store

SECOND = Timeframe.parse("1s")
DAY = date(2024, 8, 8)
NEXT = date(2024, 8, 9)
MIDNIGHT = 1_723_161_600_000  # between the two


@contextmanager
def asking(url: str, category: str = "linear") -> Iterator[Rest]:
    rest = Rest(ArchiveClient(url, category), time=QuickTime(), seed=0)
    try:
        yield rest
    finally:
        rest.close()


def day_file(*trades: tuple[int, str, float, float], symbol: str = "ETHUSDT") -> bytes:
    """Trades of (ms before or after midnight, id, price, size)."""
    time, ids, price, size = zip(*trades, strict=True)
    return linear_file(
        symbol, MIDNIGHT + np.array(time), list(ids), np.array(price), np.array(size)
    )


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCUSDT"])
def test_stream_and_archive_give_the_sample_seconds(
    real_data: Path, tmp_path: Path, symbol: str
) -> None:
    folder = real_data / "trades"
    true = pq.read_table(real_data / "candles" / f"{symbol}_1s_20240808.parquet").to_pandas()
    first, end = int(true["open_time"].iloc[0]), int(true["open_time"].iloc[-1]) + 1_000
    live, counted = _live(RecordedTradesMarket(folder), symbol, first, end)
    offline = _offline(folder, symbol, tmp_path)
    inside = (offline[:, 0] >= first) & (offline[:, 0] < end)
    np.testing.assert_array_equal(live, offline[inside])
    np.testing.assert_array_equal(live[:, :5], true[["open_time", "open", "high", "low", "close"]])
    np.testing.assert_array_equal(live[:, 5], np.round(true["volume"], 8))
    assert counted > 14_000


def _live(
    market: RecordedTradesMarket, symbol: str, first: int, end: int
) -> tuple[np.ndarray, int]:
    """Candles of the stream's messages, closed message by message; and how many trades came."""
    builder = TradeCandles(SECOND, since_ms=first)
    heard = Heard()
    with Sandbox(market) as sandbox, listening(sandbox) as stream:
        stream.trade_stream(symbol, heard)
        until(lambda: bool(sandbox.subscribed))
        while sandbox.advance(60_000) < end + 60_000:
            pass
        heard.wait(lambda messages: messages[-1:] != [] and messages[-1]["data"][-1]["T"] >= end)
    parts = []
    for message in heard.messages:
        trades = stream_trades(message["data"], symbol)
        builder.add(trades)
        builder.add(trades)  # the exchange may say it twice
        parts.append(builder.close(min(int(trades.time.max()), end)))
    parts.append(builder.close(end))
    times, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert builder.late == 0
    return np.column_stack([times, rows]), sum(len(message["data"]) for message in heard.messages)


def _offline(folder: Path, symbol: str, tmp_path: Path) -> np.ndarray:
    """Candles of the archive's files, by way of the store."""
    table = pq.read_table(folder / f"{symbol}_spot_20240808.parquet").to_pandas()
    table = table.sort_values(["time_ms", "trade_id"], kind="stable")
    files = {}
    for day, rows in table.groupby(table["time_ms"] >= MIDNIGHT):
        columns = [rows[name].to_numpy() for name in ("time_ms", "price", "size")]
        ids = [f"id-{number}" for number in rows["trade_id"]]
        name = path_of(symbol, NEXT if day else DAY)
        files[name] = linear_file(symbol, columns[0], ids, *columns[1:])
    with serving(files) as served, asking(served.url) as rest:
        fetch_seconds([symbol], [NEXT, DAY], Store(tmp_path), lambda: rest)
    return stored(tmp_path, symbol, "1s")


def test_days_join_without_a_seam_and_are_asked_for_once(tmp_path: Path) -> None:
    files = {
        path_of("ETHUSDT", DAY): day_file((-3_500, "a", 10.0, 1.0), (-3_400, "b", 11.0, 2.0)),
        path_of("ETHUSDT", NEXT): day_file((1_500, "a", 12.0, 3.0)),
    }
    store = Store(tmp_path / "both")
    with serving(files) as served, asking(served.url) as rest:
        found = fetch_seconds(["ETHUSDT"], [DAY, NEXT], store, lambda: rest)
        assert [each.added for each in found] == [4, 86_400]
        again = fetch_seconds(["ETHUSDT"], [DAY, NEXT], store, lambda: rest)
        assert [each.added for each in again] == [0, 0]
        assert len(served.asked) == 2
        rows = stored(tmp_path / "both", "ETHUSDT", "1s")[:6]
        assert rows.tolist() == [
            [MIDNIGHT - 4_000, 10.0, 11.0, 10.0, 11.0, 3.0],
            *([MIDNIGHT - ago, 11.0, 11.0, 11.0, 11.0, 0.0] for ago in (3_000, 2_000, 1_000)),
            [MIDNIGHT, 11.0, 11.0, 11.0, 11.0, 0.0],
            [MIDNIGHT + 1_000, 12.0, 12.0, 12.0, 12.0, 3.0],
        ]
        # The later day first: what was missing of it comes with the day before.
        other = Store(tmp_path / "backwards")
        for day in (NEXT, DAY, NEXT):
            fetch_seconds(["ETHUSDT"], [day], other, lambda: rest)
    assert contents(tmp_path / "backwards") == contents(tmp_path / "both")


def test_old_files_are_the_newest_first_and_have_trades_twice(tmp_path: Path) -> None:
    three = [(100, "a", 10.0, 1.0), (100, "b", 11.0, 1.0), (200, "c", 9.0, 1.0)]
    path = tmp_path / "trades.csv.gz"
    results = []
    for rows in (three, [*three[::-1], three[0]][:3], [*three, *three]):
        path.write_bytes(day_file(*rows))
        builder = TradeCandles(SECOND)
        builder.add(archived_trades(path, "ETHUSDT"))
        results.append(builder.close(MIDNIGHT + 1_000)[1].tolist())
    assert results == [[[10.0, 11.0, 9.0, 9.0, 3.0]]] * 3


def test_a_file_of_spot_has_other_columns_and_another_place(tmp_path: Path) -> None:
    times = MIDNIGHT + np.array([100, 900, 1_700])
    file = spot_file(times, np.array([10.0, 11.0, 12.0]), np.array([0.1, 0.2, 0.3]))
    with serving({path_of("ETHUSDT", NEXT, "spot"): file}) as served:
        store = Store(tmp_path, "spot")
        with asking(served.url, "spot") as rest:
            fetch_seconds(["ETHUSDT"], [NEXT], store, lambda: rest)
    table = pq.read_table(store.candles("ETHUSDT", SECOND).files[0]).to_pandas().to_numpy()
    assert table[:2].tolist() == [
        [MIDNIGHT, 10.0, 11.0, 10.0, 11.0, 0.3],
        [MIDNIGHT + 1_000, 12.0, 12.0, 12.0, 12.0, 0.3],
    ]
    assert len(table) == 86_400


def test_what_passes_is_asked_again(tmp_path: Path) -> None:
    file = day_file((0, "a", 10.0, 1.0), (500, "b", 11.0, 2.0))
    with serving({path_of("ETHUSDT", NEXT): file}) as served, asking(served.url) as rest:
        served.failures = [500, 0, 429]
        fetch_seconds(["ETHUSDT"], [NEXT], Store(tmp_path), lambda: rest)
        assert len(served.asked) == 4
    assert len(stored(tmp_path, "ETHUSDT", "1s")) == 86_400


def test_what_the_archive_refuses_is_told(tmp_path: Path) -> None:
    with serving({}) as elsewhere, serving({}) as served:
        with asking(served.url) as rest, pytest.raises(DataError, match="no trades of ETHUSDT"):
            fetch_seconds(["ETHUSDT"], [DAY], Store(tmp_path), lambda: rest)
        served.failures, served.elsewhere = [302], f"{elsewhere.url}/trading"
        with asking(served.url) as rest, pytest.raises(RefusedError, match="status 302"):
            fetch_seconds(["ETHUSDT"], [DAY], Store(tmp_path), lambda: rest)
        assert elsewhere.asked == []
        served.failures = [403]
        with asking(served.url) as rest, pytest.raises(BannedError):
            fetch_seconds(["ETHUSDT"], [DAY], Store(tmp_path), lambda: rest)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "can't be read"),
        (b"<html>\nmaintenance\n</html>\n", "columns <html>"),
        (day_file((0, "a", 1.0, 1.0))[:60], "can't be read"),
        (day_file((0, "a", 1.0, 1.0), symbol="BTCUSDT"), "trades of BTCUSDT"),
        (b"timestamp,trdMatchID,price,size\n1,a,b,c\n", "can't be read"),
        (b"timestamp,trdMatchID,price,size\n,a,1,1\n", "without a time"),
    ],
    ids=["empty", "a page", "cut", "another symbol", "no numbers", "no time"],
)
def test_files_that_are_no_trades_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with serving({path_of("ETHUSDT", NEXT): content}) as served, asking(served.url) as rest:
        with pytest.raises(DataError, match=words):
            fetch_seconds(["ETHUSDT"], [NEXT], Store(tmp_path), lambda: rest)
        assert len(served.asked) == 1
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://public.bybit.com",
        "https://public.bybit.com.example.com",
        "https://user@public.bybit.com",
        "https://example.com",
        "http://user@127.0.0.1",
    ],
)
def test_other_archives_are_refused_before_a_byte_is_sent(url: str) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        ArchiveClient(url)
    assert check_archive("https://public.bybit.com") == "https://public.bybit.com"


def test_messages_that_are_no_trades_are_refused() -> None:
    row = {"T": 1, "s": "ETHUSDT", "v": "0.1", "p": "10", "i": "a", "seq": 3}
    assert stream_trades([row], "ETHUSDT").price.tolist() == [10.0]
    with pytest.raises(ValueError, match="another symbol"):
        stream_trades([row], "BTCUSDT")
    with pytest.raises(ValueError, match="could not convert"):
        stream_trades([{**row, "p": "ten"}], "ETHUSDT")
    with pytest.raises(KeyError):
        stream_trades([{k: v for k, v in row.items() if k != "T"}], "ETHUSDT")
