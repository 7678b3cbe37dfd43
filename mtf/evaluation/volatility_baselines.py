"""Baselines of a head that foretells realised volatility: persistence, EWMA and HAR.

They answer the head's target, log(RV / (s·√h)), from squared log returns of the clock's candles as
known at t; a candle counts from when all before it have arrived. A return across a gap is left out,
and what is left is scaled up. Where too little is known the answer is 0: it stays as s says.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from mtf.evaluation.baseline import Baseline, Times
from mtf.market.candles import CLOSE, Candles
from mtf.market.labels import MIN_SHARE, Label
from mtf.market.scale import compute_scale
from mtf.market.world import VOLATILITY_FLOOR, World
from mtf.plugins.contracts import Arrays, Head

DAY_MS = 86_400_000
Reals = Float64[np.ndarray, " decision"]


@runtime_checkable
class Volatile(Protocol):
    """A head whose target is log(RV / (s·√horizon)) over ``horizon`` clock steps."""

    horizon: int

    def volatility(self, prediction: Reals, label_volatility: Reals) -> Reals:
        """RV from the target and s."""


class _VolatilityBaseline(Baseline):
    """Something that says a volatility a clock step, or at once its logarithm against s."""

    task = "regression"

    def suits(self, head: Head, target: str) -> bool:
        """Only heads that foretell realised volatility."""
        return super().suits(head, target) and isinstance(head, Volatile)

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Keep horizon and target, and learn from the decisions that have a label."""
        assert isinstance(head, Volatile)
        self.target, self.horizon = target, head.horizon
        at = label.present
        self.learn(world, times[at], label.values["target"][at].astype(np.float64))

    def learn(self, world: World, times: Times, happened: Reals) -> None:
        """Learn from the training part; nothing by default."""

    def predict(self, world: World, times: Times) -> Arrays:
        """What is foretold, 0 where too little is known."""
        said = self.log_ratio(world, times)
        return {self.target: np.where(np.isfinite(said), said, 0.0)[:, None]}

    @abstractmethod
    def log_ratio(self, world: World, times: Times) -> Reals:
        """The forecast of log(RV / (s·√h)); NaN where too little is known."""


class Persistence(_VolatilityBaseline):
    """What was realised over the last h clock steps will be realised over the next h."""

    name = "persistence"

    def log_ratio(self, world: World, times: Times) -> Reals:
        """The log of the past volatility against s."""
        return past_log_ratio(world, times, self.horizon)


class Ewma(_VolatilityBaseline):
    """Exponentially weighted squared returns, as RiskMetrics (1996) has them.

    Half-lives from 11 clock steps (λ = 0.94) to 480, and the one with the smallest squared error on
    the training part is taken; its mean error there is taken off, for the log of a mean is not the
    mean of the log.
    """

    name = "ewma"
    half_lives = (11, 30, 60, 120, 240, 480)

    def learn(self, world: World, times: Times, happened: Reals) -> None:
        """Choose the half-life."""
        self.half_life, self.shift, least = self.half_lives[0], 0.0, np.inf
        for half_life in self.half_lives:
            error = happened - self._weighted(world, times, half_life)
            error = error[np.isfinite(error)]
            if len(error) and error.var() < least:
                self.half_life, self.shift, least = half_life, float(error.mean()), error.var()

    def log_ratio(self, world: World, times: Times) -> Reals:
        """The log of the weighted volatility against s, shifted."""
        return self._weighted(world, times, self.half_life) + self.shift

    def _weighted(self, world: World, times: Times, half_life: int) -> Reals:
        sigma = compute_scale(world.clock_candles, half_life).sigma
        row = known_rows(world, times)
        weighted = np.where(row >= 0, sigma[np.maximum(row, 0)] if len(sigma) else np.nan, np.nan)
        return np.asarray(np.log(weighted / world.label_volatility(times)))


class Har(_VolatilityBaseline):
    """Heterogeneous autoregression (Corsi, 2009) in logarithms: short, middle and long memory.

    Least squares of the target on the log volatilities realised over the last h, 5h and 22h clock
    steps (as a day, a week and a month are to daily data) and over the last day, all against s, and
    on log s. Fitted on at most 100,000 decisions of the training part, evenly spread.
    """

    name = "har"
    multiples = (1, 5, 22)
    most_rows = 100_000
    rows_a_coefficient = 10

    def learn(self, world: World, times: Times, happened: Reals) -> None:
        """Regress; with too few decisions: the mean of the training part."""
        day = max(1, DAY_MS // world.clock.duration_ms)
        spans = [multiple * self.horizon for multiple in self.multiples]
        self.spans = [*spans, day] if day not in spans else spans
        every = max(1, -(-len(times) // self.most_rows))
        columns, happened = self._columns(world, times[::every]), happened[::every]
        known = np.isfinite(columns).all(axis=1)
        self.weights = np.zeros(columns.shape[1])
        if known.sum() >= self.rows_a_coefficient * len(self.weights):
            self.weights = np.linalg.lstsq(columns[known], happened[known], rcond=None)[0]
        elif len(happened):
            self.weights[0] = happened.mean()

    def log_ratio(self, world: World, times: Times) -> Reals:
        """The regression."""
        return np.asarray(self._columns(world, times) @ self.weights)

    def _columns(self, world: World, times: Times) -> Float64[np.ndarray, "decision column"]:
        """A one, the past volatilities and log s."""
        past = [past_log_ratio(world, times, span) for span in self.spans]
        return np.stack([np.ones(len(times)), *past, np.log(world.label_volatility(times))], axis=1)


def past_log_ratio(world: World, times: Times, span: int) -> Reals:
    """Log of the volatility a clock step that was realised over the last steps, against s.

    Args:
        world: the market.
        times: decision times in ms.
        span: clock steps; NaN where fewer than half of them brought a return.
    """
    candles = world.clock_candles
    if not len(candles):
        return np.full(len(times), np.nan)
    squares = squared_returns(candles)
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(squares))])
    counts = np.concatenate([[0], np.cumsum(np.isfinite(squares))])
    row = known_rows(world, times)
    end, start = row + 1, np.maximum(row + 1 - span, 0)
    count = counts[end] - counts[start]
    enough = count >= max(1.0, MIN_SHARE * span)
    mean = (sums[end] - sums[start]) / np.maximum(count, 1)
    volatility = np.maximum(np.sqrt(np.maximum(mean, 0.0)), VOLATILITY_FLOOR)
    return np.where(enough, np.log(volatility / world.label_volatility(times)), np.nan)


def squared_returns(candles: Candles) -> Float64[np.ndarray, " slot"]:
    """Squared log return of each slot; NaN where it or the slot before has no candle."""
    squares = np.full(len(candles), np.nan)
    squares[1:] = np.square(np.diff(np.log(candles.ohlcv[:, CLOSE])))
    return squares


def known_rows(world: World, times: Times) -> Int64[np.ndarray, " decision"]:
    """Row of the last clock candle that is known at t with all before it; -1 = none.

    Rows behind the last candle of the history count as the last one.
    """
    candles = world.clock_candles
    row = world.clock.last_slot(times, world.clock_latency_ms) - candles.first_slot
    if candles.available_at is not None:
        arrival = np.maximum.accumulate(np.where(candles.valid, candles.available_at, 0))
        row = np.minimum(row, np.searchsorted(arrival, times, side="right") - 1)
    return np.asarray(np.clip(row, -1, len(candles) - 1), dtype=np.int64)


__all__ = ["Ewma", "Har", "Persistence", "Volatile", "known_rows", "past_log_ratio"]
