"""Funding rates of one symbol: each is told once, in order, and asked for when it may be due.

Payments are stamped by full hours. How often there is one differs and changes: every 1, 2, 4 or 8
hours. So after each full hour the exchange is asked once, and what it says is believed. Only where
a payment is expected it is asked again until the rate is there: the exchange may take a while to
tell it. One that is not there after five minutes does not come: then payments are further apart
than they were.

Up to where no payment can be missing is told as well: so far an account can be settled.
"""

from __future__ import annotations

from mtf.market.times import duration_name, iso
from mtf.realtime.events import (
    HOUR_MS,
    Ask,
    Event,
    FeedFault,
    FundingKnown,
    FundingRate,
    next_payment_ms,
)
from mtf.realtime.frames import funding_rows
from mtf.realtime.funding_history import PAGE
from mtf.realtime.rest import MALFORMED
from mtf.realtime.spans import Spans

FOREVER_MS = 1 << 60
DELAY_MS = 10_000
"""So long after the hour a rate is there."""
AGAIN_MS = 30_000
"""So long after an answer without the rate of a payment that is due it is asked for again."""
PATIENCE_MS = 300_000
"""So long after it was due a payment whose rate is not told may still have one."""


class FundingDue:
    """The rates of one symbol.

    Args:
        symbol: a perpetual.
        since_ms: rates stamped then or later are wanted.
        every_ms: between two payments, as the exchange says at the start; they are stamped by
            multiples of it. 0 = nobody knows.
    """

    def __init__(self, symbol: str, since_ms: int, every_ms: int = 0) -> None:
        """Nothing is known yet."""
        self.symbol, self.every_ms = symbol, every_ms
        self._from_ms = since_ms
        self._covered = Spans.of([(since_ms - 1, since_ms)])
        self._rates: dict[int, float] = {}
        self._again_ms = 0
        self._known_ms = next_payment_ms(since_ms)

    @property
    def _answered_ms(self) -> int:
        """Up to where answers leave no hole."""
        return self._covered.spans[0][1]

    def wanted(self, now_ms: int) -> list[Ask]:
        """What REST should be asked; the same until it is answered."""
        hour = (now_ms - DELAY_MS) // HOUR_MS * HOUR_MS
        late = self._due_ms(now_ms - DELAY_MS) >= self._known_ms and now_ms >= self._again_ms
        if self._answered_ms > hour and not late:
            return []
        # What a later answer told is not asked for again: one page may not have room for both.
        later = self._covered.spans[1:]
        end = min(hour + 1, later[0][0] if later else FOREVER_MS)
        return [Ask("funding", self.symbol, None, self._from_ms, end, "funding of the hour")]

    def _due_ms(self, now_ms: int) -> int:
        """The last payment that is expected by a time; -1 = nobody knows of any."""
        return now_ms // self.every_ms * self.every_ms if self.every_ms else -1

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
        """The rates before which none can be missing, and up to where that is."""
        ready = sorted(time for time in self._rates if time < self._answered_ms)
        if ready:
            self._from_ms = ready[-1] + 1
        events: list[Event] = [
            FundingRate(self.symbol, time, self._rates.pop(time), at_ms) for time in ready
        ]
        known_ms, due_ms = next_payment_ms(self._answered_ms), self._due_ms(at_ms)
        if self._from_ms <= due_ms < self._answered_ms:  # it was asked for, and has no rate
            if at_ms < due_ms + PATIENCE_MS:
                known_ms = due_ms
            else:
                events.append(self._given_up(due_ms, at_ms))
        if known_ms > self._known_ms:
            self._known_ms = known_ms
            events.append(FundingKnown(self.symbol, known_ms, at_ms))
        return events

    def _given_up(self, due_ms: int, at_ms: int) -> FeedFault:
        """A payment that was expected does not come: from now on they are expected less often."""
        self.every_ms *= 2
        return FeedFault(
            at_ms,
            "funding",
            f"{self.symbol}: no rate of {iso(due_ms)} was told by {iso(at_ms)}, so nothing is paid "
            f"then; one is expected every {duration_name(self.every_ms)} from now on",
        )

    def _fault(self, words: str, at_ms: int) -> FeedFault:
        """An answer that is of no use; the question stays."""
        return FeedFault(at_ms, "bad funding", f"{self.symbol}: {words[:160]}")
