"""Candles of one symbol and timeframe: whatever comes in, they go out once, in order, no hole.

A candle that comes before its turn is held until those before it are there, from the stream or
from REST. Only what two answers that can be believed both lack does not exist: then the gap is
told. The history is no special case: at the start all of it is a hole.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.realtime.download import SETTLE_MS
from mtf.realtime.events import Ask, Closed, Event, FeedFault, NoCandle, Source
from mtf.realtime.frames import CLOCK_MS, Candle, candle_rows, closed_candles
from mtf.realtime.kline import PAGE, Answer, answer
from mtf.realtime.spans import Spans

GRACE_MS = 5_000
REMEMBERED = 2 * PAGE
"""So many told candles are kept, to see whether what comes again is the same."""
VOLUME = 4
FOREVER_MS = 1 << 60


class InOrder:
    """The candles of one key.

    Args:
        symbol: of the candles.
        timeframe: one that the exchange has.
        since_ms: the first candle that is wanted opens then or later.
        grace_ms: a candle that closed so long ago and was not told is asked for.
        settle_ms: a candle that closed so lately and is not there may still come.

    Attributes:
        next_ms: open of the candle that is told next; all before it are told, or don't exist.
        started: whether the history was complete once.
    """

    def __init__(
        self,
        symbol: str,
        timeframe: Timeframe,
        since_ms: int,
        *,
        grace_ms: int = GRACE_MS,
        settle_ms: int = SETTLE_MS,
    ) -> None:
        """Nothing was told yet."""
        self.symbol, self.timeframe = symbol, timeframe
        self.grace_ms, self.settle_ms = grace_ms, settle_ms
        self.first_ms = self.next_ms = timeframe.open_time(timeframe.slot(since_ms - 1) + 1)
        self.started = False
        self._told: dict[int, Candle] = {}
        self._held: dict[int, tuple[Candle, Source]] = {}
        self._held_spans: Spans | None = Spans()
        self._doubted = self._absent = Spans()
        self._fill_to_ms = self.next_ms
        self._again_ms = 0

    # What comes in.

    def frame(self, data: object, at_ms: int) -> list[Event]:
        """Take the data of a message of the stream."""
        good, wrong = closed_candles(data, self.timeframe, at_ms)
        events: list[Event] = [self._fault("bad candle", words, at_ms) for words in wrong]
        for open_ms, candle in good:
            events += self._put(open_ms, candle, "stream", at_ms)
        return events + self._tell(at_ms)

    def answer(self, rows: object, start_ms: int, end_ms: int, at_ms: int) -> list[Event]:
        """Take an answer of REST about ``start_ms <= open < end_ms``."""
        start = self._floor(start_ms - 1) + self.timeframe.duration_ms
        # What closed just now, by a clock that may be wrong, is not REST's last word on it.
        end = min(self._floor(end_ms), self._floor(at_ms - CLOCK_MS))
        times, ohlcv, unreadable = candle_rows(rows)
        sure = (times < end) | (times >= end_ms)
        found = answer(times[sure], ohlcv[sure], self.timeframe, start, max(start, end))
        events: list[Event] = list(self._spoilt(found, unreadable, at_ms))
        for open_ms, row in zip(found.open_time.tolist(), found.ohlcv.tolist(), strict=True):
            events += self._put(open_ms, tuple(row), "answer", at_ms)
        if found.believed and not unreadable and _has_all(found, start, end, self.timeframe):
            self._lacking(Spans.of([(max(start, self.next_ms), end)]), at_ms)
        return events + self._tell(at_ms)

    def lost(self, at_ms: int) -> list[Event]:
        """There is no connection: what closes is overdue after a while, and is asked for."""
        return []

    def opened(self, at_ms: int) -> list[Event]:
        """There is a connection again: what closed before it may not have been told."""
        self._fill_to_ms = self._floor(at_ms)
        return []

    def advance(self, now_ms: int, heard_ms: int) -> list[Event]:
        """Time passes."""
        self.started = self.started or self.complete(now_ms)
        return []

    # What there is to say.

    @property
    def refilling(self) -> bool:
        """Whether what closed before the connection opened is not all told."""
        return self.next_ms < self._fill_to_ms

    def stale(self, now_ms: int) -> bool:
        """Whether nothing was told for too long: two intervals."""
        return now_ms - self.next_ms >= 2 * self.timeframe.duration_ms

    @property
    def frozen(self) -> bool:
        """Whether nothing traded in the last two candles."""
        last = list(islice(reversed(self._told.values()), 2))
        return len(last) == 2 and all(candle[VOLUME] == 0 for candle in last)

    def complete(self, now_ms: int) -> bool:
        """Whether nothing is missing that is due."""
        return not self._held and self.next_ms >= self._due_ms(now_ms)

    def caught_up(self, now_ms: int) -> bool:
        """Whether all that closed by now is told."""
        return self.next_ms >= self._floor(now_ms)

    def wanted(self, now_ms: int) -> list[Ask]:
        """What REST should be asked. Holes that are less than a page apart are one question."""
        missing = self.missing(now_ms)
        if now_ms < self._again_ms:
            missing = missing.within(0, self._floor(now_ms - self.settle_ms))
        joined: list[tuple[int, int]] = []
        for start, end in missing:
            if joined and start - joined[-1][1] <= PAGE * self.timeframe.duration_ms:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        why = self._why()
        return [Ask("candles", self.symbol, self.timeframe, *span, why) for span in joined]

    def missing(self, now_ms: int) -> Spans:
        """What is due and not there."""
        if self._held_spans is None:
            times = np.array(sorted(self._held), np.int64)
            self._held_spans = Spans.of_times(times, self.timeframe.duration_ms)
        held = self._held_spans
        end = max([self._due_ms(now_ms), *(held.spans[-1] if len(held) else ())])
        return Spans.of([(self.next_ms, end)]).minus(held)

    def _why(self) -> str:
        """Why REST is asked."""
        if not self.started:
            return "history"
        return "while there was no connection" if self.refilling else "missing"

    def _due_ms(self, now_ms: int) -> int:
        """What opens before that should be there."""
        urgent = not self.started or self.refilling
        return self._floor(now_ms - (CLOCK_MS if urgent else self.grace_ms))

    def _floor(self, time_ms: int) -> int:
        """The last time on the grid that is not later."""
        return self.timeframe.open_time(self.timeframe.slot(time_ms))

    # How it is kept.

    def _put(self, open_ms: int, candle: Candle, source: Source, at_ms: int) -> Iterator[FeedFault]:
        """Take a good candle; one that is there already is compared."""
        if open_ms < self.next_ms:
            yield from self._compare(open_ms, candle, at_ms)
            return
        held, before = self._held.get(open_ms, (None, source))
        if held == candle:
            return
        self._held_spans = None
        if held is None or (source, before) == ("answer", "stream"):
            self._held[open_ms] = candle, source
        elif source == before:  # nobody knows which is true: REST is asked, or asked again
            del self._held[open_ms]
        if held is not None:
            yield self._conflict(open_ms, held, candle, at_ms)

    def _compare(self, open_ms: int, candle: Candle, at_ms: int) -> Iterator[FeedFault]:
        """A candle whose turn is over: it is what was told, or that is said."""
        oldest = next(iter(self._told), self.first_ms)
        told = self._told.get(open_ms)
        if told != candle and open_ms >= oldest:
            yield self._conflict(open_ms, told, candle, at_ms)

    def _conflict(
        self, open_ms: int, before: Candle | None, candle: Candle, at_ms: int
    ) -> FeedFault:
        """Two words about one candle."""
        was = "there was none" if before is None else f"it was {before}"
        return self._fault("conflict", f"candle of {iso(open_ms)}: {was}, now {candle}", at_ms)

    def _fault(self, kind: str, words: str, at_ms: int) -> FeedFault:
        """Something to be told."""
        return FeedFault(at_ms, kind, f"{self.symbol} {self.timeframe}: {words}")

    def _spoilt(self, found: Answer, unreadable: int, at_ms: int) -> Iterator[FeedFault]:
        """What of an answer can't be used."""
        if found.bad or found.foreign or unreadable:
            words = (
                f"an answer with {found.bad + unreadable} rows that are no candles and "
                f"{found.foreign} of another time, of {found.rows + unreadable}"
            )
            yield self._fault("bad candle", words, at_ms)

    def _lacking(self, asked: Spans, at_ms: int) -> None:
        """An answer that can be believed has come: what it lacks and the one before, is not."""
        there = Spans.of_times(np.array(sorted(self._held), np.int64), self.timeframe.duration_ms)
        lacking = asked.minus(there)
        settled = lacking.within(0, self._floor(at_ms - self.settle_ms))
        self._absent = self._absent.plus(settled.minus(settled.minus(self._doubted)))
        self._doubted = self._doubted.plus(settled)
        if settled != lacking:
            self._again_ms = at_ms + self.grace_ms

    def _tell(self, at_ms: int) -> list[Event]:
        """Whatever it is the turn of."""
        events: list[Event] = []
        while True:
            gap = self._absent.within(self.next_ms, FOREVER_MS).spans[:1]
            if self.next_ms in self._held:
                events.append(self._run(at_ms))
            elif gap and gap[0][0] == self.next_ms:
                events.append(self._gap(gap[0][1], at_ms))
            else:
                break
        if events:
            self._absent = self._absent.within(self.next_ms, FOREVER_MS)
            self._doubted = self._doubted.within(self.next_ms, FOREVER_MS)
        return events

    def _gap(self, end_ms: int, at_ms: int) -> NoCandle:
        """There is nothing up to the next candle that is held after all."""
        later = (time for time in self._held if self.next_ms < time < end_ms)
        start, self.next_ms = self.next_ms, min(later, default=end_ms)
        return NoCandle(self.symbol, self.timeframe, start, self.next_ms, at_ms)

    def _run(self, at_ms: int) -> Closed:
        """Candles one behind the other that came the same way."""
        start, source = self.next_ms, self._held[self.next_ms][1]
        rows: list[Candle] = []
        while (held := self._held.get(self.next_ms)) is not None and held[1] == source:
            del self._held[self.next_ms]
            rows.append(held[0])
            self._told[self.next_ms] = held[0]
            self.next_ms += self.timeframe.duration_ms
        self._held_spans = None
        for open_ms in list(self._told)[:-REMEMBERED]:
            del self._told[open_ms]
        times = start + self.timeframe.duration_ms * np.arange(len(rows), dtype=np.int64)
        values = np.array(rows, np.float64)
        return Closed(self.symbol, self.timeframe, times, values, at_ms, source)


def _has_all(found: Answer, start_ms: int, end_ms: int, timeframe: Timeframe) -> bool:
    """Whether all candles of that time had room in the answer."""
    return not found.full or end_ms - start_ms <= PAGE * timeframe.duration_ms
