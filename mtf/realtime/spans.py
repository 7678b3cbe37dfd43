"""Stretches of time, added and taken away: what is stored, what is missing, what does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

Span = tuple[int, int]
"""``start_ms <= time < end_ms``."""


@dataclass(frozen=True)
class Spans:
    """Stretches of time in order; they neither overlap nor touch each other.

    Attributes:
        spans: start and end of each in ms.
    """

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span]) -> Spans:
        """Any stretches, put in order and joined; empty ones are left out."""
        joined: list[Span] = []
        for start, end in sorted(span for span in spans if span[0] < span[1]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return cls(tuple(joined))

    @classmethod
    def of_times(cls, times: Int64[np.ndarray, " time"], step_ms: int) -> Spans:
        """What candles cover that open at these times, which are in order."""
        if len(times) == 0:
            return cls()
        breaks = np.flatnonzero(np.diff(times) > step_ms)
        starts = times[np.concatenate([[0], breaks + 1])].tolist()
        ends = (times[np.concatenate([breaks, [len(times) - 1]])] + step_ms).tolist()
        return cls(tuple(zip(starts, ends, strict=True)))

    def __iter__(self) -> Iterator[Span]:
        """One by one, in order."""
        return iter(self.spans)

    def __len__(self) -> int:
        """How many."""
        return len(self.spans)

    @property
    def total_ms(self) -> int:
        """How long they are together."""
        return sum(end - start for start, end in self.spans)

    def plus(self, other: Spans) -> Spans:
        """What is in either."""
        return Spans.of((*self.spans, *other.spans))

    def within(self, start_ms: int, end_ms: int) -> Spans:
        """What of them is in a stretch of time."""
        cut = ((max(start, start_ms), min(end, end_ms)) for start, end in self.spans)
        return Spans(tuple(span for span in cut if span[0] < span[1]))

    def minus(self, other: Spans) -> Spans:
        """What is in these and not in the others."""
        left: list[Span] = []
        holes = list(other.spans)
        first = 0
        for start, end in self.spans:
            while first < len(holes) and holes[first][1] <= start:
                first += 1
            for hole_start, hole_end in holes[first:]:
                if hole_start >= end:
                    break
                if start < hole_start:
                    left.append((start, hole_start))
                start = hole_end
            if start < end:
                left.append((start, end))
        return Spans(tuple(left))
