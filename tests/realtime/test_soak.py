"""An hour, or a day, of a live session at 60 times its speed, with a fault every 30 seconds."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from living import live_run
from rehearsing import Watched, allow_everything, living_process, random_fault, session_of

from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.realtime.batch_backtest import session_backtest, session_bars, session_broker
from mtf.realtime.bybit_client import BybitClient
from mtf.realtime.events import Closed, Key
from mtf.realtime.journal import read_journal
from mtf.realtime.kline import ask_candles
from mtf.realtime.recording import read_recording
from mtf.realtime.replayed import notes_of
from mtf.realtime.rest import Rest
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.segments import decisions_in
from mtf.run import Run

MINUTE = 60_000
START = 1_748_736_000_000
SPEED = 60.0
EVERY_MS = 30_000
WARM_UP_S = 15.0
"""Of the wall clock: caches fill up."""
SETTLE_MINUTES = 8
"""Without faults at the end, so that what was missed is filled in."""
MOST_SOCKETS = 5
"""The stream and the one that replaces it; connections to REST that are kept: two threads fill what
was missed, one asks the time. How many of those are kept depends on who asked at the same time.
"""


def soak(folder: Path, minutes: int, seed: int) -> None:
    """Let it run, with faults, and look at what it used and what it did."""
    market = SyntheticMarket(start_ms=START, history_days=10)
    run, rng, watched = live_run(folder, market), random.Random(seed), Watched()
    allow_everything(run)
    with (
        Sandbox(market, speed=SPEED) as sandbox,
        living_process(run, sandbox, "--for", f"{minutes}m") as process,
    ):
        process.wait_for(" UTC  ")
        began_ms, began_s, planned = sandbox.clock.now_ms(), time.monotonic(), 0
        while not process.over:
            passed_ms = sandbox.clock.now_ms() - began_ms
            if passed_ms >= (minutes + 30) * MINUTE:
                raise AssertionError(f"it does not end:\n{process.text[-2_000:]}")
            if planned < min(passed_ms, (minutes - SETTLE_MINUTES) * MINUTE) // EVERY_MS:
                sandbox.inject(random_fault(rng, ["ETHUSDT", "BTCUSDT"]))
                planned += 1
            if time.monotonic() - began_s > WARM_UP_S:
                watched.look(process.pid)
            time.sleep(0.1)
        process.end()
        faults, now_ms = sum(sandbox.counts.values()), sandbox.clock.now_ms()
    with Sandbox(market, start_ms=now_ms) as quiet:  # the same market, and no fault is left
        check_candles(run, quiet)
        profits = check_profit(run, quiet)
    lines = list(read_journal(session_of(run) / "journal.jsonl"))
    decisions = sum(line["kind"] == "decision" for line in lines)
    missed = sum(line["count"] for line in lines if line["kind"] == "missed")
    fills = sum(line["kind"] == "fill" for line in lines)
    third = len(watched.resident) // 3
    first, last = (
        {name: float(np.median(getattr(watched, name)[part])) for name in vars(watched)}
        for part in (slice(0, third), slice(-third, None))
    )
    growth = last["resident"] / first["resident"] - 1
    print(
        f"\n{minutes} minutes at {SPEED:g} x: {planned} faults planned, {faults} injected; "
        f"{decisions} decisions, {missed} missed, {fills} fills; 0 candles lost, 0 duplicated; "
        f"paper {profits[0]:+.2f}, backtest apart by {abs(profits[0] - profits[1]):.1e}; memory "
        f"{growth:+.2%} of {first['resident'] / 2**20:.0f} MiB, threads {first['threads']:g} -> "
        f"{last['threads']:g}, files {first['files']:g} -> {last['files']:g}, sockets "
        f"{min(watched.sockets)} to {max(watched.sockets)}"
    )
    assert planned >= (minutes - SETTLE_MINUTES - 2) * 2
    assert faults >= 0.6 * planned
    assert decisions + missed >= minutes - 2
    assert decisions >= 0.5 * minutes
    assert fills > minutes / 30
    assert growth < 0.05
    assert last["threads"] <= first["threads"]
    assert last["files"] <= first["files"]
    assert max(watched.sockets) <= MOST_SOCKETS
    assert profits[0] == pytest.approx(profits[1], abs=1e-9 * 100_000)


def told_in(run: Run) -> dict[Key, list[Closed]]:
    """All candles that the session was told, from its recording."""
    (path,) = session_of(run).glob("messages-*.jsonl")
    notes = notes_of(read_recording(path))
    assert notes is not None
    intake = notes.history.intake()
    told: dict[Key, list[Closed]] = {key: [] for key in notes.history.since}
    for message in read_recording(path):
        for event in intake.take(message):
            if isinstance(event, Closed):
                told[event.key].append(event)
    return told


def market_candles(sandbox: Sandbox, key: Key, start_ms: int, end_ms: int) -> Candles:
    """What REST says afterwards, asked page by page without the session's code."""
    symbol, frame = key
    rest, opens, rows = Rest(BybitClient(sandbox.url)), list[np.ndarray](), list[np.ndarray]()
    try:
        for start in range(start_ms, end_ms, 1_000 * frame.duration_ms):
            until = min(start + 1_000 * frame.duration_ms, end_ms)
            page = ask_candles(rest, "linear", symbol, frame, start, until)
            opens.append(page.open_time)
            rows.append(page.ohlcv)
    finally:
        rest.close()
    return Candles.from_rows(symbol, frame, np.concatenate(opens), np.concatenate(rows))


def check_candles(run: Run, sandbox: Sandbox) -> None:
    """Every closed candle exactly once, in order, without a gap, equal to REST."""
    for key, events in told_in(run).items():
        opens = np.concatenate([event.open_ms for event in events])
        assert (np.diff(opens) == key[1].duration_ms).all(), f"{key}: gaps or duplicates"
        end_ms = int(opens[-1]) + key[1].duration_ms
        expected = market_candles(sandbox, key, int(opens[0]), end_ms)
        np.testing.assert_array_equal(opens, expected.open_time())
        rows = np.concatenate([event.ohlcv for event in events])
        np.testing.assert_array_equal(rows, expected.ohlcv)


def check_profit(run: Run, sandbox: Sandbox) -> tuple[float, float]:
    """Of the paper account as journalled, and of a backtest of its decisions on REST's candles."""
    lines = list(read_journal(session_of(run) / "journal.jsonl"))
    account = [line for line in lines if line["kind"] == "account"][-1]
    made = list(decisions_in(lines))
    key = "ETHUSDT", Timeframe.parse("1m")
    span = made[0].time_ms, int(account["time_ms"])
    candles = {key: market_candles(sandbox, key, *span)}
    bars = session_bars(run.config, candles, *span, decision_delay_ms=2_000)
    made = [one for one in made if one.time_ms <= span[1]]
    outcome = session_backtest(run.config, made, bars, session_broker(run.config, 2_000))
    return float(account["equity"]) - 100_000, float(outcome.equity[-1]) - 100_000


@pytest.mark.slow
@pytest.mark.alone
def test_an_hour(tmp_path: Path) -> None:
    soak(tmp_path, 60, seed=1)


@pytest.mark.long
def test_a_day(tmp_path: Path) -> None:
    soak(tmp_path, 24 * 60, seed=2)
