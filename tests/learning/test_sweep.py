"""A sweep is the pieces it comes in, and holds one of them at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from tasks import small_task

from mtf.learning import sweep as module
from mtf.learning.sweep import Sweep, collected, sweep, sweep_pieces
from mtf.learning.task import Task

MINUTE = 60_000


@pytest.fixture(scope="module")
def task() -> Task:
    """The small task with fresh weights."""
    return small_task()


def pieces_of(task: Task, count: int) -> tuple[np.ndarray, list[Sweep]]:
    """Decisions at the end of the test part, and what is said of them."""
    end = task.parts["test"].end_ms
    times = np.arange(end - count * MINUTE, end, MINUTE)
    return times, list(sweep_pieces(task.model, task.builder, times, end))


def test_a_sweep_is_its_pieces_bit_for_bit(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ONCE_DECISIONS", 7)
    times, pieces = pieces_of(task, 30)
    assert [len(piece.times) for piece in pieces] == [7, 7, 7, 7, 2]
    whole = sweep(task.model, task.builder, times, task.parts["test"].end_ms)
    joined = [np.concatenate(parts) for parts in zip(*(p.arrays() for p in pieces), strict=True)]
    assert len(joined) == len(whole.arrays()) > 10
    for expected, found in zip(joined, whole.arrays(), strict=True):
        assert expected.dtype == found.dtype
        np.testing.assert_array_equal(expected, found)
    np.testing.assert_array_equal(whole.times, times)
    assert whole.outputs["action"]["probs"].dtype == np.float32


def test_memory_is_allocated_once_and_for_what_there_is(task: Task) -> None:
    _, pieces = pieces_of(task, 30)
    whole = collected(iter(pieces), 1_000)  # more decisions than have a label
    for array in whole.arrays():
        assert len(array) == 30
        assert array.base is not None
        assert len(array.base) == 1_000


def test_pieces_follow_each_other_without_overlap(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ONCE_DECISIONS", 8)
    _, pieces = pieces_of(task, 40)
    for before, after in pairwise(pieces):
        assert before.times[-1] + MINUTE == after.times[0]


def test_the_mode_comes_back_when_a_sweep_is_left_halfway(task: Task) -> None:
    end = task.parts["test"].end_ms
    times = np.arange(end - 2_000 * MINUTE, end, MINUTE)
    task.model.train()
    pieces = sweep_pieces(task.model, task.builder, times, end)
    next(pieces)
    assert not task.model.training
    pieces.close()  # type: ignore[attr-defined]
    assert task.model.training


def test_without_a_label_there_is_nothing(task: Task) -> None:
    after = task.parts["test"].end_ms + 86_400_000
    found = sweep(task.model, task.builder, np.array([after]), None)
    assert (len(found.times), found.outputs, found.labels) == (0, {}, {})
