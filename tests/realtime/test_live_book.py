"""The order book from the stream: applied change by change, and kept once a second."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import websocket
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import hang_up, until
from messages import START, connection, sent, text

from mtf.errors import DataError
from mtf.market.side.order_book import COLUMNS, LEVELS, book_elements
from mtf.market.side.records import read_records
from mtf.realtime.books import listen
from mtf.realtime.connect import Connections
from mtf.realtime.events import Message
from mtf.realtime.order_book import BookRecorder, LiveBook, book_topic
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.streams import PATH
from mtf.realtime.sandbox.synthetic import SyntheticMarket

TOPIC = book_topic("BTCUSDT")
Levels = list[list[str]]


def data(update: int, bids: Levels, asks: Levels) -> dict[str, Any]:
    return {"s": "BTCUSDT", "b": bids, "a": asks, "u": update, "seq": 7 * update}


WHOLE = data(10, [["99", "1"], ["98", "2"]], [["101", "3"], ["102", "4"]])


def row_of(book: LiveBook) -> tuple[list[float], list[float], list[float], list[float]]:
    """Bid prices and sizes, ask prices and sizes that are there."""
    parts = book.row().reshape(4, LEVELS)
    bids, bid_sizes, asks, ask_sizes = ([v for v in part if np.isfinite(v)] for part in parts)
    return bids, bid_sizes, asks, ask_sizes


def test_a_snapshot_and_its_changes() -> None:
    book = LiveBook()
    book.apply("snapshot", WHOLE)
    assert row_of(book) == ([99, 98], [1, 2], [101, 102], [3, 4])
    book.apply("delta", data(11, [["99", "0"], ["97", "5"]], [["101", "9"], ["100.5", "1"]]))
    assert row_of(book) == ([98, 97], [2, 5], [100.5, 101, 102], [1, 9, 4])


MISSED = {
    "a number left out": data(12, [["97", "5"]], []),
    "a number again": data(10, [["97", "5"]], []),
    "a bid at an ask": data(11, [["101", "5"]], []),
    "an empty side": data(11, [["99", "0"], ["98", "0"]], []),
    "no number": data(11, [["97", "NaN"]], []),
    "a negative size": data(11, [["97", "-1"]], []),
    "no levels": {"u": 11},
    "a list": [],
}


@pytest.mark.parametrize("change", MISSED.values(), ids=MISSED.keys())
def test_a_book_with_a_change_that_was_missed_is_none_until_the_next_whole_one(
    change: Any,
) -> None:
    book = LiveBook()
    book.apply("snapshot", WHOLE)
    book.apply("delta", change)
    usable = [book.usable]
    book.apply("delta", data(11, [["97", "5"]], []))
    usable.append(book.usable)
    book.apply("snapshot", WHOLE | {"u": 40})
    usable.append(book.usable)
    book.apply("delta", data(41, [["97", "5"]], []))
    assert ([*usable, book.usable], book.missed) == ([False, False, True, True], 1)
    assert row_of(book) == ([99, 98, 97], [1, 2, 5], [101, 102], [3, 4])


def test_a_change_that_comes_twice_counts_once() -> None:
    change = data(11, [["99", "0"], ["97", "5"]], [])
    book = LiveBook()
    book.apply("snapshot", WHOLE)
    for again in (change, copy.deepcopy(change)):
        book.apply("delta", again)
    book.apply("delta", data(12, [["96", "1"]], []))
    assert row_of(book) == ([98, 97, 96], [2, 5, 1], [101, 102], [3, 4])
    assert (book.usable, book.missed) == (True, 0)
    book.apply("delta", data(12, [["96", "2"]], []))  # another change of that number
    assert (book.usable, book.missed) == (False, 1)


def test_the_update_number_1_is_a_whole_book() -> None:
    book = LiveBook()
    book.apply("snapshot", WHOLE)
    book.apply("delta", data(1, [["50", "1"]], [["51", "2"]]))
    assert row_of(book) == ([50], [1], [51], [2])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.integers(1, 60), st.integers(0, 5), max_size=8), max_size=20))
def test_changes_add_up_to_the_last_book(changes: list[dict[int, int]]) -> None:
    """Bids below 100, asks above: by a plain dictionary beside it."""
    book = LiveBook()
    book.apply("snapshot", data(1, [["1", "1"]], [["200", "1"]]))
    bids, asks = {1.0: 1.0}, {200.0: 1.0}
    for number, change in enumerate(changes, 2):
        bids |= {float(1 + price): float(size) for price, size in change.items()}
        asks |= {float(200 - price): float(size) for price, size in change.items()}
        levels = [[[str(p), str(s)] for p, s in side.items()] for side in (
            {1 + price: size for price, size in change.items()},
            {200 - price: size for price, size in change.items()},
        )]  # fmt: skip
        book.apply("delta", data(number, *levels))
    best = sorted((price, size) for price, size in bids.items() if size)[::-1][:LEVELS]
    lowest = sorted((price, size) for price, size in asks.items() if size)[:LEVELS]
    found = row_of(book)
    assert list(zip(found[0], found[1], strict=True)) == best
    assert list(zip(found[2], found[3], strict=True)) == lowest


def ms(seconds: float) -> int:
    return START + round(1_000 * seconds)


def heard(at: float, content: dict[str, Any], kind: str = "delta") -> Message:
    return sent(TOPIC, content, ms(at), kind)


def read(path: Path) -> tuple[list[float], np.ndarray]:
    records = read_records(str(path), COLUMNS)
    return ((records.times - START) / 1_000).tolist(), records.values


def test_one_row_a_second_in_a_file_an_hour(tmp_path: Path) -> None:
    recorder = BookRecorder(tmp_path / "books", "BTCUSDT")
    recorder.write(heard(0.5, WHOLE, "snapshot"))
    recorder.write(heard(0.9, data(11, [["98.5", "1"]], [])))
    recorder.write(sent("orderbook.50.ETHUSDT", WHOLE, ms(1.1), "snapshot"))
    recorder.write(heard(1.2, data(12, [["98.6", "1"]], [])))
    recorder.write(heard(2.3, data(14, [["98.7", "1"]], [])))  # 13 was missed
    recorder.write(heard(3.3, WHOLE, "snapshot"))
    recorder.write(connection("lost", ms(3.5)))
    recorder.write(heard(4.3, data(11, [["98.7", "1"]], [])))
    recorder.write(text("nonsense " + TOPIC, ms(5)))
    recorder.write(heard(3_600.0, WHOLE, "snapshot"))
    recorder.close()
    first, second = sorted((tmp_path / "books").iterdir())
    assert first.name == "BTCUSDT_book_2025-06-01T00.parquet"
    assert second.name == "BTCUSDT_book_2025-06-01T01.parquet"
    times, values = read(first)
    assert times == [0.5, 1.2, 3.3]
    assert values[1, :4].tolist()[:4] == [99, 98.6, 98.5, 98]
    assert read(second)[0] == [3_600.0]
    assert book_elements(values)[1][:, 0].all()


def test_rows_are_there_after_a_minute_and_recording_goes_on(tmp_path: Path) -> None:
    recorder = BookRecorder(tmp_path, "BTCUSDT")
    for second in range(70):
        recorder.write(heard(second, WHOLE, "snapshot"))
    (path,) = tmp_path.iterdir()
    assert read(path)[0] == [float(second) for second in range(61)]
    again = BookRecorder(tmp_path, "BTCUSDT")  # after a kill
    again.write(heard(60.5, WHOLE, "snapshot"))
    again.write(heard(75, WHOLE, "snapshot"))
    again.close()
    assert read(path)[0] == [*[float(second) for second in range(61)], 75.0]


def test_a_damaged_file_of_the_hour_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_book_2025-06-01T00.parquet"
    path.write_bytes(b"something else")
    recorder = BookRecorder(tmp_path, "BTCUSDT")
    with pytest.raises(DataError, match="can't be read"):
        recorder.write(heard(0, WHOLE, "snapshot"))
    assert path.read_bytes() == b"something else"


def test_columns_are_those_of_the_sample(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "orderbook" / "BTCUSDT_spot_25_levels_1s_20260216.parquet"
    recorder = BookRecorder(tmp_path, "BTCUSDT")
    recorder.write(heard(0, WHOLE, "snapshot"))
    recorder.close()
    ours = pq.read_schema(next(tmp_path.iterdir()))
    assert ours.remove_metadata().equals(pq.read_schema(sample).remove_metadata())


def raw(sandbox: Sandbox, seconds: int) -> list[str]:
    """What the stand-in says of the book in some seconds, as it comes: pybit would add it up."""
    socket = websocket.create_connection(sandbox.websocket_url + PATH, timeout=10)
    texts: list[str] = []
    try:
        socket.send(json.dumps({"op": "subscribe", "args": [TOPIC]}))
        until(lambda: bool(sandbox.subscribed))
        for _ in range(seconds):
            sandbox.advance(1_000)
        while not texts or json.loads(texts[-1]).get("ts", 0) < sandbox.clock.now_ms():
            texts.append(str(socket.recv()))
    finally:
        hang_up(socket)
    return texts


def test_a_book_that_stays_broken_is_asked_for_once_in_a_while(tmp_path: Path) -> None:
    recorder = BookRecorder(tmp_path, "BTCUSDT")
    assert recorder.overdue(ms(100), 5_000) == ""  # nothing was told: that is no book that broke
    recorder.write(heard(0, WHOLE, "snapshot"))
    recorder.write(heard(1, data(12, [["97", "5"]], [])))  # 11 was missed
    for second in (2, 3, 4, 5, 6):
        recorder.write(heard(second, data(11 + second, [["97", "5"]], [])))
        assert recorder.overdue(ms(second), 5_000) == ""
    assert "order book of BTCUSDT: a change was missed" in recorder.overdue(ms(6.1), 5_000)
    assert recorder.overdue(ms(6.2), 5_000) == ""
    assert recorder.overdue(ms(11.2), 5_000) != ""
    recorder.write(connection("lost", ms(11.3)))
    assert recorder.overdue(ms(99), 5_000) == ""  # it comes whole, or nothing comes
    recorder.write(heard(100, WHOLE, "snapshot"))
    assert recorder.overdue(ms(200), 5_000) == ""
    assert (recorder.kept, recorder.book.missed) == (2, 1)


def test_a_book_that_missed_a_change_is_made_whole_by_another_connection(
    market: SyntheticMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 60 x, until the book is there again; without a new connection it would never be."""
    monkeypatch.setattr("mtf.realtime.books.PATIENCE_S", 0.3)
    lost_ms, words = START + 60_000, list[str]()

    def again() -> bool:
        files = sorted(tmp_path.iterdir())
        return bool(files) and read(files[-1])[0][-1] > 60 + 30

    fault = Fault("lose", TOPIC, at_ms=lost_ms)
    with Sandbox(market, start_ms=START, speed=60.0, faults=(fault,)) as sandbox:
        with Connections(sandbox.url) as asked:
            options: dict[str, Any] = {"speed": 60.0, "told": words.append}
            kept = listen(["BTCUSDT"], tmp_path, asked, 1_800_000, again, **options)
        assert sandbox.counts == {"lose": 1}
        assert len(sandbox.connects) == 2
    why = "order book of BTCUSDT: a change was missed, so all of it is asked for again"
    assert words[0] == why
    assert f"lost connection: {why}" in words
    assert words[-1] == "order book of BTCUSDT: not whole 1 times in between"
    assert kept["BTCUSDT"] == sum(len(read(file)[0]) for file in tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["", "lose", "book_reset", "twice"])
def test_the_book_of_the_stand_in(market: SyntheticMarket, tmp_path: Path, fault: str) -> None:
    with Sandbox(market) as sandbox:
        if fault:
            sandbox.inject(Fault(fault, TOPIC, nth=10))
        texts = raw(sandbox, 20)
        true = sandbox.exchange.book("BTCUSDT", sandbox.clock.now_ms(), 50)
        digits = sandbox.exchange.market.instruments["BTCUSDT"].price_decimals
    recorder = BookRecorder(tmp_path, "BTCUSDT")
    for each in texts:
        recorder.write(text(each, json.loads(each).get("ts", START)))
    recorder.close()
    times, values = read(next(tmp_path.iterdir()))
    assert len(times) == (10 if fault == "lose" else 21)
    assert recorder.book.usable == (fault != "lose")
    if fault != "lose":
        best = np.array(sorted(true.bids, reverse=True)[:LEVELS]) / 10**digits
        np.testing.assert_allclose(values[-1, :LEVELS], best, rtol=1e-12)
