"""``mtf live RUN``: decisions as candles close, traded on paper, until Ctrl-C.

Nothing here sends an order: the account is the backtest's own, on paper. Started again, the session
goes on where it stopped, with the position that it had.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["live", *sys.argv[1:]])

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live

from mtf.errors import ConfigError
from mtf.learning.interrupt import interrupts_held
from mtf.market.timeframe import Timeframe
from mtf.market.times import duration_name
from mtf.realtime.batch_answers import history_needed
from mtf.realtime.bybit_client import MAINNET, BybitClient
from mtf.realtime.bybit_stream import StreamFactory
from mtf.realtime.deciding import History, begin, keep_deciding
from mtf.realtime.decision import Decision
from mtf.realtime.degraded_table import DegradedTable
from mtf.realtime.feed import Feed
from mtf.realtime.gate import Gate
from mtf.realtime.hosts import check_url, is_loopback, stream_url
from mtf.realtime.journal import Journal, read_journal
from mtf.realtime.kline import interval_of
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.live_scalars import live_scalars
from mtf.realtime.recording import Recorder
from mtf.realtime.rest import Rest
from mtf.realtime.screen import plain_line, screen
from mtf.realtime.session import Model, Session, Terms
from mtf.realtime.session_folder import SessionFolder, begin_session, last_session, one_process
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal
from mtf.run import Run, load

ATTEMPTS = 3
"""Of one question: the feed asks again by itself, and tells each failure."""


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


def main(
    run: str,
    *,
    symbol: str | None = None,
    endpoint: str | None = None,
    speed: float = 1.0,
    signals_only: bool = False,
    decision_delay_s: float = 2.0,
    lasts: str | None = None,
    new: bool = False,
    plain: bool = False,
    trust: bool = False,
) -> None:
    """Decide live, and trade on paper.

    Args:
        run: a run folder, or a name (its latest).
        symbol: to trade; None = the run's (of a panel: its first).
        endpoint: of REST: the exchange, its test network, or a stand-in on this machine.
        speed: of a stand-in.
        signals_only: no account at all.
        decision_delay_s: from a close until the decision, in market seconds.
        lasts: how long, such as ``1h`` of the market's time; None = until Ctrl-C.
        new: begin another session, with a new account.
        plain: a line a decision instead of a screen.
        trust: run the plug-in files that the run's config names.

    Raises:
        MtfError: no such run, an address that is not allowed, no answer, or a session that can't go
            on.
    """
    terminal = Terminal()
    found = load(run, trust_plugins=trust)
    for note in found.notes:
        terminal.line(f"note: {note}")
    options = Options(check_url(endpoint or MAINNET, "rest"), speed, _milliseconds(lasts), plain)
    _check(options, decision_delay_s)
    symbol = symbol or found.config.symbol
    with one_process(found.path), closing_rest(options) as rest:
        terms = Terms(
            symbol,
            round(1_000 * decision_delay_s),
            signals_only,
            0 if signals_only else funding_every_ms(found, rest, symbol),
        )
        folder = None if new else last_session(found.path, symbol, signals_only)
        run_session(
            found, folder or begin_session(found.path, terms), terms, rest, options, terminal
        )


def run_session(
    run: Run,
    folder: SessionFolder,
    terms: Terms,
    rest: Rest,
    options: Options,
    terminal: Terminal,
) -> None:
    """Go through a session until it is enough, and say what came of it.

    Raises:
        ConfigError: a session of other terms.
        MtfError: no answer of the exchange, or a disk that refuses.
    """
    if folder.terms != terms:
        raise ConfigError(
            f"{folder.path} was begun with {_told(folder.terms)}",
            f"what is asked for now: {_told(terms)}",
            "go on with the former, or begin another session with --new",
        )
    board = TensorBoard(folder.tensorboard)
    journal = Journal(folder.journal)
    with ExitStack() as stack:
        stack.callback(board.close)
        stack.callback(journal.close)
        session = Session(model_of(run, terms.symbol), terms, journal)
        session.recall(read_journal(folder.journal))
        for line in opening_lines(run, folder, session):
            terminal.line(line)
        begun = history_of(session, rest.server_ms(), options.speed)
        feed = stack.enter_context(feed_of(begun, rest, options, folder))
        feed.note(begun.note())
        stop = stack.enter_context(interrupts_held())
        show = stack.enter_context(_Show(session, feed, board, terminal, options).shown())
        look = show.going_on(stop)
        if begin(session, feed, look):
            show.until(options.lasts_ms)
            keep_deciding(session, feed, show.decided, look)
            session.end(feed.now_ms())
    for line in closing_lines(session, folder):
        terminal.line(line)


def model_of(run: Run, symbol: str) -> Model:
    """The parts of a run that decide about a symbol.

    Raises:
        ConfigError: streams that the exchange does not deliver.
        MtfError: checkpoints, or a degraded table, that can't be used.
    """
    config = run.config
    specs = config.stream_specs(symbol)
    for spec in specs:
        if spec.derived_from is None and spec.timeframe.name != "1s":
            interval_of(spec.timeframe)
    engine = run.stream(symbol)
    heads = engine.model.heads_by_name
    head = _head_read(run, list(heads))
    table = DegradedTable.read(run.path, specs, head)
    gate = Gate(specs, (symbol, config.decisions.clock), table, str(run.path))
    return Model(config.name, config, engine, heads, gate)


def history_of(session: Session, now_ms: int, speed: float) -> History:
    """From when candles and rates are wanted: the history, and what an old account has missed."""
    model, symbol, paper = session.model, session.terms.symbol, session.paper
    since = history_needed(model.config, model.engine.model, now_ms, symbol)
    if paper is not None:
        since[session.clock_key] = min(since[session.clock_key], paper.bars.end_ms)
    funding = {}
    if session.terms.funding_every_ms:
        funding[symbol] = now_ms if paper is None else paper.start_ms
    return History(since, funding, speed)


def feed_of(begun: History, rest: Rest, options: Options, folder: SessionFolder) -> Feed:
    """What tells the session about its market, from the start of its history on."""
    return Feed(
        begun.intake(),
        rest=rest,
        stream=StreamFactory(stream_url(options.endpoint)),
        clock=LiveClock(options.speed, rehearsal=is_loopback(options.endpoint) or None),
        record=Recorder(folder.next_recording),
    )


def funding_every_ms(run: Run, rest: Rest, symbol: str) -> int:
    """Between two funding payments, as the exchange says; 0 where the run books none.

    Raises:
        ExchangeError: no answer.
    """
    if run.config.costs.funding == "none":
        return 0
    return rest.ask(
        "get_instruments_info",
        lambda result: 60_000 * int(result["list"][0]["fundingInterval"]),
        category="linear",
        symbol=symbol,
    )


def opening_lines(run: Run, folder: SessionFolder, session: Session) -> Iterator[str]:
    """What to know before the first decision."""
    terms, config = session.terms, run.config
    yield f"session {folder.path}"
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
    if session.model.gate.table is None and len(session.specs) > 1:
        yield (
            "nothing was measured with streams missing, so nothing is held while one is: "
            f"mtf evaluate {run.path} --degraded"
        )


def closing_lines(session: Session, folder: SessionFolder) -> Iterator[str]:
    """What came of it."""
    missed = session.faults.get("missed decisions", 0)
    faults = sum(session.faults.values())
    yield f"{session.num_decisions:,} decisions, {faults:,} faults" + (
        f", {missed:,} times decisions were missed" if missed else ""
    )
    if session.paper is not None:
        look = session.paper.look()
        change = look.equity / look.capital - 1
        yield (
            f"equity {look.equity:,.2f} ({change:+.3%}), {look.num_fills} fills, position "
            f"{look.position:g}"
        )
    yield f"compare it with the backtest: mtf replay {folder.path}"
    yield str(folder.path)


class _Show:
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

    @contextmanager
    def shown(self) -> Iterator[_Show]:
        """Have the screen, where there is one."""
        if self.options.plain or not self.terminal.console.is_terminal:
            yield self
            return
        console: Console = self.terminal.console
        with Live(console=console, screen=True, auto_refresh=False) as self._live:
            yield self

    def until(self, lasts_ms: int | None) -> None:
        """End after so much of the market's time."""
        self._end_ms = None if lasts_ms is None else self.feed.now_ms() + lasts_ms

    def going_on(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """Show what there is to be seen; whether to go on."""

        def look() -> bool:
            if self._live is not None:
                view = self.session.view(self.feed.now_ms(), self.options.speed)
                self._live.update(screen(view), refresh=True)
            over = self._end_ms is not None and self.feed.now_ms() >= self._end_ms
            return not stop() and not over

        return look

    def decided(self, decision: Decision) -> None:
        """Show a decision."""
        view = self.session.view(self.feed.now_ms(), self.options.speed)
        for name, value in live_scalars(view, decision).items():
            self.board.scalar(name, value, self.session.num_decisions)
        if self._live is None:
            self.terminal.line(plain_line(decision, view.account))


@contextmanager
def closing_rest(options: Options) -> Iterator[Rest]:
    """What asks REST."""
    rest = Rest(BybitClient(options.endpoint), attempts=ATTEMPTS)
    try:
        yield rest
    finally:
        rest.close()


def _head_read(run: Run, heads: list[str]) -> str:
    """The head that the run's policy reads, else its first."""
    backtest = run.config.backtest
    named = None if backtest is None else backtest.policy.options.get("head")
    for head in (named, "action"):
        if head in heads:
            return str(head)
    return heads[0]


def _check(options: Options, decision_delay_s: float) -> None:
    """Refuse what can't be.

    Raises:
        ConfigError: a speed against the real exchange, or a delay below 0.
    """
    if options.speed != 1 and not is_loopback(options.endpoint):
        raise ConfigError(
            f"found --speed {options.speed:g} with {options.endpoint}",
            "a speed of 1: the exchange's time runs as ours",
            "leave it out, or name a stand-in by --endpoint (mtf sandbox)",
        )
    if not 0 <= decision_delay_s <= 3_600:
        raise ConfigError(
            f"found --decision-delay {decision_delay_s:g}", "0 to 3600 market seconds"
        )


def _milliseconds(lasts: str | None) -> int | None:
    return None if lasts is None else Timeframe.parse(lasts).duration_ms


def _told(terms: Terms) -> str:
    """Terms in words."""
    return ", ".join(f"{name}={value}" for name, value in vars(terms).items())
