"""The paper account: by hand what it must be, and bar by bar the backtest of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingKnown, FundingRate, NoCandle, Traded
from mtf.realtime.paper import TARGET, Paper, finer_of
from mtf.trading import kernels
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.targets import Targets

MINUTE, HOUR = 60_000, 3_600_000
M1, S10, S1 = (Timeframe.parse(name) for name in ("1m", "10s", "1s"))
START = 28_000_020 * MINUTE
PLAIN = Broker(commission=0.0, capital=1_000.0, used=1.0, order_latency_ms=2_000)


def account(broker: Broker = PLAIN, **options: object) -> Paper:
    return Paper("ETHUSDT", M1, START, Candle(), broker, **options)  # type: ignore[arg-type]


def candle(
    minute: float, prices: tuple[float, float, float, float], frame: Timeframe = M1
) -> Closed:
    """Open, high, low, close of a minute after the start."""
    open_ms = START + round(minute * MINUTE)
    rows = np.array([[*prices, 1.0]])
    arrived = open_ms + frame.duration_ms + 50
    return Closed("ETHUSDT", frame, np.array([open_ms]), rows, arrived, "stream")


def decision(minute: int, weight: float) -> Decision:
    nan = float("nan")
    return Decision(START + minute * MINUTE, {}, weight, weight, nan, nan, nan)


def test_by_hand() -> None:
    """Long at the open of minute 1 at 10; worth 12 at its close, 11 at the next; sold at 11.5."""
    paper = account()
    paper.order(decision(0, 1.0))
    assert paper.look().ordered == 1.0
    paper.take(candle(0, (9.0, 9.5, 8.5, 9.0)))
    assert len(paper.settle()) == 0
    assert paper.look().equity == 1_000.0
    assert paper.look().ordered == 1.0  # decided 2 s into minute 0, so it waits for minute 1
    paper.order(decision(1, 1.0))
    paper.take(candle(1, (10.0, 12.0, 10.0, 12.0)))
    (fill,) = paper.settle().to_dict("records")
    assert (fill["type"], fill["side"], fill["price"], fill["size"]) == ("open", 1, 10.0, 100.0)
    look = paper.look()
    assert (look.equity, look.position, look.entry_price, look.mark) == (1_200.0, 100.0, 10.0, 12.0)
    assert (look.unrealised, look.ordered, look.num_fills) == (200.0, None, 1)
    assert "bought 100 at 10" in look.last_fill
    paper.order(decision(2, 0.0))
    assert paper.look().ordered == 0.0
    paper.take(candle(2, (12.0, 12.0, 11.0, 11.0)))
    paper.order(decision(3, 0.0))
    paper.take(candle(3, (11.5, 11.5, 11.0, 11.0)))
    (sold,) = paper.settle().to_dict("records")
    assert (sold["type"], sold["price"]) == ("close", 11.5)
    assert (paper.look().equity, paper.look().position) == (1_150.0, 0.0)


def test_a_minute_without_a_candle_keeps_the_mark() -> None:
    paper = account()
    paper.order(decision(0, 1.0))
    for event in (candle(0, (9.0,) * 4), candle(1, (10.0,) * 4)):
        paper.take(event)
    paper.take(NoCandle("ETHUSDT", M1, START + 2 * MINUTE, START + 4 * MINUTE, START + 5 * MINUTE))
    paper.settle()
    assert paper.settled_ms == START + 4 * MINUTE
    assert paper.outcome is not None
    assert paper.outcome.equity.tolist() == [1_000.0] * 4


def test_a_bar_waits_for_the_funding_that_is_due_before_it() -> None:
    """Funding at a full hour: the minute that begins then is not traded before its rate."""
    paper = account(funding=True)  # START is an hour's begin: a rate may be due at once
    paper.order(decision(0, 1.0))
    paper.take(candle(0, (10.0,) * 4))
    paper.settle()
    assert paper.outcome is None
    assert paper.take(FundingRate("ETHUSDT", START, 0.01, START + 20_000))
    assert not paper.take(FundingRate("ETHUSDT", START, 0.01, START + 90_000))  # known
    assert not paper.take(FundingRate("ETHUSDT", START - HOUR, 0.5, START))  # before its time
    for minute in range(1, 61):
        paper.take(candle(minute, (10.0,) * 4))
    paper.settle()
    assert paper.settled_ms == START + HOUR  # the minute after the next hour waits again
    paper.take(FundingRate("ETHUSDT", START + HOUR, 0.01, START + HOUR + 20_000))
    paper.settle()
    assert paper.settled_ms == START + HOUR + MINUTE
    assert paper.look().equity == pytest.approx(990.0)  # 1 % of the 1,000 that were held, once


def test_an_hour_without_a_payment_is_traded_when_that_is_known() -> None:
    """Nothing is learnt of how often funding is paid: what is known is told."""
    paper = account(funding=True)
    paper.order(decision(0, 1.0))
    paper.take(FundingRate("ETHUSDT", START, 0.0, START + 20_000))
    for minute in range(62):
        paper.take(candle(minute, (10.0,) * 4))
    paper.settle()
    assert (paper.settled_ms, paper.funded_ms) == (START + HOUR, START + HOUR)
    assert paper.take(FundingKnown("ETHUSDT", START + 2 * HOUR, START + HOUR + 20_000))
    assert not paper.take(FundingKnown("ETHUSDT", START + HOUR, START + HOUR + 20_000))
    paper.settle()
    assert paper.settled_ms == START + 62 * MINUTE


def test_an_order_is_shown_until_it_is_filled() -> None:
    """Decided again and again while no candle comes: it still waits."""
    paper = account()
    paper.order(decision(0, 1.0))
    paper.take(candle(0, (9.0,) * 4))
    paper.settle()
    paper.order(decision(1, 1.0))
    assert (paper.look().ordered, paper.look().num_fills) == (1.0, 0)
    paper.take(NoCandle("ETHUSDT", M1, START + MINUTE, START + 3 * MINUTE, START + 3 * MINUTE))
    paper.settle()
    paper.order(decision(2, float("nan")))
    paper.order(decision(3, 1.0))
    assert (paper.look().ordered, paper.look().num_fills) == (1.0, 0)
    paper.take(candle(3, (10.0,) * 4))
    assert len(paper.settle()) == 1
    assert paper.look().ordered is None
    paper.order(decision(4, 0.0))
    assert paper.look().ordered == 0.0
    paper.order(decision(5, 1.0))  # before anything was sold
    assert paper.look().ordered is None


def test_with_seconds_an_order_is_filled_within_the_minute() -> None:
    """Decided at 0 s, 2 s late: the second that opens at 2 s is where it is filled."""
    paper = account(fine=S1)
    paper.order(decision(0, 1.0))
    paper.take(candle(0, (10.0, 14.0, 10.0, 14.0)))
    paper.settle()
    assert paper.outcome is None  # the seconds are not there yet
    assert paper.look().ordered == 1.0
    for second in range(60):
        price = 10.0 if second < 2 else 12.0 if second == 2 else 14.0
        paper.take(candle(second / 60, (price,) * 4, S1))
    (fill,) = paper.settle().to_dict("records")
    assert fill["price"] == 12.0
    assert fill["time"].value // 1_000_000 == START + 2_000
    assert paper.look().ordered is None


def test_what_is_about_others_is_left_alone() -> None:
    paper = account()
    other = candle(0, (1.0,) * 4)
    assert not paper.take(Closed("BTCUSDT", M1, other.open_ms, other.ohlcv, 0, "stream"))
    assert not paper.take(candle(0, (1.0,) * 4, Timeframe.parse("1h")))
    assert not paper.take(FundingRate("BTCUSDT", START, 0.1, START))
    assert paper.take(candle(0, (1.0,) * 4))
    assert not paper.take(candle(0, (2.0,) * 4))  # told once, it stays


def test_the_finest_of_the_finer_ones() -> None:
    five = Timeframe.parse("5m")
    assert finer_of([M1, S1, five], five) == S1
    assert finer_of([M1, five], M1) is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bar_by_bar_equals_all_at_once(data: st.DataObject) -> None:
    """Whenever it is settled: fills and equity are those of one backtest of all of it."""
    minutes = data.draw(st.integers(3, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    broker = Broker(0.001, None, 2.0, 2_000, 1_000.0, 0.95, 2.0)
    weights = data.draw(
        st.lists(
            st.sampled_from([1.0, -1.0, 0.0, 0.5, float("nan")]),
            min_size=minutes,
            max_size=minutes,
        )
    )
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, minutes)))
    opens = np.roll(close, 1)
    opens[0] = 100.0
    high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) * 0.999
    ohlc = np.stack([opens, high, low, close], axis=1)
    missing = rng.random(minutes) < 0.1
    missing[-1] = False
    paper, fills, stops = account(broker), 0, rng.choice([np.nan, 0.01], minutes)
    for minute in range(minutes):
        made = decision(minute, weights[minute])
        paper.order(Decision(**{**vars(made), "stop_loss": float(stops[minute])}))
        if missing[minute]:
            span = START + minute * MINUTE, START + (minute + 1) * MINUTE
            paper.take(NoCandle("ETHUSDT", M1, *span, 0))
        else:
            paper.take(candle(minute, tuple(ohlc[minute])))
        if data.draw(st.booleans()):
            fills += len(paper.settle())
    fills += len(paper.settle())
    nothing = np.full(minutes, np.nan)
    times = START + MINUTE * np.arange(minutes)
    targets = Targets(times, np.array(weights), nothing, stops, nothing)
    outcome = Candle().run(targets, paper.bars_until(paper.settled_ms), broker)
    assert paper.outcome is not None
    assert paper.fills.equals(outcome.fills)
    assert fills == len(outcome.fills)
    np.testing.assert_array_equal(paper.outcome.equity, outcome.equity)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_shown_as_ordered_is_what_the_next_candle_fills(data: st.DataObject) -> None:
    """The oracle is the engine's own list of orders, on one candle more."""
    latency = data.draw(st.sampled_from([0, 2_000, 60_000, 95_000]))
    paper = account(Broker(0.0, None, 0.0, latency, 1_000.0, 1.0))
    weights = data.draw(
        st.lists(st.sampled_from([1.0, -1.0, 0.0, float("nan")]), min_size=1, max_size=12)
    )
    for minute, weight in enumerate(weights):
        if data.draw(st.booleans()):
            paper.take(candle(minute, (10.0,) * 4))
        else:
            span = START + minute * MINUTE, START + (minute + 1) * MINUTE
            paper.take(NoCandle("ETHUSDT", M1, *span, 0))
        paper.order(decision(minute, weight))
    paper.settle()
    bars = paper.bars_until(paper.settled_ms)
    opens = np.append(bars.open_time, START + 10 * HOUR)
    times = START + MINUTE * np.arange(len(weights))
    at, rows = kernels.orders(times, np.array(weights), opens, np.append(bars.valid, True), latency)
    waits = [weights[row] for bar, row in zip(at, rows, strict=True) if bar == len(bars)]
    assert paper.look().ordered == (waits[-1] if waits else None)


class Everything(Candle):
    """The same engine by another name: of it nobody knows which finer candles it reads."""


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_the_finer_candles_that_are_kept_fill_as_all_of_them_do(data: st.DataObject) -> None:
    """Fills, equity, costs: as with every finer candle there is, whatever comes when."""
    minutes = data.draw(st.integers(2, 25))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    latency = data.draw(st.sampled_from([2_000, 15_000, 30_000, 60_000, 75_000, 130_000]))
    broker = Broker(0.001, 0.0002, 2.0, latency, 1_000.0, 0.95, 3.0)
    weights = data.draw(
        st.lists(
            st.sampled_from([1.0, 1.0, -1.0, 0.0, 0.5, 3.0, float("nan")]),
            min_size=minutes,
            max_size=minutes,
        )
    )
    few = Paper("ETHUSDT", M1, START, Candle(), broker, fine=S10)
    every = Paper("ETHUSDT", M1, START, Everything(), broker, fine=S10)
    events = sorted(
        [*random_minutes(rng, minutes), *orders_of(rng, weights, data.draw(st.booleans()))],
        key=lambda one: one[0],
    )
    for paper in (few, every):
        for _, event in events:
            if isinstance(event, Decision):
                paper.settle()
                paper.order(event)
            else:
                paper.take(event)
        paper.settle()
    assert few.settled_ms >= every.settled_ms  # what does not count is not waited for
    told = [event for _, event in events if isinstance(event, Decision)]
    columns = np.array([[getattr(one, name) for name in TARGET] for one in told], np.float64)
    times = columns[:, 0].astype(np.int64)
    counts = times <= few.settled_ms
    targets = Targets(times[counts], *(columns[counts, i].copy() for i in range(1, 5)))
    assert every.fine is not None
    bars = replace(few.bars_until(few.settled_ms), fine=every.fine.until(few.settled_ms))
    if few.outcome is None:
        return
    expected = Candle().run(targets, bars, broker)
    assert few.fills.equals(expected.fills)
    assert few.outcome.trades.equals(expected.trades)
    for name in ("equity", "cash", "position", "commission", "slippage", "funding"):
        np.testing.assert_array_equal(getattr(few.outcome, name), getattr(expected, name))


def random_minutes(rng: np.random.Generator, minutes: int) -> Iterator[tuple[int, Traded]]:
    """Sixths of minutes and minutes with holes, and funding, with the time of their arrival."""
    price = 100.0
    for sixth in range(6 * minutes):
        open_ms = START + 10_000 * sixth
        path = price * np.exp(np.cumsum(rng.normal(0, 0.004, 4)))
        if rng.random() < 0.8:
            rows = np.array([[path[0], path.max(), path.min(), path[-1], 1.0]])
            event = Closed("ETHUSDT", S10, np.array([open_ms]), rows, open_ms + 10_050, "stream")
            yield open_ms + 10_050, event
        elif rng.random() < 0.5:
            yield open_ms + 10_050, NoCandle("ETHUSDT", S10, open_ms, open_ms + 10_000, open_ms)
        price = float(path[-1])
    for minute in range(minutes):
        open_ms = START + MINUTE * minute
        path = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, 4)))
        end_ms = open_ms + MINUTE
        if rng.random() < 0.85:
            prices = (path[0], path.max(), path.min(), path[-1])
            yield end_ms + 60, candle(minute, prices)
        else:
            yield end_ms + 60, NoCandle("ETHUSDT", M1, open_ms, end_ms, end_ms)
    yield START + 70, FundingRate("ETHUSDT", START, 0.001, START + 70)
    yield START + 70, FundingRate("ETHUSDT", START + 3 * MINUTE, 0.002, START + 70)


def orders_of(
    rng: np.random.Generator, weights: list[float], skipped: bool
) -> Iterator[tuple[int, Decision]]:
    """A decision a minute, made 2 s after it; some are missed."""
    for minute, weight in enumerate(weights):
        made = replace(
            decision(minute, weight),
            stop_loss=float(rng.choice([np.nan, 0.004, 0.02])),
            take_profit=float(rng.choice([np.nan, 0.006])),
        )
        if not (skipped and rng.random() < 0.3):
            yield START + minute * MINUTE + 2_000, made
