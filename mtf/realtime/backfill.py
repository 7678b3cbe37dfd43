"""Asks REST for what is missing, in threads: each thing once at a time, and not again at once.

What is wanted is said anew all the time (``Intake.wanted``) until it is there. Here it becomes
questions: pages from the oldest on, each answer a message with its raw rows, so that a replay reads
them as they came. The candle that is still open is never asked for, by the exchange's clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtf.errors import MtfError
from mtf.market.timeframe import UNIT_MS
from mtf.realtime.events import Ask
from mtf.realtime.funding_history import PAGE as FUNDING_PAGE
from mtf.realtime.inbox import Inbox
from mtf.realtime.kline import PAGE, ask_rows
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.rest import Rest
from mtf.realtime.rest_errors import BannedError, StoppedError

AGAIN_S = 2.0
"""Before the same is asked again; twice as long after every failure."""
LONGEST_S = 60.0
WORKERS = 2


@dataclass
class Job:
    """A question on its way.

    Attributes:
        ask: the whole of it.
        at_ms: from where on it is not answered yet.
        until_s: before that it is not asked again (of ``time.monotonic``).
    """

    ask: Ask
    at_ms: int
    until_s: float = 0.0

    def covers(self, ask: Ask) -> bool:
        """Whether another question is part of this one."""
        mine, other = self.ask, ask
        if (mine.what, mine.symbol, mine.timeframe) != (other.what, other.symbol, other.timeframe):
            return False
        if mine.what == "trades":  # those before one connection, asked for once it was open
            return mine.start_ms == other.start_ms
        return mine.start_ms <= other.start_ms < mine.end_ms

    @property
    def series(self) -> tuple[str, str, str, int]:
        """What fails together: of trades each question is of its own."""
        ask = self.ask
        own = ask.start_ms if ask.what == "trades" else 0
        return ask.what, ask.symbol, str(ask.timeframe), own

    def page(self) -> Ask:
        """The next part that one answer has room for."""
        width = self.ask.end_ms - self.at_ms
        if self.ask.what == "candles" and self.ask.timeframe is not None:
            width = PAGE * self.ask.timeframe.duration_ms
        elif self.ask.what == "funding":
            # It is paid once an hour at most: a page that is full might not be all there is.
            width = (FUNDING_PAGE - 1) * UNIT_MS["h"]
        end = min(self.at_ms + width, self.ask.end_ms)
        return replace(self.ask, start_ms=self.at_ms, end_ms=end)

    def pages(self) -> int:
        """How many parts are left."""
        page = self.page()
        return -(-(self.ask.end_ms - self.at_ms) // max(page.end_ms - page.start_ms, 1))


class Backfill:
    """Answers what is wanted.

    Args:
        rest: asks, at its own pace.
        clock: says what is closed.
        inbox: gets the answers.
        category: of the exchange.
        again_s: of the wall clock, before the same is asked again.
        longest_s: at most, after failures.
        workers: questions at the same time.
    """

    def __init__(
        self,
        rest: Rest,
        clock: LiveClock,
        inbox: Inbox,
        *,
        category: str = "linear",
        again_s: float = AGAIN_S,
        longest_s: float = LONGEST_S,
        workers: int = WORKERS,
    ) -> None:
        """Nothing is wanted yet."""
        self._rest, self._clock, self._inbox = rest, clock, inbox
        self._category, self._again_s, self._longest_s = category, again_s, longest_s
        self._workers = workers
        self._wanted: list[Ask] = []
        self._flying: list[Job] = []
        self._begun: list[Job] = []
        self._asked: list[Job] = []
        self._failures: dict[tuple[str, str, str, int], int] = {}
        self._changed = threading.Condition()
        self._stopped = False

    def start(self) -> list[threading.Thread]:
        """Begin."""
        return [self._inbox.thread("backfill", self._work) for _ in range(self._workers)]

    def want(self, asks: Sequence[Ask]) -> None:
        """Say what is wanted now; what is not among it any more is not asked for."""
        with self._changed:
            if self._wanted != list(asks):
                self._wanted = list(asks)
                self._changed.notify_all()

    def forget(self) -> None:
        """Pause no more after what failed: there is a network again."""
        with self._changed:
            self._asked = []
            self._failures.clear()
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        """A thread: one page at a time, so that no long history keeps others waiting."""
        while (job := self._next()) is not None:
            page, failure = job.page(), None
            try:
                self._answer(page)
            except StoppedError:
                return
            except MtfError as error:
                failure = error
            job.at_ms = page.end_ms
            self._put_back(job, failed=failure is not None)
            if failure is not None:  # told afterwards: whoever hears of it may have it forgotten
                self._fail(page, failure)

    def _next(self) -> Job | None:
        """The next question, the shortest first; None = there is no more."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                self._asked = [job for job in self._asked if job.until_s > now]
                self._begun = [job for job in self._begun if self._is_wanted(job)]
                new = [ask for ask in map(self._closed, self._wanted) if self._may(ask)]
                due = [*self._begun, *(Job(ask, ask.start_ms) for ask in new)]
                if due:
                    job = min(due, key=Job.pages)
                    self._begun = [other for other in self._begun if other is not job]
                    self._flying.append(job)
                    return job
                self._changed.wait(self._again_s / 4)
            return None

    def _is_wanted(self, job: Job) -> bool:
        """Whether somebody still wants what is left of a question."""
        left = Job(job.page(), job.at_ms)
        return any(
            Job(ask, ask.start_ms).covers(left.ask) or left.covers(ask) for ask in self._wanted
        )

    def _closed(self, ask: Ask) -> Ask:
        """The part of a question about candles that are closed."""
        if ask.timeframe is None:
            return ask
        frame, now = ask.timeframe, self._clock.surely_ms()
        return replace(ask, end_ms=min(ask.end_ms, frame.open_time(frame.slot(now))))

    def _may(self, ask: Ask) -> bool:
        """Whether there is something to ask, and nobody did just now."""
        if ask.what == "candles" and ask.start_ms >= ask.end_ms:
            return False
        return not any(job.covers(ask) for job in (*self._flying, *self._begun, *self._asked))

    def _put_back(self, job: Job, *, failed: bool) -> None:
        """Go on with a question later, or let it be asked again after a while."""
        with self._changed:
            self._flying = [other for other in self._flying if other is not job]
            before = self._failures.pop(job.series, 0)
            failures = min(before + 1, 30) if failed else 0
            if failed:
                self._failures[job.series] = failures
            if not failed and job.at_ms < job.ask.end_ms:
                self._begun.append(job)
            else:
                pause = min(self._again_s * 2.0**failures, max(self._longest_s, self._again_s))
                job.until_s = time.monotonic() + pause
                self._asked.append(job)
            self._changed.notify_all()

    def _answer(self, page: Ask) -> None:
        """Ask one question and hand on the answer.

        Raises:
            ExchangeError: no answer, or a refusal.
        """
        frame = page.timeframe
        rows = self._rows(page)
        content = {
            "ask": page.what,
            "symbol": page.symbol,
            "timeframe": None if frame is None else frame.name,
            "start_ms": page.start_ms,
            "end_ms": page.end_ms,
            "rows": rows,
        }
        self._inbox.put("answer", content)

    def _rows(self, page: Ask) -> list[Any]:
        """The raw rows of an answer.

        Raises:
            ExchangeError: no answer, or a refusal.
        """
        category, symbol = self._category, page.symbol
        if page.what == "candles" and page.timeframe is not None:
            frame, start, end = page.timeframe, page.start_ms, page.end_ms
            return list(ask_rows(self._rest, category, symbol, frame, start, end))
        if page.what == "trades":
            question: dict[str, Any] = {"limit": PAGE}
            method = "get_public_trade_history"
        else:
            method = "get_funding_rate_history"
            question = {
                "startTime": page.start_ms,
                "endTime": page.end_ms - 1,
                "limit": FUNDING_PAGE,
            }
        return self._rest.ask(method, _dicts, category=category, symbol=symbol, **question)

    def _fail(self, ask: Ask, error: MtfError) -> None:
        """Say that there is no answer."""
        why = f"{ask.what} of {ask.symbol}: {error.found}"
        if isinstance(error, BannedError):
            why += f"; nothing is asked for {self._rest.ban_s:g} s"
        self._inbox.put("state", {"state": "failed", "why": why, "symbol": ask.symbol})


def _dicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an answer.

    Raises:
        TypeError: they are none.
    """
    return [{str(name): value for name, value in row.items()} for row in result["list"]]
