"""Products of packed matrices against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from mtf.model.product_kernels import add_outer, multiply, pack, pack_turned

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 131])
@pytest.mark.parametrize(("depth", "columns"), [(16, 16), (64, 32), (32, 48), (48, 80)])
@pytest.mark.parametrize("turned", [True, False])
def test_a_product_by_rows(rows: int, depth: int, columns: int, turned: bool) -> None:
    x, matrix = normal(rows + 3, depth), normal(depth, columns)
    packed = np.empty(matrix.size, np.float32)
    if turned:
        pack_turned(np.ascontiguousarray(matrix.T).reshape(-1), columns, depth, packed)
    else:
        pack(matrix.reshape(-1), depth, columns, packed)
    out = np.full((rows + 5, columns), 9, np.float32)
    multiply(x.reshape(-1), 2, rows, depth, packed, columns, out.reshape(-1), 3)
    wanted = x[2 : 2 + rows].astype(np.float64) @ matrix
    np.testing.assert_allclose(out[3 : 3 + rows], wanted, atol=1e-4)
    assert (out[:3] == 9).all()
    assert (out[3 + rows :] == 9).all(), "rows that are done over again are written in place"


@pytest.mark.parametrize(("left", "right"), [(16, 16), (64, 48), (8, 64)])
@pytest.mark.parametrize("rows", [1, 50])
def test_a_sum_of_outer_products_is_added(rows: int, left: int, right: int) -> None:
    x, y, out = normal(rows + 1, left), normal(rows + 2, right), normal(left, right)
    wanted = out + x[1:].T.astype(np.float64) @ y[2:]
    add_outer(x.reshape(-1), 1, left, y.reshape(-1), 2, right, rows, out.reshape(-1))
    np.testing.assert_allclose(out, wanted, atol=1e-4)
