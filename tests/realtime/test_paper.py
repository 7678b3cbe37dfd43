"""The paper account: by hand what it must be, and bar by bar the backtest of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingRate, NoCandle
from mtf.realtime.paper import Paper, finer_of
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.targets import Targets

MINUTE, HOUR = 60_000, 3_600_000
M1, S1 = Timeframe.parse("1m"), Timeframe.parse("1s")
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
    paper = account(funding_every_ms=HOUR)  # START is an hour's begin: a rate is due at once
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


def test_with_seconds_an_order_is_filled_within_the_minute() -> None:
    """Decided at 0 s, 2 s late: the second that opens at 2 s is where it is filled."""
    paper = account(fine=S1)
    paper.order(decision(0, 1.0))
    paper.take(candle(0, (10.0, 14.0, 10.0, 14.0)))
    paper.settle()
    assert paper.outcome is None  # the seconds are not there yet
    for second in range(60):
        price = 10.0 if second < 2 else 12.0 if second == 2 else 14.0
        paper.take(candle(second / 60, (price,) * 4, S1))
    (fill,) = paper.settle().to_dict("records")
    assert fill["price"] == 12.0
    assert fill["time"].value // 1_000_000 == START + 2_000


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
