"""What an account writes down is enough to have it again, and so is what older journals hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from mtf.market.timeframe import Timeframe
from mtf.realtime.booked import Booked
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingKnown, FundingRate, Traded
from mtf.realtime.journal import Lines, decision_line, event_line
from mtf.realtime.paper import Paper
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker

MINUTE, HOUR = 60_000, 3_600_000
M1, S10 = Timeframe.parse("1m"), Timeframe.parse("10s")
START = 28_000_020 * MINUTE  # an hour's begin
BROKER = Broker(commission=0.001, capital=1_000.0, order_latency_ms=15_000)
MINUTES = 65


def account(lines: Lines) -> Booked:
    paper = Paper("ETHUSDT", M1, START, Candle(), BROKER, fine=S10, funding=True)
    return Booked(paper, lines.write)


def story() -> Iterator[Traded | Decision]:
    """Six candles of ten seconds a minute, the first before its decision; a turn every tenth."""
    nan, rng = float("nan"), np.random.default_rng(5)
    price = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.002, 6 * MINUTES)))
    yield FundingRate("ETHUSDT", START, 0.001, START)
    for minute in range(MINUTES):
        open_ms = START + MINUTE * minute
        for sixth in range(6):
            now = price[6 * minute + sixth]
            yield candle(S10, open_ms + 10_000 * sixth, (now, now, now, now))
            if sixth == 0:
                weight = (1.0, -1.0, 0.0)[minute // 10 % 3]
                yield Decision(open_ms, {"action.prob_buy": 0.5}, weight, weight, nan, nan, nan)
        of = price[6 * minute : 6 * minute + 6]
        yield candle(M1, open_ms, (of[0], of.max(), of.min(), of[-1]))
        if minute == 60:
            yield FundingRate("ETHUSDT", START + HOUR, 0.001, open_ms)
            yield FundingKnown("ETHUSDT", START + 2 * HOUR, open_ms)


def candle(frame: Timeframe, open_ms: int, prices: tuple[float, ...]) -> Closed:
    rows, end_ms = np.array([[*prices, 1.0]]), open_ms + frame.duration_ms
    return Closed("ETHUSDT", frame, np.array([open_ms]), rows, end_ms + 50, "stream")


def lived(lines: Lines) -> Booked:
    """An account that was there all the time."""
    booked = account(lines)
    for event in story():
        if isinstance(event, Decision):
            booked.settle()
            lines.write("decision", **decision_line(event))
            booked.order(event)
        else:
            booked.take(event)
    booked.settle()
    return booked


def everything() -> Iterator[Mapping[str, Any]]:
    """A journal of before: every finer candle, and no word on what is known of funding."""
    for event in story():
        lines = Lines()
        if isinstance(event, Decision):
            lines.write("decision", **decision_line(event))
        elif not isinstance(event, FundingKnown):
            line = event_line(event)
            lines.write(line.pop("kind"), **line)
        yield from lines.written


@pytest.mark.parametrize("before", [False, True])
def test_an_account_is_recalled(before: bool) -> None:
    booked = lived(lines := Lines())
    assert len(booked.paper.fills) == 9
    again = account(told := Lines())
    for line in list(everything()) if before else list(lines.written):
        again.recall(line)
    again.settle()
    assert again.paper.look() == booked.paper.look()
    assert again.paper.fills.equals(booked.paper.fills)
    assert again.paper.settled_ms == START + MINUTES * MINUTE
    # Each fill is written once; what was recalled is not written again.
    written = {line["kind"] for line in told.written}
    assert written == ({"fill", "account"} if before else {"account"})


def test_of_finer_candles_those_around_orders_are_written() -> None:
    """Turns at 0, 10, 20, … 60 minutes: six of ten seconds of each are in the journal."""
    lived(lines := Lines())
    fine = [
        open_ms
        for line in lines.written
        if line["kind"] == "candles" and line["timeframe"] == "10s"
        for open_ms in line["open_ms"]
    ]
    minutes = [0, 10, 20, 30, 40, 50, 60]
    assert fine == [START + m * MINUTE + 10_000 * sixth for m in minutes for sixth in range(6)]
