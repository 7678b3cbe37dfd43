"""History into a store: asks for what is missing, and only for that.

From the oldest to the newest, a page at a time, so that whatever ends the work leaves a prefix. A
hole in an answer is asked for once more; what two answers lack, none of them with rows that are no
candles, the exchange does not have, which is written down. The candle that is still open, or that
closed less than a second ago, is never asked for, by the exchange's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import numpy as np

from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.realtime.frames import CLOCK_MS
from mtf.realtime.kline import PAGE, Answer, ask_candles, interval_of
from mtf.realtime.rest import Rest
from mtf.realtime.spans import Spans
from mtf.realtime.store import CandleSeries, Store

WRITE_ROWS = 8 * PAGE
"""Candles that are stored at once; a month is written anew with each."""
WORKERS = 4
"""Series that are fetched at the same time; the pace is one for all of them."""
QUESTIONS = 4
"""About one page at most: two where answers can be believed, more where they can't."""
SETTLE_MS = 600_000
"""A candle that closed so lately and is not there may still come."""

Progress = Callable[[str, int], None]
"""Takes a series, and how many more candles of time are done."""


@dataclass(frozen=True)
class Wanted:
    """Candles to be stored: those with ``start_ms <= open_time < end_ms`` that are closed.

    Attributes:
        end_ms: None = now.
    """

    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int | None = None


@dataclass(frozen=True)
class Fetched:
    """What fetching one series came to.

    Attributes:
        added: candles that are new in the series, of all that is wanted of it.
        spoilt: rows that were no candles, or contradicted each other, and were not stored.
        absent: what the exchange does not have in the time asked for.
        missing: what may be there and did not come; it is asked for again the next time.
        end_ms: up to where candles were closed.
    """

    series: CandleSeries
    added: int
    spoilt: int
    absent: Spans
    missing: Spans
    end_ms: int


@dataclass
class Filler:
    """Fills one series.

    Attributes:
        series: where candles go.
        rest: asks.
        category: of the exchange.
        now_ms: the exchange's time, when the work began.
        progress: told of every page.
    """

    series: CandleSeries
    rest: Rest
    category: str
    now_ms: int
    progress: Progress
    added: int = 0
    spoilt: int = 0
    _pages: list[Answer] = field(default_factory=list)
    _absent: Spans = field(default_factory=Spans)

    def fill(self, missing: Spans) -> None:
        """Ask for all that is missing; what came before a failure is stored.

        Raises:
            ExchangeError: no answer, or a refusal.
            DataError: the disk refuses.
        """
        try:
            for start, end in missing:
                self._fill(start, end)
        finally:
            self._store()

    def candles(self, spans: Spans) -> int:
        """How many candles some time has."""
        return spans.total_ms // self.series.timeframe.duration_ms

    def _fill(self, start: int, end: int) -> None:
        """One stretch of time, in pages. Where nothing is there, each is twice as long."""
        frame, width = self.series.timeframe, PAGE
        while start < end:
            until = min(start + width * frame.duration_ms, end)
            page, complete = self._page(start, until, width)
            if not complete:
                width = PAGE
                continue
            self._pages.append(page)
            self.progress(str(self.series), (until - start) // frame.duration_ms)
            width = PAGE if len(page.open_time) else 2 * width
            start = until
            if sum(len(page.open_time) for page in self._pages) >= WRITE_ROWS:
                self._store()

    def _page(self, start: int, end: int, width: int) -> tuple[Answer, bool]:
        """Candles of a stretch of time, and whether they are all; holes are asked for again.

        What two answers that can be believed both lack does not exist.
        """
        answer = self._ask(start, end)
        believed = int(answer.believed)
        complete = width <= PAGE or not answer.full
        for _ in range(QUESTIONS - 1):
            if not complete or not len(self._holes(answer, start, end)):
                break
            again = self._ask(start, end)  # all of it: what is known already tells whom to believe
            complete = width <= PAGE or not again.full
            answer = answer.with_more(again)
            self.spoilt += answer.bad - again.bad
            believed += answer.believed
            if complete and believed == 2:
                self._absent = self._absent.plus(self._settled(self._holes(answer, start, end)))
                break
        return answer, complete

    def _settled(self, holes: Spans) -> Spans:
        """Of holes, those that nothing can fill any more."""
        frame = self.series.timeframe
        until = frame.open_time(frame.slot(self.now_ms - SETTLE_MS))
        return holes.minus(Spans.of([(until, max(until, self.now_ms))]))

    def _ask(self, start: int, end: int) -> Answer:
        """One question."""
        frame = self.series.timeframe
        answer = ask_candles(self.rest, self.category, self.series.symbol, frame, start, end)
        self.spoilt += answer.bad
        return answer

    def _holes(self, answer: Answer, start: int, end: int) -> Spans:
        """What of a stretch of time an answer does not have."""
        there = Spans.of_times(answer.open_time, self.series.timeframe.duration_ms)
        return Spans.of([(start, end)]).minus(there)

    def _store(self) -> None:
        """Store what came; what does not exist is written down after that."""
        pages, self._pages = self._pages, []
        if pages:
            times = np.concatenate([page.open_time for page in pages])
            self.added += self.series.add(times, np.concatenate([page.ohlcv for page in pages]))
        absent, self._absent = self._absent, Spans()
        if len(absent):
            self.series.lacks(absent)


def fetch(
    wanted: Sequence[Wanted],
    store: Store,
    rest: Callable[[], Rest],
    progress: Progress = lambda series, candles: None,
    planned: Callable[[int], None] = lambda candles: None,
) -> list[Fetched]:
    """Store what is wanted and not there yet. Where nothing is missing, nothing is asked.

    Args:
        wanted: symbols, timeframes and times.
        store: where to.
        rest: makes what asks, once it is needed.
        progress: told of every page.
        planned: told how many candles of time there are to fetch, before the first.

    Returns:
        What became of each, in order.

    Raises:
        ConfigError: candles of a time to come.
        ExchangeError: no answer, or a refusal; what came before it is stored.
        DataError: the disk refuses; what is stored stays.
    """
    series = [store.candles(each.symbol, each.timeframe) for each in wanted]
    for one in series:
        interval_of(one.timeframe)
    if all(
        each.end_ms is not None and not len(one.missing(each.start_ms, each.end_ms))
        for one, each in zip(series, wanted, strict=True)
    ):
        return [
            _fetched(one, each, each.end_ms or 0) for one, each in zip(series, wanted, strict=True)
        ]
    asking = rest()
    now = asking.server_ms()
    _check_begun(wanted, now)
    # What closed just now may still get its last trades, and what is stored stays as it is.
    closed = [one.timeframe.open_time(one.timeframe.slot(now - CLOCK_MS)) for one in series]
    ends = [
        end if each.end_ms is None else min(each.end_ms, end)
        for each, end in zip(wanted, closed, strict=True)
    ]
    # One a series, however often that is wanted: two would write the same files.
    fillers = {str(one): Filler(one, asking, store.category, now, progress) for one in series}
    with store.writing():
        missing = dict.fromkeys(fillers, Spans())
        for one, each, end in zip(series, wanted, ends, strict=True):
            missing[str(one)] = missing[str(one)].plus(one.missing(each.start_ms, end))
        planned(sum(fillers[name].candles(spans) for name, spans in missing.items()))
        _run(list(fillers.values()), list(missing.values()))
    return [
        _fetched(one, each, end, fillers[str(one)])
        for one, each, end in zip(series, wanted, ends, strict=True)
    ]


def _check_begun(wanted: Sequence[Wanted], now_ms: int) -> None:
    """A year that is mistyped must not look like success.

    Raises:
        ConfigError: candles of a time to come.
    """
    start_ms = max(each.start_ms for each in wanted)
    if start_ms >= now_ms:
        raise ConfigError(
            f"found candles wanted from {iso(start_ms)} on",
            f"a time that has come: there it is {iso(now_ms)}",
            "choose an earlier time",
        )


def _run(fillers: Sequence[Filler], missing: Sequence[Spans]) -> None:
    """Fill all series, some at the same time; the first failure stops them all.

    Raises:
        ExchangeError: no answer, or a refusal.
        DataError: the disk refuses.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        working = [
            pool.submit(filler.fill, spans)
            for filler, spans in zip(fillers, missing, strict=True)
            if len(spans)
        ]
        try:
            for work in as_completed(working):
                work.result()
        except BaseException:
            for filler in fillers:
                filler.rest.stop()
            raise


def _fetched(
    series: CandleSeries, wanted: Wanted, end_ms: int, filler: Filler | None = None
) -> Fetched:
    """What is there now of what was wanted."""
    return Fetched(
        series,
        filler.added if filler else 0,
        filler.spoilt if filler else 0,
        series.absent().within(wanted.start_ms, end_ms),
        series.missing(wanted.start_ms, end_ms),
        end_ms,
    )
