"""Candles out of trades: written out by hand, in any order, and as exact as whole lots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.market.trade_candles import TradeCandles, TradeRows, decimals

SECOND, MINUTE = Timeframe.parse("1s"), Timeframe.parse("1m")


def trades(*rows: tuple[int, int, str, float, float]) -> TradeRows:
    """Rows of (time, sequence, id, price, size)."""
    time, sequence, identity, price, size = zip(*rows, strict=True)
    return TradeRows(
        np.array(time, np.int64),
        np.array(sequence, np.int64),
        np.array(identity, object),
        np.array(price, np.float64),
        np.array(size, np.float64),
    )


SIX = (
    (1_200, 1, "a", 10.0, 1.0),
    (1_200, 2, "b", 12.0, 0.1),
    (1_900, 3, "c", 9.0, 0.2),
    (4_100, 4, "e", 11.0, 0.3),
    (4_100, 4, "d", 8.0, 0.1),
    (5_000, 5, "f", 7.0, 1.0),
)
FOUR = [
    [10.0, 12.0, 9.0, 9.0, 1.3],
    [9.0, 9.0, 9.0, 9.0, 0.0],
    [9.0, 9.0, 9.0, 9.0, 0.0],
    [8.0, 11.0, 8.0, 11.0, 0.4],  # of the same time and sequence the smaller id comes first
]


def built(builder: TradeCandles, until_ms: int) -> tuple[list[int], list[list[float]]]:
    times, ohlcv = builder.close(until_ms)
    return times.tolist(), ohlcv.tolist()


def test_six_trades_make_four_seconds() -> None:
    builder = TradeCandles(SECOND)
    builder.add(trades(*SIX))
    assert built(builder, 5_999) == ([1_000, 2_000, 3_000, 4_000], FOUR)
    assert built(builder, 6_000) == ([5_000], [[7.0, 7.0, 7.0, 7.0, 1.0]])
    assert built(builder, 8_000) == ([6_000, 7_000], [[7.0, 7.0, 7.0, 7.0, 0.0]] * 2)
    assert built(builder, 8_000) == ([], [])


@settings(deadline=None)
@given(
    order=st.permutations([*range(6), *range(6)]),
    cuts=st.sets(st.integers(1, 11)),
)
def test_order_repetition_and_packets_do_not_matter(order: list[int], cuts: set[int]) -> None:
    builder = TradeCandles(SECOND)
    for part in np.split(np.array(order), sorted(cuts)):
        builder.add(trades(*(SIX[row] for row in part)))
    assert built(builder, 5_000) == ([1_000, 2_000, 3_000, 4_000], FOUR)
    assert (builder.duplicates, builder.late) == (5, 0)  # the sixth second is open


@settings(deadline=None)
@given(stops=st.lists(st.integers(0, 7_000), max_size=5))
def test_when_they_are_closed_does_not_matter(stops: list[int]) -> None:
    whole, steps = TradeCandles(SECOND), TradeCandles(SECOND)
    whole.add(trades(*SIX))
    times, ohlcv = built(whole, 7_000)
    found_times: list[int] = []
    found: list[list[float]] = []
    known = 0
    for stop in [*sorted(stops), 7_000]:
        new = [row for row in SIX if known <= row[0] < stop]
        if new:
            steps.add(trades(*new))
        known = max(known, stop)
        step_times, step_rows = built(steps, stop)
        found_times += step_times
        found += step_rows
    assert (found_times, found) == (times, ohlcv)
    assert steps.late == 0


def test_a_trade_that_comes_too_late_is_counted_and_changes_nothing() -> None:
    builder = TradeCandles(SECOND)
    builder.add(trades(*SIX[:3]))
    builder.close(3_000)
    builder.add(trades((1_500, 2, "late", 99.0, 1.0), SIX[0], SIX[3]))
    assert built(builder, 5_000)[1] == [[9.0] * 4 + [0.0], [11.0] * 4 + [0.3]]
    assert (builder.late, builder.duplicates) == (1, 1)


def test_a_slot_that_began_before_us_is_no_candle() -> None:
    builder = TradeCandles(SECOND, since_ms=1_500)
    builder.add(trades(*SIX))
    assert built(builder, 5_000) == ([4_000], FOUR[3:])  # no price is known before
    assert builder.early == 3
    known = TradeCandles(SECOND, since_ms=2_000, price=9.0)
    known.add(trades(*SIX[3:]))
    assert built(known, 5_000) == ([2_000, 3_000, 4_000], FOUR[1:])


def test_trades_without_a_price_are_left_out_and_counted() -> None:
    nonsense = [(np.nan, 1.0), (0.0, 1.0), (-1.0, 1.0), (np.inf, 1.0), (1.0, np.nan), (1.0, -1.0)]
    nonsense += [(1.0, 1e308), (1.0, 1e308), (1e308, 1.0), (1.0, np.inf)]  # sums beyond any number
    builder = TradeCandles(SECOND)
    builder.add(trades(*((1_300, 9, f"x{n}", p, s) for n, (p, s) in enumerate(nonsense)), *SIX[:3]))
    assert built(builder, 2_000) == ([1_000], FOUR[:1])
    assert builder.unsound == len(nonsense)


def test_a_stray_time_does_not_ask_for_terabytes() -> None:
    builder = TradeCandles(SECOND)
    builder.add(trades(SIX[0], (10**15, 9, "z", 1.0, 1.0)))
    with pytest.raises(DataError, match="wrong time"):
        builder.close(10**15 + 1_000)


def test_decimals() -> None:
    assert [decimals(np.array(v)) for v in ([1.0], [0.1, 2.25], [1e-8], [1e-9])] == [0, 2, 8, 8]


def a_million(count: int, seed: int = 3) -> tuple[TradeRows, np.ndarray]:
    """Trades over ten hours in lots of 0.0001, one in ten twice, in disorder; and which are new."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 36_000_000, count))
    price = 2_000 + np.cumsum(rng.integers(-1, 2, count)) / 100
    rows = TradeRows(
        time,
        np.arange(count),
        np.array([f"{number:08x}" for number in range(count)], object),
        np.abs(price) + 0.01,
        rng.integers(1, 100_000, count) / 10_000,
    )
    chosen = np.concatenate([np.arange(count), rng.integers(0, count, count // 10)])
    # Disorder as in a stream: everything is up to two seconds late.
    late = np.argsort(time[chosen] + rng.integers(0, 2_000, len(chosen)), kind="stable")
    return rows, chosen[late]


def sums_are_exact(count: int) -> None:
    """Seconds out of a disturbed stream add up to the minutes out of the sound one, lot by lot."""
    rows, order = a_million(count)
    seconds, minutes = TradeCandles(SECOND), TradeCandles(MINUTE)
    minutes.add(rows)
    times, true = minutes.close(36_000_000)
    parts = []
    for packet in np.array_split(order, 200):
        seconds.add(rows.select(packet))
        parts.append(seconds.close(int(rows.time[packet].max()) - 2_000))
    parts.append(seconds.close(36_000_000))
    opens = np.concatenate([part[0] for part in parts])
    ohlcv = np.concatenate([part[1] for part in parts])
    np.testing.assert_array_equal(opens, np.arange(opens[0], 36_000_000, 1_000))
    traded = ohlcv[:, 4] > 0  # flat seconds stand at the price of the minute before
    flat = ohlcv[~traded]
    assert (flat[:, :4] == flat[:, :1]).all()
    opens, ohlcv = opens[traded], ohlcv[traded]
    start = np.flatnonzero(np.diff(opens // 60_000, prepend=-1))
    lots = np.rint(ohlcv[:, 4] * 10_000).astype(np.int64)
    sums = [
        ohlcv[start, 0],
        np.maximum.reduceat(ohlcv[:, 1], start),
        np.minimum.reduceat(ohlcv[:, 2], start),
        ohlcv[np.append(start[1:], len(ohlcv)) - 1, 3],
        np.add.reduceat(lots, start) / 10_000,
    ]
    full = true[:, 4] > 0
    np.testing.assert_array_equal(np.stack(sums, axis=1), true[full])
    np.testing.assert_array_equal(opens[start] // 60_000 * 60_000, times[full])
    assert seconds.late == 0
    assert seconds.duplicates == count // 10
    exact = np.rint(rows.size * 10_000).astype(np.int64).sum()
    assert lots.sum() == exact  # 0 lost, 0 duplicated


def test_ten_thousand_trades_with_duplicates_and_disorder_sum_exactly() -> None:
    sums_are_exact(10_000)


@pytest.mark.slow
def test_a_million_trades_with_duplicates_and_disorder_sum_exactly() -> None:
    sums_are_exact(1_000_000)


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCUSDT"])
def test_the_sample_trades_are_the_sample_seconds(real_data: Path, symbol: str) -> None:
    table = pq.read_table(real_data / "trades" / f"{symbol}_spot_20240808.parquet").to_pandas()
    true = pq.read_table(real_data / "candles" / f"{symbol}_1s_20240808.parquet").to_pandas()
    number = table["trade_id"].to_numpy()
    rows = [table[name].to_numpy() for name in ("time_ms", "price", "size")]
    builder = TradeCandles(SECOND, since_ms=int(rows[0].min()))
    builder.add(TradeRows(rows[0], number, number, rows[1], rows[2]))
    times, ohlcv = builder.close(int(rows[0].max()))
    np.testing.assert_array_equal(times, true["open_time"])
    np.testing.assert_array_equal(ohlcv[:, :4], true[["open", "high", "low", "close"]])
    # The sample's volumes are sums of floats; ours are whole lots.
    np.testing.assert_array_equal(ohlcv[:, 4], np.round(true["volume"], 8))
