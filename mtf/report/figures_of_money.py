"""Money as figures: equity and drawdown beside the baselines, what is left at which costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float64

from mtf.report.decimate import kept
from mtf.report.figures import (
    Content,
    Estimates,
    HeatMap,
    Interval,
    Line,
    Lines,
    Note,
    Role,
    Section,
    Table,
)
from mtf.report.figures_of_trades import trade_figures
from mtf.report.material import Material
from mtf.report.money import Coverage, Curve, Money
from mtf.report.terminal import SURE, spoken

PERCENT = frozenset(
    {"total_return", "cagr", "max_drawdown", "win_rate", "exposure", "net_return", "volatility"}
)
"""Metrics that are fractions, and shown in percent."""
UNITS = {
    "days": " of trading",
    "max_drawdown_duration": ", days",
    "turnover": " a year",
    "sharpe_ratio": " a year",
    "sortino_ratio": " a year",
}
ENORMOUS = 1e7
"""What a few days come to when they are blown up to a year."""
HOW = "Nothing was traded yet: mtf backtest RUN trades the predictions and measures what is left."


def money_sections(material: Material) -> Iterator[Section]:
    """A section a symbol; one that says how where nothing was traded."""
    if not material.money:
        yield Section("Money", [Note(HOW)])
    for money in material.money:
        yield Section(f"Money: {money.symbol}, {money.part} part", list(_content(money)))


def _content(money: Money) -> Iterator[Content]:
    yield money_table(money)
    yield equity(money)
    yield drawdown(money)
    yield from _left(money)
    yield from trade_figures(money)
    if money.settings:
        rows = [[spoken(name), str(value)] for name, value in money.settings.items()]
        yield Table("How it was traded", ["", ""], rows)


def money_table(money: Money) -> Table:
    """Metrics in rows, the strategy with its intervals and each baseline in columns."""
    strategies = list(money.metrics)
    names = list(dict.fromkeys(name for found in money.metrics.values() for name in found))
    rows = [
        [
            named(name),
            *(amount(name, money.metrics[of].get(name)) for of in strategies),
        ]
        for name in names
    ]
    note = "Net of costs; 95 % intervals in brackets. " + against_words(money)
    return Table("Figures of money", ["", *map(spoken, strategies)], rows, note=note.strip())


def against_words(money: Money) -> str:
    """Whom the strategy beats and loses to, with p."""
    words = [
        f"{'Beats' if one.difference > 0 else 'Loses to'} {spoken(name)} in {one.metric} "
        f"(p={one.p:.2g}{', may be chance' if one.p > SURE else ''})."
        for name, one in money.against.items()
        if math.isfinite(one.difference)
    ]
    return " ".join(words)


def amount(name: str, figure: Interval | None) -> str:
    """``-3.20 % [-4.10, -2.00]``: a figure of money with its interval, fractions in percent."""
    if figure is None:
        return ""
    scale, unit = (100.0, " %") if name in PERCENT else (1.0, "")
    words = count if name.startswith("num_") else plain
    value, low, high = (scale * one for one in (figure.value, figure.low, figure.high))
    told = words(value) + unit if math.isfinite(value) else "-"
    known = math.isfinite(low) and math.isfinite(high)
    return f"{told} [{words(low)}, {words(high)}]" if known else told


def plain(value: float) -> str:
    """``1.23``, ``18,342``, ``2.8e+14``; a dash where undefined."""
    if not math.isfinite(value):
        return "-"
    if abs(value) >= ENORMOUS:
        return f"{value:.1e}"
    return f"{value:z,.0f}" if abs(value) >= 100 else f"{value:z.2f}"


def count(value: float) -> str:
    """``1,204``; a dash where undefined."""
    return f"{value:,.0f}" if math.isfinite(value) else "-"


def named(name: str) -> str:
    """A metric in words, with its unit where that is not told by the figure."""
    return spoken(name) + UNITS.get(name, "")


def equity(money: Money) -> Lines:
    """Equity of the strategy and of every baseline, as a share of what it began with."""
    lines = [
        _thinned(name, curve, curve.equity / money.capital, index)
        for index, (name, curve) in enumerate(money.curves.items())
    ]
    note = "Net of all costs, the last position marked. 1 is the capital to begin with."
    return Lines("Equity", lines, "", "equity / capital", of_time=True, note=note)


def drawdown(money: Money) -> Lines:
    """How far the equity is below the highest that it has been."""
    lines = [
        _thinned(name, curve, -100 * fall(curve.equity, money.capital), index)
        for index, (name, curve) in enumerate(money.curves.items())
    ]
    return Lines("Drawdown", lines, "", "below the peak, %", of_time=True)


def fall(equity: Float64[np.ndarray, " bar"], capital: float) -> Float64[np.ndarray, " bar"]:
    """1 - equity / highest so far, the capital to begin with among them; in [0, 1]."""
    peak = np.maximum(np.maximum.accumulate(equity), capital) if len(equity) else equity
    return np.asarray(1.0 - equity / peak)


def _thinned(name: str, curve: Curve, y: Float64[np.ndarray, " bar"], index: int) -> Line:
    rows = kept(y)
    role: Role = "baseline" if index else "model"
    return Line(spoken(name), curve.time[rows], y[rows], role=role)


def _left(money: Money) -> Iterator[Content]:
    """What is left at other costs, delays and shares of the decisions."""
    if (grid := money.cost_by_delay) is not None:
        yield HeatMap(
            "Net return over cost and delay, %",
            100 * grid.net_return,
            [f"{cost:g} bps" for cost in grid.costs_bps],
            list(grid.delays),
            "cost of a fill",
            "delay of the fill",
            around_zero=True,
            form="+.2f",
            note="The same decisions at other terms; 0 is what doing nothing earns.",
        )
    if money.coverage is not None:
        yield coverage_figure(money.coverage)
    yield from _intervals(money.metrics)


def coverage_figure(found: Coverage) -> Lines:
    """Net return where only the most confident decisions are traded."""
    told = [f"{trades:,} trades" for trades in found.num_trades]
    x, y, low, high = (100 * one for one in (found.share, found.net_return, found.low, found.high))
    line = Line("model", x, y, low, high, style="both", told=told)
    note = "At the right every decision is traded, further left only the more confident ones."
    if found.in_hindsight:
        note += (
            " How sure is sure was chosen in hindsight, on this very part: no one could trade it."
        )
    return Lines(
        "Net return of confident decisions alone",
        [line],
        "decisions traded, %",
        "net return, %",
        note=note,
    )


def _intervals(metrics: Mapping[str, Mapping[str, Interval]]) -> Iterator[Estimates]:
    """Sharpe ratios with intervals, a bar a strategy."""
    name = "sharpe_ratio"
    found = {spoken(of): figures[name] for of, figures in metrics.items() if name in figures}
    if found:
        yield Estimates("Sharpe ratio", found, "annualised", with_zero=True)


__all__ = ["amount", "drawdown", "equity", "fall", "money_sections", "money_table", "named"]
