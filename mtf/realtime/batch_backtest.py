"""The backtest of a session: its decisions, or what research says, traded on its candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from mtf.config.build import build
from mtf.config.schema import Config
from mtf.evaluation.traded import backtest_of, bars_of, broker_of
from mtf.market.candles import Candles
from mtf.predictions import Predictions
from mtf.realtime.decision import Decision
from mtf.realtime.events import Key
from mtf.realtime.session_candles import Given
from mtf.trading.bars import Bars
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.run import backtest
from mtf.trading.targets import Targets

Funding = Mapping[int, float]
"""Rates by the time (ms) that they are stamped with."""


def session_broker(config: Config, decision_delay_ms: int) -> Broker:
    """The run's terms of trade, where a decision is made some time after its candle has closed.

    Raises:
        ConfigError: the run has no backtest.
    """
    return broker_of(_delayed(config, decision_delay_ms))


def session_bars(
    config: Config,
    candles: Mapping[Key, Candles],
    start_ms: int,
    end_ms: int,
    *,
    decision_delay_ms: int,
    funding: Funding = MappingProxyType({}),
    symbol: str | None = None,
) -> Bars:
    """What a session traded on: every slot of the clock in ``[start_ms, end_ms)``, there or not.

    Where an order is late, the finest delivered stream of the symbol lies beside them, as in every
    backtest.

    Raises:
        DataError: candles of the symbol are not among those given.
    """
    late = _delayed(config, decision_delay_ms)
    late = late.model_copy(update={"costs": late.costs.model_copy(update={"funding": "none"})})
    bars = bars_of(late, Given(candles), symbol or config.symbol, start_ms, end_ms)
    times = np.array(sorted(t for t in funding if start_ms <= t < bars.end_ms), np.int64)
    rates = np.array([funding[time] for time in times.tolist()], np.float64)
    return replace(bars, funding_time=times, funding_rate=rates)


def session_backtest(
    config: Config, said: Predictions | Sequence[Decision], bars: Bars, broker: Broker
) -> Outcome:
    """Trade a session as research does, from a flat account on.

    Args:
        config: of the run, with a backtest.
        said: predictions, which the run's policy reads, or decisions, whose ``weight`` is ordered.
        bars: of the session (``session_bars``).
        broker: its terms (``session_broker``).

    Raises:
        ConfigError: the run has no backtest.
        DataError: decisions outside of the bars, or predictions that the policy can't read.
    """
    spec = backtest_of(config)
    engine = build("backtest", spec)
    if isinstance(said, Predictions):
        return backtest(said, bars, build("policy", spec.policy), engine, broker)
    outcome: Outcome = engine.run(targets_of(said), bars, broker)
    return outcome


def targets_of(decisions: Sequence[Decision]) -> Targets:
    """What decisions order, in the order of time."""
    times = np.array([one.time_ms for one in decisions], np.int64)
    rows = [(one.weight, one.confidence, one.stop_loss, one.take_profit) for one in decisions]
    figures = np.array(rows, np.float64).reshape(-1, 4)
    return Targets(times, *np.ascontiguousarray(figures.T))


def _delayed(config: Config, decision_delay_ms: int) -> Config:
    """The config with orders that are on their way for longer."""
    latency = config.costs.order_latency_ms + decision_delay_ms
    costs = config.costs.model_copy(update={"order_latency_ms": latency})
    return config.model_copy(update={"costs": costs})


__all__ = ["session_backtest", "session_bars", "session_broker", "targets_of"]
