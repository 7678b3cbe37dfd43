"""The file that an evaluation writes, read back: every condition, and nothing that is damaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.errors import DataError
from mtf.evaluation.cells import Cell, disturbed_cells, goes_stale, present_cell
from mtf.evaluation.day_sums import Estimated
from mtf.evaluation.degraded import Degraded
from mtf.evaluation.degraded_values import MEAN
from mtf.evaluation.shapley import members
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.realtime import degraded_table
from mtf.realtime.degraded_table import DegradedTable
from mtf.report.degraded import degraded_csv
from mtf.run import named_after

MINUTE, FIVE = Timeframe.parse("1m"), Timeframe.parse("5m")
SPECS = (
    StreamSpec("1m", "ETHUSDT", MINUTE, "primary", 10),
    StreamSpec("5m", "ETHUSDT", FIVE, "primary", 10, derived_from="1m"),
    StreamSpec("btc+eth, both", "BTCUSDT", MINUTE, "reference", 10),
)
NAMES = tuple(spec.name for spec in SPECS)
NATS = "log loss of the class prior - log loss, nats"
KEYS = (("action", "action"), ("candle", "1m"), ("candle", "5m"), ("candle", MEAN))


def estimate(value: float) -> Estimated:
    """A value whose interval reaches 0.01 to both sides."""
    return Estimated(value, 0.005, value - 0.01, value + 0.01, 1_000, 7)


def measured() -> Degraded:
    """All that is measured of three streams, each value another one."""
    sets = [present_cell(SPECS, members(NAMES, number)) for number in range(8)]
    disturbed = disturbed_cells(SPECS)
    same = {
        cell: present_cell(SPECS, [name for name in NAMES if name not in cell.streams])
        for cell in disturbed
        if goes_stale(SPECS, cell)
    }
    cells = [cell for cell in dict.fromkeys([*sets, *disturbed]) if cell not in same]
    numbers = iter(range(1, 1_000))
    return Degraded(
        part="test",
        specs=SPECS,
        cells=tuple(cells),
        values={key: {cell: estimate(next(numbers) / 10) for cell in cells} for key in KEYS},
        shapley={key: {name: estimate(0.5) for name in NAMES} for key in KEYS},
        measures={key: NATS if key[0] == "action" else "1 - mse / that of zero" for key in KEYS},
        same=same,
        orders=None,
        drawn={key: np.zeros((1, 1)) for key in KEYS},
    )


@pytest.fixture(scope="module")
def text() -> str:
    return degraded_csv(measured())


def read(folder: Path, text: str | bytes, head: str = "action") -> DegradedTable:
    """The table of a run that has this file."""
    content = text.encode() if isinstance(text, str) else text
    (folder / "degraded.csv").write_bytes(content)
    table = DegradedTable.read(folder, SPECS, head)
    assert table is not None
    return table


@pytest.mark.parametrize(("head", "target"), [("action", "action"), ("candle", MEAN)])
def test_every_condition_is_read_as_it_was_measured(
    tmp_path: Path, text: str, head: str, target: str
) -> None:
    found, table = measured(), read(tmp_path, text, head)
    assert len(table.worth) == len(found.cells) + len(found.same)
    for cell in (*found.cells, *found.same):
        known = found.value(head, target, cell)
        assert table.value(cell) == (known.value, known.low, known.high)


def test_what_was_not_measured_has_no_value(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, text)
    assert table.value(Cell("late", ("1m",), 3)) is None
    assert table.value(Cell("present", ("5m",))) is None  # never without its source


def test_a_stream_so_late_is_looked_up_by_the_next_more(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, text)
    found = [table.late("1m", slots) for slots in (1, 2, 3, 15, 16)]
    assert [cell and cell.slots for cell in found] == [1, 2, 5, 15, None]
    assert table.late("5m", 1) is None  # a derived one is never late by itself


def test_a_run_that_was_not_measured_has_no_table(tmp_path: Path, text: str) -> None:
    assert DegradedTable.read(tmp_path, SPECS, "action") is None
    read(tmp_path, text)
    assert DegradedTable.read(tmp_path, SPECS, "action", "SOLUSDT") is None


@pytest.mark.parametrize("symbol", [None, "SOLUSDT", "SOL/USDT"])
def test_the_file_of_a_symbol_is_the_one_that_the_evaluation_writes(
    tmp_path: Path, text: str, symbol: str | None
) -> None:
    (tmp_path / named_after("degraded", symbol, "csv")).write_text(text)
    assert DegradedTable.read(tmp_path, SPECS, "action", symbol) is not None


def with_weights(text: str, weights: str) -> str:
    """The file as it is written: every row says what was measured."""
    header, *rows = text.splitlines()
    return "\n".join([f"{header},weights", *(f"{row},{weights}" for row in rows)]) + "\n"


def put(folder: Path, text: str, symbol: str | None = None) -> None:
    (folder / named_after("degraded", symbol, "csv")).write_text(text)


def decided_by(
    folder: Path, symbol: str = "SOLUSDT", *, learned: bool = True
) -> tuple[str | None, str]:
    """The file that a session decides by whose weights are best-7, and what is said of it."""
    table, note = DegradedTable.of_run(folder, SPECS, "action", "best-7", symbol, learned=learned)
    return None if table is None else table.path.name, note


def test_a_symbol_is_judged_by_its_own_table_first(tmp_path: Path, text: str) -> None:
    assert decided_by(tmp_path) == (None, "")
    put(tmp_path, with_weights(text, "best-7"))
    assert decided_by(tmp_path) == ("degraded.csv", "")
    put(tmp_path, with_weights(text, "best-7"), "SOLUSDT")
    assert decided_by(tmp_path) == ("degraded_SOLUSDT.csv", "")
    assert decided_by(tmp_path, "ETHUSDT") == ("degraded.csv", "")


def test_a_symbol_that_was_not_learned_is_not_judged_by_those_that_were(
    tmp_path: Path, text: str
) -> None:
    put(tmp_path, with_weights(text, "best-7"))
    assert decided_by(tmp_path, learned=False) == (None, "")
    put(tmp_path, with_weights(text, "best-7"), "SOLUSDT")
    assert decided_by(tmp_path, learned=False) == ("degraded_SOLUSDT.csv", "")


def test_a_table_of_other_weights_is_told_and_not_used(tmp_path: Path, text: str) -> None:
    put(tmp_path, with_weights(text, "best-3"))
    told = "degraded.csv was measured with best-3, the run decides by best-7: it is not used"
    assert decided_by(tmp_path) == (None, told)
    put(tmp_path, with_weights(text, "best-2"), "SOLUSDT")
    own = "degraded_SOLUSDT.csv was measured with best-2, the run decides by best-7: it is not used"
    assert decided_by(tmp_path) == (None, f"{own}; {told}")
    put(tmp_path, with_weights(text, "best-7"))
    assert decided_by(tmp_path) == ("degraded.csv", own)


def test_a_table_that_does_not_name_its_weights_is_used_and_told(tmp_path: Path, text: str) -> None:
    """Files of before name none."""
    put(tmp_path, text)
    told = "degraded.csv does not name the weights it was measured with: is it of best-7?"
    assert decided_by(tmp_path) == ("degraded.csv", told)


def test_a_table_of_two_measurements_is_none(tmp_path: Path, text: str) -> None:
    mixed = with_weights(text, "best-7").replace("best-7", "best-3", 1)
    with pytest.raises(DataError, match="it was measured with best-3 and best-7"):
        read(tmp_path, mixed)


def test_values_are_told_in_words(tmp_path: Path, text: str) -> None:
    action, candle = read(tmp_path, text), read(tmp_path, text, "candle")
    worth = degraded_table.Worth(0.0312, 0.0119, 0.0487)
    assert action.spoken(worth) == "the action is worth 0.031 nats [0.012, 0.049]"
    told = "the candle is worth 0.031 [0.012, 0.049] (1 - mse / that of zero)"
    assert candle.spoken(worth) == told
    short = degraded_table.Worth(0.0312, math.nan, math.nan)
    assert action.spoken(short) == (
        "the action is worth 0.031 nats, measured on less than two days"
    )


def test_empty_numbers_are_undefined(tmp_path: Path, text: str) -> None:
    first, second, *others = text.split("\n")
    fields = second.split(",")
    fields[5:9] = ["", "", "", ""]
    table = read(tmp_path, "\n".join([first, ",".join(fields), *others]))
    worth = table.value(Cell("present", ()))
    assert worth is not None
    assert all(math.isnan(number) for number in worth)


ROW = "present,,0,action,action,0.1,"
DAMAGES: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "empty": (lambda text: "", "no column 'kind'"),
    "header alone": (lambda text: text.split("\n")[0] + "\n", "no row is about action, only about"),
    "a column lost": (lambda text: text.replace("high", "hihg", 1), "no column 'high'"),
    "cut in a line": (lambda text: text[: len(text) // 2].rstrip("\n"), "its last line is cut"),
    "cut behind a line": (lambda text: "\n".join(text.split("\n")[:4]) + "\n", "together are not"),
    "a field too few": (lambda text: text.replace(ROW, ROW[:-4], 1), "line 2 has not as many"),
    "a field too many": (lambda text: text.replace(ROW, f"{ROW},", 1), "line 2 has not as many"),
    "no number": (lambda text: text.replace(ROW, ROW.replace("0.1", "O.1"), 1), "could not conv"),
    "infinite": (lambda text: text.replace(ROW, ROW.replace("0.1", "inf"), 1), "not all finite"),
    "NaN": (lambda text: text.replace(ROW, ROW.replace("0.1", "nan"), 1), "not all finite"),
    "a foreign kind": (lambda text: text.replace("late,", "lame,", 1), "'lame' by '1' is no cond"),
    "half a slot": (lambda text: text.replace("late,1m,1", "late,1m,1.5", 1), "by '1.5' is no"),
    "a foreign stream": (lambda text: text.replace("late,1m", "late,7m", 1), "'7m' are no streams"),
    "two late": (lambda text: text.replace("late,1m", "late,1m+5m", 1), "are no streams of this"),
    "a row twice": (lambda text: text + text.split("\n")[1] + "\n", "none is in it twice"),
    "upside down": (lambda text: text.replace("0.09", "9.09", 1), "upside down"),
    "bytes": (lambda text: text.encode() + b"\xff\xfe\n", "can't decode byte 0xff"),
    "a quote left open": (lambda text: text.replace(ROW, f'"{ROW}', 1), "',' expected after"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_with_what_to_do(tmp_path: Path, text: str, damage: str) -> None:
    spoil, words = DAMAGES[damage]
    spoilt = spoil(text)
    assert spoilt != text
    with pytest.raises(DataError) as told:
        read(tmp_path, spoilt)
    assert words in told.value.found
    assert str(tmp_path / "degraded.csv") in told.value.found
    assert "mtf evaluate RUN --degraded" in told.value.expected
    assert "write it again, or remove it" in told.value.todo


@given(st.data())
def test_no_damage_makes_anything_but_a_table_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 40))
    put = data.draw(st.binary(max_size=40))
    spoilt = text.encode()[:at] + put + text.encode()[at + length :]
    with suppress(DataError):
        table = read(tmp_path_factory.mktemp("run"), spoilt)
        assert Cell("present", NAMES) in table.worth
        assert all(not worth.low > worth.high for worth in table.worth.values())


def test_a_head_that_was_not_measured_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="no row is about trend, only about action, candle"):
        read(tmp_path, text, "trend")


def test_what_is_too_large_or_no_file_is_not_read(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(degraded_table, "MAX_BYTES", len(text) - 1)
    with pytest.raises(DataError, match=f"more than {len(text) - 1:,} bytes"):
        read(tmp_path, text)
    (tmp_path / "degraded.csv").unlink()
    (tmp_path / "degraded.csv").mkdir()
    with pytest.raises(DataError, match="no plain file"):
        DegradedTable.read(tmp_path, SPECS, "action")


def test_a_file_of_another_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "degraded.csv").write_text(text)
    more = (*SPECS, StreamSpec("1d", "ETHUSDT", Timeframe.parse("1d"), "primary", 10))
    with pytest.raises(DataError, match="1d together are not in it"):
        DegradedTable.read(tmp_path, more, "action")
    with pytest.raises(DataError, match="are no streams of this run: 1m, 5m"):
        DegradedTable.read(tmp_path, SPECS[:2], "action")
