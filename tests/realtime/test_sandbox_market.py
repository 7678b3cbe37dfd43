"""The markets behind the stand-in: exact sums, the same for the same seed, equal to the files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import DataError, MtfError
from mtf.realtime.sandbox.bars import Bars, text, turnover_text
from mtf.realtime.sandbox.clock import MarketClock
from mtf.realtime.sandbox.exchange import Exchange
from mtf.realtime.sandbox.interval import HOUR, INTERVALS, MINUTE
from mtf.realtime.sandbox.recorded import RecordedMarket
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.sandbox.trades import Trades, least, trades_of

DAY_MS = 86_400_000
START = 1_748_736_000_000  # 2025-06-01


def bucket(interval: str, time_ms: int) -> datetime:
    """The open of the candle that covers a time, by the calendar."""
    time = datetime.fromtimestamp(time_ms / 1_000, tz=UTC)
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "M":
        return midnight.replace(day=1)
    days = time.weekday() if interval == "W" else 0
    step = int(interval) * 60 if interval.isdecimal() else 7 * 86_400
    seconds = int((time - midnight).total_seconds()) // step * step
    return datetime.fromtimestamp(midnight.timestamp() - days * 86_400 + seconds, tz=UTC)


@pytest.mark.parametrize("name", INTERVALS)
def test_every_interval_adds_up_from_minutes(name: str, market: SyntheticMarket) -> None:
    first = market.instruments["ETHUSDT"].launch_ms
    first += 0 if len(name) == 1 and name.isalpha() else 8 * DAY_MS  # hours need less
    end = market.start_ms + 2 * DAY_MS
    minutes = market.base("ETHUSDT", MINUTE, first, end)
    wanted: dict[int, list[list[int]]] = {}
    for time, row in zip(minutes.open_time.tolist(), minutes.values.tolist(), strict=True):
        wanted.setdefault(int(bucket(name, time).timestamp() * 1_000), []).append(row)
    interval = INTERVALS[name]
    found = market.bars("ETHUSDT", interval, min(wanted), interval.open_of(end - 1))
    whole = [time for time in wanted if time < interval.open_of(end - 1)]
    assert found.open_time.tolist() == whole
    for row, time in zip(found.values.tolist(), whole, strict=True):
        rows = wanted[time]
        assert row == [
            rows[0][0],
            max(part[1] for part in rows),
            min(part[2] for part in rows),
            rows[-1][3],
            sum(part[4] for part in rows),
            sum(part[5] for part in rows),
        ]
        assert interval.open_of(interval.close_of(time)) == interval.close_of(time)
        assert interval.forward(interval.back(time, 5), 5) == time


def test_candles_are_candles_and_go_on_over_midnight(market: SyntheticMarket) -> None:
    bars = market.base("BTCUSDT", MINUTE, market.start_ms - 2 * DAY_MS, market.start_ms + DAY_MS)
    first, high, low, last, lots, _ = bars.values.T
    assert len(bars) == 3 * 1_440
    assert (np.diff(bars.open_time) == 60_000).all()
    assert (first[1:] == last[:-1]).all()
    assert (low <= np.minimum(first, last)).all()
    assert (high >= np.maximum(first, last)).all()
    assert (low > 0).all()
    assert (lots >= least(bars.values)).all()


def test_coins_move_together_but_not_as_one(market: SyntheticMarket) -> None:
    span = (market.start_ms - 9 * DAY_MS, market.start_ms)
    btc, eth = (
        np.diff(np.log(market.base(symbol, MINUTE, *span).values[:, 3]))
        for symbol in ("BTCUSDT", "ETHUSDT")
    )
    assert 0.5 < np.corrcoef(btc, eth)[0, 1] < 0.7  # 0.6 is shared


def test_the_same_seed_is_the_same_market_in_any_order() -> None:
    one, other = SyntheticMarket(history_days=9, seed=1), SyntheticMarket(history_days=9, seed=1)
    start = one.start_ms
    late = one.base("ETHUSDT", MINUTE, start, start + DAY_MS)
    other.base("ETHUSDT", MINUTE, start - 9 * DAY_MS, start)
    again = other.base("ETHUSDT", MINUTE, start, start + DAY_MS)
    assert np.array_equal(late.values, again.values)
    another = SyntheticMarket(history_days=9, seed=2).base("ETHUSDT", MINUTE, start, start + DAY_MS)
    assert not np.array_equal(late.values, another.values)


@st.composite
def minutes(draw: st.DrawFn) -> list[int]:
    """A candle of a minute that trades can add up to."""
    low = draw(st.integers(1, 10**7))
    high = low + draw(st.integers(0, 500))
    first, last = draw(st.integers(low, high)), draw(st.integers(low, high))
    fewest = int(least(np.array([[first, high, low, last, 0, 0]]))[0])
    return [first, high, low, last, draw(st.integers(fewest, 10**7)), 0]


@given(values=minutes(), slot=st.integers(0, 10**8), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_trades_add_up_to_their_minute(values: list[int], slot: int, seed: int) -> None:
    trades = trades_of(slot * 60_000, np.array(values), "ETHUSDT", seed)
    prices = trades.price.tolist()
    assert [prices[0], max(prices), min(prices), prices[-1], sum(trades.size.tolist())] == values[
        :5
    ]
    assert min(trades.size) > 0
    assert (np.diff(trades.time) >= 0).all()
    assert slot * 60_000 <= trades.time[0] <= trades.time[-1] < (slot + 1) * 60_000
    ids = {trades.identity(row, "ETHUSDT") for row in range(len(trades))}
    assert len(ids) == len(trades)
    assert (np.diff(trades.sequence) == 1).all()


def test_a_minute_without_volume_has_no_trades() -> None:
    still = np.array([7, 7, 7, 7, 0, 0])
    assert len(trades_of(0, still, "ETHUSDT", 0)) == 0


def add_up(parts: list[Trades]) -> list[int]:
    """Open, high, low, close and volume of trades."""
    prices = [price for part in parts for price in part.price.tolist()]
    lots = sum(int(part.size.sum()) for part in parts)
    return [prices[0], max(prices), min(prices), prices[-1], lots]


def test_the_open_candle_is_what_has_traded_so_far(market: SyntheticMarket) -> None:
    clock = MarketClock(market.start_ms)
    exchange = Exchange(market, clock)
    hour = market.start_ms + 3_600_000
    now = clock.advance(3_600_000 + 2 * 60_000 + 17_350)
    found = exchange.open_bar("ETHUSDT", HOUR, now)
    assert found.open_time.tolist() == [hour]
    assert found.values[0, :5].tolist() == add_up(exchange.trades("ETHUSDT", hour - 1, now))
    later = exchange.known("ETHUSDT", MINUTE, hour, now + 1)
    assert later.open_time.tolist() == [hour, hour + 60_000, hour + 120_000]


def test_recorded_candles_are_those_of_the_files(real_data: Path) -> None:
    folder = real_data / "exchange"
    market = RecordedMarket(folder)
    assert sorted(market.instruments) == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    for symbol, one in market.instruments.items():
        for frame, name in (("1m_20250530-20250605", "1"), ("1h", "60"), ("1d", "D")):
            rows = pq.read_table(folder / f"bybit_linear_{symbol}_{frame}.parquet").to_pydict()
            times = rows["open_time"]
            bars = market.bars(symbol, INTERVALS[name], times[0], times[-1] + 1)
            assert bars.open_time.tolist() == times
            for column, place in (
                ("open", 0),
                ("high", 1),
                ("low", 2),
                ("close", 3),
                ("volume", 4),
            ):
                digits = one.size_decimals if column == "volume" else one.price_decimals
                assert (bars.values[:, place] / 10**digits).tolist() == rows[column]
                told = [text(value, digits) for value in bars.values[-99:, place].tolist()]
                assert [float(number) for number in told] == rows[column][-99:]
    assert market.instruments["BTCUSDT"].price_decimals == 1
    assert market.instruments["BTCUSDT"].size_decimals == 3


def write(folder: Path, name: str, rows: list[list[float]]) -> None:
    """A parquet file of candles."""
    names = ["open_time", "open", "high", "low", "close", "volume"]
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=names), folder / name)


def test_hours_where_there_is_no_file_are_added_up(tmp_path: Path) -> None:
    rows = [[START + 60_000 * i, 5.0, 5.5, 4.5, 5.0, 10.0] for i in range(90)]
    write(tmp_path, "ETHUSDT_1m.parquet", rows)
    market = RecordedMarket(tmp_path)
    hours = market.bars("ETHUSDT", HOUR, START, START + 7_200_000)
    assert hours.open_time.tolist() == [START, START + 3_600_000]
    assert hours.values[:, 4].tolist() == [600, 300]
    assert (market.start_ms, market.end_ms) == (START, START + 90 * 60_000)


def test_what_can_not_be_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no 1m candles of any symbol"):
        RecordedMarket(tmp_path)
    write(tmp_path, "ETHUSDT_1m.parquet", [[START, 5.0, 7.0, 4.0, 5.0, 2.0]])
    with pytest.raises(DataError, match="more prices than traded lots"):
        RecordedMarket(tmp_path)
    with pytest.raises(DataError, match=r"no 1m candles of SOLUSDT.*\n.*minutes of ETHUSDT"):
        RecordedMarket(tmp_path, ["SOLUSDT"])
    with pytest.raises(DataError, match="no file or folder"):
        RecordedMarket(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("number", "decimals", "told"),
    [
        (105_500, 1, "10550"),
        (105_501, 1, "10550.1"),
        (1, 5, "0.00001"),
        (7, 0, "7"),
        (-5, 1, "-0.5"),
    ],
)
def test_numbers_as_the_exchange_writes_them(number: int, decimals: int, told: str) -> None:
    assert text(number, decimals) == told


def test_a_turnover_is_volume_times_the_mean_price() -> None:
    bars = Bars.of(np.array([0]), np.array([[100, 102, 99, 101, 30]]))  # 10.0 to 10.1, 3.0 lots
    assert turnover_text(int(bars.values[0, 5]), 2) == "30.15"


def test_the_clock_runs_at_its_speed_or_by_hand() -> None:
    seconds = [5.0]
    clock = MarketClock(1_000, 60.0, lambda: seconds[0])
    assert clock.now_ms() == 1_000
    seconds[0] = 6.5
    assert clock.now_ms() == 91_000
    assert clock.advance(9_000) == 100_000
    still = MarketClock(1_000)
    assert still.now_ms() == still.now_ms() == 1_000
    with pytest.raises(MtfError, match="never goes back"):
        still.advance(-1)
    with pytest.raises(MtfError, match="found speed -1"):
        MarketClock(0, -1)
