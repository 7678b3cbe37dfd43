"""What is seen of a live session: lines, a screen, figures in TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.live import Live

from mtf.market.finding import counted
from mtf.market.times import duration_name, iso
from mtf.realtime.bybit_client import MAINNET
from mtf.realtime.decision import Decision
from mtf.realtime.feed import Feed
from mtf.realtime.live_scalars import live_scalars
from mtf.realtime.screen import plain_line, screen
from mtf.realtime.session import Session
from mtf.realtime.session_folder import SessionFolder
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal

WAITING_S, PICTURES_S = 10.0, 0.25
"""Of the wall clock, between two lines about what is waited for, and between two pictures."""
LONG_JOURNAL = 10_000_000
"""Bytes that take seconds to read."""


@dataclass(frozen=True)
class Options:
    """How a session is run; what it is stands in its terms.

    Attributes:
        endpoint: of REST; the streams' follows from it.
        speed: market seconds a second; not 1 only against a stand-in.
        lasts_ms: of the market's time; None = until Ctrl-C.
        plain: lines instead of a screen.
    """

    endpoint: str = MAINNET
    speed: float = 1.0
    lasts_ms: int | None = None
    plain: bool = False


def first_line(folder: SessionFolder) -> str:
    """Which session this is, and what takes a while where it has lasted for long."""
    size = folder.journal.stat().st_size if folder.journal.exists() else 0
    reads = f": reads its journal of {size / 1e6:.0f} MB" if size > LONG_JOURNAL else ""
    return f"session {folder.path}{reads}"


def opening_lines(session: Session) -> Iterator[str]:
    """What to know before the first decision."""
    terms, config = session.terms, session.model.config
    account = "signals only, no account"
    if session.paper is not None:
        look = session.paper.look()
        account = f"goes on: {look.num_fills} fills, position {look.position:g}"
    elif not terms.signals_only:
        account = "on paper"
    yield f"{terms.symbol}, {account}; no order is sent"
    late = terms.decision_delay_ms
    if late:
        yield (
            f"decided {duration_name(late)} after each close and filled from then on; the run was "
            f"trained and tested with fills {duration_name(config.costs.order_latency_ms)} after it"
        )
    yield from fault_lines(session, 0)
    gate = session.model.gate
    if gate.note:
        yield gate.note
    if gate.table is None and len(session.specs) > 1:
        yield (
            "nothing was measured with streams missing, so nothing is held while one is: "
            f"mtf evaluate {gate.run} --degraded"
        )


def closing_lines(session: Session, folder: SessionFolder) -> Iterator[str]:
    """What came of it."""
    yield f"{session.num_decisions:,} decisions; since it was started {_faults(session)}"
    if session.paper is not None:
        look = session.paper.look()
        change = look.equity / look.capital - 1
        yield (
            f"equity {look.equity:,.2f} ({change:+.3%}), {look.num_fills} fills, position "
            f"{look.position:g}"
        )
    yield f"compare it with the backtest: mtf replay {folder.path}"
    yield str(folder.path)


class Show:
    """What is seen of a session while it runs: a screen or lines, and TensorBoard."""

    def __init__(
        self,
        session: Session,
        feed: Feed,
        board: TensorBoard,
        terminal: Terminal,
        options: Options,
    ) -> None:
        self.session, self.feed, self.board = session, feed, board
        self.terminal, self.options = terminal, options
        self._live: Live | None = None
        self._end_ms: int | None = None
        self._faults = sum(session.faults.values())  # of recalling: they were opening lines
        self._shown_s = self._said_s = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[Show]:
        """Have the screen, where there is one."""
        if self.options.plain or not self.terminal.console.is_terminal:
            yield self
            return
        with Live(console=self.terminal.console, screen=True, auto_refresh=False) as self._live:
            yield self

    def until(self, lasts_ms: int | None) -> None:
        """End after so much of the market's time."""
        self._end_ms = None if lasts_ms is None else self.feed.now_ms() + lasts_ms

    def going_on(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """Show what there is to be seen; whether to go on."""

        def look() -> bool:
            if self._live is None:
                self._tell_faults()
                self._tell_waiting()
            elif time.monotonic() - self._shown_s >= PICTURES_S:
                self._shown_s = time.monotonic()
                view = self.session.view(self.feed.now_ms(), self.options.speed)
                self._live.update(screen(view), refresh=True)
            over = self._end_ms is not None and self.feed.now_ms() >= self._end_ms
            return not stop() and not over

        return look

    def _tell_faults(self) -> None:
        """The faults that were not told yet."""
        for line in fault_lines(self.session, self._faults):
            self.terminal.line(line)
        self._faults = sum(self.session.faults.values())

    def _tell_waiting(self) -> None:
        """Before the first decision: what is waited for, now and then."""
        if self.session.next_ms is None and time.monotonic() - self._said_s >= WAITING_S:
            self._said_s = time.monotonic()
            view = self.session.view(self.feed.now_ms(), self.options.speed)
            late = [f"{one.of} ({one.state})" for one in view.streams if one.state != "live"]
            self.terminal.line(f"waiting for the history of {', '.join(late) or 'the clock'}")

    def decided(self, decision: Decision) -> None:
        """Show a decision."""
        view = self.session.view(self.feed.now_ms(), self.options.speed)
        with figures_that_may_fail(self.terminal):
            for name, value in live_scalars(view, decision).items():
                self.board.scalar(name, value, self.session.num_decisions)
        if self._live is None:
            self.terminal.line(plain_line(decision, view.account))


def fault_lines(session: Session, told: int) -> Iterator[str]:
    """The faults behind the first so many: the newest, and how many others stand in the journal."""
    new = sum(session.faults.values()) - told
    kept = list(session.last_faults)
    shown = kept[max(len(kept) - new, 0) :]
    if new > len(shown):
        yield f"{new - len(shown):,} more faults, see journal.jsonl"
    yield from (f"{iso(fault.at_ms)} {fault.kind}: {fault.words}" for fault in shown)


@contextmanager
def figures_that_may_fail(terminal: Terminal) -> Iterator[None]:
    """Figures end no session: what the disk refuses of them is said."""
    try:
        yield
    except OSError as error:
        terminal.line(f"TensorBoard's figures are not written: {error.strerror or error}")


def _faults(session: Session) -> str:
    """Faults in words."""
    blocks, missed = session.faults.get("missed decisions", 0), session.num_missed
    told = f"{sum(session.faults.values()) - blocks:,} faults"
    return told + (f"; {counted(missed, 'decision')} missed in all" if missed else "")


__all__ = [
    "Options",
    "Show",
    "closing_lines",
    "fault_lines",
    "figures_that_may_fail",
    "first_line",
    "opening_lines",
]
