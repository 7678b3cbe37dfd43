"""A recording gone through once more: the same decisions, and what differs where it was changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from living import live_run, quick_model
from messages import answer, connection, frame
from rehearsing import allow_everything
from worlds import MINUTE, random_candles

from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.realtime.deciding import FIRST, MISSED, History
from mtf.realtime.events import Message
from mtf.realtime.feed import Replay
from mtf.realtime.journal import Lines
from mtf.realtime.recording import Recorder
from mtf.realtime.replayed import decisions_in, notes_of, replay_session, segments_of
from mtf.realtime.session import Model, Session, Terms
from mtf.realtime.session_folder import SessionFolder, begin_session
from mtf.replay import compare_session, lines_of
from mtf.run import Run

FIRST_SLOT = 28_000_020
START = FIRST_SLOT * MINUTE
M1, H1 = Timeframe.parse("1m"), Timeframe.parse("1h")
TERMS = Terms("ETHUSDT", 2_000, False)
HISTORY, LIVE = 700, 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return live_run(tmp_path_factory.mktemp("replayed"))


def market() -> list[Candles]:
    first, slots = FIRST_SLOT - HISTORY, HISTORY + LIVE
    return [
        random_candles(slots, 1, first_slot=first),
        random_candles(slots, 2, first_slot=first, symbol="BTCUSDT"),
        random_candles(78, 3, "1h", first_slot=FIRST_SLOT // 60 - 78),
    ]


def rows_of(candles: Candles) -> list[list[str]]:
    opens = candles.open_time().tolist()
    return [
        [str(open_ms), *map(repr, values)]
        for open_ms, values in zip(opens, candles.ohlcv.tolist(), strict=True)
    ]


def messages(missed: int | None = None) -> Iterator[Message]:
    """History by REST, then every closed candle by the stream, BTC's of minute 7 late.

    Args:
        missed: minute of a decision that the session missed; None = none.
    """
    all_of = market()
    since = {(one.symbol, one.timeframe): int(one.open_time()[0]) for one in all_of}
    yield Message(START - 40_000, "session", History(since, {}).note())
    yield connection("open", START - 39_000)
    for one in all_of:
        for first in range(0, len(one), 1_000):
            page = one.slice(0, START - one.timeframe.duration_ms)
            rows = rows_of(page)[::-1][first : first + 1_000]
            if rows:
                end = int(rows[0][0]) + one.timeframe.duration_ms
                span = int(rows[-1][0]), end
                yield answer(
                    rows, *span, START - 38_000, symbol=one.symbol, timeframe=one.timeframe
                )
    note = {"what": FIRST, "at_ms": START - 30_000, "first_ms": START}
    yield Message(START - 30_000, "session", note)
    live: list[Message] = []
    for one in all_of:
        for row in rows_of(one.slice(START - one.timeframe.duration_ms, 2**62)):
            close = int(row[0]) + one.timeframe.duration_ms
            slow = one.symbol == "BTCUSDT" and close == START + 7 * MINUTE
            at = close + (3 * MINUTE if slow else 300)
            live.append(frame(row, at, symbol=one.symbol, timeframe=one.timeframe))
    if missed is not None:
        first = START + missed * MINUTE
        told = {"what": MISSED, "first_ms": first, "until_ms": first}
        live.append(Message(first + MINUTE + 5, "session", told))
    yield from sorted(live, key=lambda message: message.at_ms)


def recorded(
    folder: SessionFolder, run: Run, written: Sequence[Message], model: Model | None = None
) -> Lines:
    """Write a recording, and the journal of the session that heard it."""
    with Recorder(folder.next_recording) as recorder:
        for message in written:
            recorder.write(message)
    notes = notes_of(written)
    assert notes is not None
    assert notes.at_ms is not None
    lines = Lines()
    session = Session(model or quick_model(run), TERMS, lines)
    source = Replay(notes.history.intake(), written)
    session.on(source.take(notes.at_ms))
    session.start(notes.first_ms, notes.at_ms)
    while session.next_ms is not None:
        if session.next_ms in notes.missed:
            session.skip(notes.missed[session.next_ms])
        due = session.due_ms
        session.on(source.take(due))
        if not source.over(due):
            break
        session.decide()
    session.end(source.now_ms())
    text = "".join(json.dumps(line) + "\n" for line in lines.written)
    folder.journal.write_text(text)
    return lines


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, run: Run) -> Callable[[], None]:
    """Models without a tape, which takes seconds to make."""
    monkeypatch.setattr("mtf.replay.model_of", lambda run, symbol: quick_model(run))
    return lambda: None


def test_the_same_messages_decide_the_same(run: Run, quick: object) -> None:
    folder = begin_session(run.path, TERMS)
    lines = recorded(folder, run, list(messages()))
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
    recorded(folder, run, list(messages(missed=5)))
    compared = compare_session(run, folder)
    assert compared.recorded.identical
    assert compared.recorded.decisions == 39
    assert compared.backtest.decisions == 40
    [missed] = [one for one in compared.backtest.differences if one.time_ms == START + 5 * MINUTE]
    assert "missed" in missed.why


def test_a_process_without_a_recording_is_believed_and_said(run: Run, quick: object) -> None:
    """Somebody needed room: the journal tells what that process did."""
    folder = begin_session(run.path, TERMS)
    lines = recorded(folder, run, list(messages()))
    folder.recordings[0].unlink()
    with pytest.raises(DataError, match="no recording"):
        compare_session(run, folder)
    second = list(later(list(messages()), START + 19 * MINUTE + 30_000))
    told = [line for line in lines.written if line.get("time_ms", 0) <= START + 12 * MINUTE]
    told = [
        line
        for line in told
        if line["kind"] != "end" and line.get("arrived_ms", 0) < START + 13 * MINUTE
    ]
    gone_on(folder, run, told, second)
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
    recorded(folder, run, list(messages()), model(run, "ETHUSDT"))
    allow_everything(run)
    compared = compare_session(run, folder)
    assert not compared.recorded.identical
    assert compared.notes == ["the table of the run is another one than the session decided by"]
    assert "note: the table" in next(iter(lines_of(compared)))


def test_a_kill_between_a_candle_and_the_next_decision(run: Run, quick: object) -> None:
    """What arrived after the last decision had no effect: the replay must not act on it."""
    folder = begin_session(run.path, TERMS)
    recorded(folder, run, list(messages()))
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
    recorded(folder, run, [*(one for one in messages() if one.at_ms <= START + 3_000), end])
    compared = compare_session(run, folder)
    assert compared.recorded.sentence == "identical 1 of 1 decisions and 0 of 0 fills"
    assert compared.profit is None


def test_another_recording_is_found_out(run: Run, quick: object) -> None:
    """A price that was changed afterwards: the replay no longer is the session."""
    folder = begin_session(run.path, TERMS)
    written = list(messages())
    recorded(folder, run, written)
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
    first = [one for one in whole if one.at_ms <= START + 12 * MINUTE + 2_000]
    recorded(folder, run, first)
    one = [line for line in folder.journal.read_text().splitlines() if '"end"' not in line]
    begun = [json.loads(line) for line in one]
    gone_on(folder, run, begun, list(later(whole, START + 19 * MINUTE + 30_000)))
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


def gone_on(
    folder: SessionFolder, run: Run, begun: list[dict[str, Any]], second: Sequence[Message]
) -> None:
    """Let another process go on from a journal, and write both down."""
    again = Session(quick_model(run), TERMS, (lines := Lines()))
    again.recall(begun)
    with Recorder(folder.next_recording) as recorder:
        for message in second:
            recorder.write(message)
    notes = notes_of(second)
    assert notes is not None
    assert notes.at_ms is not None
    source = Replay(notes.history.intake(), second)
    again.on(source.take(notes.at_ms))
    again.start(notes.first_ms, notes.at_ms)
    while True:
        again.on(source.take(again.due_ms))
        if not source.over(again.due_ms):
            break
        again.decide()
    again.end(source.now_ms())
    text = [json.dumps(line) for line in (*begun, *lines.written)]
    folder.journal.write_text("".join(line + "\n" for line in text))


def later(whole: Sequence[Message], at_ms: int) -> Iterator[Message]:
    """What a process is told that starts later: all that has closed by REST, then the stream."""
    all_of = market()
    since = {(one.symbol, one.timeframe): int(one.open_time()[0]) for one in all_of}
    yield Message(at_ms - 3_000, "session", History(since, {}).note())
    yield connection("open", at_ms - 2_900)
    for one in all_of:
        end_ms = int(one.timeframe.open_time(one.timeframe.slot(at_ms)))
        rows = rows_of(one.slice(0, end_ms))[::-1]
        for first in range(0, len(rows), 1_000):
            page = rows[first : first + 1_000]
            span = int(page[-1][0]), int(page[0][0]) + one.timeframe.duration_ms
            yield answer(page, *span, at_ms - 2_000, symbol=one.symbol, timeframe=one.timeframe)
    first_ms = int(M1.open_time(M1.slot(at_ms) + 1))
    yield Message(at_ms, "session", {"what": FIRST, "at_ms": at_ms, "first_ms": first_ms})
    yield from (one for one in whole if one.kind == "frame" and one.at_ms > at_ms)


def test_a_recording_that_ends_with_its_first_note(run: Run, quick: object) -> None:
    """Killed while the session began: that process decided nothing, and the replay ends."""
    folder = begin_session(run.path, TERMS)
    recorded(folder, run, list(messages()))
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


def test_segments_are_what_each_process_wrote() -> None:
    kinds = ["state", "begin", "decision", "state", "begin", "end"]
    found = segments_of({"kind": kind} for kind in kinds)
    assert [[line["kind"] for line in one] for one in found] == [
        ["begin", "decision", "state"],
        ["begin", "end"],
    ]


@pytest.mark.parametrize(
    "note",
    [
        {"what": "begin", "funding": {}, "speed": 1.0},
        {"what": "begin", "since": [["ETHUSDT", "never", 0]], "funding": {}, "speed": 1.0},
        {"what": "first decision", "at_ms": None, "first_ms": 0},
        {"what": "missed decisions", "first_ms": 0},
    ],
)
def test_a_note_that_is_none_is_named(note: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="a note of the session"):
        notes_of([Message(0, "session", note)])
