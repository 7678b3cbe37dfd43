"""Boosted trees (LightGBM) as a baseline of classifying heads: what a network has to beat.

They read what is known at t of every stream, in a handful of hand-made features, and are the
strongest of the baselines on real candles. Parameters are pinned: a baseline that is tuned by
whoever compares himself with it is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int64

from mtf.evaluation.baseline import Baseline, Times
from mtf.evaluation.class_baselines import NUM_CLASSES, class_frequencies
from mtf.evaluation.past import past_log_closes
from mtf.market.candles import CLOSE, HIGH, LOW, VOLUME, Candles
from mtf.market.labels import Label
from mtf.market.stream import Stream
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head

Features = Float32[np.ndarray, "decision feature"]
Columns = Float64[np.ndarray, "decision _"]
Rows = Int64[np.ndarray, " decision"]
SMALLEST = 1e-12
"""Where nothing moved or was traded: the log of this."""


class LightGBM(Baseline):
    """Gradient-boosted trees on past returns, their squares, range and volume of every stream.

    Of each stream, in units of the label volatility s, scaled to the stream's timeframe: the last
    10 log returns; those over 5 to 240 candles, divided by the root of their length; the log of
    the mean squared return over 5 to 240 candles; the range of the last candle; the log of its
    volume to the mean over 60. Beside them the log of s. What is not known at t is NaN, which the
    trees send where it serves best; so is a stream whose candle is late, missing or too old.

    At most 200,000 decisions are learned from, evenly spread. ``params`` and ``trees`` are pinned;
    where the decisions are few a leaf needs a fiftieth of them instead of 1,000.

    Args:
        seed: of the rows and columns that each tree sees.
    """

    name = "lightgbm"
    task = "classification"
    returns = 10
    spans = (5, 10, 15, 30, 60, 120, 240)
    volume_span = 60
    most_rows = 200_000
    rows_at_once = 50_000
    trees = 300
    rows_in_leaf = 1_000
    params: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "objective": "multiclass",
            "num_class": NUM_CLASSES,
            "num_leaves": 63,
            "learning_rate": 0.03,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.5,
            "bagging_freq": 1,
            "deterministic": True,
            "force_col_wise": True,  # deterministic asks for a choice that is not timed
            "num_threads": 1,
            "verbosity": -1,
        }
    )

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Grow the trees; with a single class in the training part: the class prior."""
        chosen = np.flatnonzero(label.present)
        chosen = chosen[:: max(1, -(-len(chosen) // self.most_rows))]
        classes = label.values["class"][chosen]
        self.prior = class_frequencies(classes)
        self.model: Any = None
        if len(np.unique(classes)) > 1:
            pieces = [rows for _, rows in self._pieces(world, times[chosen])]
            self.model = self._grown(np.concatenate(pieces), classes)

    def predict(self, world: World, times: Times) -> Arrays:
        """Probabilities of the trees, piece by piece."""
        probs = np.tile(self.prior, (len(times), 1))
        for piece, rows in self._pieces(world, times) if self.model is not None else ():
            probs[piece] = self.model.predict(rows, num_threads=1)
        return {"probs": probs}

    def _grown(self, rows: Features, classes: np.ndarray) -> Any:
        """The fitted trees; lightgbm is imported here because it takes a second to load."""
        import lightgbm

        fewest = min(self.rows_in_leaf, max(1, len(rows) // 50))
        params = {**self.params, "min_data_in_leaf": fewest, "seed": self.seed}
        return lightgbm.train(params, lightgbm.Dataset(rows, classes), self.trees)

    def _pieces(self, world: World, times: Times) -> Iterator[tuple[slice, Features]]:
        """The features of all decisions, so many at once that memory stays small."""
        for start in range(0, len(times), self.rows_at_once):
            piece = slice(start, start + self.rows_at_once)
            yield piece, self._features(world, times[piece])

    def _features(self, world: World, times: Times) -> Features:
        s, known = world.label_volatility(times), world.known(times)
        parts = [np.log(s)[:, None]]
        for name, stream in world.streams.items():
            steps = stream.spec.timeframe.duration_ms / world.clock.duration_ms
            columns = self._of_stream(stream, times, (s * np.sqrt(steps))[:, None])
            usable = (
                known[name].present & ~known[name].late
            )  # sums would hold what is not there yet
            parts.append(np.where(usable[:, None], columns, np.nan))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _of_stream(self, stream: Stream, times: Times, unit: Columns) -> Columns:
        """Columns of one stream; ``unit``: in which a log return of one of its candles is told."""
        candles, latency_ms = stream.candles, stream.spec.latency_ms
        last = candles.timeframe.last_slot(times, latency_ms) - candles.first_slot
        ohlcv, row = _looked_at(candles, last, max(*self.spans, self.volume_span) + 1)
        returns = np.diff(np.log(ohlcv[:, CLOSE]), prepend=np.nan)
        squares = np.log(_means(np.square(returns), row, self.spans) + SMALLEST)
        newest = np.log(ohlcv[row, HIGH] / ohlcv[row, LOW])[:, None]
        mean_volume = np.log(_means(ohlcv[:, VOLUME], row, (self.volume_span,)) + SMALLEST)
        volume = np.log(ohlcv[row, VOLUME, None] + SMALLEST) - mean_volume
        moves = np.concatenate([self._returns(candles, latency_ms, times), newest], axis=1)
        return np.concatenate([moves / unit, squares - 2 * np.log(unit), volume], axis=1)

    def _returns(self, candles: Candles, latency_ms: int, times: Times) -> Columns:
        """The last log returns, then those over the spans by the root of their length."""
        lags = [*range(self.returns + 1), *(span for span in self.spans if span > self.returns)]
        closes = past_log_closes(candles, latency_ms, times, lags)
        single = closes[:, : self.returns] - closes[:, 1 : self.returns + 1]
        ends = [lags.index(span) for span in self.spans]
        summed = (closes[:, :1] - closes[:, ends]) / np.sqrt(self.spans)
        return np.concatenate([single, summed], axis=1)


def _looked_at(
    candles: Candles, last: Rows, most: int
) -> tuple[Float64[np.ndarray, "slot 5"], Rows]:
    """The slots that decisions look at, NaN where no candle is, and each decision's last of them.

    The first slot is NaN always: it is that of decisions before the history.
    """
    first = int(np.clip(last.min(initial=len(candles)) - most, 0, len(candles)))
    end = int(np.clip(last.max(initial=-1) + 1, first, len(candles)))
    there = np.where(candles.valid[first:end, None], candles.ohlcv[first:end], np.nan)
    inside = (last >= first) & (last < end)
    ohlcv = np.concatenate([np.full((1, 5), np.nan), there])
    return ohlcv, np.where(inside, last - first + 1, 0)


def _means(values: Float64[np.ndarray, " slot"], row: Rows, spans: Sequence[int]) -> Columns:
    """Mean of what is known of the last ``span`` values up to each row; NaN where nothing is."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    stop = row[:, None] + 1
    start = np.maximum(stop - np.asarray(spans), 0)
    count = counts[stop] - counts[start]
    total = np.maximum(sums[stop] - sums[start], 0.0)  # not a rounding error below
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
