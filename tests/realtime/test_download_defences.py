"""Every defence of a download matters: without it, what it is there for happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fetching import MINUTE, MINUTE_MS, SmallExchange, candles, stored

from mtf.errors import DataError, MtfError
from mtf.realtime import archive, bybit_client, download, kline, store, stored_files
from mtf.realtime.download import SETTLE_MS, Fetched, Wanted, fetch
from mtf.realtime.kline import Answer
from mtf.realtime.spans import Spans
from mtf.realtime.store import Store

ROWS = candles(101)
FIRST, END = int(ROWS[0, 0]), int(ROWS[100, 0])


def fetched(folder: Path, *faults: str | None, now_ms: int = END + 2 * SETTLE_MS) -> Fetched:
    """A hundred minutes of an exchange whose answers are spoilt so."""
    exchange = SmallExchange(ROWS, now_ms, faults)
    wanted = Wanted("ETHUSDT", MINUTE, FIRST, END)
    return fetch([wanted], Store(folder), exchange.rest())[0]


def is_whole(folder: Path) -> bool:
    return bool(np.array_equal(stored(folder, "ETHUSDT"), ROWS[:100]))


def no_faults(*_: Any) -> dict[str, np.ndarray]:
    return {}


def test_finiteness_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(tmp_path / "with", "nan")
    assert is_whole(tmp_path / "with")
    monkeypatch.setattr(kline, "find_faults", no_faults)
    with pytest.raises(DataError, match="NaN or infinite"):  # the store's own door
        fetched(tmp_path / "door", "nan")
    monkeypatch.setattr(store, "find_faults", no_faults)
    fetched(tmp_path / "without", "nan")
    assert np.isnan(stored(tmp_path / "without", "ETHUSDT")).any()


def test_holes_are_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetched(tmp_path / "with", "gap").added == 100
    monkeypatch.setattr(download, "QUESTIONS", 1)
    assert fetched(tmp_path / "without", "gap").added == 99


def test_answers_with_nonsense_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonsense = ["seconds"] * 9
    assert not fetched(tmp_path / "with", *nonsense).absent.spans
    monkeypatch.setattr(Answer, "believed", True)
    assert fetched(tmp_path / "without", *nonsense).absent.total_ms == 100 * MINUTE_MS


def test_rows_of_another_time_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open candle among them, though it was not asked for."""
    now = END + MINUTE_MS // 2
    fetched(tmp_path / "with", "open_last", now_ms=now)
    assert is_whole(tmp_path / "with")
    answer = kline.answer

    def everything(times: Any, values: Any, timeframe: Any, *_: int) -> Answer:
        return answer(times, values, timeframe, 0, 2**60)

    monkeypatch.setattr(kline, "answer", everything)
    fetched(tmp_path / "without", "open_last", now_ms=now)
    assert stored(tmp_path / "without", "ETHUSDT")[-1, 0] == END  # it is open


def test_order_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a shuffled answer seems to be full of holes."""
    times, values = ROWS[[2, 0, 1, 1], 0].astype(np.int64), ROWS[[2, 0, 1, 1], 1:]

    def spans() -> Spans:
        found = kline.answer(times, values, MINUTE, FIRST, END)
        return Spans.of_times(found.open_time, MINUTE_MS)

    assert spans().spans == ((FIRST, FIRST + 3 * MINUTE_MS),)
    monkeypatch.setattr(kline, "_once", lambda times, values: ((times, values), 0))
    assert spans().total_ms != 3 * MINUTE_MS


def test_writes_are_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that ends half way leaves what was there, unless it is made in place."""

    def torn(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise OSError(5, "killed")

    def add(folder: Path, rows: np.ndarray) -> None:
        series = Store(folder).candles("ETHUSDT", MINUTE)
        with Store(folder).writing():
            series.add(rows[:, 0].astype(np.int64), rows[:, 1:])

    for name, place in (("with", "mtf.learning.disk.write_synced"), ("without", None)):
        add(tmp_path / name, ROWS[:50])
        with monkeypatch.context() as patched:
            if place:
                patched.setattr(place, torn)
            else:
                patched.setattr(stored_files, "replace_synced", torn)
            with pytest.raises(DataError, match="killed"):
                add(tmp_path / name, ROWS)
    assert len(stored(tmp_path / "with", "ETHUSDT")) == 50
    with pytest.raises(pa.ArrowInvalid, match="magic bytes not found"):
        stored(tmp_path / "without", "ETHUSDT")


@pytest.mark.parametrize("module", [bybit_client, archive])
def test_the_list_of_hosts(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a client for another host is made."""
    name = "check_url" if module is bybit_client else "check_archive"
    make = module.BybitClient if module is bybit_client else module.ArchiveClient
    with pytest.raises(MtfError, match="nothing was sent"):
        make("http://192.0.2.1")
    monkeypatch.setattr(module, name, lambda url, *_: url)
    make("http://192.0.2.1").close()
