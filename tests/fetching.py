"""Fetching from stand-ins: time that passes when it is told to, and an exchange of 30 lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mtf.market.timeframe import Timeframe
from mtf.realtime.bybit_client import BybitClient
from mtf.realtime.download import Fetched, Wanted, fetch
from mtf.realtime.rest import Rest
from mtf.realtime.sandbox.rows import spoil
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.store import Store

KLINE = "/v5/market/kline"
MINUTE_MS = 60_000
MINUTE = Timeframe.parse("1m")


class QuickTime:
    """Nobody waits: sleeping moves the clock.

    Attributes:
        slept: how long each sleep was, in seconds.
    """

    def __init__(self) -> None:
        self.now = time.time()
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return round(self.now * 1_000)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@contextmanager
def asking(sandbox: Sandbox, clock: QuickTime | None = None, **options: Any) -> Iterator[Rest]:
    """What asks a stand-in, without waiting."""
    rest = Rest(BybitClient(sandbox.url), time=clock or QuickTime(), seed=0, **options)
    try:
        yield rest
    finally:
        rest.close()


def fetch_from(sandbox: Sandbox, folder: Path, *wanted: Wanted) -> list[Fetched]:
    """Fetch into a folder."""
    with asking(sandbox) as rest:
        return fetch(wanted, Store(folder), lambda: rest)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, byte for byte; the lock is none."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def stored(folder: Path, symbol: str, timeframe: str = "1m") -> np.ndarray:
    """The stored candles, times first: ``[candle, 6]``."""
    files = Store(folder).candles(symbol, Timeframe.parse(timeframe)).files
    tables = [pq.read_table(file).to_pandas().to_numpy(np.float64) for file in files]
    return np.concatenate([np.empty((0, 6)), *tables])


def candles(count: int, start_ms: int = 1_748_736_000_000) -> np.ndarray:
    """Minutes that are all different, times first: ``[candle, 6]``."""
    number = np.arange(count)
    close = 100.0 + number % 50
    opened = np.roll(close, 1)
    high, low = np.maximum(opened, close) + 1, np.minimum(opened, close) - 1
    columns = [start_ms + MINUTE_MS * number, opened, high, low, close, 1.0 + number]
    return np.stack(columns, axis=1)


class SmallExchange:
    """Answers ``get_kline`` as the exchange documents it, each answer spoilt as it is told.

    It suffices for what is done with rows; how requests fail is tried on the stand-in.

    Args:
        rows: all candles there are, ``[candle, 6]``.
        now_ms: its clock; the candle that is open then is the last that it knows.
        faults: kinds of ``sandbox.faults.ROW_FAULTS`` of the answers to come; None = sound.
    """

    def __init__(self, rows: np.ndarray, now_ms: int, faults: Sequence[str | None] = ()) -> None:
        self.rows, self.now_ms, self.faults = rows, now_ms, list(faults)
        self.questions: list[Mapping[str, Any]] = []

    def get_server_time(self) -> dict[str, Any]:
        return {"result": {"timeNano": str(self.now_ms * 1_000_000)}}

    def get_kline(self, **asked: Any) -> dict[str, Any]:
        self.questions.append(asked)
        times = self.rows[:, 0]
        known = (times >= asked["start"]) & (times <= min(asked["end"], self.now_ms))
        page = [_texts(row) for row in self.rows[known][-asked["limit"] :][::-1]]
        kind = self.faults.pop(0) if self.faults else None
        if kind is not None:
            newest = [_texts(row) for row in self.rows[times <= self.now_ms][-1:]]
            page = spoil(page, kind, newest, seed=len(self.questions))
        return {"result": {"list": page}}

    def rest(self) -> Callable[[], Rest]:
        """What asks it, without waiting."""
        return lambda: Rest(self, time=QuickTime(), seed=0)


def _texts(row: np.ndarray) -> list[str]:
    return [str(int(row[0])), *(repr(float(value)) for value in row[1:]), "0"]
