"""``mtf live`` and ``mtf replay`` against the stand-in, as a user starts them."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from living import LIVE, live_run, quick_model
from loopback import keep_to_loopback
from rehearsing import allow_everything, check_no_secret, living_process, session_of

from mtf import live
from mtf.errors import ConfigError, DataError, MtfError
from mtf.live_show import Options
from mtf.realtime.decision import Decision
from mtf.realtime.journal import Lines, decision_line, read_journal
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.session import Session
from mtf.realtime.session_folder import begin_session, read_session
from mtf.realtime.terms import Terms
from mtf.replay import Compared, compare_session, lines_of, session_meant
from mtf.run import Run
from runs import quiet

MINUTE = 60_000
START = 1_748_736_000_000  # 2025-06-01


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_to_loopback(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return live_run(tmp_path, market())


def market() -> SyntheticMarket:
    return SyntheticMarket(start_ms=START, history_days=10)


def lines_in(run: Run, kind: str = "") -> list[dict[str, Any]]:
    lines = read_journal(session_of(run) / "journal.jsonl")
    return [line for line in lines if kind in ("", line["kind"])]


def missed(run: Run) -> int:
    """Closes that were not decided about: a machine may be busy for a second, which is a minute."""
    return sum(line["count"] for line in lines_in(run, "missed"))


def replayed(run: Run) -> Compared:
    return compare_session(run, read_session(session_of(run)))


def test_a_run_means_its_newest_session(run: Run) -> None:
    with pytest.raises(DataError, match="is no session"):
        session_meant(str(run.path), trust=False)
    first, second = (begin_session(run.path, Terms("ETHUSDT", 0, True)) for _ in range(2))
    assert session_meant(str(run.path), trust=False) == second
    assert session_meant(str(first.path), trust=False) == first


@pytest.mark.slow
def test_a_session_is_what_the_backtest_says(run: Run) -> None:
    """Half an hour at 60 ×: decided, filled, recorded; replayed and backtested alike."""
    with (
        Sandbox(market(), speed=60.0) as sandbox,
        living_process(run, sandbox, "--for", "30m") as process,
    ):
        text = process.end()
    assert "no order is sent" in text
    decisions = lines_in(run, "decision")
    assert text.count(" UTC  ") == len(decisions) >= 14
    assert len(decisions) + missed(run) >= 28
    assert lines_in(run, "fill")  # on a busy machine few decisions are in time
    compared = replayed(run)
    assert compared.recorded.identical, compared.recorded.sentence
    assert compared.recorded.decisions == len(decisions)
    assert compared.profit is not None
    paper, backtest = compared.profit
    assert paper == pytest.approx(backtest, abs=1e-9 * 100_000)
    assert next(iter(lines_of(compared))).startswith("as recorded: identical ")
    # On a busy machine candles are late, and nothing is held then: that is said, blaming no code.
    blamed = [one.why for one in compared.backtest.differences if "other code" in one.why]
    assert not blamed, compared.backtest.sentence
    check_no_secret(run)
    events = list((session_of(run) / "tensorboard").glob("events.*"))
    assert events
    assert events[0].stat().st_size > 1_000


@pytest.mark.slow
def test_killed_and_started_again_it_has_the_same_position(run: Run) -> None:
    """kill -9 at random moments: one account, each fill once, equal to the backtest."""
    rng = random.Random(5)
    with Sandbox(market(), speed=60.0) as sandbox:
        for _ in range(3):
            with living_process(run, sandbox) as process:
                process.wait_for(" UTC  ", 3)
                time.sleep(3 * rng.random())
                process.kill()
        with living_process(run, sandbox, "--for", "10m") as process:
            text = process.end()
    assert "goes on: " in text
    begins = lines_in(run, "begin")
    assert len(begins) == 4
    times = [line["time_ms"] for line in lines_in(run, "decision")]
    assert times == sorted(set(times))
    fills = [(line["time_ms"], line["type"]) for line in lines_in(run, "fill")]
    assert len(fills) == len(set(fills)) > 2
    compared = replayed(run)
    assert compared.recorded.identical, compared.recorded.sentence
    assert compared.profit is not None
    assert compared.profit[0] == pytest.approx(compared.profit[1], abs=1e-9 * 100_000)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("silent", marks=pytest.mark.slow),
        pytest.param("stall", marks=pytest.mark.long),
        pytest.param("frozen", marks=pytest.mark.long),
    ],
)
def test_a_dead_stream(run: Run, kind: str) -> None:
    """BTC stops for 20 minutes in mid-session: decisions go on degraded, then whole again.

    ``stall``: the stream is silent and REST is not, so every candle comes some seconds late.
    """
    allow_everything(run)
    where = "kline.*.BTCUSDT" if kind == "stall" else "BTCUSDT"
    with Sandbox(market(), speed=60.0) as sandbox, living_process(run, sandbox) as process:
        process.wait_for(" UTC  ", 4)
        sandbox.inject(Fault(kind, where=where, lasts_ms=20 * MINUTE))
        began = sandbox.clock.now_ms()
        process.wait_for(" UTC  ", 32)
        process.kill()
    decisions = lines_in(run, "decision")
    during = [one for one in decisions if began + 5 * MINUTE < one["time_ms"] < began + 19 * MINUTE]
    after = [one for one in decisions if one["time_ms"] > began + 24 * MINUTE]
    assert len(during) >= 8
    assert len(during) + missed(run) >= 12
    assert len(after) >= 3
    expected = {"silent": "absent", "stall": "late by 1", "frozen": "frozen"}[kind]
    found = [one["streams"]["btc"] for one in during]
    assert found.count(expected) >= len(during) - 3, found
    degraded = [one for one in during if one["streams"]["btc"] != "present"]
    assert all(one["allowed"] and "btc" in one["why"] for one in degraded)
    assert {one["weight"] for one in degraded} <= {1.0, -1.0}  # it goes on trading
    # Whole again, but for a candle that comes late where the machine is busy.
    assert {one["streams"]["btc"] for one in after} <= {"present", "late by 1", "late by 2"}
    assert any(one["streams"]["btc"] == "present" for one in after)
    halts = [line for line in lines_in(run, "halt") if line["time_ms"] > began]
    assert any("btc is" in line["why"] for line in halts)
    assert any("btc is" not in line["why"] for line in halts)
    states = [line for line in lines_in(run, "state") if line["symbol"] == "BTCUSDT"]
    assert states[-1]["state"] == "live"
    if kind != "stall":
        assert {"silent": "stale", "frozen": "frozen"}[kind] in {line["state"] for line in states}


@pytest.mark.parametrize(
    "ahead_ms",
    [
        pytest.param(-10_000, marks=pytest.mark.slow),
        pytest.param(60_000, marks=pytest.mark.long),
    ],
)
def test_clocks_that_disagree(run: Run, ahead_ms: int) -> None:
    """L3: the exchange's clock is off for ten minutes: no order then, and the halt has a name."""
    allow_everything(run)
    with Sandbox(market(), speed=60.0) as sandbox, living_process(run, sandbox) as process:
        process.wait_for(" UTC  ", 4)
        began = sandbox.clock.now_ms()
        sandbox.inject(Fault("clock", value=ahead_ms, lasts_ms=10 * MINUTE))
        while sandbox.clock.now_ms() < began + 20 * MINUTE:
            time.sleep(0.1)
        process.kill()
    # By the exchange's clock, which is off: decisions say t in its time.
    decisions = lines_in(run, "decision")
    off = [one for one in decisions if "clock is" in one["why"]]
    side = "ahead of" if ahead_ms < 0 else "behind"
    assert len(off) >= 3
    assert all(side in one["why"] and "no order is made" in one["why"] for one in off)
    assert all(one["weight"] is None for one in off)
    assert all(line["weight"] is not None for line in decisions[:4])
    assert "clock is" not in decisions[-1]["why"]
    assert replayed(run).recorded.identical


@pytest.mark.slow
def test_seconds_out_of_trades(tmp_path: Path) -> None:
    """A stream of 1s candles, which the exchange has not: built of trades, and filled in."""
    streams = {**LIVE["streams"], "1s": {"lookback": 20}}
    run = live_run(tmp_path, market(), streams=streams)
    allow_everything(run)
    with (
        Sandbox(market(), speed=10.0) as sandbox,
        living_process(run, sandbox, "--for", "6m") as process,
    ):
        process.end()
    decisions = lines_in(run, "decision")
    assert len(decisions) >= 5
    told = [one["streams"]["1s"] for one in decisions]
    in_time = [one for one in told if one in ("present", "late by 1", "late by 2")]
    assert 2 * len(in_time) >= len(told), told
    seconds = [line for line in lines_in(run, "candles") if line["timeframe"] == "1s"]
    opens = [open_ms for line in seconds for open_ms in line["open_ms"]]
    assert opens == list(range(opens[0], opens[-1] + 1, 1_000))
    fills = lines_in(run, "fill")
    assert fills
    assert any(line["time_ms"] % MINUTE == 2_000 for line in fills)  # 2 s after the close
    compared = replayed(run)
    assert compared.recorded.identical, compared.recorded.sentence


@pytest.mark.slow
def test_two_processes_and_ctrl_c(run: Run) -> None:
    with (
        Sandbox(market(), speed=60.0) as sandbox,
        living_process(run, sandbox, "--signals-only") as first,
    ):
        first.wait_for(" UTC  ", 1)
        with living_process(run, sandbox) as second:
            assert second.process.wait(60) == 2
            assert "is live in another process" in second.text
        first.process.send_signal(2)
        text = first.end()
    assert "signals only" in text
    assert not lines_in(run, "account") + lines_in(run, "fill")
    assert lines_in(run, "end")


class TestRefusals:
    """Nothing is sent where something is wrong already."""

    @pytest.fixture(autouse=True)
    def nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def asked(*_: object, **__: object) -> None:
            raise AssertionError("somebody was asked")

        monkeypatch.setattr("mtf.realtime.rest.Rest.ask", asked)
        monkeypatch.setattr("mtf.realtime.rest.Rest.server_ms", asked)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"endpoint": "http://api.bybit.com"}, "found the address"),
            ({"endpoint": "https://example.com"}, "found the address"),
            ({"speed": 60.0}, "--speed 60"),
            ({"decision_delay_s": -1.0}, "--decision-delay"),
            ({"lasts": "soon"}, "--for 'soon'"),
        ],
    )
    def test_before_anything_is_asked(self, run: Run, options: dict[str, Any], words: str) -> None:
        with pytest.raises(MtfError, match=words):
            live.main(str(run.path), **options)
        assert not list((run.path / "live").glob("*/session.json"))

    def test_a_stream_that_the_exchange_has_not(self, tmp_path: Path) -> None:
        streams = {"1m": {"lookback": 8}, "10m": {"lookback": 8}}
        run = live_run(tmp_path, streams=streams)
        with pytest.raises(ConfigError, match="10m"):
            live.model_of(run, "ETHUSDT")

    def test_an_account_without_a_backtest(self, tmp_path: Path) -> None:
        run = live_run(tmp_path, backtest=None)
        with pytest.raises(ConfigError, match="the run living has no backtest") as told:
            live.main(str(run.path))
        assert "--signals-only" in told.value.todo
        assert not (run.path / "live").exists()
        with pytest.raises(AssertionError, match="somebody was asked"):  # signals need no account
            live.main(str(run.path), signals_only=True)

    def test_a_damaged_table(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Run, "stream", lambda run, symbol: quick_model(run).engine)
        monkeypatch.setattr(live, "funding_every_ms", lambda *_: 0)
        (run.path / "degraded.csv").write_text("nonsense")
        with pytest.raises(DataError, match=r"degraded\.csv"):
            live.main(str(run.path))
        assert not list((run.path / "live").glob("*/session.json"))


def test_a_symbol_that_the_exchange_has_not(run: Run) -> None:
    with Sandbox(market()) as sandbox:
        for symbol, words in (("DOGEUSDT", "no perpetual DOGEUSDT"), ("../x", "../x")):
            with pytest.raises(MtfError, match=words):
                live.main(str(run.path), symbol=symbol, endpoint=sandbox.url)
    assert not list((run.path / "live").glob("*/session.json"))


def test_another_clock_ends_a_session_that_would_go_on(run: Run) -> None:
    """A stand-in that was started again begins with the same time: nothing is decided twice."""
    folder = begin_session(run.path, Terms("ETHUSDT", 2_000, False))
    nan = float("nan")
    session = Session(quick_model(run), folder.terms, journal := Lines())
    decided = Decision(START + 5 * 60 * MINUTE, {"action.prob_buy": 0.5}, nan, nan, nan, nan, nan)
    journal.write("decision", **decision_line(decided))
    session.recall(list(journal.written))
    assert session.next_after(decided.time_ms + 1) == decided.time_ms + MINUTE
    assert session.next_after(decided.time_ms - 10 * MINUTE) == decided.time_ms + MINUTE
    with pytest.raises(DataError, match="decided up to 2025-06-01 05:00") as raised:
        session.next_after(START)
    assert "--new" in raised.value.todo


def test_a_session_of_other_terms_is_not_mixed_up(run: Run) -> None:
    folder = begin_session(run.path, Terms("ETHUSDT", 5_000, False))
    with live.closing_rest(Options()) as rest, pytest.raises(ConfigError, match="--new"):
        live.run_session(
            quick_model(run),
            folder,
            replace(folder.terms, decision_delay_ms=2_000),
            rest,
            Options(),
            quiet(),
        )
    assert json.loads((folder.path / "session.json").read_text())["decision_delay_ms"] == 5_000
    assert not folder.recordings
