"""What a session is begun with: its terms, and the model that decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mtf.config.schema import Config
from mtf.model.streaming import Streaming
from mtf.plugins.contracts import Head
from mtf.realtime.gate import Gate


@dataclass(frozen=True)
class Terms:
    """What a session is begun with, and goes on with.

    Attributes:
        symbol: that is traded.
        decision_delay_ms: from ``t`` until the decision is made.
        signals_only: there is no account.
        funding_every_ms: between two funding payments, as the exchange says when a process starts;
            0 = none is booked.
    """

    symbol: str
    decision_delay_ms: int
    signals_only: bool
    funding_every_ms: int = 0


@dataclass(frozen=True)
class Model:
    """What decides: the parts of a run that a session needs.

    Attributes:
        name: of the run.
        config: of the run.
        engine: that is fed candle by candle.
        heads: of the model, by name.
        gate: says whether a position may be held.
        files: what tells this model from another one of the same run, by what it is of.
    """

    name: str
    config: Config
    engine: Streaming
    heads: Mapping[str, Head]
    gate: Gate
    files: Mapping[str, str] = field(default_factory=dict)

    def others(self, files: Mapping[str, str]) -> Iterator[str]:
        """Names of the files that are not those of another time; what was not told then is not."""
        return (name for name, now in self.files.items() if files.get(name, now) != now)


__all__ = ["Model", "Terms"]
