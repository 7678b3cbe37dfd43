"""Candles from CSV, times of all kinds, decisions as lines."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from mtf.edge.errors import RunnerError
from mtf.edge.policy import Target
from mtf.edge.runner import Decision
from mtf.edge.table import read_candles, read_time, write_csv, write_json_lines

HEADER = "open_time,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    "text",
    ["1704067200", "1704067200000", "1704067200000000", "2024-01-01", "2024-01-01T01:00+01:00"],
)
def test_a_time_is_read_in_every_unit(text: str) -> None:
    assert read_time(text) == 1_704_067_200_000


def test_candles_come_in_order_and_may_say_when_they_were_known(tmp_path: Path) -> None:
    file = tmp_path / "1m.csv"
    rows = "60000,2,3,1,2,5,,x\n0,1,1,1,1,0,90000,y\n"
    # times this small are read as seconds; the grid tells at the border
    file.write_text("open_time,open,high,low,close,volume,available_at,note\n" + rows)
    assert read_candles(file) == [
        ((0, 1.0, 1.0, 1.0, 1.0, 0.0), 90_000_000),
        ((60_000_000, 2.0, 3.0, 1.0, 2.0, 5.0), None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("open_time,open,high,low,close\n", "has no column volume"),
        (HEADER + "0,1,1,1,1,1\n60,1,1,one,1,1\n", r"1m\.csv:3: found 60, 1, 1, one, 1, 1"),
        (HEADER + "0,1,1,1\n", r"1m\.csv:2: found 0, 1, 1, 1, None, None"),
        (HEADER + "yesterday,1,1,1,1,1\n", r"1m\.csv:2: found yesterday"),
    ],
)
def test_what_is_no_candle_is_a_message_with_its_line(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "1m.csv"
    file.write_text(text)
    with pytest.raises(RunnerError, match=words):
        read_candles(file)
    with pytest.raises(RunnerError, match="can't be read"):
        read_candles(tmp_path / "none.csv")


def test_decisions_are_lines_of_csv_and_of_json() -> None:
    target = Target(-0.5, float("nan"), None, 0.02)
    outputs = {"price.prediction": np.array([0.25])}
    columns = {"price.prediction": 0.25}
    one = Decision(60_000, "ETHUSDT", outputs, columns, None, target, {"1m": True})
    text = io.StringIO()
    assert write_csv([one, one], text.write) == 2
    header, first, second = text.getvalue().splitlines()
    assert (
        header == "time_ms,symbol,action,weight,confidence,stop_loss,take_profit,price.prediction"
    )
    assert first == second == "60000,ETHUSDT,,-0.5,,,0.02,0.25"
    lines = io.StringIO()
    assert write_json_lines([one], lines.write) == 1
    assert json.loads(lines.getvalue())["take_profit"] == 0.02
