"""What of an answer is believed: written out rows, and what became of each."""

from __future__ import annotations

import numpy as np
import pytest

from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe
from mtf.realtime.kline import Answer, answer, interval_of

MINUTE = Timeframe.parse("1m")
START = 1_748_736_000_000


def answered(*rows: tuple[float, ...]) -> Answer:
    """Rows of (minute, open, high, low, close, volume), asked for minutes 0 to 9."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    times = (START + 60_000 * table[:, 0]).astype(np.int64)
    return answer(times, table[:, 1:], MINUTE, START, START + 600_000)


def minutes(found: Answer) -> list[int]:
    return ((found.open_time - START) // 60_000).tolist()  # type: ignore[no-any-return]


GOOD = (2.0, 3.0, 1.0, 2.5, 7.0)


def test_rows_in_any_order_and_twice_are_candles_once() -> None:
    found = answered((3, *GOOD), (1, *GOOD), (2, *GOOD), (1, *GOOD))
    assert minutes(found) == [1, 2, 3]
    assert found.believed
    assert found.rows == 4


@pytest.mark.parametrize(
    "row",
    [
        (2.0, 3.0, 1.0, np.nan, 7.0),
        (2.0, np.inf, 1.0, 2.5, 7.0),
        (2.0, 3.0, -1.0, 2.5, 7.0),
        (2.0, 1.0, 3.0, 2.5, 7.0),
        (2.0, 3.0, 1.0, 2.5, -7.0),
        (2.0, 3.0, 1.0, 2.5, np.nan),
        (0.0, 3.0, 0.0, 2.5, 7.0),
    ],
)
def test_a_row_that_is_no_candle_is_left_out_and_counted(row: tuple[float, ...]) -> None:
    found = answered((1, *GOOD), (2, *row), (3, *GOOD))
    assert minutes(found) == [1, 3]
    assert found.bad == 1
    assert not found.believed


def test_off_the_grid_is_bad_and_another_time_is_foreign() -> None:
    found = answered((1, *GOOD), (2.5, *GOOD), (10, *GOOD), (-1, *GOOD))
    assert minutes(found) == [1]
    assert (found.bad, found.foreign) == (1, 2)


def test_seconds_for_milliseconds_are_of_another_time() -> None:
    times = np.array([START // 1_000, START // 1_000 + 60])
    found = answer(times, np.array([GOOD, GOOD]), MINUTE, START, START + 600_000)
    assert len(found.open_time) == 0
    assert found.foreign == 2


def test_of_rows_that_contradict_each_other_none_is_taken() -> None:
    other = (2.0, 3.0, 1.0, 2.0, 7.0)
    found = answered((1, *GOOD), (2, *GOOD), (2, *other))
    assert minutes(found) == [1]
    assert found.bad == 2


def test_a_second_answer_fills_holes_and_contradictions_are_dropped() -> None:
    first, second = answered((1, *GOOD), (4, *GOOD)), answered((2, *GOOD), (4, 2, 3, 1, 2, 7))
    both = first.with_more(second)
    assert minutes(both) == [1, 2]
    assert not both.believed
    assert minutes(first.with_more(answered((2, *GOOD), (4, *GOOD)))) == [1, 2, 4]


def test_timeframes_that_the_exchange_does_not_have() -> None:
    assert [interval_of(Timeframe.parse(name)) for name in ("1m", "4h", "1d", "1w")] == [
        "1",
        "240",
        "D",
        "W",
    ]
    with pytest.raises(ConfigError, match=r"1s candles are built from trades: .*--trades"):
        interval_of(Timeframe.parse("1s"))
    with pytest.raises(ConfigError, match=r"streams.<name>.from"):
        interval_of(Timeframe.parse("45m"))
