"""A paper account with its lines in the journal: what it is traded on, its fills, its equity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from mtf.realtime.decision import Decision
from mtf.realtime.journal import Traded, event_line, event_of
from mtf.realtime.paper import Paper


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
        if self.paper.take(event):
            line = event_line(event)
            self._write(line.pop("kind"), synced=False, **line)

    def order(self, decision: Decision) -> None:
        """Take a decision."""
        self.paper.order(decision)

    def recall(self, line: Mapping[str, Any]) -> None:
        """Take a line of before, other than a decision, without writing it again.

        Raises:
            DataError: it can't be read.
        """
        if line["kind"] == "fill":
            self._fills += 1
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


__all__ = ["Booked"]
