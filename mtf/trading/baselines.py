"""Whom a strategy must beat: buy and hold, the same trades at random times, momentum's sign.

Each is a sequence of target positions that the same engine fills at the same costs. ``paired``
compares two outcomes day by day, ``against_random`` one with many that traded at random times.
Knows nothing of what a model said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.timeframe import Timeframe
from mtf.trading import ratios
from mtf.trading.bars import Bars
from mtf.trading.metrics import bars_per_year, total_return
from mtf.trading.outcome import Outcome
from mtf.trading.periods import FEWEST_DAYS
from mtf.trading.resamples import Difference, compared, resampled_sums
from mtf.trading.targets import Targets

DAY = Timeframe.parse("1d")
CLOSE = 3
Times = Int64[np.ndarray, " decision"]
Returns = Float64[np.ndarray, " period"]


@dataclass(frozen=True)
class Paired:
    """A strategy against a baseline.

    Attributes:
        mean: difference of the mean net returns of a period, as a fraction.
        sharpe: difference of the Sharpe ratios of the periods' returns, annualised.
        over: what a period is: ``days``, or ``bars`` where they share fewer than 20 days.
        count: number of periods.
    """

    mean: Difference
    sharpe: Difference
    over: str
    count: int


@dataclass(frozen=True)
class AgainstRandom:
    """A strategy against the same trades at random times.

    Attributes:
        num: how many random ones.
        median: of their total net returns; NaN without any.
        p_better: share of all, the strategy among them, that earned at least as much; NaN without.
    """

    num: int
    median: float
    p_better: float


def buy_and_hold(times: Times) -> Targets:
    """All in at the first decision, and never again a trade.

    Args:
        times: of the decisions in ms.
    """
    weight = np.full(len(times), np.nan)
    weight[:1] = 1.0
    return Targets.plain(times, weight)


def momentum_rule(times: Times, bars: Bars, lookback: int, lowest: float = -1.0) -> Targets:
    """Long where the price has risen over the last bars, ``lowest`` where it has fallen.

    Reads closed bars only. Flat where the past move is 0 or not known (a gap, the beginning).

    Args:
        times: of the decisions in ms.
        bars: that closed by then are read, later ones are not.
        lookback: how many bars back the close is compared with; at least 1.
        lowest: weight after a fall: -1 short, 0 out of the market.
    """
    last = np.searchsorted(bars.close_time, times, side="right") - 1
    close = np.where(bars.valid, bars.ohlc[:, CLOSE], np.nan)
    known = last >= lookback
    move = np.zeros(len(times))
    move[known] = np.nan_to_num(close[last[known]] - close[last[known] - lookback])
    return Targets.plain(times, np.where(move < 0, lowest, np.sign(move)))


def random_entries(targets: Targets, seed: int = 0) -> Targets:
    """The same targets at other times: the whole sequence turned around by a random distance.

    What was wanted late comes first, behind it what was wanted early. So weights, holding times,
    turnover and exposure are those of the strategy to the last one (but for the seam, and for stops
    that meet other prices), and only the moments are arbitrary. The distance is at least a tenth of
    the sequence either way, where there are as many decisions.
    """
    count = len(targets)
    if count < 2:
        return targets
    least = max(1, count // 10)
    distance = int(np.random.default_rng(seed).integers(least, count - least + 1))
    return _turned(targets, distance)


def random_draws(targets: Targets, num: int, seed: int = 0) -> Iterator[Targets]:
    """Several random sequences of targets, each with a distance of its own draw."""
    for child in np.random.SeedSequence(seed).generate_state(num):
        yield random_entries(targets, int(child))


def paired(outcome: Outcome, baseline: Outcome, resamples: int = 1000, seed: int = 0) -> Paired:
    """Test whether a strategy earns more than a baseline, both on the same resampled days.

    A circular block bootstrap over the days that both have (below 20 of them over the bars that
    both have) of the differences, centred on the observed one (``resamples.compared``).

    Args:
        outcome: of the strategy.
        baseline: on the same bars.
        resamples: of the bootstrap.
        seed: of the draws.
    """
    over, frame, ours, theirs = _shared(outcome, baseline)
    columns = np.stack([ours, ours**2, theirs, theirs**2], axis=1)
    drawn = [np.zeros((0, 4)), *resampled_sums(columns, resamples, seed=seed)]
    apart = _apart(columns.sum(axis=0, keepdims=True), len(ours), frame)[:, 0]
    chance = _apart(np.concatenate(drawn), len(ours), frame)
    mean, sharpe = (compared(float(apart[k]), chance[k], len(ours)) for k in range(2))
    return Paired(mean, sharpe, over, len(ours))


def against_random(outcome: Outcome, draws: Sequence[Outcome]) -> AgainstRandom:
    """How rarely random moments earn as much: p = (1 + as good ones) / (1 + all).

    Args:
        outcome: of the strategy.
        draws: of its targets at random times (``random_draws``), traded alike.
    """
    if not draws:
        return AgainstRandom(0, np.nan, np.nan)
    own = total_return(outcome.equity, outcome.capital)
    others = np.array([total_return(one.equity, one.capital) for one in draws])
    as_good = int((~(others < own)).sum())  # what is unknown is as good
    return AgainstRandom(len(draws), float(np.median(others)), (1 + as_good) / (1 + len(draws)))


def _turned(targets: Targets, distance: int) -> Targets:
    """Rows from ``distance`` on first; the position that was held there is wanted at once."""
    fields = ("weight", "confidence", "stop_loss", "take_profit")
    columns = {name: np.roll(getattr(targets, name), -distance) for name in fields}
    seam = len(targets) - distance
    if np.isnan(columns["weight"][seam]):  # the strategy began flat
        columns["weight"][seam] = 0.0
    said = np.flatnonzero(~np.isnan(targets.weight[: distance + 1]))
    held = int(said[-1]) if len(said) else None
    for name, column in columns.items():
        if held is not None and np.isnan(targets.weight[distance]):
            column[0] = getattr(targets, name)[held]
    return replace(targets, **columns)


def _shared(outcome: Outcome, baseline: Outcome) -> tuple[str, Timeframe, Returns, Returns]:
    """Net returns of both on the days, or bars, that both have."""
    own, other = outcome.daily(), baseline.daily()
    over, frame = "days", DAY
    if len(np.intersect1d(own[0], other[0])) < FEWEST_DAYS:
        own = outcome.close_time, outcome.returns
        other = baseline.close_time, baseline.returns
        over, frame = "bars", outcome.timeframe
    _, ours, theirs = np.intersect1d(own[0], other[0], assume_unique=True, return_indices=True)
    return over, frame, own[1][ours], other[1][theirs]


def _apart(
    sums: Float64[np.ndarray, "resample 4"], count: int, frame: Timeframe
) -> Float64[np.ndarray, "2 resample"]:
    """Differences of the mean and of the annualised Sharpe ratio of each resample.

    Args:
        sums: of the returns and of their squares, ours and theirs.
        count: periods.
        frame: length of a period.
    """
    ours, our_squares, theirs, their_squares = sums.T
    size, per_year = np.float64(count), bars_per_year(frame)
    mean = ratios.ratio(ours - theirs, size)
    ratio = ratios.sharpe(size, ours, our_squares, per_year)
    return np.stack([mean, ratio - ratios.sharpe(size, theirs, their_squares, per_year)])


__all__ = [
    "AgainstRandom",
    "Paired",
    "against_random",
    "buy_and_hold",
    "momentum_rule",
    "paired",
    "random_draws",
    "random_entries",
]
