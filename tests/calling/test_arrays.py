"""Arrays at the border: what is taken, and what a caller is told who brings something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from callers import TIME, full_model, walk

from mtf.calling.arrays import candles_of, side_of
from mtf.errors import DataError
from mtf.market.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")


@pytest.mark.parametrize("kind", [np.float64, np.float32, torch.float32, torch.bfloat16, np.int64])
def test_numpy_and_torch_of_any_number_are_taken(kind: Any) -> None:
    rows = [[100, 104, 96, 102, 3], [102, 108, 100, 104, 0]]
    torchy = isinstance(kind, torch.dtype)
    given = torch.tensor([rows], dtype=kind) if torchy else np.array([rows], dtype=kind)
    found = candles_of("price_data", given, MINUTE)
    assert found.dtype == np.float64
    assert found.tolist() == [rows]


def test_a_tensor_with_gradients_is_taken_without_them() -> None:
    assert candles_of("x", torch.tensor(walk(1), requires_grad=True), MINUTE).shape == (1, TIME, 5)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no batch": ({"price_data": walk(1)[0]}, r"price_data has the shape \[90, 5\].*\n"
                 r"  expected: \[batch, time, 5\]: open, high, low.*\n.*array\[None\]"),
    "four channels": ({"btc_data_1m": walk(1)[..., :4]}, r"btc_data_1m has the shape \[1, 90, 4\]"),
    "a list": ({"price_data_1h": walk(1).tolist()}, r"price_data_1h is of type list\n"
               r"  expected: a numpy array or torch tensor"),
    "text": ({"1d": np.array([[["a"] * 5]])}, "1d is of type array of <U1"),
    "negative": ({"price_data_1m": -walk(1)}, r"90 price not above 0 \(first: batch 0, time 0\)"),
    "half a row": ({"price_data_1m": np.array([[[1, 1, 1, 1, 1], [1, 1, 1, 1, np.nan]]])},
                   r"1 NaN or infinite \(first: batch 0, time 1\)[\s\S]*"
                   r"expected: finite prices above 0[\s\S]*mend these rows, or make them NaN"),
    "high below low": ({"price_data": walk(1)[..., [0, 2, 1, 3, 4]]}, "on the wrong side"),
    "volume below 0": ({"price_data": walk(1) * [1, 1, 1, 1, -1]}, "90 volume below 0"),
    "two batches": ({"price_data_1m": walk(2), "btc_data_1m": walk(3)},
                    r"found batches of different or no size: 2 in price_data_1m, 3 in btc_data_1m\n"
                    r"  expected: the same number of decisions.*\n.*fill its rows with NaN"),
    "other batch_size": ({"price_data": walk(2), "batch_size": 3}, "2 in price_data, 3 as batch"),
    "no decision": ({"batch_size": 0}, "0 as batch_size"),
    "an empty batch": ({"price_data": np.empty((0, 9, 5))}, "0 in price_data"),
    "levels missing": ({"cob_data": np.zeros((1, 20, 99))}, r"has the shape \[1, 20, 99\]\n"
                       r"  expected: \[batch, time, 100\], time up to 20"),
    "too many snapshots": ({"cob_data": np.zeros((1, 21, 100))}, r"has the shape \[1, 21, 100\]"),
    "a vector too short": ({"tech_data": np.zeros((1, 39))}, r"expected: \[batch, 40\]"),
    "infinite": ({"market_data": np.full((1, 30), np.inf)}, "market_data is infinite somewhere"),
    "seconds": ({"time_ms": 1.7e9}, r"time_ms is float64 of the shape \[\]\n.*UTC as integers"),
    "times of others": ({"time_ms": np.array([0, 60_000])}, r"time_ms is int64 of the shape \[2\]"),
    "unknown": ({"price_data_5m": walk(1)}, r"the model has no input 'price_data_5m'\n  expected: "
                r"one of price_data_1s, .*cob_data.*\n  to do: leave it out, or use a model"),
    "twice": ({"price_data": walk(1), "price_data_1m": walk(1)},
              r"price_data and price_data_1m are the same input\n  expected: each input once"),
    "no panel": ({"symbol": "SOLUSDT"}, r"found symbol 'SOLUSDT'\n.*none: the model is no panel"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BROKEN))
def test_what_can_not_be_is_told_in_three_parts(name: str) -> None:
    given, words = BROKEN[name]
    with pytest.raises(DataError, match=words) as caught:
        full_model()(**given)
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.todo


def test_fewer_snapshots_stand_at_the_end_and_a_vector_has_one_step() -> None:
    book = side_of("cob_data", np.ones((2, 3, 100)), 20, 100)
    assert book.shape == (2, 20, 100)
    assert np.isnan(book[:, :17]).all()
    assert (book[:, 17:] == 1).all()
    assert side_of("tech_data", torch.ones(2, 40), 1, 40).shape == (2, 1, 40)
    assert side_of("tech_data", np.ones((2, 1, 40)), 1, 40).shape == (2, 1, 40)
