"""``mtf live RUN``: decisions as candles close, traded on paper, until Ctrl-C.

Nothing here sends an order: the account is the backtest's own, on paper. Started again, the session
goes on where it stopped, with the position that it had.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["live", *sys.argv[1:]])

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from mtf.config.build import build
from mtf.errors import ConfigError, MtfError
from mtf.learning.interrupt import interrupts_held
from mtf.live_show import (
    Options,
    Show,
    closing_lines,
    figures_that_may_fail,
    first_line,
    opening_lines,
)
from mtf.market.timeframe import Timeframe
from mtf.realtime.batch_answers import history_needed
from mtf.realtime.bybit_client import MAINNET, BybitClient
from mtf.realtime.bybit_stream import StreamFactory
from mtf.realtime.deciding import History, begin, keep_deciding
from mtf.realtime.degraded_table import DegradedTable
from mtf.realtime.feed import Feed
from mtf.realtime.gate import Gate
from mtf.realtime.hosts import check_speed, check_url, is_loopback, stream_url
from mtf.realtime.journal import Journal, read_journal
from mtf.realtime.kline import interval_of
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.recording import Recorder
from mtf.realtime.rest import RefusedError, Rest
from mtf.realtime.session import Session
from mtf.realtime.session_folder import SessionFolder, begin_session, last_session, one_process
from mtf.realtime.store import check_symbol
from mtf.realtime.supervisor import Backoff
from mtf.realtime.terms import Model, Terms
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal
from mtf.run import Run, load

SLACK_S = 0.25
"""Of the wall clock: so late a decision is still in time, in a quick rehearsal too."""
ATTEMPTS = 3
"""Of one question: the feed asks again by itself, and tells each failure."""


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
    check_speed(speed, options.endpoint)
    if not 0 <= decision_delay_s <= 3_600:
        raise ConfigError(
            f"found --decision-delay {decision_delay_s:g}", "0 to 3600 market seconds"
        )
    if found.config.backtest is None and not signals_only:
        raise ConfigError(
            f"the run {found.config.name} has no backtest, so no engine to trade on paper with",
            "a run with backtest.name",
            "say --signals-only, or train a run with a backtest",
        )
    symbol = symbol or found.config.symbol
    with one_process(found.path), closing_rest(options) as rest:
        every_ms = funding_every_ms(found, rest, symbol)
        terms = Terms(
            symbol, round(1_000 * decision_delay_s), signals_only, 0 if signals_only else every_ms
        )
        model = model_of(found, symbol)  # before there is a folder: it may refuse
        folder = None if new else last_session(found.path, symbol, signals_only)
        run_session(
            model, folder or begin_session(found.path, terms), terms, rest, options, terminal
        )


def run_session(
    model: Model,
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
    if replace(folder.terms, funding_every_ms=terms.funding_every_ms) != terms:
        raise ConfigError(
            f"{folder.path} was begun with {_told(folder.terms)}",
            f"what is asked for now: {_told(terms)}",
            "go on with the former, or begin another session with --new",
        )
    board = TensorBoard(folder.tensorboard)
    journal = Journal(folder.journal)
    with ExitStack() as stack:
        stack.enter_context(figures_that_may_fail(terminal))
        stack.callback(board.close)
        stack.callback(journal.close)
        terminal.line(first_line(folder))
        session = Session(model, terms, journal)
        session.recall(read_journal(folder.journal))
        for line in opening_lines(session):
            terminal.line(line)
        begun = history_of(session, rest.server_ms(), options.speed)
        feed = stack.enter_context(feed_of(begun, terms.funding_every_ms, rest, options, folder))
        feed.note(begun.note())
        stop = stack.enter_context(interrupts_held())
        show = stack.enter_context(Show(session, feed, board, terminal, options).shown())
        look = show.going_on(stop)
        if begin(session, feed, look):
            show.until(options.lasts_ms)
            slack_ms = round(1_000 * SLACK_S * options.speed)
            keep_deciding(session, feed, show.decided, look, slack_ms)
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
    weights, learned = run.best().path.name, symbol in config.decisions.symbols
    head = _head_read(run, list(heads))
    table, note = DegradedTable.of_run(run.path, specs, head, weights, symbol, learned=learned)
    measured = str(run.path) if learned else f"{run.path} --symbol {symbol}"
    gate = Gate(specs, (symbol, config.decisions.clock), table, measured, note)
    files = {"weights": weights, "table": "none"}
    if table is not None:
        files["table"] = hashlib.sha256(table.path.read_bytes()).hexdigest()[:16]
    return Model(config.name, config, engine, heads, gate, files)


def history_of(session: Session, now_ms: int, speed: float) -> History:
    """From when candles and rates are wanted: the history, and what an old account has missed."""
    model, symbol, paper = session.model, session.terms.symbol, session.paper
    since = history_needed(model.config, model.engine.model, now_ms, symbol)
    for bars in () if paper is None else (paper.bars, paper.fine):
        if bars is not None:
            key = symbol, bars.timeframe
            since[key] = min(since[key], bars.end_ms)
    funding = {}
    if session.terms.funding_every_ms:
        funding[symbol] = now_ms if paper is None else paper.start_ms
    return History(since, funding, speed)


def feed_of(
    begun: History, every_ms: int, rest: Rest, options: Options, folder: SessionFolder
) -> Feed:
    """What tells the session about its market, from the start of its history on."""
    speed = options.speed
    return Feed(
        begun.intake(every_ms),
        rest=rest,
        stream=StreamFactory(stream_url(options.endpoint)),
        clock=LiveClock(options.speed, rehearsal=is_loopback(options.endpoint) or None),
        record=Recorder(folder.next_recording),
        # A rehearsal passes quickly: what is a moment outside must not be an hour of its market.
        backoff=Backoff(longest_s=max(30.0 / speed, 2.0), steady_s=max(60.0 / speed, 2.0)),
        longest_again_s=max(60.0 / speed, 1.0),
    )


def funding_every_ms(run: Run, rest: Rest, symbol: str) -> int:
    """Between two funding payments, as the exchange says; 0 where the run books none.

    Raises:
        ConfigError: the exchange has no contract of that symbol, or of a reference.
        ExchangeError: no answer.
    """
    names = [symbol, *(spec.symbol for spec in run.config.stream_specs(symbol))]
    found = {name: _funding_minutes(rest, name) for name in dict.fromkeys(names)}
    return 0 if run.config.costs.funding == "none" else 60_000 * found[symbol]


def _funding_minutes(rest: Rest, symbol: str) -> int:
    """Between two funding payments of a contract.

    Raises:
        ConfigError: the exchange has none of that symbol.
        ExchangeError: no answer.
    """
    found: list[int] = []
    with suppress(RefusedError):
        found = rest.ask(
            "get_instruments_info",
            lambda result: [int(one["fundingInterval"]) for one in result["list"]],
            category="linear",
            symbol=check_symbol(symbol),
        )
    if not found:
        raise ConfigError(
            f"the exchange has no perpetual {symbol}", "a linear contract, such as ETHUSDT"
        )
    return found[0]


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
    policy = None if backtest is None else build("policy", backtest.policy)
    for head in (getattr(policy, "head", None), "action"):
        if head in heads:
            return str(head)
    return heads[0]


def _milliseconds(lasts: str | None) -> int | None:
    """How long a session is to last.

    Raises:
        ConfigError: no such time.
    """
    try:
        return None if lasts is None else Timeframe.parse(lasts).duration_ms
    except MtfError:
        raise ConfigError(f"found --for {lasts!r}", "a time such as 90m, 1h or 1d") from None


def _told(terms: Terms) -> str:
    """Terms in words."""
    return ", ".join(f"{name}={value}" for name, value in vars(terms).items())
