"""Order books: levels by hand, what is known when, and the real sample."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sides import context, write_book
from worlds import random_candles, world_of

from mtf.errors import ConfigError, DataError
from mtf.market.side.order_book import COLUMNS, OrderBook, book_elements
from mtf.market.side_input import Moments

WORLD = world_of(random_candles(10), {"1m": 5})
SECOND = 1_000


def said(side: OrderBook, times: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Values and validity at some times."""
    at = np.array(times, np.int64)
    return side.at(Moments(WORLD, at, WORLD.known(at)))


def test_a_book_written_out() -> None:
    """Mid 100; best bid 99.99 (1 bp), second 99.9 (10 bps); best ask 100.01, second missing."""
    book = dict.fromkeys(COLUMNS, np.nan)
    book |= {"bid_price_1": 99.99, "bid_size_1": 3.0, "bid_price_2": 99.9, "bid_size_2": 1.0}
    book |= {"ask_price_1": 100.01, "ask_size_1": 2.0}
    values, valid = book_elements(np.array([list(book.values())]))
    assert np.flatnonzero(valid[0]).tolist() == [0, 1, 2, 3, 4, 5]
    sizes = [math.log((size + 0.02) / 2.02) for size in (3, 2, 1)]  # the mean of the three is 2
    wanted = [0.0, sizes[0], 0.0, sizes[1], math.log(10) / 2, sizes[2]]
    assert values[0, :6].tolist() == pytest.approx(wanted, abs=1e-5)
    assert not values[0, 6:].any()


def test_names_stand_at_the_places_of_their_figures(tmp_path: Path) -> None:
    frame = write_book(tmp_path / "book.parquet", np.array([SECOND]))
    side = OrderBook(context(WORLD), path=str(tmp_path / "book.parquet"), snapshots=1)
    values, valid = said(side, [SECOND])
    assert valid.all()
    found = dict(zip(side.elements, values[0, 0], strict=True))
    row = frame.iloc[0]
    mid = (row["bid_price_1"] + row["ask_price_1"]) / 2
    mean = row[[name for name in COLUMNS if "size" in name]].mean()
    for level in range(1, 26):
        for name, sign in (("bid", -1), ("ask", 1)):
            bps = sign * (row[f"{name}_price_{level}"] / mid - 1) * 1e4
            size = math.log((row[f"{name}_size_{level}"] + 0.01 * mean) / (1.01 * mean))
            assert found[f"{name}_offset_{level}"] == pytest.approx(math.log(bps) / 2, abs=1e-5)
            assert found[f"{name}_size_{level}"] == pytest.approx(size, abs=1e-5)


def test_books_that_are_none_are_masked() -> None:
    good = np.concatenate([100 - np.arange(1, 26) / 10, np.ones(25)] * 2)
    good[50:75] = 100 + np.arange(1, 26) / 10
    crossed, empty, negative = good.copy(), np.full(100, np.nan), good.copy()
    crossed[50] = 99.0
    negative[25] = -1.0
    _, valid = book_elements(np.stack([good, crossed, empty, negative]))
    assert valid.all(axis=1).tolist() == [True, False, False, False]
    assert valid.any(axis=1).tolist() == [True, False, False, True]
    assert np.flatnonzero(~valid[3]).tolist() == [1]  # the size of the best bid alone


def test_the_last_snapshots_known_oldest_first_until_they_are_stale(tmp_path: Path) -> None:
    """Snapshots at seconds 0 … 9, known 200 ms later, three of them, each up to 5 s old."""
    path = tmp_path / "book.parquet"
    write_book(path, np.arange(10) * SECOND)
    side = OrderBook(
        context(WORLD), path=str(path), snapshots=3, max_age_ms=5 * SECOND, latency_ms=200
    )
    whole, _ = side.scaled
    values, valid = said(side, [199, 200, 4_199, 4_200, 12_500, 14_000, 14_001])
    there = valid.all(axis=2)
    assert (there == valid.any(axis=2)).all()
    assert there.tolist() == [
        [False, False, False],
        [False, False, True],
        [True, True, True],
        [True, True, True],
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    np.testing.assert_array_equal(values[2], whole[1:4])
    np.testing.assert_array_equal(values[3], whole[2:5])
    np.testing.assert_array_equal(values[5, 2], whole[9])


def test_later_snapshots_change_nothing(tmp_path: Path) -> None:
    times = np.arange(60) * SECOND + 123
    frame = write_book(tmp_path / "long.csv", times)
    frame.iloc[:30].to_csv(tmp_path / "short.csv", index=False)
    sides = [
        OrderBook(context(WORLD), path=str(tmp_path / name), snapshots=5)
        for name in ("long.csv", "short.csv")
    ]
    at = [int(times[29]) - 1, int(times[29]), int(times[30]) - 1]
    (long, long_valid), (short, short_valid) = (said(side, at) for side in sides)
    np.testing.assert_array_equal(long, short)
    np.testing.assert_array_equal(long_valid, short_valid)
    assert not np.array_equal(
        said(sides[0], [int(times[30])])[0], said(sides[1], [int(times[30])])[0]
    )
    assert sides[0].fingerprint() != sides[1].fingerprint()


def test_an_empty_file_has_no_snapshots(tmp_path: Path) -> None:
    write_book(tmp_path / "book.parquet", np.empty(0, np.int64))
    _, valid = said(OrderBook(context(WORLD), path=str(tmp_path / "book.parquet")), [0, SECOND])
    assert valid.shape == (2, 20, 100)
    assert not valid.any()


def test_options_and_files_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="snapshots 0"):
        OrderBook(context(WORLD), path="x", snapshots=0)
    pd.DataFrame({"time_ms": [1], "bid_price_1": [1.0]}).to_parquet(tmp_path / "ETHUSDT.parquet")
    with pytest.raises(DataError, match=r"has no column bid_price_2, bid_price_3"):
        OrderBook(context(WORLD), path=f"{tmp_path}/{{symbol}}.parquet").fingerprint()


def test_the_real_sample(real_data: Path) -> None:
    """301 snapshots of BTC, 25 levels each side, within a basis point of the mid."""
    path = real_data / "orderbook" / "BTCUSDT_spot_25_levels_1s_20260216.parquet"
    side = OrderBook(context(WORLD), path=str(path))
    start = int(side.records.times[0])
    values, valid = said(side, [start + 60 * SECOND])
    assert valid.all()
    assert values.shape == (1, 20, 100)
    bids, sizes = values[0, :, 0::4], values[0, :, 1::4]
    assert (np.diff(bids, axis=1) > 0).all()  # every level lies farther out
    assert np.exp(2 * bids).max() < 1
    assert np.exp(2 * values[0, -1, 0]) == pytest.approx(0.005 / 68_424.8 * 1e4, rel=0.01)
    assert 0.5 < sizes.std() < 2.5
