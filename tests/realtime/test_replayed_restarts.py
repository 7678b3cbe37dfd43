"""Sessions of several processes, killed, stopped early or late: the replay finds no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from living import LIVE as LIVING
from living import live_run, quick_model
from messages import answer
from recorded_sessions import (
    START,
    TERMS,
    later,
    messages,
    process,
    until,
    with_trades,
)
from rehearsing import allow_everything
from worlds import MINUTE

from mtf.realtime.deciding import FIRST
from mtf.realtime.events import Message
from mtf.realtime.journal import Lines
from mtf.realtime.segments import decisions_in, segments_of
from mtf.realtime.session import Session
from mtf.realtime.session_folder import SessionFolder, begin_session
from mtf.replay import Compared, compare_session
from mtf.run import Run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models without a tape, which takes seconds to make."""
    monkeypatch.setattr("mtf.replay.model_of", lambda run, symbol: quick_model(run))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return live_run(tmp_path_factory.mktemp("restarted"))


@pytest.fixture(scope="module")
def run_of_seconds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Also on 1s candles, which no REST tells afterwards; worth something whatever is missing."""
    streams = {"1s": {"lookback": 16}, **LIVING["streams"]}
    run = live_run(tmp_path_factory.mktemp("seconds"), streams=streams)
    allow_everything(run)
    return run


def never_begun(written: Sequence[Message]) -> list[Message]:
    """What a process hears that is stopped before its first decision."""
    return [one for one in written if one.content.get("what") != FIRST]


def same(run: Run, folder: SessionFolder, session: Session) -> Compared:
    """The replay is the session, in money too."""
    compared = compare_session(run, folder)
    assert compared.recorded.identical, compared.recorded.sentence
    assert compared.profit is not None
    assert compared.profit[0] == pytest.approx(compared.profit[1], abs=1e-7)
    assert session.paper is not None
    assert compared.recorded.fills == len(session.paper.fills)
    return compared


@pytest.mark.parametrize(
    "minute",
    [pytest.param(11, marks=pytest.mark.slow), pytest.param(12, marks=pytest.mark.long)],
)
def test_a_kill_some_seconds_after_a_decision(run_of_seconds: Run, minute: int) -> None:
    """An order on its way is filled in seconds that this process alone was told of."""
    run, kill_ms = run_of_seconds, START + minute * MINUTE + 40_000
    folder, whole, lines = begin_session(run.path, TERMS), list(messages()), Lines()
    first = until(with_trades(whole, START - 40_000), kill_ms)
    process(folder, quick_model(run), lines, first, killed=True)
    again_ms = kill_ms + 90_000
    second = with_trades(list(later(whole, again_ms)), kill_ms)
    session = process(folder, quick_model(run), lines, second)
    assert same(run, folder, session).recorded.fills > 8
    # A minute of seconds is written down where an order arrives in it, and no other one is.
    candles = [line for line in lines.written if line["kind"] == "candles"]
    opens = [one for line in candles if line["timeframe"] == "1s" for one in line["open_ms"]]
    told = {open_ms // MINUTE for open_ms in opens}
    weights = [(one.time_ms // MINUTE, one.weight) for one in decisions_in(lines.written)]
    before = [0.0, *(weight for _, weight in weights)]
    ordered = {at for (at, weight), was in zip(weights, before, strict=False) if weight != was}
    assert told <= ordered
    assert 5 < len(ordered) < len(weights) - 5
    assert len(opens) == len(set(opens))


@pytest.mark.slow
def test_seconds_that_a_process_heard_which_never_began(run_of_seconds: Run) -> None:
    """An order on its way is filled in what the second one heard while it waited."""
    run, kill_ms = run_of_seconds, START + 11 * MINUTE + 3_000
    folder, whole, lines = begin_session(run.path, TERMS), list(messages()), Lines()
    first = until(with_trades(whole, START - 40_000), kill_ms)
    process(folder, quick_model(run), lines, first, killed=True)
    waiting = with_trades(list(later(whole, kill_ms + 10_000)), kill_ms)
    waiting = until(never_begun(waiting), kill_ms + 50_000)
    process(folder, quick_model(run), lines, waiting)
    second = with_trades(list(later(whole, kill_ms + 90_000)), kill_ms + 50_000)
    session = process(folder, quick_model(run), lines, second)
    same(run, folder, session)


@pytest.mark.parametrize("last_minute", [12, 0])
def test_a_first_decision_that_was_missed(run: Run, last_minute: int) -> None:
    """Then the session is started again: its account begins with what was missed."""
    folder, lines = begin_session(run.path, TERMS), Lines()
    whole = list(messages(missed=0))
    first_ms = START + last_minute * MINUTE + 70_000
    process(folder, quick_model(run), lines, until(whole, first_ms))
    second = list(later(whole, START + 19 * MINUTE + 30_000))
    session = process(folder, quick_model(run), lines, second)
    assert session.paper is not None
    assert session.paper.start_ms == START
    compared = same(run, folder, session)
    assert compared.recorded.decisions == last_minute + 20
    assert compared.backtest.decisions == 40


@pytest.mark.parametrize(("starts", "killed"), [(1, True), (2, False), (3, True)])
def test_starts_that_ended_before_their_first_decision(run: Run, starts: int, killed: bool) -> None:
    """What they traded on is the account's, but no replay goes on so far."""
    folder, lines, whole = begin_session(run.path, TERMS), Lines(), list(messages())
    first = until(whole, START + 12 * MINUTE + 2_000)
    begun = process(folder, quick_model(run), lines, first, killed=killed)
    for number in range(starts):
        at_ms = START + (15 + 5 * number) * MINUTE + 30_000
        waiting = until(never_begun(list(later(whole, at_ms))), at_ms)
        process(folder, quick_model(run), lines, waiting)
    same(run, folder, begun)
    second = list(later(whole, START + 33 * MINUTE))
    session = process(folder, quick_model(run), lines, second)
    same(run, folder, session)
    kinds = [line["kind"] for segment in segments_of(lines.written) for line in segment[:1]]
    assert kinds == ["begin", *["resume"] * (starts + 1)]


def test_the_interval_of_funding_is_that_of_each_process(run: Run) -> None:
    """1h when the session was made, 8h by now: that there is no rate at the hour is believed."""
    hour = 60 * MINUTE
    folder = begin_session(run.path, replace(TERMS, funding_every_ms=hour))
    terms = replace(TERMS, funding_every_ms=8 * hour)
    first, *rest = messages()
    note = Message(first.at_ms, first.kind, {**first.content, "funding": {"ETHUSDT": START}})
    none = answer([], START, START + 1, START + 12_000, ask="funding")
    told = sorted([*rest, none], key=lambda message: message.at_ms)
    session = process(folder, quick_model(run), Lines(), [note, *told], terms=terms)
    assert same(run, folder, session).recorded.fills > 3


def test_the_last_process_has_no_recording(run: Run, tmp_path: Path) -> None:
    """What is compared ends with the last process of which there is one."""
    folder, lines, whole = begin_session(run.path, TERMS), Lines(), list(messages())
    first = until(whole, START + 12 * MINUTE + 2_000)
    begun = process(folder, quick_model(run), lines, first)
    process(folder, quick_model(run), lines, list(later(whole, START + 19 * MINUTE + 30_000)))
    folder.recordings[1].unlink()
    same(run, folder, begun)
