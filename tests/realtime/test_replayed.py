"""A recording gone through once more: the same decisions, and what differs where it was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from living import live_run, quick_model
from recorded_sessions import (
    HISTORY,
    START,
    TERMS,
    later,
    market,
    messages,
    process,
    rows_of,
    until,
)
from rehearsing import allow_everything
from worlds import MINUTE

from mtf.errors import DataError
from mtf.realtime.deciding import FIRST
from mtf.realtime.events import Message
from mtf.realtime.journal import Lines
from mtf.realtime.recording import Recorder
from mtf.realtime.replayed import notes_of, replay_session
from mtf.realtime.segments import decisions_in
from mtf.realtime.session_folder import begin_session
from mtf.realtime.terms import Model
from mtf.replay import compare_session, lines_of
from mtf.run import Run

SECOND_MS = START + 19 * MINUTE + 30_000
"""When another process goes on."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return live_run(tmp_path_factory.mktemp("replayed"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, run: Run) -> Callable[[], None]:
    """Models without a tape, which takes seconds to make."""
    monkeypatch.setattr("mtf.replay.model_of", lambda run, symbol: quick_model(run))
    return lambda: None


def test_the_same_messages_decide_the_same(run: Run, quick: object) -> None:
    folder = begin_session(run.path, TERMS)
    process(folder, quick_model(run), lines := Lines(), list(messages()))
    compared = compare_session(run, folder)
    assert compared.recorded.sentence.startswith("identical 40 of 40 decisions and ")
    assert compared.recorded.identical
    assert compared.recorded.fills > 3
    assert compared.profit is not None
    assert compared.profit[0] == pytest.approx(compared.profit[1], abs=1e-7)
    # Without a table nothing is held while BTC's candle of minute 6 is missing.
    differs = [one for one in compared.backtest.differences if one.what == "decision"]
    assert differs[0].time_ms == START + 7 * MINUTE
    assert "BTCUSDT" in differs[0].why
    assert "178 s too late" in differs[0].why  # three minutes, of which two seconds are given
    assert "BTCUSDT" in compared.backtest.sentence
    assert len({one.time_ms for one in decisions_in(lines.written)}) == 40


def test_a_missed_decision_is_missed_again_and_said(run: Run, quick: object) -> None:
    folder = begin_session(run.path, TERMS)
    process(folder, quick_model(run), Lines(), list(messages(missed=5)))
    compared = compare_session(run, folder)
    assert compared.recorded.identical
    assert compared.recorded.decisions == 39
    assert compared.backtest.decisions == 40
    [missed] = [one for one in compared.backtest.differences if one.time_ms == START + 5 * MINUTE]
    assert "missed" in missed.why


def test_a_process_without_a_recording_is_believed_and_said(run: Run, quick: object) -> None:
    """Somebody needed room: the journal tells what that process did."""
    folder = begin_session(run.path, TERMS)
    process(folder, quick_model(run), lines := Lines(), list(messages()))
    folder.recordings[0].unlink()
    with pytest.raises(DataError, match="no recording"):
        compare_session(run, folder)
    lines.written = [
        line
        for line in lines.written
        if line.get("time_ms", 0) <= START + 12 * MINUTE
        and line.get("arrived_ms", 0) < START + 13 * MINUTE
        and line["kind"] != "end"
    ]
    process(folder, quick_model(run), lines, list(later(list(messages()), SECOND_MS)))
    compared = compare_session(run, folder)
    assert compared.recorded.identical, compared.recorded.sentence
    assert compared.recorded.decisions == 20
    assert compared.notes[0].startswith("1 of 2 processes have no recording")


def test_a_table_that_is_another_one_now_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = live_run(tmp_path)

    def model(run: Run, symbol: str) -> Model:
        made = quick_model(run)
        table = run.path / "degraded.csv"
        return replace(made, files={"table": table.read_text() if table.exists() else "none"})

    monkeypatch.setattr("mtf.replay.model_of", model)
    folder = begin_session(run.path, TERMS)
    process(folder, model(run, "ETHUSDT"), Lines(), list(messages()))
    allow_everything(run)
    compared = compare_session(run, folder)
    assert not compared.recorded.identical
    assert compared.notes == ["the table of the run is another one than the session decided by"]
    assert "note: the table" in next(iter(lines_of(compared)))


def test_a_kill_between_a_candle_and_the_next_decision(run: Run, quick: object) -> None:
    """What arrived after the last decision had no effect: the replay must not act on it."""
    folder = begin_session(run.path, TERMS)
    process(folder, quick_model(run), Lines(), list(messages()))
    whole = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    decided = [at for at, line in enumerate(whole) if line["kind"] == "decision"]
    for last in decided[3], decided[17], decided[30]:
        cut = [json.dumps(line) + "\n" for line in whole[: last + 1]]
        folder.journal.write_text("".join(cut))
        compared = compare_session(run, folder)
        assert compared.recorded.identical, compared.recorded.sentence


def test_a_session_that_ended_before_anything_closed(run: Run, quick: object) -> None:
    folder = begin_session(run.path, TERMS)
    end = Message(START + 3_000, "session", {"what": "end"})
    process(folder, quick_model(run), Lines(), [*until(list(messages()), START + 3_000), end])
    compared = compare_session(run, folder)
    assert compared.recorded.sentence == "identical 1 of 1 decisions and 0 of 0 fills"
    assert compared.profit is None


def test_another_recording_is_found_out(run: Run, quick: object) -> None:
    """A price that was changed afterwards: the replay no longer is the session."""
    folder = begin_session(run.path, TERMS)
    written = list(messages())
    process(folder, quick_model(run), Lines(), written)
    (path,) = folder.recordings
    text = path.read_text()
    close = rows_of(market()[0])[HISTORY + 10][4]
    assert text.count(close) >= 1
    path.write_text(text.replace(close, repr(float(close) * 1.0004)))
    compared = compare_session(run, folder)
    assert not compared.recorded.identical
    assert compared.recorded.differences[0].time_ms >= START + 11 * MINUTE


def test_a_session_of_two_processes(run: Run, quick: object) -> None:
    """The first one is killed after minute 12; the second begins with minute 20."""
    whole = list(messages())
    folder = begin_session(run.path, TERMS)
    first, second = until(whole, START + 12 * MINUTE + 2_000), later(whole, SECOND_MS)
    process(folder, quick_model(run), lines := Lines(), first, killed=True)
    process(folder, quick_model(run), lines, list(second))
    compared = compare_session(run, folder)
    assert compared.recorded.identical, compared.recorded.sentence
    assert compared.recorded.decisions == 12 + 20
    assert compared.profit is not None
    assert compared.profit[0] == pytest.approx(compared.profit[1], abs=1e-7)
    # Nobody decided about 12 … 19; the backtest does.
    assert compared.backtest.decisions == 40
    journal = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    [missed] = [line for line in journal if line["kind"] == "missed"]
    assert (missed["first_ms"], missed["count"]) == (START + 12 * MINUTE, 8)


def test_a_recording_that_ends_with_its_first_note(run: Run, quick: object) -> None:
    """Killed while the session began: that process decided nothing, and the replay ends."""
    folder = begin_session(run.path, TERMS)
    process(folder, quick_model(run), Lines(), list(messages()))
    note = {"what": FIRST, "at_ms": START + 50 * MINUTE, "first_ms": START + 51 * MINUTE}
    cut = [one for one in messages() if one.at_ms < START - 30_000]
    with Recorder(folder.next_recording) as recorder:
        for message in (*cut, Message(START + 50 * MINUTE, "session", note)):
            recorder.write(message)
    compared = compare_session(run, folder)
    assert compared.recorded.identical
    assert compared.recorded.decisions == 40


def test_what_holds_no_session_is_named(run: Run, tmp_path: Path) -> None:
    folder = replace(begin_session(run.path, TERMS))
    with pytest.raises(DataError, match="no recording"):
        replay_session(folder.recordings, lambda: quick_model(run), TERMS, [])
    with Recorder(folder.next_recording) as recorder:
        recorder.write(next(messages()))
    with pytest.raises(DataError, match="no recording"):
        replay_session(folder.recordings, lambda: quick_model(run), TERMS, [])


@pytest.mark.parametrize(
    "note",
    [
        {"what": "begin", "funding": {}, "speed": 1.0},
        {"what": "begin", "since": [["ETHUSDT", "never", 0]], "funding": {}, "speed": 1.0},
        {"what": "first decision", "at_ms": None, "first_ms": 0},
        {"what": "missed decisions", "first_ms": 0},
        {"what": "missed decisions", "first_ms": 60_000, "until_ms": 0},
    ],
)
def test_a_note_that_is_none_is_named(note: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="a note of the session"):
        notes_of([Message(0, "session", note)])
