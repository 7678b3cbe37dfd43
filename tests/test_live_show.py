"""The lines of a live session: what was told at its start, and no fault less than there was."""

from __future__ import annotations

from pathlib import Path

import pytest
from living import live_run, quick_model

from mtf import live
from mtf.live_show import fault_lines, first_line, opening_lines
from mtf.realtime.events import FeedFault
from mtf.realtime.session import Session
from mtf.realtime.session_folder import SessionFolder
from mtf.realtime.terms import Terms
from mtf.report.degraded import COLUMNS
from mtf.run import Run

NOON = 1_748_779_200_000  # 2025-06-01 12:00
TERMS = Terms("ETHUSDT", 2_000, False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return live_run(tmp_path_factory.mktemp("shown"))


def written(path: Path, weights: str) -> None:
    """A table in which all streams together are worth something."""
    everything = "present,1m+5m+btc+1h,0,action,action,0.2,0.01,0.1,0.3,1000,30,,log loss"
    path.write_text(",".join((*COLUMNS, "weights")) + f"\n{everything},{weights}\n")


def opening(run: Run, symbol: str) -> list[str]:
    """What is said before the first decision about a symbol."""
    terms = Terms(symbol, 2_000, False)
    session = Session(live.model_of(run, symbol), terms)
    return list(opening_lines(session))


def test_a_symbol_by_itself_is_judged_by_its_own_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SOL was never learned: what was measured of ETH says nothing of it."""
    run = live_run(tmp_path)
    monkeypatch.setattr(Run, "stream", lambda run, symbol: quick_model(run).engine)
    best = run.best().path.name
    written(run.path / "degraded.csv", best)
    assert not any("measured" in line for line in opening(run, "ETHUSDT"))
    assert opening(run, "SOLUSDT")[-1] == (
        "nothing was measured with streams missing, so nothing is held while one is: "
        f"mtf evaluate {run.path} --symbol SOLUSDT --degraded"
    )
    written(run.path / "degraded_SOLUSDT.csv", best)
    assert not any("measured" in line for line in opening(run, "SOLUSDT"))
    table = live.model_of(run, "SOLUSDT").gate.table
    assert table is not None
    assert table.path.name == "degraded_SOLUSDT.csv"


def test_a_table_of_other_weights_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = live_run(tmp_path)
    monkeypatch.setattr(Run, "stream", lambda run, symbol: quick_model(run).engine)
    written(run.path / "degraded.csv", "best-99")
    best = run.best().path.name
    assert opening(run, "ETHUSDT")[-2:] == [
        f"degraded.csv was measured with best-99, the run decides by {best}: it is not used",
        "nothing was measured with streams missing, so nothing is held while one is: "
        f"mtf evaluate {run.path} --degraded",
    ]
    model = live.model_of(run, "ETHUSDT")
    assert (model.gate.table, model.files["table"]) == (None, "none")


def test_a_long_journal_that_is_read_first_is_said(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path, TERMS)
    assert first_line(folder) == f"session {tmp_path}"
    folder.journal.write_bytes(b"x" * 1_000_000)
    assert first_line(folder) == f"session {tmp_path}"
    folder.journal.write_bytes(b"x" * 21_000_000)
    assert first_line(folder) == f"session {tmp_path}: reads its journal of 21 MB"


def test_what_a_session_tells_of_itself_as_it_goes_on_is_an_opening_line(run: Run) -> None:
    """Such as that the run has other weights than the session began with."""
    session = Session(quick_model(run), TERMS)
    session.on([FeedFault(NOON, "another model", "it decides by best-7, not by best-1")])
    told = "2025-06-01 12:00 another model: it decides by best-7, not by best-1"
    assert told in opening_lines(session)


def faults(first: int, end: int) -> list[FeedFault]:
    return [FeedFault(NOON + n * 1_000, "bad candle", f"number {n}") for n in range(first, end)]


def test_faults_that_are_too_many_for_the_log_are_counted(run: Run) -> None:
    """Twenty faults between two looks: eight are kept, of the others it says where they stand."""
    session = Session(quick_model(run), TERMS)
    assert list(fault_lines(session, 0)) == []
    session.on(faults(0, 3))
    assert list(fault_lines(session, 1)) == [
        "2025-06-01 12:00:01 bad candle: number 1",
        "2025-06-01 12:00:02 bad candle: number 2",
    ]
    assert list(fault_lines(session, 3)) == []
    session.on(faults(3, 23))
    lines = list(fault_lines(session, 3))
    assert lines[0] == "12 more faults, see journal.jsonl"
    assert [line.rpartition(" ")[2] for line in lines[1:]] == [str(n) for n in range(15, 23)]
