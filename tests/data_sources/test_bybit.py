"""The store as a data source, filled by itself or by ``mtf fetch``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from loopback import keep_to_loopback

from mtf.data_sources.bybit import Bybit
from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request
from mtf.realtime.frames import CLOCK_MS
from mtf.realtime.hosts import HostError
from mtf.realtime.sandbox.interval import INTERVALS
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.testing import check_data_source

START = 1_748_736_000_000
DAY = 86_400_000


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_to_loopback(monkeypatch)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    market = SyntheticMarket(("BTCUSDT", "ETHUSDT"), START, history_days=12)
    with Sandbox(market, start_ms=START + CLOCK_MS) as sandbox:
        yield sandbox


def requests(*frames: str, days: int = 2) -> list[Request]:
    """The last days of both coins."""
    return [
        Request(symbol, Timeframe.parse(frame), START - days * DAY, START)
        for symbol in ("ETHUSDT", "BTCUSDT")
        for frame in frames
    ]


def test_it_keeps_its_contract(sandbox: Sandbox, tmp_path: Path) -> None:
    wanted = requests("1m", "1h")
    Bybit(path=str(tmp_path), fetch=True, endpoint=sandbox.url).load(wanted)
    check_data_source(lambda: Bybit(path=str(tmp_path)), wanted)


def test_what_is_missing_is_fetched_and_nothing_else(sandbox: Sandbox, tmp_path: Path) -> None:
    source = Bybit(path=str(tmp_path), fetch=True, endpoint=sandbox.url)
    before = len(sandbox.requests)
    first = source.load(requests("1h"))
    asked = len(sandbox.requests) - before
    assert asked == 1 + 2  # the time, and a page a coin
    again = source.load(requests("1h"))
    assert [c.fingerprint() for c in again] == [c.fingerprint() for c in first]
    # With everything there, nobody is needed.
    elsewhere = Bybit(path=str(tmp_path), fetch=True, endpoint="http://127.0.0.1:9")
    assert [c.fingerprint() for c in elsewhere.load(requests("1h"))] == [
        c.fingerprint() for c in first
    ]
    assert len(sandbox.requests) - before == asked
    source.load(requests("1h", days=3))
    assert len(sandbox.requests) - before == asked + 3


def test_a_symbol_that_is_its_own_reference_is_fetched_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    before = len(sandbox.requests)
    source = Bybit(path=str(tmp_path), fetch=True, endpoint=sandbox.url)
    twice = requests("1m", days=3)[:1] * 2
    first, second = source.load(twice)
    assert len(first.open_time()) == 3 * 1_440
    assert first.fingerprint() == second.fingerprint()
    assert len(sandbox.requests) - before == 1 + 5


def test_candles_are_those_of_the_exchange(sandbox: Sandbox, tmp_path: Path) -> None:
    source = Bybit(path=str(tmp_path), fetch=True, endpoint=sandbox.url)
    (eth, _) = source.load(requests("15m"))
    bars = sandbox.exchange.bars("ETHUSDT", INTERVALS["15"], START - 2 * DAY, START)
    np.testing.assert_array_equal(eth.open_time(), bars.open_time)
    np.testing.assert_array_equal(eth.ohlcv, bars.values[:, :5] / [100, 100, 100, 100, 100])
    assert eth.valid.all()


def test_without_a_store_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Bybit(path=str(tmp_path / "none")).load(requests("1m"))
    line = f"mtf fetch bybit ETHUSDT --timeframes 1m --since 2025-05-30 --store {tmp_path}/none"
    assert line in str(caught.value)
    assert "data.fetch=true" in str(caught.value)
    with pytest.raises(DataError, match=r"--trades 2025-05-30"):
        Bybit(path=str(tmp_path), fetch=True, endpoint="http://127.0.0.1:9").load(requests("1s"))


def test_categories_do_not_mix(sandbox: Sandbox, tmp_path: Path) -> None:
    Bybit(path=str(tmp_path), fetch=True, endpoint=sandbox.url).load(requests("1h"))
    with pytest.raises(DataError, match=r"no 1h candles of ETHUSDT in .*spot"):
        Bybit(path=str(tmp_path), category="spot").load(requests("1h"))


def test_an_endpoint_elsewhere_is_refused_when_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        Bybit(path=str(tmp_path), endpoint="http://api.bybit.com")
