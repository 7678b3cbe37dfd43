"""What is left after costs: the same targets at other costs, later, and only where confident.

A strategy that needs free and instant fills shows it in the first grid, one that is right only when
it is sure in the second. Everything is traded again by the engine; nothing is scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from mtf.trading.bars import Bars
from mtf.trading.contracts import Backtest
from mtf.trading.costs import Broker
from mtf.trading.metrics import cagr, sharpe_ratio, total_return
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

COMMISSIONS_BPS = (0.0, 2.0, 5.5, 10.0)
"""Of every side of a trade."""
DELAYS = (0, 1, 2, 5)
"""Of every order, in clock steps."""
COVERAGES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True)
class Net:
    """What is left of one run.

    Attributes:
        total_return: net, as a fraction.
        cagr: the same as growth a year.
        sharpe_ratio: annualised; NaN where nothing was traded.
        num_trades: round trips.
    """

    total_return: float
    cagr: float
    sharpe_ratio: float
    num_trades: int

    @classmethod
    def of(cls, outcome: Outcome) -> Net:
        """Of an outcome."""
        equity, capital, frame = outcome.equity, outcome.capital, outcome.timeframe
        return cls(
            total_return(equity, capital),
            cagr(equity, capital, frame),
            sharpe_ratio(outcome.returns, frame),
            len(outcome.trades),
        )


@dataclass(frozen=True)
class AtCost:
    """One cell of the grid of cost and delay.

    Attributes:
        commission_bps: of every fill, taking or giving.
        delay: of every order beyond the broker's own latency, in clock steps.
        net: what is left.
    """

    commission_bps: float
    delay: int
    net: Net


@dataclass(frozen=True)
class AtCoverage:
    """What is left where only the most confident decisions are traded.

    Attributes:
        coverage: share of the decisions to enter that was meant, in (0, 1].
        threshold: smallest confidence that is traded; -inf at a coverage of 1.
        traded: share of the decisions to enter that came to pass.
        in_hindsight: whether the threshold was chosen knowing the confidences of this very part,
            later ones too: nobody could have traded that.
        net: what is left.
    """

    coverage: float
    threshold: float
    traded: float
    in_hindsight: bool
    net: Net


def by_cost_and_delay(
    targets: Targets,
    bars: Bars,
    engine: Backtest,
    broker: Broker,
    *,
    commissions_bps: Sequence[float] = COMMISSIONS_BPS,
    delays: Sequence[int] = DELAYS,
    clock_ms: int | None = None,
) -> list[AtCost]:
    """Trade the same targets at every commission with every delay, row by row of the grid.

    Slippage, funding and the rest of the terms stay the broker's. One commission is asked of all
    fills: no part of the gain comes from a maker's rebate.

    Args:
        targets: of the strategy.
        bars: to trade on.
        engine: that fills.
        broker: whose commission and latency are replaced.
        commissions_bps: fractions of the value of a fill, in 1/10,000.
        delays: whole clock steps that an order takes longer.
        clock_ms: length of a clock step; None: of a bar.
    """
    step = bars.timeframe.duration_ms if clock_ms is None else clock_ms
    return [
        AtCost(bps, delay, Net.of(engine.run(targets, bars, _terms(broker, bps, delay * step))))
        for bps in commissions_bps
        for delay in delays
    ]


def by_coverage(
    targets: Targets,
    bars: Bars,
    engine: Backtest,
    broker: Broker,
    *,
    fixed_on: Targets | None = None,
    coverages: Sequence[float] = COVERAGES,
) -> list[AtCoverage]:
    """Trade only decisions whose confidence is among the highest, at several shares of them.

    A decision below the threshold wants no position instead of its own; one that wants none, or
    leaves things as they are, stays. Nothing else of the policy (a cooldown after an entry that is
    now left out) is decided anew. Without a confidence there is nothing to choose by: no entries.

    Args:
        targets: of the strategy.
        bars: to trade on.
        engine: that fills.
        broker: its terms.
        fixed_on: targets of the same policy on an earlier part (validation, calibration), where
            the thresholds are read; None: on the targets themselves, in hindsight.
        coverages: shares in (0, 1].
    """
    known = _confidences(targets if fixed_on is None else fixed_on)
    if not len(known) or not len(_confidences(targets)):
        return []
    found = []
    for coverage in coverages:
        threshold = float(np.quantile(known, 1 - coverage)) if coverage < 1 else -np.inf
        kept, share = confident(targets, threshold)
        net = Net.of(engine.run(kept, bars, broker))
        found.append(AtCoverage(coverage, threshold, share, fixed_on is None, net))
    return found


def confident(targets: Targets, threshold: float) -> tuple[Targets, float]:
    """The targets without entries below a confidence, and the share of entries that is left.

    Args:
        targets: of a strategy.
        threshold: decisions to enter need at least this confidence; unknown is too little, unless
            the threshold is -inf.
    """
    enters = _enters(targets)
    sure = (targets.confidence >= threshold) | (threshold == -np.inf)
    left = replace(targets, weight=np.where(enters & ~sure, 0.0, targets.weight))
    return left, float((enters & sure).sum() / max(int(enters.sum()), 1))


def _terms(broker: Broker, commission_bps: float, later_ms: int) -> Broker:
    return replace(
        broker,
        commission=commission_bps * 1e-4,
        maker_commission=None,
        order_latency_ms=broker.order_latency_ms + later_ms,
    )


def _enters(targets: Targets) -> Bool[np.ndarray, " decision"]:
    """Decisions that want a position."""
    return np.asarray(np.isfinite(targets.weight) & (targets.weight != 0))


def _confidences(targets: Targets) -> Float64[np.ndarray, " known"]:
    """Of the decisions that want a position."""
    found = targets.confidence[_enters(targets)]
    return np.asarray(found[np.isfinite(found)])


__all__ = [
    "AtCost",
    "AtCoverage",
    "Net",
    "by_cost_and_delay",
    "by_coverage",
    "confident",
]
