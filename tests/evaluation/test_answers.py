"""Nested arrays in a file: they come back bit for bit, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtf.errors import CheckpointError
from mtf.evaluation.answers import load_arrays, save_arrays, sweep_of, tree_of
from mtf.learning.sweep import Sweep
from mtf.market.labels import Label


def test_a_sweep_comes_back_as_it_was(tmp_path: Path) -> None:
    label = Label({"class": np.array([2, 0])}, np.array([True, False]), np.array([7, 8]))
    probs = np.array([[0.1, 0.2, 0.7], [np.nan, 0.5, 0.5]], np.float32)
    sweep = Sweep(np.array([60_000, 120_000]), {"a/b": {"probs": probs}}, {"a/b": {"x": label}})
    save_arrays({"ETH/USDT": tree_of(sweep), "none": {}}, tmp_path / "answers")
    found = load_arrays(tmp_path / "answers")
    assert list(found) == ["ETH/USDT"]
    again = sweep_of(found["ETH/USDT"])
    for one, other in zip(again.arrays(), sweep.arrays(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_view_is_written_as_it_looks(tmp_path: Path) -> None:
    save_arrays({"turned": np.arange(6).reshape(2, 3).T}, tmp_path / "answers")
    assert load_arrays(tmp_path / "answers")["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("content", [None, b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      x"])
def test_a_file_that_is_not_ours_is_a_message(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "answers").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"can't be read(.|\n)*--resume"):
        load_arrays(tmp_path / "answers")
