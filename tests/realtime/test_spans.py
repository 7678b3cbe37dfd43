"""Stretches of time against the plainest oracle there is: sets of whole numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtf.realtime.spans import Spans

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def numbers(spans: Spans) -> set[int]:
    return {number for start, end in spans for number in range(start, end)}


def is_tidy(spans: Spans) -> bool:
    """In order, none empty, none touching the next."""
    flat = [time for span in spans for time in span]
    return all(one < other for one, other in pairwise(flat))


@given(pairs, pairs, st.integers(0, 30), st.integers(0, 30))
def test_they_are_sets_of_times(
    one: list[tuple[int, int]], other: list[tuple[int, int]], start: int, end: int
) -> None:
    a, b = Spans.of(one), Spans.of(other)
    for found, wanted in (
        (a.plus(b), numbers(a) | numbers(b)),
        (a.minus(b), numbers(a) - numbers(b)),
        (a.within(start, end), numbers(a) & set(range(start, end))),
    ):
        assert numbers(found) == wanted
        assert is_tidy(found)
        assert found.total_ms == len(wanted)


def test_candles_cover_their_time_with_holes_between_them() -> None:
    times = np.array([0, 10, 20, 50, 80, 90])
    assert Spans.of_times(times, 10).spans == ((0, 30), (50, 60), (80, 100))
    assert Spans.of_times(np.empty(0, np.int64), 10).spans == ()
