"""Funding rates of one symbol: each is told once, in order, and asked for when it may be due.

How often funding is paid differs and changes: 1, 2, 4 or 8 hours. So nothing is learnt; after each
full hour the exchange is asked once, and what it says is believed. Only where a payment is known to
be due it is asked again until the rate is there: without it no account can be settled.
"""

from __future__ import annotations

from mtf.market.timeframe import UNIT_MS
from mtf.realtime.events import Ask, Event, FeedFault, FundingRate
from mtf.realtime.frames import funding_rows
from mtf.realtime.funding_history import PAGE
from mtf.realtime.rest import MALFORMED
from mtf.realtime.spans import Spans

HOUR_MS = UNIT_MS["h"]
FOREVER_MS = 1 << 60
DELAY_MS = 10_000
"""So long after the hour a rate is there."""
AGAIN_MS = 30_000
"""So long after an answer without the rate of a payment that is due it is asked for again."""


class FundingDue:
    """The rates of one symbol.

    Args:
        symbol: a perpetual.
        since_ms: rates stamped then or later are wanted.
        every_ms: between two payments, which are stamped by multiples of it; 0 = nobody knows.
    """

    def __init__(self, symbol: str, since_ms: int, every_ms: int = 0) -> None:
        """Nothing is known yet."""
        self.symbol, self.every_ms = symbol, every_ms
        self._from_ms = since_ms
        self._covered = Spans.of([(since_ms - 1, since_ms)])
        self._rates: dict[int, float] = {}
        self._again_ms = 0

    @property
    def _known_to_ms(self) -> int:
        """Up to where answers leave no hole."""
        return self._covered.spans[0][1]

    def wanted(self, now_ms: int) -> list[Ask]:
        """What REST should be asked; the same until it is answered."""
        hour = (now_ms - DELAY_MS) // HOUR_MS * HOUR_MS
        late = self._owed(now_ms) and now_ms >= self._again_ms
        if self._known_to_ms > hour and not late:
            return []
        # What a later answer told is not asked for again: one page may not have room for both.
        later = self._covered.spans[1:]
        end = min(hour + 1, later[0][0] if later else FOREVER_MS)
        return [Ask("funding", self.symbol, None, self._from_ms, end, "funding of the hour")]

    def _owed(self, now_ms: int) -> bool:
        """Whether the last payment that was due is not told."""
        every = self.every_ms
        return bool(every) and (now_ms - DELAY_MS) // every * every >= self._from_ms

    def answer(self, rows: object, start_ms: int, end_ms: int, at_ms: int) -> list[Event]:
        """Take an answer about ``start_ms <= time < end_ms``."""
        try:
            rates = funding_rows(rows)
        except MALFORMED as error:
            return [self._fault(str(error), at_ms)]
        if any(not start_ms <= time < end_ms for time in rates):
            return [self._fault("rates of another time", at_ms)]
        if len(rates) >= PAGE:
            # Older ones may not have had room; those are at least an hour older.
            start_ms = max(start_ms, min(rates) - HOUR_MS + 1)
        self._rates |= {time: rate for time, rate in rates.items() if time >= self._from_ms}
        covered = self._covered.plus(Spans.of([(start_ms, min(end_ms, at_ms))]))
        self._covered = covered.within(self._covered.spans[0][0], FOREVER_MS)
        self._again_ms = at_ms + AGAIN_MS
        return self._tell(at_ms)

    def _tell(self, at_ms: int) -> list[Event]:
        """The rates before which none can be missing."""
        ready = sorted(time for time in self._rates if time < self._known_to_ms)
        if ready:
            self._from_ms = ready[-1] + 1
        return [FundingRate(self.symbol, time, self._rates.pop(time), at_ms) for time in ready]

    def _fault(self, words: str, at_ms: int) -> FeedFault:
        """An answer that is of no use; the question stays."""
        return FeedFault(at_ms, "bad funding", f"{self.symbol}: {words[:160]}")
