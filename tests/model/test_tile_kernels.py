"""Products in registers against sums written out, whatever the number of rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtf.model.tile_kernels import add_outer, add_slots, add_taps, convolve, multiply

TOLERANCE = {np.float32: 1e-4, np.float64: 1e-12}


def drawn(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 4, 7])
@pytest.mark.parametrize("width", [16, 48, 80])
def test_products_of_matrices(rows: int, width: int, dtype: Any) -> None:
    a, b = drawn(rows, 5, dtype=dtype), drawn(5, width, dtype=dtype)
    bias, out = drawn(width, dtype=dtype), np.empty((rows, width), dtype)
    multiply(a, 5, 1, 5, b, bias, 0, 0.0, rows, out)
    np.testing.assert_allclose(out, np.maximum(a @ b + bias, 0), atol=TOLERANCE[dtype])
    multiply(a, 5, 1, 5, b, out, width, -np.inf, rows, out)  # added to what stands there
    np.testing.assert_allclose(out, np.maximum(a @ b + bias, 0) + a @ b, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_sums_over_slots(rows: int) -> None:
    a, b = drawn(rows, 16), drawn(rows + 1, 32)[:rows]
    out, sums = drawn(16, 32), drawn(1, 32)
    wanted, total = out + a.T @ b, sums + b.sum(0)
    add_outer(a, b, rows, out)
    add_slots(b, rows, sums)
    np.testing.assert_allclose(out, wanted, atol=1e-12)
    np.testing.assert_allclose(sums, total, atol=1e-12)


def test_a_sum_does_not_depend_on_how_its_rows_were_cut() -> None:
    a, b, bias = (drawn(*shape, dtype=np.float32) for shape in ((9, 64), (64, 64), (64,)))
    whole, one = np.empty((9, 64), np.float32), np.empty((1, 64), np.float32)
    multiply(a, 64, 1, 64, b, bias, 0, 0.0, 9, whole)
    for i in range(9):
        multiply(a[i : i + 1], 64, 1, 64, b, bias, 0, 0.0, 1, one)
        assert np.array_equal(one[0], whole[i])


def test_not_a_number_comes_through_a_relu() -> None:
    a, out = np.full((1, 1), np.nan), np.empty((1, 16))
    multiply(a, 1, 1, 1, np.ones((1, 16)), np.zeros(16), 0, 0.0, 1, out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("time", [1, 5, 61])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("taps", "step"), [(1, 1), (2, 3), (3, 1), (3, 8), (4, 2), (9, 4)])
def test_channel_by_channel(taps: int, step: int, causal: bool, time: int) -> None:
    """Forward, the gradient by x and the one by the weight, with 0 outside."""
    total = (taps - 1) * step
    begin = -total if causal else -(total // 2)
    x, grad, weight, bias = drawn(time, 48), drawn(time + 1, 48)[1:], drawn(taps, 48), drawn(48)
    said, by_x, by_weight = np.tile(bias, (time, 1)), np.zeros_like(x), np.zeros_like(weight)
    for t in range(time):
        for k in range(taps):
            slot = t + begin + k * step
            if 0 <= slot < time:
                said[t] += weight[k] * x[slot]
                by_x[slot] += weight[k] * grad[t]
                by_weight[k] += grad[t] * x[slot]
    out, found = np.empty_like(x), np.zeros_like(weight)
    convolve(x, weight, bias, begin, step, 0, time, 0.0, out)
    np.testing.assert_allclose(out, np.maximum(said, 0), atol=1e-12)
    convolve(grad, weight, np.zeros(48), -begin, -step, 0, time, -np.inf, out)
    np.testing.assert_allclose(out, by_x, atol=1e-12)
    add_taps(x, grad, begin, step, found)
    np.testing.assert_allclose(found, by_weight, atol=1e-12)
