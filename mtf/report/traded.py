"""What a backtest found, in lines for the terminal and as the value that the report draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mtf.config.schema import Config
from mtf.evaluation.standing import Standing
from mtf.evaluation.traded import HOLD, RANDOM, STRATEGY, Traded, terms_of
from mtf.market.times import duration_name
from mtf.report.degraded import aligned
from mtf.report.money import Against, CostByDelay, Coverage, Money
from mtf.report.terminal import number, spoken
from mtf.trading.after_costs import AtCost, AtCoverage
from mtf.trading.metrics import Figure
from mtf.trading.verdict import verdict

SHOWN = ("total_return", "sharpe_ratio", "max_drawdown", "exposure", "num_trades", "commission")
"""Figures of every strategy on the terminal."""


def traded_lines(
    traded: Sequence[Traded], standing: Standing, short: bool = False
) -> Iterator[str]:
    """The verdict of every symbol, the figures beside the baselines, the standing among trials.

    Args:
        traded: symbol by symbol; none where nothing was traded.
        standing: of the trial.
        short: without the figures, which the report has.
    """
    if traded:
        yield sentence(traded, standing)
    for one in () if short else traded:
        yield f"{one.bars.symbol}, {len(one.bars):,} candles of {one.bars.timeframe}:"
        yield from aligned([["", *map(spoken, SHOWN)], *_rows(one)])
        yield from _grid_lines(one.grid)
    yield f"trials: {standing.text()}"


def sentence(traded: Sequence[Traded], standing: Standing) -> str:
    """Whether anything is left after costs; of several symbols each by itself."""
    said = [_verdict(one, standing) for one in traded]
    if len(said) == 1:
        return said[0]
    return " ".join(f"{one.bars.symbol}: {text}" for one, text in zip(traded, said, strict=True))


def money_of(config: Config, traded: Traded, part: str) -> Money:
    """What was traded as the report draws it.

    Args:
        config: that it was traded with.
        traded: one symbol.
        part: of the data.
    """
    against = {name: Against.of(one) for name, one in traded.against.items() if name != RANDOM}
    random = traded.against_random
    if random.num:
        apart = traded.metrics[STRATEGY]["total_return"].value - random.median
        told = f"total return against the median of {random.num} at random times"
        against[RANDOM] = Against(apart, random.p_better, told)
    clock_ms = config.decisions.clock.duration_ms
    return Money.of(
        traded.outcomes,
        traded.bars,
        traded.metrics,
        part,
        against=against,
        cost_by_delay=_grid(traded.grid, clock_ms),
        coverage=_coverage(traded.coverage),
        settings=_settings(config),
    )


def _verdict(traded: Traded, standing: Standing) -> str:
    return verdict(
        traded.metrics[STRATEGY],
        buy_and_hold=traded.metrics[HOLD],
        against_hold=traded.against[HOLD],
        against_random=traded.against_random,
        deflated=standing.sharpe,
    )


def _rows(traded: Traded) -> Iterator[list[str]]:
    for name, found in traded.metrics.items():
        yield [spoken(name), *(_shown(found, key) for key in SHOWN)]


def _shown(found: Mapping[str, Figure], key: str) -> str:
    one = found.get(key)
    if one is None:
        return ""
    return f"{one.value:,.0f}" if key in ("num_trades", "commission") else number(one.value)


def _grid_lines(grid: Sequence[AtCost]) -> Iterator[str]:
    """Net return by commission, with no delay."""
    at_once = [one for one in grid if one.delay == min(cell.delay for cell in grid)]
    if at_once:
        told = ", ".join(
            f"{number(100 * one.net.total_return)} % at {one.commission_bps:g} bps"
            for one in at_once
        )
        yield f"  net return by commission a side: {told}"


def _grid(grid: Sequence[AtCost], clock_ms: int) -> CostByDelay | None:
    if not grid:
        return None
    costs = list(dict.fromkeys(one.commission_bps for one in grid))
    delays = list(dict.fromkeys(one.delay for one in grid))
    net = np.array([one.net.total_return for one in grid]).reshape(len(costs), len(delays))
    words = ["at once" if not one else duration_name(one * clock_ms) for one in delays]
    return CostByDelay(costs, words, net)


def _coverage(found: Sequence[AtCoverage]) -> Coverage | None:
    if not found:
        return None
    share = np.array([one.traded for one in found])
    net = np.array([one.net.total_return for one in found])
    unknown = np.full(len(found), math.nan)
    trades = [one.net.num_trades for one in found]
    return Coverage(share, net, unknown, unknown, trades, in_hindsight=found[0].in_hindsight)


def _settings(config: Config) -> dict[str, str]:
    """Policy, engine and costs, a line each."""
    terms = terms_of(config)
    backtest = dict(terms["backtest"])
    policy = backtest.pop("policy")
    return {
        "policy": _words(policy),
        "engine": _words(backtest),
        "costs": _words(terms["costs"]),
    }


def _words(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)


__all__ = ["money_of", "sentence", "traded_lines"]
