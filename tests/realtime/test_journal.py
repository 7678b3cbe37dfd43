"""A journal: what is written is read again, a torn end is cut off, other damage is named."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingKnown, FundingRate, NoCandle
from mtf.realtime.journal import (
    Journal,
    Lines,
    decision_line,
    decision_of,
    event_line,
    event_of,
    plain,
    read_journal,
)

M1 = Timeframe.parse("1m")
NUMBERS = st.floats(allow_nan=True, allow_infinity=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_lines_are_read_as_they_were_written(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.write("begin", at_ms=5)
        journal.write("account", synced=False, equity=0.1 + 0.2, mark=float("nan"))
    with closing(Journal(path)) as journal:
        journal.write("end", at_ms=6)
    assert list(read_journal(path)) == [
        {"kind": "begin", "at_ms": 5},
        {"kind": "account", "equity": 0.1 + 0.2, "mark": None},
        {"kind": "end", "at_ms": 6},
    ]


@settings(max_examples=50, deadline=None)
@given(
    said=st.dictionaries(st.text(max_size=8), NUMBERS, max_size=4),
    figures=st.tuples(*[NUMBERS] * 5),
)
def test_a_decision_comes_back_bit_for_bit(
    said: dict[str, float], figures: tuple[float, float, float, float, float]
) -> None:
    one = Decision(60_000, said, *figures, {"1m": "present", "btc": "late by 2"}, False, "so")
    lines = Lines()
    lines.write("decision", **decision_line(one))
    assert plain(vars(decision_of(lines.written[0]))) == plain(vars(one))


def test_what_an_account_is_traded_on_comes_back() -> None:
    rows = np.array([[1.5, 2.0, 1.0, 1.25, 0.1 + 0.2], [1.25, 2.0, 1.0, 1.0, 3.0]])
    told = (
        Closed("ETHUSDT", M1, np.array([60_000, 120_000]), rows, 180_050, "stream"),
        NoCandle("ETHUSDT", M1, 180_000, 240_000, 300_000),
        FundingRate("ETHUSDT", 0, -0.0001, 12_000),
        FundingKnown("ETHUSDT", 3_600_000, 12_000),
    )
    for event in told:
        lines = Lines()
        line = event_line(event)
        lines.write(line.pop("kind"), **line)
        again = event_of(lines.written[0])
        assert type(again) is type(event)
        assert plain_of(again) == plain_of(event)
    assert event_of({"kind": "state"}) is None


def plain_of(event: object) -> dict[str, object]:
    values = {name: getattr(event, name) for name in vars(event)}
    return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in values.items()}


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 60))
def test_a_torn_line_is_cut_off_and_the_next_one_is_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    with closing(Journal(path)) as journal:
        journal.write("begin", at_ms=5)
        journal.write("end", words="x" * 20)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(len(whole) - cut, 0)])
    survived = [line["kind"] for line in read_journal(path)]
    assert survived == ["begin", "end"][: 2 if not cut else int(len(whole) - cut >= first)]
    with closing(Journal(path)) as journal:
        journal.write("again")
    assert [line["kind"] for line in read_journal(path)] == [*survived, "again"]


@pytest.mark.parametrize(
    "damage", [b"{}\n", b"nonsense\n", b"[1, 2]\n", b'{"kind": 3}\n', b"\xff\n"]
)
def test_other_damage_is_named_with_its_line(path: Path, damage: bytes) -> None:
    path.write_bytes(b'{"kind": "begin"}\n' + damage)
    with pytest.raises(DataError, match="line 2") as raised:
        list(read_journal(path))
    assert "--new" in raised.value.todo


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "decision", "time_ms": 1},
        {"kind": "decision", "time_ms": 1, "said": [], "streams": {}},
    ],
)
def test_a_decision_that_is_none_is_refused(line: dict[str, object]) -> None:
    with pytest.raises(DataError, match="can't be read"):
        decision_of(line)


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "funding", "symbol": "ETHUSDT"},
        {"kind": "candles", "symbol": "ETHUSDT", "timeframe": "never", "open_ms": []},
        {"kind": "lack", "symbol": "ETHUSDT", "timeframe": "1m", "more": 1},
    ],
)
def test_an_event_that_is_none_is_refused(line: dict[str, object]) -> None:
    with pytest.raises(DataError, match="can't be read"):
        event_of(line)


def test_a_folder_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't write"):
        Journal(tmp_path / "file" / "journal.jsonl")
    with pytest.raises(DataError, match="can't read"):
        list(read_journal(tmp_path / "nothing.jsonl"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_named() -> None:
    journal = Journal(Path("/dev/full"))
    with pytest.raises(DataError, match="No space left") as raised:
        journal.write("begin", synced=False)
    assert "it goes on where it stopped" in raised.value.todo
    with suppress(DataError):
        journal.close()
