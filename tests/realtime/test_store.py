"""The store: months, the same bytes for the same rows, nothing bad, disks that fill."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fetching import MINUTE, MINUTE_MS, candles, contents, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import until

from mtf.errors import DataError, MtfError
from mtf.market.timeframe import Timeframe
from mtf.realtime.spans import Spans
from mtf.realtime.store import CandleSeries, Store

JUNE = 1_748_736_000_000
LATE_MAY = JUNE - 5 * MINUTE_MS


def series(folder: Path) -> CandleSeries:
    return Store(folder).candles("ETHUSDT", MINUTE)


def add(folder: Path, rows: np.ndarray) -> int:
    with Store(folder).writing():
        return series(folder).add(rows[:, 0].astype(np.int64), rows[:, 1:])


def test_a_file_a_month_sorted_and_once(tmp_path: Path) -> None:
    rows = candles(10, LATE_MAY)
    assert add(tmp_path, rows[[7, 2, 5, 2, 9]]) == 4
    assert add(tmp_path, rows[::-1]) == 6
    assert add(tmp_path, rows) == 0
    names = ["linear/ETHUSDT_1m_2025-05.parquet", "linear/ETHUSDT_1m_2025-06.parquet"]
    assert list(contents(tmp_path)) == names
    np.testing.assert_array_equal(stored(tmp_path, "ETHUSDT"), rows)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(12)), cuts=st.sets(st.integers(1, 11)))
def test_the_same_rows_are_the_same_bytes_however_they_came(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: set[int]
) -> None:
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    rows = candles(12, LATE_MAY)
    add(whole, rows)
    for part in np.split(np.array(order), sorted(cuts)):
        add(parts, rows[part])
    assert contents(parts) == contents(whole)


def test_what_is_stored_stays_as_it_is(tmp_path: Path) -> None:
    rows = candles(3)
    add(tmp_path, rows)
    other = rows.copy()
    other[:, 5] += 1
    assert add(tmp_path, other) == 0
    np.testing.assert_array_equal(stored(tmp_path, "ETHUSDT"), rows)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (4, np.nan, "NaN or infinite"),
        (2, np.inf, "NaN or infinite"),
        (3, -1.0, "price not above 0"),
        (2, 1.0, "high or low on the wrong side"),
        (5, -1.0, "volume below 0"),
        (0, JUNE + 1, "off the grid"),
        (0, JUNE, "same time, different values"),
    ],
)
def test_nothing_that_is_no_candle_gets_past_the_door(
    tmp_path: Path, column: int, value: float, words: str
) -> None:
    rows = candles(4)
    rows[2, column] = value
    with pytest.raises(DataError, match=words):
        add(tmp_path, rows)
    assert contents(tmp_path) == {}


def test_what_is_missing_is_neither_stored_nor_absent(tmp_path: Path) -> None:
    rows = candles(10)
    add(tmp_path, rows[[0, 1, 2, 6, 7]])

    def minute(*numbers: int) -> tuple[int, ...]:
        return tuple(JUNE + MINUTE_MS * number for number in numbers)

    assert series(tmp_path).missing(*minute(1, 10)).spans == (minute(3, 6), minute(8, 10))
    series(tmp_path).lacks(Spans.of([minute(3, 5)]))  # type: ignore[list-item]
    assert series(tmp_path).missing(*minute(1, 10)).spans == (minute(5, 6), minute(8, 10))
    # Candles that open in the time asked for, of which the ends need not be on the grid.
    assert series(tmp_path).missing(JUNE + 1, JUNE + 9 * MINUTE_MS + 1).spans[-1] == minute(8, 10)


def test_weeks_begin_on_monday(tmp_path: Path) -> None:
    week = Store(tmp_path).candles("ETHUSDT", Timeframe.parse("1w"))
    monday = JUNE + 86_400_000  # 2025-06-01 is a Sunday
    assert week.missing(JUNE, monday + 1).spans == ((monday, monday + 7 * 86_400_000),)


def test_funding_is_stored_once_and_remembers_what_was_asked(tmp_path: Path) -> None:
    rates = Store(tmp_path).funding("ETHUSDT")
    with Store(tmp_path).writing():
        assert rates.add(np.array([200, 100]), np.array([2e-4, 1e-4]), Spans.of([(50, 250)])) == 2
        assert rates.add(np.array([200, 300]), np.array([9e-4, 3e-4]), Spans.of([(150, 350)])) == 1
    times, values = rates.read()
    assert times.tolist() == [100, 200, 300]
    assert values.tolist() == [1e-4, 2e-4, 3e-4]
    assert rates.missing(0, 400).spans == ((0, 50), (350, 400))
    with pytest.raises(DataError, match="no number"):
        rates.add(np.array([400]), np.array([np.nan]), Spans())


@pytest.mark.parametrize("symbol", ["", "eth", "ETH/USDT", "../ETH", "E" * 31, "ETHUSDT\n"])
def test_a_symbol_is_no_path(tmp_path: Path, symbol: str) -> None:
    with pytest.raises(MtfError, match="found symbol"):
        Store(tmp_path).candles(symbol, MINUTE)


def test_another_category_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MtfError, match="one of linear, spot"):
        Store(tmp_path, "inverse")


def ended_process() -> int:
    """The id of a process that has been."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    add(tmp_path, candles(3))
    for pid in (ended_process(), 10**12):
        left = tmp_path / "linear" / f".ETHUSDT_1m_2025-06.parquet.{pid}.partial"
        left.write_bytes(b"half")
    add(tmp_path, candles(4))
    assert list(contents(tmp_path)) == ["linear/ETHUSDT_1m_2025-06.parquet"]


def test_what_another_process_writes_right_now_stays(tmp_path: Path) -> None:
    """Such as an order book that is listened to, which writes without the lock."""
    add(tmp_path, candles(3))
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        written = [
            tmp_path / "linear" / f".BTCUSDT_book_2025-06-01T00.parquet.{pid}.partial"
            for pid in (other.pid, os.getpid(), 1)  # one of another user, for most
        ]
        for path in written:
            path.write_bytes(b"half")
        add(tmp_path, candles(4))
        assert all(path.exists() for path in written)
        other.communicate(b"")
    add(tmp_path, candles(5))
    assert [path.exists() for path in written] == [False, True, True]


def test_a_file_of_no_writer_of_ours_is_left_alone(tmp_path: Path) -> None:
    add(tmp_path, candles(3))
    other = tmp_path / "linear" / ".notes.partial"
    other.write_bytes(b"somebody's")
    add(tmp_path, candles(4))
    assert other.exists()


def test_damaged_files_are_named_with_what_to_do(tmp_path: Path) -> None:
    add(tmp_path, candles(3))
    file = series(tmp_path).files[0]
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], b"PAR1" + whole[:50] + b"PAR1"):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"2025-06.parquet can't be read[\s\S]*remove it"):
            series(tmp_path).missing(JUNE, JUNE + MINUTE_MS)
    file.write_bytes(whole)
    (tmp_path / "linear" / "ETHUSDT_1m_absent.json").write_text('{"absent": [[1]]}')
    with pytest.raises(DataError, match=r"absent.json can't be read[\s\S]*remove it"):
        series(tmp_path).absent()


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_fills_at_any_call_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows = candles(10, LATE_MAY)
    add(tmp_path / "whole", rows)
    for allowed in range(3):
        store = tmp_path / str(allowed)
        add(store, rows[:2])
        real = getattr(os, name)
        calls: list[int] = []

        def full(
            *arguments: Any, real: Any = real, calls: list[int] = calls, most: int = allowed
        ) -> Any:
            calls.append(1)
            if len(calls) > most:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            if allowed < 2:
                with pytest.raises(DataError, match=r"can't write .*No space left"):
                    add(store, rows)
        times = stored(store, "ETHUSDT")[:, 0]
        np.testing.assert_array_equal(times, rows[: len(times), 0])  # a prefix
        assert len(times) >= 2
        add(store, rows)
        assert contents(store) == contents(tmp_path / "whole")


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match=r"can't write .*[\s\S]*a folder that can be written to"):
        add(tmp_path / "data", candles(1))


def test_a_folder_that_is_read_only_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, candles(3))
    before = contents(tmp_path)

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(DataError, match=r"can't write .*: Read-only file system"):
        add(tmp_path, candles(4))
    monkeypatch.undo()
    assert contents(tmp_path) == before


def test_one_writes_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        Store(tmp_path).writing(),
        (tmp_path / "linear" / ".lock").open("wb") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with Store(tmp_path).writing():  # free again
        assert not caplog.records


def test_a_file_system_without_locks_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    add(tmp_path, candles(3))
    assert len(stored(tmp_path, "ETHUSDT")) == 3


def test_the_second_one_waits_until_the_first_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def second() -> None:
        with Store(tmp_path).writing():
            done.append("second")

    thread = threading.Thread(target=second)
    with Store(tmp_path).writing():
        thread.start()
        until(lambda: bool(caplog.records))
        done.append("first")
    thread.join(30)
    assert done == ["first", "second"]
    assert "another process fetches into" in caplog.text
