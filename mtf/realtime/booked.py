"""A paper account with its lines in the journal: what it is traded on, its fills, its equity.

Of 1s candles only those are written that may fill an order, so that a journal has room for months.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from mtf.config.build import build
from mtf.errors import DataError
from mtf.realtime.batch_backtest import session_broker
from mtf.realtime.decision import Decision
from mtf.realtime.events import Traded
from mtf.realtime.journal import decision_of, event_line, event_of
from mtf.realtime.paper import Paper, finer_of
from mtf.realtime.terms import Model, Terms


@runtime_checkable
class Write(Protocol):
    """Writes a line."""

    def __call__(self, kind: str, *, synced: bool = ..., **values: object) -> None:
        """One line."""


class Booked:
    """An account that writes down what happens to it.

    Args:
        paper: the account.
        write: into the journal.
    """

    def __init__(self, paper: Paper, write: Write) -> None:
        """Nothing is written yet."""
        self.paper = paper
        self._write = write
        self._fills = 0
        self._seen = paper.outcome

    def take(self, event: Traded) -> None:
        """Take what happened on the market."""
        if (new := self.paper.take(event)) is not None:
            self._put(new)

    def order(self, decision: Decision) -> None:
        """Take a decision."""
        for event in self.paper.order(decision):
            self._put(event)

    def recall(self, line: Mapping[str, Any]) -> None:
        """Take a line of before, without writing it again.

        Raises:
            DataError: it can't be read.
        """
        if line["kind"] == "fill":
            self._fills += 1
        elif line["kind"] == "decision":
            self.paper.order(decision_of(line))
        elif (event := event_of(line)) is not None:
            self.paper.take(event)

    def settle(self) -> None:
        """Trade what has closed, and write down what is new."""
        paper = self.paper
        paper.settle()
        for fill in paper.fills.iloc[self._fills :].to_dict("records"):
            values = {str(name): value for name, value in fill.items()}
            time_ms = int(values.pop("time").value // 1_000_000)
            self._write("fill", time_ms=time_ms, **values)
        self._fills = max(self._fills, len(paper.fills))
        if paper.outcome is not self._seen:
            self._seen, look = paper.outcome, paper.look()
            self._write(
                "account",
                synced=False,
                time_ms=paper.settled_ms,
                equity=look.equity,
                position=look.position,
                mark=look.mark,
            )

    def _put(self, event: Traded) -> None:
        """Write down what the account is traded on."""
        line = event_line(event)
        self._write(line.pop("kind"), synced=False, **line)


def open_account(model: Model, terms: Terms, start_ms: int, write: Write) -> Booked:
    """A paper account without a position.

    Args:
        model: whose run says what is traded, and how.
        terms: of the session.
        start_ms: of the first decision.
        write: into the journal.

    Raises:
        DataError: the run has no backtest.
    """
    config = model.config
    if config.backtest is None:
        raise DataError(
            f"the run {model.name} has no backtest, so no engine to trade on paper with",
            "a run with backtest.name",
            "say --signals-only, or train a run with a backtest",
        )
    specs = config.stream_specs(terms.symbol)
    own = [spec for spec in specs if spec.symbol == terms.symbol and spec.derived_from is None]
    clock = config.decisions.clock
    paper = Paper(
        terms.symbol,
        clock,
        start_ms,
        build("backtest", config.backtest),
        session_broker(config, terms.decision_delay_ms),
        fine=finer_of([spec.timeframe for spec in own], clock),
        funding=bool(terms.funding_every_ms),
    )
    return Booked(paper, write)


__all__ = ["Booked", "open_account"]
