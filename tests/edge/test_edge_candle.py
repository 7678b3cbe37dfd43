"""A candle at the border of the runner: what is one, what is none, when it may be known."""

from __future__ import annotations

import pytest

from mtf.edge.candle import Given, read_candle
from mtf.edge.errors import RunnerError
from mtf.edge.frame import Frame

FRAME = Frame("1m", 60_000, 0)


def test_a_candle_is_known_at_its_close_plus_the_latency_and_never_before() -> None:
    row = (120_000, 2.0, 3.0, 1.0, 2.5, 7.0)
    slot, candle = read_candle("1m", FRAME, 500, row, None)
    assert (slot, candle.available_at) == (2, 180_500)
    assert candle[:5] == row[1:]
    assert read_candle("1m", FRAME, 500, row, 180_000)[1].available_at == 180_500
    assert read_candle("1m", FRAME, 500, row, 240_000)[1].available_at == 240_000
    named = dict(zip(("open_time", "open", "high", "low", "close", "volume"), row, strict=True))
    assert read_candle("1m", FRAME, 500, named, None) == (slot, candle)


@pytest.mark.parametrize(
    ("given", "available_at", "words"),
    [
        ((0, 1, 1, 1, 1), None, "expected: open_time, open, high, low, close, volume"),
        ((0, 1, 1, 1, float("nan"), 1), None, "finite prices and volume"),
        ((0, 2, 1, 1, 1, 1), None, "low <= open, close <= high"),
        ((0, 1, 1, 1, 1, -1), None, "a volume of at least 0"),
        ((0, 0, 1, 0, 1, 1), None, "prices above 0"),
        ((30_000, 1, 1, 1, 1, 1), None, "the open of a 1m candle"),
        ((0, 1, 1, 1, 1, 1), 59_999, "a time after the candle's close"),
        ({"open_time": 0, "open": 1}, None, "expected: open_time, open"),
    ],
)
def test_what_is_no_candle_is_a_message(given: Given, available_at: int | None, words: str) -> None:
    with pytest.raises(RunnerError, match=words):
        read_candle("1m", FRAME, 0, given, available_at)
