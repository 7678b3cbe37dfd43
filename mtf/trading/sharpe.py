"""Whether a Sharpe ratio is more than luck: in short records, skewed returns, and of many trials.

Ratios here are of one observation (a day), never annualised: the formulas count observations. Their
standard deviation has ddof 0, so that the ratio times √(n - 1) is exactly Student's t. Skew and
kurtosis are those of the population as the record estimates them, without the bias that makes short
records look tamer (as pandas has them); kurtosis is Pearson's, 3 for a normal distribution.

What they do not know: dependence between days (positive autocorrelation makes them too kind; the
block bootstrap of ``metrics`` sees it), and trials that nobody counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtr, ndtri

STILL = 1e-12
"""Variance below this share of the mean square is rounding: returns that do not move."""

Returns = Float64[np.ndarray, " day"]
Trials = Float64[np.ndarray, "trial day"]


@dataclass(frozen=True)
class Moments:
    """Of a record of returns.

    Attributes:
        count: observations.
        sharpe: mean over standard deviation (ddof 0); NaN where nothing moves.
        skew: third standardised moment without bias (G1); NaN alike, and below four observations.
        kurtosis: fourth one without bias (G2 + 3): 3 for a normal distribution.
    """

    count: int
    sharpe: float
    skew: float
    kurtosis: float

    @property
    def variance_factor(self) -> float:
        """1 - skew·SR + (kurtosis - 1)/4·SR²: (n - 1) times the variance of the ratio.

        1 + SR²/2 for normal returns. A handful of extreme ones can make it negative: NaN.
        """
        factor = 1 - self.skew * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2
        return factor if factor > 0 else np.nan


@dataclass(frozen=True)
class DeflatedSharpe:
    """A Sharpe ratio beside what luck gives the best of as many trials. Ratios are of a day.

    Attributes:
        value: deflated Sharpe ratio: probability that the true ratio is above ``expected_maximum``.
        probabilistic: that it is above 0: as if this had been the only trial.
        sharpe: the ratio itself.
        expected_maximum: of the best of so many trials without any skill.
        num_trials: how many were tried.
        effective_trials: how many independent ones they are worth.
    """

    value: float
    probabilistic: float
    sharpe: float
    expected_maximum: float
    num_trials: int
    effective_trials: float


def moments(returns: Returns) -> Moments:
    """The moments that the formulas need."""
    count = len(returns)
    if count < 2:
        return Moments(count, np.nan, np.nan, np.nan)
    mean = float(returns.mean())
    around = returns - mean
    variance = float((around**2).mean())
    if not variance > STILL * float((returns**2).mean()):
        return Moments(count, np.nan, np.nan, np.nan)
    unit = around / math.sqrt(variance)
    return Moments(count, mean / math.sqrt(variance), *_higher(unit))


def probabilistic_sharpe_ratio(returns: Returns, benchmark: float = 0.0) -> float:
    """Probability that the true ratio is above the benchmark, in [0, 1]; NaN where undefined.

    Φ((SR - SR*)·√(n - 1) / √(1 - skew·SR + (kurtosis - 1)/4·SR²)), Bailey & López de Prado (2012),
    after Mertens (2002).

    Args:
        returns: net returns, one an observation.
        benchmark: SR*, of one observation.
    """
    found = moments(returns)
    errors = (found.sharpe - benchmark) * math.sqrt(max(found.count - 1, 0))
    return float(ndtr(errors / math.sqrt(found.variance_factor)))


def minimum_track_record_length(
    returns: Returns, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Observations that a ratio like this one needs to be above the benchmark with confidence.

    1 + (1 - skew·SR + (kurtosis - 1)/4·SR²)·(Φ⁻¹(confidence) / (SR - SR*))², rounded up (Bailey &
    López de Prado, 2012). Infinite where the ratio is not above the benchmark; NaN where undefined.
    """
    found = moments(returns)
    if not np.isfinite(found.variance_factor):
        return np.nan
    if found.sharpe <= benchmark:
        return math.inf
    needed = float(ndtri(confidence)) / (found.sharpe - benchmark)
    return 1.0 + math.ceil(found.variance_factor * needed**2)


def expected_maximum_sharpe(num_trials: float, variance: float) -> float:
    """What luck gives the best of some independent trials without skill.

    √V·((1 - γ)·Φ⁻¹(1 - 1/N) + γ·Φ⁻¹(1 - 1/(N·e))), γ = 0.5772…, Bailey & López de Prado (2014).
    The formula is below 0 for N < 1.3 (N may be no whole number here): luck never counts against
    the trials, so it is 0 there, as it is for one trial.

    Args:
        num_trials: N, how many independent ones.
        variance: V, of the ratio over trials without skill.
    """
    if num_trials <= 1:
        return 0.0
    first, second = ndtri(1 - 1 / num_trials), ndtri(1 - 1 / (num_trials * math.e))
    standard = (1 - np.euler_gamma) * first + np.euler_gamma * second
    return max(0.0, math.sqrt(variance) * float(standard))


def deflated_sharpe_ratio(returns: Returns, num_trials: float, variance: float) -> float:
    """Probabilistic Sharpe ratio against what luck gives the best of all trials, in [0, 1].

    Bailey & López de Prado (2014). NaN where the ratio is undefined.

    Args:
        returns: net returns of the trial that was chosen.
        num_trials: how many independent ones it was chosen from, itself among them.
        variance: of the ratio over the trials; see ``expected_maximum_sharpe``.
    """
    return probabilistic_sharpe_ratio(returns, expected_maximum_sharpe(num_trials, variance))


def deflated(returns: Returns, trials: Trials, num_trials: int | None = None) -> DeflatedSharpe:
    """Deflate a Sharpe ratio by the trials that it was chosen from.

    Trials that were counted, but not on these days, are taken to be as much alike as the others.
    The variance is that of the ratios of the trials, but at least 1/(n - 1), the one of a ratio of
    n days without skill: trials that happened to agree do not make luck smaller than it is.

    Args:
        returns: of the trial that was chosen.
        trials: of all trials on the same days, itself among them; those without moves do not count
            for the variance.
        num_trials: how many were tried altogether; None: as many as are given.
    """
    total = max(len(trials) if num_trials is None else num_trials, 1)
    share = effective_trials(trials) / max(len(trials), 1)
    worth = max(1.0, share * total) if len(trials) else float(total)
    ratios = np.array([moments(trial).sharpe for trial in trials])
    ratios = ratios[np.isfinite(ratios)]
    least = 1 / max(len(returns) - 1, 1)
    variance = max(float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0, least)
    return DeflatedSharpe(
        deflated_sharpe_ratio(returns, worth, variance),
        probabilistic_sharpe_ratio(returns),
        moments(returns).sharpe,
        expected_maximum_sharpe(worth, variance),
        total,
        worth,
    )


def participation_ratio(trials: Trials) -> float:
    """(Σλ)² / Σλ² of the eigenvalues λ of the trials' correlation matrix, = N² / Σ r².

    N for N trials that have nothing in common, 1 for N copies of one. Trials that do not move have
    no correlation and are left out; 0 where none is left.
    """
    correlation = _correlation(trials)
    return len(correlation) ** 2 / float((correlation**2).sum()) if len(correlation) else 0.0


def effective_trials(trials: Trials) -> float:
    """The participation ratio without the correlation that short records have by chance.

    n days of two trials with nothing in common have a squared correlation of 1/(n - 1) on average:
    two hundred of them on ninety days would pass for sixty. So r² is replaced by r² - (1 - r²)/(n -
    2), which is 0 on average where there is none (the adjusted r²; its sum is kept at 0 or more).
    Never below the participation ratio; 0 where no trial moves.
    """
    correlation, days = _correlation(trials), trials.shape[1]
    count = len(correlation)
    if count == 0 or days < 3:
        return float(count)
    squares = float((correlation**2).sum()) - count
    pairs = count * (count - 1)
    shared = squares - (pairs - squares) / (days - 2)
    return float(count**2 / (count + max(shared, 0.0)))


def _correlation(trials: Trials) -> Float64[np.ndarray, "moving moving"]:
    """Between trials that move."""
    around = trials - trials.mean(axis=1, keepdims=True) if trials.size else trials
    squares = (around**2).sum(axis=1)
    moving = squares > STILL * (trials**2).sum(axis=1)
    unit = around[moving] / np.sqrt(squares[moving])[:, None]
    return np.asarray(unit @ unit.T)


def _higher(unit: Returns) -> tuple[float, float]:
    """Skew and kurtosis without bias, from standardised returns."""
    n = len(unit)
    if n < 4:
        return np.nan, np.nan
    skew, excess = float((unit**3).mean()), float((unit**4).mean()) - 3
    wider = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6)
    return skew * math.sqrt(n * (n - 1)) / (n - 2), 3 + wider


__all__ = [
    "DeflatedSharpe",
    "Moments",
    "deflated",
    "deflated_sharpe_ratio",
    "effective_trials",
    "expected_maximum_sharpe",
    "minimum_track_record_length",
    "moments",
    "participation_ratio",
    "probabilistic_sharpe_ratio",
]
