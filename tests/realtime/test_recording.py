"""Messages in a file: what a kill leaves is cut off, any other damage is named by its line."""

from __future__ import annotations

import errno
import gzip
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import START, answer, candles, connection, frame, text

from mtf.errors import DataError
from mtf.realtime.events import Message
from mtf.realtime.recording import Recorder, Together, read_recording

SIX = [
    connection("open", START, "Zürich"),
    frame(candles(1)[0]),
    text('{"close": NaN}\n"\\u0000', START + 61_000),
    answer([["1", "NaN"]], START, START + 60_000, START + 62_000),
    Message(START + 63_000, "clock", {"offset_ms": -3}),
    Message(START + 64_000, "session", {"what": "missed", "times": [1, 2]}),
]


def recorded(path: Path, messages: list[Message] = SIX) -> Path:
    with Recorder(path) as recorder:
        for message in messages:
            recorder.write(message)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = recorded(tmp_path / "deep" / "feed.jsonl")
    assert list(read_recording(path)) == SIX
    packed = tmp_path / "feed.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_recording(packed)) == SIX


def test_recording_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = recorded(tmp_path / "feed.jsonl", SIX[:2])
    recorded(path, SIX[2:])
    assert list(read_recording(path)) == SIX


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_cut_anywhere_a_prefix_is_read_and_recording_goes_on(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "feed.jsonl"
    path.unlink(missing_ok=True)
    whole = recorded(path).read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    os.truncate(path, size)
    kept = whole[:size].count(b"\n")
    assert list(read_recording(path)) == SIX[:kept]
    recorded(path, SIX[:1])
    assert list(read_recording(path)) == [*SIX[:kept], SIX[0]]


def test_a_torn_line_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = recorded(tmp_path / "feed.jsonl")
    os.truncate(path, path.stat().st_size - 1)
    with caplog.at_level(logging.WARNING):
        assert list(read_recording(path)) == SIX[:5]
        recorded(path, [])
    assert ["line (6) is not complete" in caplog.messages[0]] == [True]
    assert "cut off" in caplog.messages[1]


def test_a_packed_recording_that_ends_too_soon_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "feed.jsonl.gz"
    path.write_bytes(gzip.compress(recorded(tmp_path / "feed.jsonl").read_bytes())[:-20])
    with caplog.at_level(logging.WARNING):
        found = list(read_recording(path))
    assert found == SIX[: len(found)]
    assert len(caplog.messages) == 1


LINES = {
    "no JSON": b"{",
    "a list": b"[1]",
    "an empty line": b"",
    "without a time": b'{"kind":"frame","content":{}}',
    "a broken time": b'{"at_ms":1.5,"kind":"frame","content":{}}',
    "another kind": b'{"at_ms":1,"kind":"order","content":{}}',
    "no content": b'{"at_ms":1,"kind":"frame","content":[]}',
    "a frame without a text": b'{"at_ms":1,"kind":"frame","content":{}}',
    "a frame of a number": b'{"at_ms":1,"kind":"frame","content":{"text":1}}',
    "a state of none": b'{"at_ms":1,"kind":"state","content":{"why":"x"}}',
    "another state": b'{"at_ms":1,"kind":"state","content":{"state":"shut"}}',
    "a clock without a time": b'{"at_ms":1,"kind":"clock","content":{"offset_ms":null}}',
    "a note of nothing": b'{"at_ms":1,"kind":"session","content":{}}',
    "deep": b"[" * 100_000,
    "bytes": b"\xff\xfe",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_other_damage_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = recorded(tmp_path / "feed.jsonl")
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:3], line, *lines[3:]]) + b"\n")
    messages = read_recording(path)
    assert [next(messages) for _ in range(3)] == SIX[:3]
    with pytest.raises(DataError, match=r"feed\.jsonl line 4 is no message"):
        next(messages)


ANSWER = answer([], START, START + 60_000, START + 62_000)
DAMAGES: dict[str, Any] = {
    "ask": "orders",
    "symbol": 5,
    "timeframe": None,
    "start_ms": "1",
    "end_ms": True,
}


def read_answer(path: Path, content: dict[str, Any]) -> list[Message]:
    return list(read_recording(recorded(path, [Message(START, "answer", content)])))


@pytest.mark.parametrize("part", [*DAMAGES, "rows"])
def test_an_answer_has_all_its_parts(tmp_path: Path, part: str) -> None:
    less = {name: value for name, value in ANSWER.content.items() if name != part}
    with pytest.raises(DataError, match=rf"line 1 is no message: .*{part}"):
        read_answer(tmp_path / "less.jsonl", less)
    if part in DAMAGES:
        with pytest.raises(DataError, match=rf"line 1 is no message: .*{part}"):
            read_answer(tmp_path / "other.jsonl", {**less, part: DAMAGES[part]})


@pytest.mark.parametrize("ask", ["trades", "funding"])
def test_only_an_answer_about_candles_has_a_timeframe(tmp_path: Path, ask: str) -> None:
    content = {**ANSWER.content, "ask": ask, "timeframe": None}
    assert read_answer(tmp_path / "feed.jsonl", content) == [Message(START, "answer", content)]


def test_packed_nonsense_and_no_file_at_all(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl.gz"
    path.write_bytes(b"not packed\n")
    with pytest.raises(DataError, match="line 1 is no message"):
        list(read_recording(path))
    with pytest.raises(DataError, match="no file"):
        list(read_recording(tmp_path / "nothing.jsonl"))


def test_a_recorder_writes_plain_lines_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in \.jsonl"):
        Recorder(tmp_path / "feed.jsonl.gz")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="can't write"):
        Recorder(blocked / "feed.jsonl")


class FullDisk:
    """A file that takes half a line and then refuses, as a disk that fills up does."""

    def __init__(self, file: io.FileIO) -> None:
        self.file, self.full = file, False

    def write(self, line: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.full = True
        return self.file.write(line[: len(line) // 2])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_disk_that_is_full_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feed.jsonl"
    with Recorder(path) as recorder:
        recorder.write(SIX[0])
        with monkeypatch.context() as patch:
            patch.setattr(recorder._file, "_file", FullDisk(recorder._file._file))
            with pytest.raises(DataError, match="No space left"):
                recorder.write(SIX[1])
        recorder.write(SIX[2])
    assert list(read_recording(path)) == [SIX[0], SIX[2]]


def test_writers_together_get_the_same(tmp_path: Path) -> None:
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    both = Together(*map(Recorder, paths))
    for message in SIX:
        both.write(message)
    both.close()
    assert [list(read_recording(path)) for path in paths] == [SIX, SIX]


KILLED = """
import os, signal, sys
from mtf.realtime.events import Message
from mtf.realtime.recording import Recorder
recorder = Recorder(sys.argv[1])
for number in range(100):
    recorder.write(Message(number, "session", {"what": "a note"}))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert [message.at_ms for message in read_recording(path)] == list(range(100))
