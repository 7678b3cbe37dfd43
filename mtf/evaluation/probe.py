"""What an encoder's vectors tell: a linear probe, measured by the area under the ROC curve.

A logistic regression on the vectors of the training part has to tell slots that show something from
those that don't, in a later part. The area is the chance that a slot that shows it scores above one
that does not: 0.5 is chance, however rare the thing is. Intervals resample consecutive blocks of
slots; two probes are compared on the same resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mtf.learning.splits import Part
from mtf.market.stream import Stream
from mtf.plugins.contracts import Encoder

BLOCKS, RESAMPLES, LEVEL = 30, 1_000, 0.95
PIECE = 4_096
"""Slots that are encoded at a time, beside those that lead up to them."""
LEAST = 20
"""Slots that show a thing, and that don't, in each part; with fewer nothing is told."""


@dataclass(frozen=True)
class Separation:
    """How well a probe separates.

    Attributes:
        area: under the ROC curve.
        draws: the area on every resample of blocks; the same blocks for every probe of the slots.
    """

    area: float
    draws: Float64[np.ndarray, " resample"]

    def interval(self) -> tuple[float, float, float]:
        """The area with the ends of its 95 % interval."""
        return self.area, *_ends(self.draws)

    def above(self, other: Separation) -> tuple[float, float, float]:
        """How much larger the area is than another's on the same slots, with its interval."""
        return self.area - other.area, *_ends(self.draws - other.draws)


def separation(
    train: Float32[np.ndarray, "train dim"],
    train_shown: Bool[np.ndarray, " train"],
    test: Float32[np.ndarray, "test dim"],
    test_shown: Bool[np.ndarray, " test"],
) -> Separation | None:
    """Fit the probe on some slots and measure it on later ones; None where too few show it.

    Args:
        train: vectors to fit on.
        train_shown: which of them show the thing.
        test: vectors to measure on, in order of time.
        test_shown: which of these show it.
    """
    for shown in (train_shown, test_shown):
        if min(shown.sum(), (~shown).sum()) < LEAST:
            return None
    scale = StandardScaler().fit(train)
    probe = LogisticRegression(class_weight="balanced", max_iter=300)
    probe.fit(scale.transform(train), train_shown)
    return areas(probe.decision_function(scale.transform(test)), test_shown)


def areas(score: Float[np.ndarray, " slot"], shown: Bool[np.ndarray, " slot"]) -> Separation:
    """The area under the ROC curve of a score, and on resamples of blocks.

    ``wins[i, j]`` counts the pairs of a slot of block i that shows it and one of block j that does
    not in which the first scores higher; the area is a ratio of sums of such counts.
    """
    block = np.arange(len(score)) * BLOCKS // len(score)
    wins = np.stack([_wins(score, shown, block, j) for j in range(BLOCKS)], axis=1)
    count = np.stack([np.bincount(block[one], minlength=BLOCKS) for one in (shown, ~shown)])
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), RESAMPLES).astype(np.float64)
    every = np.vstack([np.ones(BLOCKS), drawn])
    pairs = (every @ count[0]) * (every @ count[1])
    with np.errstate(invalid="ignore"):
        area = np.einsum("ri,ij,rj->r", every, wins, every) / pairs
    return Separation(float(area[0]), area[1:])


def _wins(
    score: np.ndarray, shown: np.ndarray, block: Int64[np.ndarray, " slot"], other: int
) -> Float64[np.ndarray, " block"]:
    """Won pairs of each block against the slots of one that don't show it; a tie counts half."""
    beaten = np.sort(score[~shown & (block == other)])
    left, right = (np.searchsorted(beaten, score[shown], side) for side in ("left", "right"))
    return np.bincount(block[shown], weights=(left + right) / 2, minlength=BLOCKS)


def _ends(draws: Float64[np.ndarray, " resample"]) -> tuple[float, float]:
    """The ends of the interval."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@torch.inference_mode()
def codes(
    encoder: Encoder, stream: Stream, rows: Int64[np.ndarray, " row"], lead: int
) -> Float32[np.ndarray, "row dim"]:
    """The encoder's vectors at some slots of a stream, in evaluation.

    Args:
        encoder: whose vectors.
        stream: with its features.
        rows: of the stream's arrays, consecutive.
        lead: slots before a piece that the encoder sees, too.
    """
    was_training, found = encoder.training, []
    encoder.eval()
    for start in range(int(rows[0]), int(rows[-1]) + 1, PIECE):
        end, first = min(start + PIECE, int(rows[-1]) + 1), max(start - lead, 0)
        x = torch.from_numpy(stream.features[first:end])[None]
        valid = torch.from_numpy(stream.feature_valid[first:end])[None]
        found.append(encoder(x, valid)[0, start - first :].float().numpy())
    encoder.train(was_training)
    return np.concatenate(found)


def rows_of(stream: Stream, part: Part, most: int, *, last: bool) -> Int64[np.ndarray, " row"]:
    """Rows of a stream whose candles open within a part: at most so many, its last or first."""
    opened = stream.candles.open_time()
    rows = np.flatnonzero((opened >= part.start_ms) & (opened < part.end_ms))
    return rows[-most:] if last else rows[:most]


__all__ = ["Separation", "areas", "codes", "rows_of", "separation"]
