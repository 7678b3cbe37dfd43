"""Predictions → policy → engine → outcome: money in one call."""

from __future__ import annotations

from mtf.errors import DataError
from mtf.predictions import Predictions
from mtf.trading.bars import Bars
from mtf.trading.contracts import Backtest, Policy
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome


def backtest(
    predictions: Predictions, bars: Bars, policy: Policy, engine: Backtest, broker: Broker
) -> Outcome:
    """Trade what a model said.

    Args:
        predictions: of one symbol.
        bars: of the same symbol; their equity is marked from the first to the last, so cut them to
            the time that is to be measured. With an order latency, ``bars.fine`` may hold finer
            candles to fill in.
        policy: what to hold.
        engine: how it is filled.
        broker: at which terms.

    Raises:
        DataError: bars of another symbol, columns that the policy misses, decisions outside of the
            bars.
    """
    if predictions.symbol != bars.symbol:
        raise DataError(
            f"predictions of {predictions.symbol} and candles of {bars.symbol}", "the same symbol"
        )
    return engine.run(policy.targets(predictions), bars, broker)


__all__ = ["backtest"]
