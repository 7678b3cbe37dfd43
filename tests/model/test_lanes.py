"""Sixteen numbers at once are what numpy says of each."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import pytest

from mtf.model import lanes
from mtf.model.lanes import LANES

X = np.linspace(-3, 3, LANES).astype(np.float32)
Y = np.random.default_rng(0).normal(size=LANES).astype(np.float32)


def of_two(function: Callable[..., object]) -> np.ndarray:
    """What a function of two says of X and Y."""

    @numba.njit
    def kernel(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        lanes.store(out, 0, function(lanes.load(x, 0), lanes.load(y, 0)))

    out = np.empty(LANES, np.float32)
    kernel(X, Y, out)
    return out


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lanes.add, X + Y),
        (lanes.sub, X - Y),
        (lanes.mul, X * Y),
        (lanes.div, X / Y),
        (lanes.maximum, np.maximum(X, Y)),
    ],
)
def test_arithmetic(function: Callable[..., object], wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(of_two(function), wanted)


@numba.njit
def others(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> float:
    a, b = lanes.load(x, 0), lanes.load(y, 0)
    lanes.store(out, 0 * LANES, lanes.fma(a, b, lanes.spread_at(y, 3)))
    lanes.store(out, 1 * LANES, lanes.magnitude(a))
    lanes.store(out, 2 * LANES, lanes.where_positive(a, b, lanes.spread(np.float32(7))))
    return float(lanes.total(b))


def test_what_is_more_than_arithmetic() -> None:
    out = np.empty(3 * LANES, np.float32)
    assert others(X, Y, out) == pytest.approx(Y.sum(), rel=1e-6)
    product, magnitude, chosen = out.reshape(3, LANES)
    np.testing.assert_allclose(product, X * Y + Y[3], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(magnitude, np.abs(X))
    np.testing.assert_array_equal(chosen, np.where(X > 0, Y, 7))


@numba.njit
def powers(x: np.ndarray, out: np.ndarray) -> None:
    for at in range(0, len(x), LANES):
        lanes.store(out, at, lanes.exp2(lanes.load(x, at)))


def test_powers_of_two_to_the_last_bits() -> None:
    x = np.concatenate([np.linspace(-30, 0, 4_096), [-125.5, -126, -1_000, -np.inf] * 4])
    x = x.astype(np.float32)
    out = np.empty_like(x)
    powers(x, out)
    wanted = np.exp2(np.maximum(x, -126).astype(np.float64))
    np.testing.assert_allclose(out, wanted, rtol=3e-7)


@numba.njit
def turned(x: np.ndarray, last: int, out: np.ndarray) -> None:
    lanes.turn(x, 5, 20, last, out, 16)


@pytest.mark.parametrize("last", [15, 6, 0])
def test_rows_become_columns_and_missing_rows_are_the_last(last: int) -> None:
    x = np.arange(5 + 16 * 20, dtype=np.float32)
    out = np.zeros(16 + LANES * LANES, np.float32)
    turned(x, last, out)
    rows = np.stack([x[5 + min(r, last) * 20 :][:LANES] for r in range(LANES)])
    np.testing.assert_array_equal(out[16:].reshape(LANES, LANES), rows.T)


@numba.njit
def drawn(seed: int, more: int, least: int, out: np.ndarray) -> None:
    for at in range(0, len(out), LANES):
        stays = lanes.kept(
            np.uint32(seed), np.uint32(more), np.uint32(at), np.uint32(least), np.float32(2)
        )
        lanes.store(out, at, stays)


def test_what_is_kept_is_a_function_of_seed_and_place_and_looks_like_chance() -> None:
    count, share = 2**18, 0.3
    least = int((1 - share) * 2**32)

    def of(seed: int, more: int) -> np.ndarray:
        out = np.empty(count, np.float32)
        drawn(seed, more, least, out)
        return out

    one = of(1, 2)
    assert set(np.unique(one)) == {0, 2}
    np.testing.assert_array_equal(one, of(1, 2))
    error = np.sqrt(share * (1 - share) / count)
    assert abs((one > 0).mean() - share) < 5 * error
    for other in (of(2, 2), of(1, 3), np.roll(one, 1), np.roll(one, 64)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(count)
    columns = (one.reshape(-1, 64) > 0).mean(0)
    assert columns.std() < 1.5 * np.sqrt(share * (1 - share) / (count / 64))
