"""One session, live or replayed: what the feed tells goes in, decisions and paper fills come out.

    feed → engine (``Streaming``, which shows what ``as_of`` shows) → policy → gate → paper account

A decision about ``t`` is made at ``t + decision_delay`` from the candles that closed by ``t`` and
had arrived by then. Everything here follows from the order of calls: no clock is read, no thread
runs, so a replay of the same events makes the same decisions. What counts is in the journal before
it is acted on.

Knows nothing of the exchange, of screens and of folders.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtf.config.build import build
from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.realtime.batch_answers import said_of
from mtf.realtime.booked import Booked, open_account
from mtf.realtime.decision import Decision
from mtf.realtime.engine_feed import EngineFeed
from mtf.realtime.events import (
    ClockMeasured,
    Closed,
    Event,
    FeedFault,
    FundingKnown,
    FundingRate,
    Key,
    NoCandle,
    StreamState,
)
from mtf.realtime.gate import Verdict, stream_conditions
from mtf.realtime.journal import Begun, Journal, Lines, begun_of, decision_line, decision_of
from mtf.realtime.live_sides import LiveSides
from mtf.realtime.paper import Paper
from mtf.realtime.streams_told import StreamsTold
from mtf.realtime.terms import Model, Terms
from mtf.realtime.view import View
from mtf.realtime.wanting import Wanting

SHOWN_DECISIONS, SHOWN_FAULTS = 24, 8
MOST_OVERLAP_MS = 900_000
"""A clock that was put back by no more is waited for."""
GROWING = re.compile(r" \(\d+ of \d+\)")
"""The count of a thin stream, which is another one at every decision."""
LATE_FUNDING_MS = 120_000
"""Where candles wait for a rate for so long it is said."""


@dataclass
class Session:
    """A session from its first decision on.

    Attributes:
        model: that decides.
        terms: of the session.
        journal: that is written; None = none is.
        next_ms: ``t`` of the next decision; None = before ``start``.
        num_decisions: so far.
        num_missed: closes so far that were not decided about, though the session had begun.
    """

    model: Model
    terms: Terms
    journal: Journal | Lines | None = None
    started_ms: int = 0
    next_ms: int | None = None
    num_decisions: int = 0
    num_missed: int = 0
    offset_ms: int = 0
    account: Booked | None = None
    faults: Counter[str] = field(default_factory=Counter)
    last_faults: deque[FeedFault] = field(default_factory=lambda: deque(maxlen=SHOWN_FAULTS))
    decisions: deque[Decision] = field(default_factory=lambda: deque(maxlen=SHOWN_DECISIONS))
    verdict: Verdict = field(default_factory=lambda: Verdict(True))

    def __post_init__(self) -> None:
        """Sort the streams by what delivers them."""
        config = self.model.config
        self.clock = config.decisions.clock
        self.specs = config.stream_specs(self.terms.symbol)
        policy = None if config.backtest is None else build("policy", config.backtest.policy)
        self.wanting = Wanting(self.terms.symbol, policy)
        self.told = StreamsTold(self.specs)
        self.sides = LiveSides(config, self.terms.symbol)
        self._fed = EngineFeed(self.model.engine, self.told.names)
        self._waited_for_ms = 0

    @property
    def paper(self) -> Paper | None:
        """The paper account; None = before the first decision, or there is none."""
        return None if self.account is None else self.account.paper

    @property
    def clock_key(self) -> Key:
        """Symbol and timeframe of the candles at whose closes decisions are made."""
        return self.terms.symbol, self.clock

    @property
    def filled_on(self) -> Timeframe:
        """The candles at whose opens orders are filled."""
        fine = None if self.paper is None else self.paper.fine
        return self.clock if fine is None else fine.timeframe

    @property
    def last_ms(self) -> int | None:
        """The last decision, also one of before; None = there is none."""
        return self.decisions[-1].time_ms if self.decisions else None

    def next_after(self, now_ms: int) -> int:
        """The first close after a time that was not decided about yet.

        Raises:
            DataError: the session went far beyond it: the clock it goes on by is another one.
        """
        step = self.clock.duration_ms
        first_ms = int(self.clock.open_time(self.clock.slot(now_ms) + 1))
        if self.last_ms is None or first_ms > self.last_ms:
            return first_ms
        if self.last_ms - first_ms > MOST_OVERLAP_MS:
            raise DataError(
                f"the session decided up to {iso(self.last_ms)}, and it is {iso(now_ms)} now",
                "an exchange whose time went on since then",
                "a stand-in that was started again has another time: begin another session with "
                "--new",
            )
        return self.last_ms + step

    @property
    def due_ms(self) -> int:
        """When the next decision is to be made."""
        assert self.next_ms is not None, "a session that has not started decides nothing"
        return self.next_ms + self.terms.decision_delay_ms

    def on(self, events: Iterable[Event]) -> None:
        """Take what the feed tells, in its order."""
        for event in events:
            if isinstance(event, Closed):
                self._close(event)
            elif isinstance(event, NoCandle | FundingRate | FundingKnown):
                if self.account is not None:
                    self.account.take(event)
            elif isinstance(event, StreamState):
                self.told.state(event)
                self._write(
                    "state", synced=False, **{**vars(event), "timeframe": str(event.timeframe)}
                )
            elif isinstance(event, FeedFault):
                self._fault(event)
            else:
                self._take_clock(event)

    def recall(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Go on from a journal: decisions, account and rules of time are as they were.

        Where another model goes on with what was begun, that is told as a fault; the position is
        kept. One that says other columns is refused when it decides.

        Raises:
            DataError: a line that can't be read, or decisions of several models.
        """
        line: Mapping[str, Any] | None = None
        begun: Begun | None = None
        for line in lines:
            if line["kind"] == "begin":
                begun = begun_of(line)
                self._open(begun.first_ms)
            elif line["kind"] == "decision":
                self._remember(decision := decision_of(line))
                self.wanting.tell(decision.time_ms, decision.said)
            elif line["kind"] == "missed":
                self.num_missed += int(line["count"])
            if self.account is not None:
                self.account.recall(line)
        if line is not None:
            self._write("resume", last_ms=self.last_ms)
        if begun is not None:
            self._tell_other_model(begun)
        self._settle()

    def start(self, first_ms: int, now_ms: int) -> None:
        """Give the history to the engine, and decide from a time on.

        Args:
            first_ms: ``t`` of the first decision.
            now_ms: when this is.
        """
        last_ms = self.last_ms
        self.started_ms, self.next_ms = now_ms, first_ms
        self._open(first_ms)
        self._fed.begin()
        files = dict(self.model.files)
        self._write("begin", at_ms=now_ms, first_ms=first_ms, files=files, **vars(self.terms))
        if last_ms is not None:
            self._missed(last_ms + self.clock.duration_ms, first_ms, "no process was there")
        self._settle()

    def decide(self) -> Decision:
        """Decide about the next close of the clock; every event until ``due_ms`` has been told.

        Raises:
            DataError: the policy misses something in what the model says.
        """
        assert self.next_ms is not None, "a session that has not started decides nothing"
        time_ms = self.next_ms
        self._settle()
        self._tell_late_funding()
        outputs = self.model.engine.decide(time_ms, self.sides.at(time_ms))
        said = said_of(self.model.heads, outputs)
        self.wanting.tell(time_ms, said)
        wanted = self.wanting.wanted()
        engine = self.model.engine
        usable = self.told.usable(engine.flows, engine.known)
        conditions = stream_conditions(self.specs, engine.known, self.told.frozen(), usable)
        verdict = self._judge(time_ms, conditions)
        decision = Decision(
            time_ms,
            said,
            wanted.weight,
            verdict.weight(wanted.weight),
            wanted.confidence,
            wanted.stop_loss,
            wanted.take_profit,
            conditions,
            verdict.allowed,
            verdict.why,
        )
        self._write("decision", **decision_line(decision))
        self._remember(decision)
        if self.account is not None:
            self.account.order(decision)
        self.next_ms += self.clock.duration_ms
        return decision

    def skip(self, until_ms: int) -> None:
        """Make no decision about closes up to a time: they were missed."""
        assert self.next_ms is not None, "a session that has not started misses nothing"
        first, step = self.next_ms, self.clock.duration_ms
        if until_ms >= first:
            self.next_ms = first + ((until_ms - first) // step + 1) * step
            self._missed(first, self.next_ms, "this process was not there in time")

    def end(self, now_ms: int) -> None:
        """Trade what has closed, and write the end down."""
        self._settle()
        self._write("end", at_ms=now_ms, num_decisions=self.num_decisions)

    def view(self, now_ms: int, speed: float = 1.0) -> View:
        """The session as it is shown."""
        known = self.decisions[-1].streams if self.decisions else {}
        return View(
            run=self.model.name,
            symbol=self.terms.symbol,
            signals_only=self.terms.signals_only,
            account=None if self.paper is None else self.paper.look(),
            now_ms=now_ms,
            speed=speed,
            started_ms=None if self.next_ms is None else self.started_ms,
            next_ms=None if self.next_ms is None else self.due_ms,
            offset_ms=self.offset_ms,
            streams=self.told.looks(known),
            decisions=tuple(self.decisions),
            num_decisions=self.num_decisions,
            num_missed=self.num_missed,
            faults=dict(self.faults),
            last_faults=tuple(self.last_faults),
            halted=self.verdict.halted or self.model.gate.clocks(self.offset_ms),
            degraded=self.verdict.degraded,
        )

    def _close(self, event: Closed) -> None:
        """Take closed candles: before the start they are history."""
        self.told.close(event, history=self.next_ms is None)
        self.sides.take(event)
        self._fed.take(event)
        if self.account is not None:
            self.account.take(event)

    def _open(self, first_ms: int) -> None:
        """Open the account, where there is to be one and is none yet."""
        if self.account is None and not self.terms.signals_only:
            self.account = open_account(self.model, self.terms, first_ms, self._write)

    def _remember(self, decision: Decision) -> None:
        """Keep a decision, also one of before."""
        self.decisions.append(decision)
        self.num_decisions += 1

    def _settle(self) -> None:
        if self.account is not None:
            self.account.settle()

    def _tell_late_funding(self) -> None:
        """Say once of a payment that the account waits for its rate, where it does."""
        paper = self.paper
        if paper is None or not paper.funding or paper.funded_ms <= self._waited_for_ms:
            return
        if paper.candles_ms >= paper.funded_ms + LATE_FUNDING_MS:
            self._waited_for_ms = paper.funded_ms
            words = f"the account waits for the rate of {iso(paper.funded_ms)}: nothing is filled"
            self._fault(FeedFault(paper.candles_ms, "funding", words))

    def _tell_other_model(self, begun: Begun) -> None:
        """Say where the model is another one than the last process had."""
        was, now = begun.files, self.model.files
        others = [f"{name} {now[name]} for {was[name]}" for name in self.model.others(was)]
        if others:
            at_ms = begun.at_ms if self.last_ms is None else self.last_ms
            words = f"{', '.join(others)}; the position is kept"
            self._fault(FeedFault(at_ms, "another model", words))

    def _take_clock(self, event: ClockMeasured) -> None:
        """Take a measurement; where the clocks begin to disagree, decisions may stand still."""
        before, self.offset_ms = self.offset_ms, event.offset_ms
        words = self.model.gate.clocks(self.offset_ms)
        if words and not self.model.gate.clocks(before):
            self._fault(FeedFault(event.at_ms, "clock", words))

    def _judge(self, time_ms: int, conditions: Mapping[str, str]) -> Verdict:
        """Whether a position may be held; what halts it is written down when it begins and ends."""
        told = self.told.of(self.clock_key)
        closed_ms = told.closed_ms if told.closed_ms is not None else 0
        verdict = self.model.gate.judge(
            conditions,
            since_last_close_ms=time_ms - closed_ms,
            state=told.state.state,
            offset_ms=self.offset_ms,
        )
        if _told_of(verdict) != _told_of(self.verdict):
            words = verdict.why or "everything is there again"
            self._write("halt", time_ms=time_ms, allowed=verdict.allowed, why=words)
        self.verdict = verdict
        return verdict

    def _missed(self, first_ms: int, next_ms: int, why: str) -> None:
        """Say that there are no decisions from one close on until another one."""
        count = (next_ms - first_ms) // self.clock.duration_ms
        if count > 0:
            self.num_missed += count
            self._write("missed", first_ms=first_ms, count=count)
            words = f"{count:,} from {iso(first_ms)} on: {why}"
            self._fault(FeedFault(next_ms, "missed decisions", words))

    def _fault(self, fault: FeedFault) -> None:
        self.faults[fault.kind] += 1
        self.last_faults.append(fault)
        self._write("fault", synced=False, at_ms=fault.at_ms, what=fault.kind, words=fault.words)

    def _write(self, kind: str, *, synced: bool = True, **values: object) -> None:
        if self.journal is not None:
            self.journal.write(kind, synced=synced, **values)


def _told_of(verdict: Verdict) -> tuple[str, str]:
    """What is worth a line of its own: not that a thin stream grew by a slot."""
    return verdict.halted, GROWING.sub("", verdict.degraded)


__all__ = ["Session"]
