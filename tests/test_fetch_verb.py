"""``mtf fetch``: what it prints, what it refuses, and that a second run has nothing to do."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from archives import linear_file, path_of, serving
from fetching import contents, stored
from listening import until
from loopback import keep_to_loopback
from rich.console import Console

from mtf import fetch
from mtf.errors import ConfigError, MtfError
from mtf.realtime.extra import live_extra
from mtf.realtime.fetch_progress import FetchProgress
from mtf.realtime.frames import CLOCK_MS
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

START = 1_748_736_000_000  # 2025-06-01


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_to_loopback(monkeypatch)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(("BTCUSDT", "ETHUSDT"), START, history_days=3)


def test_candles_and_funding_of_two_coins(
    market: SyntheticMarket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "timeframes": ["1h", "1d"],
        "since": "2025-05-30",
        "until": "2025-05-31T12:00",
        "funding": True,
        "store": str(tmp_path),
        "per_second": 100,
    }
    with Sandbox(market, start_ms=START + CLOCK_MS) as sandbox:
        fetch.main("bybit", ["ETHUSDT", "BTCUSDT"], endpoint=sandbox.url, **options)
        out = capsys.readouterr().out.splitlines()
        assert out == [
            "ETHUSDT 1h: 36 new, 36 candles, 2025-05-30 00:00 – 2025-05-31 12:00",
            "ETHUSDT 1d: 2 new, 2 candles, 2025-05-30 00:00 – 2025-06-01 00:00",
            "BTCUSDT 1h: 36 new, 36 candles, 2025-05-30 00:00 – 2025-05-31 12:00",
            "BTCUSDT 1d: 2 new, 2 candles, 2025-05-30 00:00 – 2025-06-01 00:00",
            "ETHUSDT funding: 5 new, 5 rates",
            "BTCUSDT funding: 5 new, 5 rates",
            f"in {tmp_path}/linear",
        ]
        before, asked = contents(tmp_path), len(sandbox.requests)
        fetch.main("bybit", ["ETHUSDT", "BTCUSDT"], endpoint=sandbox.url, **options)
        assert "ETHUSDT 1h: 0 new, 36 candles" in capsys.readouterr().out
        assert len(sandbox.requests) == asked
    assert contents(tmp_path) == before


def test_a_line_says_what_is_done_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And before anything is imported that takes a second."""

    def importing(_: str) -> Any:
        raise MtfError(capsys.readouterr().err)

    monkeypatch.setattr(fetch, "live_extra", importing)
    with pytest.raises(MtfError) as caught:
        fetch.main("bybit", ["ETHUSDT", "BTCUSDT"], since="2025-05-30", store=tmp_path)
    assert caught.value.found == f"fetching ETHUSDT, BTCUSDT from bybit into {tmp_path}/linear\n"
    with pytest.raises(MtfError, match="fetching 11 symbols from bybit into"):
        fetch.main("bybit", [f"COIN{n}" for n in range(11)], since="2025-05-30", store=tmp_path)


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(
    market: SyntheticMarket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five pages, one each two seconds; the second one is on its way, or waited for."""
    with Sandbox(market) as sandbox:
        options: dict[str, Any] = {
            "since": "2025-05-29",
            "until": "2025-05-31T23:00",
            "store": str(tmp_path),
            "endpoint": sandbox.url,
        }
        said = [part for name, value in options.items() for part in (f"--{name}", value)]
        command = [sys.executable, "-m", "mtf.fetch", "bybit", "ETHUSDT", "--per-second", "0.5"]
        process = subprocess.Popen([*command, *said], stderr=subprocess.PIPE, text=True)
        with process:
            until(lambda: len(sandbox.requests) >= 3)  # the time, and two pages
            process.send_signal(signal.SIGINT)
            words = process.communicate(timeout=60)[1]
        assert process.returncode == 2
        assert words.splitlines() == [
            f"fetching ETHUSDT from {sandbox.url} into {tmp_path}/linear",
            "4,260 candles to fetch",
            *[line for line in words.splitlines() if "of 4,260 candles" in line],
            f"interrupted; what came is in {tmp_path}/linear",
            "  to do: run it again: it goes on from there",
        ]
        came = len(stored(tmp_path, "ETHUSDT"))
        assert came in (1_000, 2_000, 3_000, 4_000)
        fetch.main("bybit", ["ETHUSDT"], **options)
    assert f"ETHUSDT 1m: {4_260 - came:,} new, 4,260 candles" in capsys.readouterr().out


def test_the_order_book_is_listened_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four minutes of the market, told ten times a second of a clock that runs at 60 x."""
    market = SyntheticMarket(start_ms=START, history_days=2)
    with Sandbox(market, speed=60.0) as sandbox:
        fetch.main(
            "bybit", ["BTCUSDT"], book="4m", store=tmp_path, endpoint=sandbox.url, speed=60.0
        )
    assert "BTCUSDT order book: " in capsys.readouterr().out
    files = sorted((tmp_path / "linear").glob("BTCUSDT_book_*.parquet"))
    books = [pq.read_table(file).to_pandas() for file in files]
    rows = sum(map(len, books))
    assert rows >= 10
    first = books[0].iloc[0]
    assert first["bid_price_1"] < first["ask_price_1"]
    assert START < first["time_ms"] < START + 10 * 60_000


def test_an_order_book_at_another_speed_is_refused(tmp_path: Path) -> None:
    market = SyntheticMarket(start_ms=START, history_days=2)
    with Sandbox(market, speed=60.0) as sandbox:
        words = "found --speed 1, but the exchange's time runs at"
        with pytest.raises(ConfigError, match=words):
            fetch.main("bybit", ["BTCUSDT"], book="4m", store=tmp_path, endpoint=sandbox.url)
    assert not list((tmp_path / "linear").glob("*.parquet"))


def test_what_the_exchange_does_not_have_is_told(
    market: SyntheticMarket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(market) as sandbox:
        fetch.main(
            "bybit",
            ["ETHUSDT"],
            timeframes=["1h"],
            since="2025-05-28",
            store=tmp_path,
            endpoint=sandbox.url,
        )
    told = "the exchange does not have 24 candles: 2025-05-28 00:00 – 2025-05-29 00:00"
    assert told in capsys.readouterr().out


def test_trades_become_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = START + np.array([100, 1_900])
    file = linear_file("ETHUSDT", times, ["a", "b"], np.array([10.0, 11.0]), np.array([1.0, 2.0]))
    with serving({path_of("ETHUSDT", date(2025, 6, 1)): file}) as served:
        for _ in range(2):
            fetch.main(
                "bybit",
                ["ETHUSDT"],
                trades=["2025-06-01"],
                store=str(tmp_path),
                archive=served.url,
            )
    assert capsys.readouterr().out.splitlines() == [
        "ETHUSDT 1s 2025-06-01: 86,400 new of 2 trades",
        f"in {tmp_path}/linear",
        "ETHUSDT 1s 2025-06-01: there",
        f"in {tmp_path}/linear",
    ]
    assert stored(tmp_path, "ETHUSDT", "1s")[1].tolist() == [START + 1_000, 11, 11, 11, 11, 2]


@pytest.mark.parametrize(
    ("exchange", "options", "words"),
    [
        ("bybyt", {}, "did you mean bybit"),
        ("bybit", {"symbols": []}, "found no symbol"),
        ("bybit", {"symbols": ["ethusdt"]}, "found symbol 'ethusdt'"),
        ("bybit", {"since": None}, "none of --since, --trades and --book"),
        ("bybit", {"since": "yesterday"}, "found --since 'yesterday'"),
        ("bybit", {"until": "2020-01-01"}, "since before until"),
        ("bybit", {"trades": ["08/08/2024"]}, "found --trades '08/08/2024'"),
        ("bybit", {"timeframes": ["7m"]}, "one that Bybit has"),
        ("bybit", {"timeframes": ["1s"]}, "1s candles are built from trades"),
        ("bybit", {"category": "inverse"}, "one of linear, spot"),
        ("bybit", {"endpoint": "http://api.bybit.com"}, "nothing was sent"),
        ("bybit", {"archive": "https://example.com"}, "nothing was sent"),
        ("bybit", {"per_second": 1_000}, "at most 100"),
        ("bybit", {"endpoint": "127.0.0.1:9"}, "such as http://127.0.0.1:8090"),
        ("bybit", {"trades": ["2024-08-08"]}, "name it by --archive"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(
    tmp_path: Path, exchange: str, options: dict[str, Any], words: str
) -> None:
    options = {
        "symbols": ["ETHUSDT"],
        "since": "2024-01-01",
        "store": str(tmp_path / "store"),
        "endpoint": "http://127.0.0.1:9",
        **options,
    }
    with pytest.raises(MtfError, match=words):
        fetch.main(exchange, options.pop("symbols"), **options)
    assert not (tmp_path / "store").exists()


def test_a_missing_package_is_told_with_what_to_install() -> None:
    words = r'no package nopybit[\s\S]*pip install "mtf\[live\]"'
    with pytest.raises(MtfError, match=words), live_extra("mtf fetch"):
        import nopybit  # type: ignore[import-not-found]  # noqa: F401


def told(*, terminal: bool) -> str:
    """What is shown of 1,000 candles in 100 steps of a second."""
    now = [0.0]
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, _environ={})
    progress = FetchProgress(console, clock=lambda: now[0])
    progress.planned(1_000)
    for _ in range(100):
        now[0] += 1
        progress.fetched("ETHUSDT 1m", 10)
    progress.close()
    return out.getvalue()


def test_progress_is_a_few_lines_where_nobody_watches() -> None:
    lines = told(terminal=False).splitlines()
    assert len(lines) == 11
    assert lines[0] == "1,000 candles to fetch"
    assert lines[1] == " 10%  100 of 1,000 candles  ETHUSDT 1m  1:30 left"
    assert lines[-1] == "100%  1,000 of 1,000 candles  ETHUSDT 1m  0:00 left"


def test_progress_is_a_bar_on_a_terminal() -> None:
    assert "1000/1000" in told(terminal=True)
