"""Baselines of classifying heads: class prior, momentum, logistic regression.

They answer ``probs [decision, class]`` from label values ``class``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from mtf.evaluation.baseline import Baseline, Times
from mtf.evaluation.past import clock_histories, past_log_closes
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head

NUM_CLASSES = 3
Probs = Float64[np.ndarray, "decision class"]
Classes = Int[np.ndarray, " decision"]


class ClassPrior(Baseline):
    """The class frequencies of the training part, whatever the market does."""

    name = "class_prior"
    task = "classification"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Count the classes."""
        self.prior = class_frequencies(label.values["class"][label.present])

    def predict(self, world: World, times: Times) -> Arrays:
        """The same probabilities at every time."""
        return {"probs": np.tile(self.prior, (len(times), 1))}


class Momentum(Baseline):
    """Class frequencies by tenth of the past return over the horizon, in units of s√h.

    Sign and size of what the price just did, and what followed in the training part. A past return
    that is not known counts as a bin of its own. Every bin is smoothed by one decision's worth of
    the prior, so an empty bin is the prior.
    """

    name = "momentum"
    task = "classification"
    bins = 10

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Cut the past returns into bins of equal count and count the classes in each."""
        present = label.present
        reach = head.reach(target, times)
        self.steps = max(1, int(np.median(reach)) // world.clock.duration_ms) if len(times) else 1
        past, classes = self._past(world, times[present]), label.values["class"][present]
        known = past[np.isfinite(past)]
        shares = np.arange(1, self.bins) / self.bins
        self.edges = np.unique(np.quantile(known, shares)) if len(known) else np.empty(0)
        prior = class_frequencies(classes)
        counts = np.tile(prior, (len(self.edges) + 2, 1))
        np.add.at(counts, (self._bin(past), classes), 1.0)
        self.table = counts / counts.sum(axis=1, keepdims=True)

    def predict(self, world: World, times: Times) -> Arrays:
        """The frequencies of the bin that the past return falls in."""
        return {"probs": self.table[self._bin(self._past(world, times))]}

    def _past(self, world: World, times: Times) -> Float64[np.ndarray, " decision"]:
        closes = past_log_closes(
            world.clock_candles, world.clock_latency_ms, times, (0, self.steps)
        )
        scale = world.label_volatility(times) * np.sqrt(self.steps)
        return np.asarray((closes[:, 0] - closes[:, 1]) / scale)

    def _bin(self, past: Float64[np.ndarray, " decision"]) -> Classes:
        unknown = len(self.edges) + 1
        return np.where(np.isfinite(past), np.searchsorted(self.edges, past), unknown)


class Logistic(Baseline):
    """Logistic regression on past returns of the primary and of the references.

    Features in units of s: the last 20 log returns of the clock's timeframe, and those over 5, 15,
    60 and 240 candles (further divided by the root of their length); for the primary and for every
    reference stream at the clock's timeframe. Standardised on the training part; what is not known
    is 0 with a flag of its own. Fitted on at most 100,000 decisions, evenly spread.
    """

    name = "logistic"
    task = "classification"
    returns = 20
    spans = (5, 15, 60, 240)
    most_rows = 100_000
    rows_at_once = 50_000

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Standardise and regress; with a single class in the training part: the class prior."""
        chosen = _evenly(np.flatnonzero(label.present), self.most_rows)
        classes = label.values["class"][chosen]
        self.prior = class_frequencies(classes)
        self.model: Any = None
        if len(np.unique(classes)) < 2:
            return
        features = self._features(world, times[chosen])
        known = np.isfinite(features)
        count = np.maximum(known.sum(axis=0), 1)
        self.centre = np.where(known, features, 0.0).sum(axis=0) / count
        deviation = np.where(known, features - self.centre, 0.0)
        spread = np.sqrt(np.square(deviation).sum(axis=0) / count)
        self.scale = np.where(spread > 0, spread, 1.0)
        self.model = _regression().fit(self._standardised(features), classes)

    def predict(self, world: World, times: Times) -> Arrays:
        """Probabilities of the regression; a class that never came in training gets none."""
        probs = np.tile(self.prior, (len(times), 1))
        for start in range(0, len(times) if self.model is not None else 0, self.rows_at_once):
            piece = slice(start, start + self.rows_at_once)
            rows = self._standardised(self._features(world, times[piece]))
            probs[piece][:, self.model.classes_] = self.model.predict_proba(rows)
        return {"probs": probs}

    def _features(self, world: World, times: Times) -> Float64[np.ndarray, "decision feature"]:
        s = world.label_volatility(times)[:, None]
        parts = [self._returns(*history, times) / s for history in clock_histories(world)]
        return np.concatenate(parts, axis=1)

    def _returns(
        self, candles: Any, latency_ms: int, times: Times
    ) -> Float64[np.ndarray, "decision feature"]:
        lags = [*range(self.returns + 1), *(span for span in self.spans if span > self.returns)]
        closes = past_log_closes(candles, latency_ms, times, lags)
        single = closes[:, : self.returns] - closes[:, 1 : self.returns + 1]
        ends = [lags.index(span) for span in self.spans]
        summed = (closes[:, :1] - closes[:, ends]) / np.sqrt(self.spans)
        return np.concatenate([single, summed], axis=1)

    def _standardised(
        self, features: Float64[np.ndarray, "decision feature"]
    ) -> Float64[np.ndarray, "decision column"]:
        known = np.isfinite(features)
        scaled = np.where(known, (features - self.centre) / self.scale, 0.0)
        return np.concatenate([scaled, ~known], axis=1)


def class_frequencies(classes: Classes) -> Float64[np.ndarray, " class"]:
    """Share of each class; equal shares where there is nothing to count."""
    counts = np.bincount(classes, minlength=NUM_CLASSES).astype(np.float64)
    if not counts.sum():
        return np.full(NUM_CLASSES, 1.0 / NUM_CLASSES)
    return np.asarray(counts / counts.sum())


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)])


def _regression() -> Any:
    """An unfitted regression; imported here because scikit-learn takes a second to load."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)
