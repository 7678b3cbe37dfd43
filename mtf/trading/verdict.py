"""The report's first sentence: whether anything is left after costs.

Something is left only where everything agrees: the net return and the lower end of its interval are
above 0, its Sharpe ratio is better than that of buy and hold, it earns more than the same trades at
random times (p <= 0.05 each), and its Sharpe ratio is above what luck gives the best of all trials
(deflated >= 0.95). Sharpe ratios, because a strategy that is rarely in the market need not earn as
much as one that always is. What was not measured does not speak for the strategy. A record shorter
than a year is told as it is, never blown up to one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mtf.trading.baselines import AgainstRandom, Paired
from mtf.trading.metrics import Figure
from mtf.trading.sharpe import DeflatedSharpe

LEVEL = 0.05
YEAR_DAYS = 365


def verdict(
    metrics: Mapping[str, Figure],
    *,
    buy_and_hold: Mapping[str, Figure] | None = None,
    against_hold: Paired | None = None,
    against_random: AgainstRandom | None = None,
    deflated: DeflatedSharpe | None = None,
) -> str:
    """Say whether anything is left, and what speaks for or against it.

    Args:
        metrics: of the strategy (``trading_metrics``).
        buy_and_hold: the same of buying and holding, on the same bars at the same costs.
        against_hold: the strategy against it, day by day.
        against_random: the strategy against its own trades at random times.
        deflated: its Sharpe ratio beside all trials.
    """
    facts = _facts(metrics, buy_and_hold, deflated)
    if not metrics["num_trades"].value > 0:
        return f"Nothing was traded, so nothing is left after costs: {facts}."
    earned = metrics["total_return"]
    if not earned.value > 0:
        return f"Nothing is left after costs: {facts}."
    doubts = _doubts(earned, against_hold, against_random, deflated)
    if doubts:
        return f"Nothing certain is left after costs: {facts}; {_listed(doubts)}."
    return f"Something is left after costs: {facts}; {_proof(against_hold, against_random)}."


def something_is_left(
    metrics: Mapping[str, Figure],
    *,
    against_hold: Paired | None,
    against_random: AgainstRandom | None,
    deflated: DeflatedSharpe | None,
) -> bool:
    """Whether everything agrees that something is left."""
    earned = metrics["total_return"]
    positive = metrics["num_trades"].value > 0 and earned.value > 0
    return positive and not _doubts(earned, against_hold, against_random, deflated)


def _facts(
    metrics: Mapping[str, Figure],
    buy_and_hold: Mapping[str, Figure] | None,
    deflated: DeflatedSharpe | None,
) -> str:
    a_year = metrics["days"].value >= YEAR_DAYS
    name = "cagr" if a_year else "total_return"
    days = metrics["days"].value
    span = "a year" if a_year else f"in {days:.3g} days"
    own = metrics[name]
    parts = [f"{_percent(own.value)} net {span}{_interval(own)}"]
    if buy_and_hold is not None:
        parts.append(f"buy and hold {_percent(buy_and_hold[name].value)}")
    if deflated is not None and not math.isnan(deflated.value):
        trials = f"{deflated.num_trials} trial{'s' if deflated.num_trials != 1 else ''}"
        # rounded down: 0.949 must not read as the 0.95 that it is not
        parts.append(f"deflated Sharpe {math.floor(100 * deflated.value) / 100:.2f} of {trials}")
    return ", ".join(parts)


def _doubts(
    earned: Figure,
    against_hold: Paired | None,
    against_random: AgainstRandom | None,
    deflated: DeflatedSharpe | None,
) -> list[str]:
    """Everything that does not speak for the strategy."""
    found = []
    if math.isnan(earned.low):
        found.append("too short for an interval")
    elif not earned.low > 0:
        found.append("the interval reaches below 0")
    hold = None if against_hold is None else against_hold.sharpe.p_better
    found += _unbeaten("buy and hold by Sharpe ratio", hold)
    random = None if against_random is None else against_random.p_better
    found += _unbeaten("the same trades at random times", random)
    if deflated is None or math.isnan(deflated.value):
        found.append("no deflated Sharpe ratio")
    elif not deflated.value >= 1 - LEVEL:
        found.append(f"the deflated Sharpe ratio is below {1 - LEVEL:g}")
    return found


def _unbeaten(whom: str, p: float | None) -> list[str]:
    if p is None or math.isnan(p):
        return [f"not compared with {whom}"]
    return [] if p <= LEVEL else [f"not better than {whom} (p = {_p(p)})"]


def _proof(against_hold: Paired | None, against_random: AgainstRandom | None) -> str:
    assert against_hold is not None
    assert against_random is not None
    hold, random = _p(against_hold.sharpe.p_better), _p(against_random.p_better)
    return (
        f"better than buy and hold by Sharpe ratio (p = {hold}) and than the same trades at random "
        f"times (p = {random})"
    )


def _interval(figure: Figure) -> str:
    if math.isnan(figure.low):
        return ""
    return f" (95 % interval {_percent(figure.low)} to {_percent(figure.high)})"


def _percent(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{100 * value:+.1f} %"


def _p(value: float) -> str:
    return f"{value:.2g}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


__all__ = ["something_is_left", "verdict"]
