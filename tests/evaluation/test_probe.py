"""A probe finds what is there, finds nothing in noise, and counts pairs as the ROC curve does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score
from tasks import small_task

from mtf.evaluation import probe
from mtf.evaluation.probe import BLOCKS, areas, codes, rows_of, separation
from mtf.plugins.contracts import Encoder


def test_the_area_is_that_of_the_roc_curve_ties_and_all() -> None:
    rng = np.random.default_rng(0)
    shown = rng.random(500) < 0.2
    score = np.round(rng.normal(size=500) + shown, 1)
    found = areas(score, shown)
    assert_allclose(found.area, roc_auc_score(shown, score))
    low, high = found.interval()[1:]
    assert low < found.area < high


def test_a_resample_is_the_area_of_the_blocks_drawn() -> None:
    rng = np.random.default_rng(1)
    shown, score = rng.random(BLOCKS * 10) < 0.3, rng.normal(size=BLOCKS * 10)
    drawn = np.random.default_rng(0).multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), 1)[0]
    rows = np.concatenate([np.arange(10) + 10 * b for b in range(BLOCKS) for _ in range(drawn[b])])
    assert_allclose(areas(score, shown).draws[0], roc_auc_score(shown[rows], score[rows]))


def planted(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of which the second number tells whether the thing is shown, nearly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x, x[:, 1] + rng.normal(0, 0.5, count) > 1.5


def test_what_is_linear_in_the_vectors_is_found_and_noise_is_not() -> None:
    (train, shown), (test, later) = planted(0, 3_000), planted(1, 3_000)
    there = separation(train, shown, test, later)
    assert there is not None
    assert there.area > 0.9
    noise = np.random.default_rng(2).normal(size=(2, 3_000, 4)).astype(np.float32)
    none = separation(noise[0], shown, noise[1], later)
    assert none is not None
    assert none.interval()[1] < 0.5 < none.interval()[2]
    difference, low, high = there.above(none)
    assert 0 < low < difference < high


def test_nothing_is_told_where_too_few_show_it() -> None:
    x, shown = planted(0, 500)
    few = np.zeros(500, np.bool_)
    few[:19] = True
    assert separation(x, shown, x, few) is None
    assert separation(x, few, x, shown) is None
    assert separation(x, shown, x, ~few) is None


def test_vectors_are_those_of_the_whole_history_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "PIECE", 100)
    task = small_task()
    stream, encoder = task.world.streams["1m"], task.model.encoders[0]
    assert isinstance(encoder, Encoder)
    rows = rows_of(stream, task.parts["train"], 310, last=True)
    found = codes(encoder, stream, rows, task.model.required_slots("1m"))
    x, valid = torch.from_numpy(stream.features)[None], torch.from_numpy(stream.feature_valid)[None]
    with torch.inference_mode():
        whole = encoder.eval()(x, valid)[0].numpy()
    assert_allclose(found, whole[rows], atol=1e-6)


def test_rows_are_those_that_open_within_the_part() -> None:
    task = small_task()
    stream, part = task.world.streams["5m"], task.parts["test"]
    first, last = (rows_of(stream, part, 7, last=end) for end in (False, True))
    opened = stream.candles.open_time()
    assert part.start_ms <= opened[first[0]] < part.start_ms + 5 * 60_000
    assert opened[last[-1]] == part.end_ms - 5 * 60_000
    assert len(first) == len(last) == 7
