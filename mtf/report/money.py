"""What trading left, a plain value a symbol: curves, figures with intervals, trades, candles.

Computes no figure of its own, and knows nothing of files (``money_files``) or of drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from mtf.report.figures import Interval
from mtf.trading.bars import Bars
from mtf.trading.baselines import Paired
from mtf.trading.outcome import Outcome


@dataclass(frozen=True)
class Curve:
    """Equity at the close of every bar.

    Attributes:
        time: end of every bar, in ms UTC.
        equity: net of costs, in quote currency.
    """

    time: Int64[np.ndarray, " bar"]
    equity: Float64[np.ndarray, " bar"]


@dataclass(frozen=True)
class CostByDelay:
    """Net return of the same decisions at other costs and delays.

    Attributes:
        costs_bps: of each row: what a fill costs, in basis points of its value.
        delays: of each column, in words: ``0 s``, ``1 min``.
        net_return: over the whole part, as a fraction.
    """

    costs_bps: Sequence[float]
    delays: Sequence[str]
    net_return: Float64[np.ndarray, "cost delay"]


@dataclass(frozen=True)
class Coverage:
    """Net return where only the most confident decisions are traded.

    Attributes:
        share: of the decisions that are traded, in [0, 1].
        net_return: over the whole part, as a fraction.
        low: lower end of its interval; NaN where there is none.
        high: upper end.
        num_trades: round trips.
        in_hindsight: whether what counts as confident was chosen knowing this very part.
    """

    share: Float64[np.ndarray, " level"]
    net_return: Float64[np.ndarray, " level"]
    low: Float64[np.ndarray, " level"]
    high: Float64[np.ndarray, " level"]
    num_trades: Sequence[int] = ()
    in_hindsight: bool = False


@dataclass(frozen=True)
class Against:
    """The strategy against a baseline on the same days.

    Attributes:
        difference: strategy - baseline, in units of ``metric``.
        p: of a difference at least this large if there were none.
        metric: that they are compared on, such as mean net return of days.
    """

    difference: float
    p: float
    metric: str = "mean net return of days"

    @classmethod
    def of(cls, found: Paired) -> Against:
        """From the paired test of mean net returns."""
        return cls(found.mean.value, found.mean.p_two_sided, f"mean net return of {found.over}")


@dataclass(frozen=True)
class Money:
    """One symbol traded on one part of the data. The first strategy everywhere is the model's.

    Attributes:
        symbol: that was traded.
        part: of the data.
        capital: to begin with, in quote currency.
        curves: equity by strategy.
        metrics: of each strategy, by name as in ``mtf.trading``.
        against: paired tests by baseline.
        trades: the model's round trips, as ``Outcome.trades`` has them.
        time: when each bar opens, in ms UTC.
        ohlc: of each bar; NaN where there is no candle.
        cost_by_delay: what is left at other costs and delays.
        coverage: what is left of confident decisions alone.
        settings: policy, engine and costs, in words.
    """

    symbol: str
    part: str
    capital: float
    curves: Mapping[str, Curve]
    metrics: Mapping[str, Mapping[str, Interval]]
    trades: pd.DataFrame
    time: Int64[np.ndarray, " bar"]
    ohlc: Float64[np.ndarray, "bar 4"]
    against: Mapping[str, Against] = field(default_factory=dict)
    cost_by_delay: CostByDelay | None = None
    coverage: Coverage | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        outcomes: Mapping[str, Outcome],
        bars: Bars,
        metrics: Mapping[str, Mapping[str, Any]],
        part: str = "test",
        **more: Any,
    ) -> Money:
        """From what backtests found.

        Args:
            outcomes: by strategy, the model's first.
            bars: that were traded.
            metrics: by strategy and name, anything with ``value``, ``low`` and ``high``.
            part: of the data.
            more: ``against``, ``cost_by_delay``, ``coverage``, ``settings``.
        """
        model = next(iter(outcomes.values()))
        curves = {name: Curve(one.close_time, one.equity) for name, one in outcomes.items()}
        figures = {
            of: {name: Interval(one.value, one.low, one.high) for name, one in found.items()}
            for of, found in metrics.items()
        }
        traded = model.trades, bars.open_time, bars.ohlc
        return cls(bars.symbol, part, model.capital, curves, figures, *traded, **more)


__all__ = ["Against", "CostByDelay", "Coverage", "Curve", "Money"]
