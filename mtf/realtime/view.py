"""What a live session looks like at a moment: all that a screen shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mtf.realtime.decision import Decision
from mtf.realtime.events import FeedFault, State


@dataclass(frozen=True)
class StreamLook:
    """One stream of the model.

    Attributes:
        name: such as ``1m`` or ``btc``.
        of: what it is made of, such as ``BTCUSDT 1m``, or ``1m`` where it is derived.
        state: of the candles that it is delivered by.
        since_ms: since when; None = nothing was told yet.
        why: in words; empty = nothing to say.
        closed_ms: when its last candle closed; None = none yet.
        candles: told since the session began, without the history.
        known: its condition at the last decision, such as ``present``, ``late by 2`` or
            ``thin (49 of 600)``; empty = there was none.
    """

    name: str
    of: str
    state: State
    since_ms: int | None
    why: str
    closed_ms: int | None
    candles: int
    known: str


@dataclass(frozen=True)
class AccountLook:
    """The paper account after the last closed candle. Money is in quote currency.

    Attributes:
        equity: cash and position.
        capital: it began with.
        position: signed size in base coin.
        entry_price: mean of what is held; NaN = nothing.
        mark: what is held is worth so much a coin; NaN = nothing is held.
        unrealised: profit of what is held, without costs.
        costs: commission, slippage and funding paid so far.
        num_fills: so far.
        num_trades: round trips so far, one that is open included.
        last_fill: in words; empty = none.
        ordered: weight that is ordered and not filled yet; None = none.
    """

    equity: float
    capital: float
    position: float
    entry_price: float
    mark: float
    unrealised: float
    costs: float
    num_fills: int
    num_trades: int
    last_fill: str
    ordered: float | None


@dataclass(frozen=True)
class View:
    """A session at a moment.

    Attributes:
        run: name of the run.
        symbol: that is traded.
        signals_only: it never has an account.
        account: None = there is none, or none before the first decision.
        now_ms: the exchange's time.
        speed: market seconds a second; 1 = real.
        started_ms: when the session began, or went on; None = it waits for its history.
        next_ms: when the next decision will be made; None = it waits for its history.
        offset_ms: what the exchange's clock is ahead of ours.
        streams: in the order of the config.
        decisions: the last ones, oldest first.
        num_decisions: all so far.
        num_missed: closes that were not decided about, all so far.
        faults: how often each kind happened.
        last_faults: the newest, oldest first.
        halted: why no position may be opened now; empty = it may.
        degraded: what is missing and what that means; empty = nothing is.
    """

    run: str
    symbol: str
    signals_only: bool
    account: AccountLook | None
    now_ms: int
    speed: float
    started_ms: int | None
    next_ms: int | None
    offset_ms: int
    streams: tuple[StreamLook, ...]
    decisions: tuple[Decision, ...]
    num_decisions: int
    num_missed: int
    faults: Mapping[str, int]
    last_faults: tuple[FeedFault, ...]
    halted: str
    degraded: str


__all__ = ["AccountLook", "StreamLook", "View"]
