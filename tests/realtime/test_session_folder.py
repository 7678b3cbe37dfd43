"""Where sessions live: one process at a time, terms that are kept, recordings in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mtf.errors import DataError
from mtf.realtime.journal import Journal
from mtf.realtime.session_folder import (
    begin_session,
    last_session,
    one_process,
    read_session,
    sessions_of,
)
from mtf.realtime.terms import Terms

TERMS = Terms("ETHUSDT", 2_000, False, 3_600_000)


def test_a_session_is_found_again_by_symbol_and_kind(tmp_path: Path) -> None:
    assert last_session(tmp_path, "ETHUSDT", False) is None
    first = begin_session(tmp_path, TERMS)
    second = begin_session(tmp_path, TERMS)
    begin_session(tmp_path, Terms("ETHUSDT", 2_000, True))
    begin_session(tmp_path, Terms("BTCUSDT", 2_000, False))
    assert first.path != second.path
    assert last_session(tmp_path, "ETHUSDT", False) == second
    assert read_session(second.path) == second
    second.next_recording.touch()
    assert read_session(second.path / "messages-1.jsonl") == second
    (second.path / "notes.txt").touch()
    for name in ("notes.txt", "messages-2.jsonl"):
        with pytest.raises(DataError, match="is no session"):
            read_session(second.path / name)


def test_a_start_that_was_interrupted_hides_no_session(tmp_path: Path) -> None:
    began, never = begin_session(tmp_path, TERMS), begin_session(tmp_path, TERMS)
    journal = Journal(began.journal)
    journal.write("begin", at_ms=0, first_ms=0, files={}, **vars(TERMS))
    journal.close()
    never.journal.touch()
    assert sessions_of(tmp_path) == [never, began]
    assert last_session(tmp_path, "ETHUSDT", False) == began


def test_recordings_are_counted_in_their_order(tmp_path: Path) -> None:
    folder = begin_session(tmp_path, TERMS)
    for _ in range(11):
        folder.next_recording.touch()
    (folder.path / "messages-x.jsonl").touch()
    names = [path.name for path in folder.recordings]
    assert names[0] == "messages-1.jsonl"
    assert names[-2:] == ["messages-10.jsonl", "messages-11.jsonl"]
    (folder.path / "messages-3.jsonl").unlink()  # somebody needed room
    assert folder.next_recording.name == "messages-12.jsonl"


@pytest.mark.parametrize(
    "text",
    ['{"schema": 2}', '{"schema": 1}', '{"schema": 1, "symbol": "A", "decision_delay_ms": "x"}'],
)
def test_terms_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    folder = begin_session(tmp_path, TERMS)
    (folder.path / "session.json").write_text(text)
    with pytest.raises(DataError, match="can't be read") as raised:
        last_session(tmp_path, "ETHUSDT", False)
    assert "--new" in raised.value.todo


def test_what_is_no_session_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no session"):
        read_session(tmp_path)


def test_a_second_process_is_told(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from mtf.errors import DataError\n"
        "from mtf.realtime.session_folder import one_process\n"
        "try:\n"
        "    with one_process(pathlib.Path(sys.argv[1])): print('in')\n"
        "except DataError as error: print(error)\n"
    )

    def other() -> str:
        ran = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return ran.stdout

    with one_process(tmp_path):
        assert "is live in another process" in other()
    assert other() == "in\n"


def test_a_folder_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("a file")
    with pytest.raises(DataError, match="can't write"):
        begin_session(tmp_path, TERMS)
