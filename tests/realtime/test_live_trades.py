"""Seconds out of trades: closed when later trades are there, and honest about outages."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from messages import START, answer, connection, sent, text, told

from mtf.market.timeframe import Timeframe
from mtf.market.trade_candles import TradeCandles, TradeRows
from mtf.realtime.events import Closed, Event, FeedFault, Message, NoCandle, StreamState
from mtf.realtime.intake import Intake

SECOND = Timeframe.parse("1s")
KEY = ("ETHUSDT", SECOND)


def ms(seconds: float) -> int:
    return START + round(1_000 * seconds)


def intake(since: float = 0.0, **options: Any) -> Intake:
    return Intake({KEY: ms(since)}, **options)


def trade(second: float, price: float, size: float = 1.0, **parts: Any) -> dict[str, Any]:
    """A trade as the stream tells it; its time is its id."""
    row = {
        "T": ms(second),
        "s": "ETHUSDT",
        "S": "Buy",
        "v": str(size),
        "p": str(price),
        "i": f"id {second} {price}",
        "seq": round(1_000 * second),
    }
    return row | parts


def stream(
    *trades: dict[str, Any], at: float | None = None, sent_at: float | None = None
) -> Message:
    """A message of trades, which arrives a tenth of a second after the last of them."""
    at_ms = trades[-1]["T"] + 100 if at is None else ms(at)
    ts = None if sent_at is None else ms(sent_at)
    return sent("publicTrade.ETHUSDT", list(trades), at_ms, ts=ts)


def word(at: float, ts: object = None) -> Message:
    """A message that says no more than that the exchange sent it; ``ts`` is in ms."""
    return sent("publicTrade.ETHUSDT", [], ms(at), ts=ts)


def rest(*trades: dict[str, Any], opened: float, at: float) -> Message:
    """The newest trades as REST tells them, the newest first."""
    rows = [
        {
            "execId": row["i"],
            "symbol": row["s"],
            "price": row["p"],
            "size": row["v"],
            "time": str(row["T"]),
            "seq": str(row["seq"]),
        }
        for row in trades[::-1]
    ]
    return answer(rows, ms(opened), ms(opened), ms(at), ask="trades")


def taken(taking: Intake, *messages: Message) -> list[Event]:
    return [event for message in messages for event in taking.take(message)]


def seconds(events: list[Event]) -> list[tuple[float, list[float]]]:
    return [((row[0] - START) / 1_000, row[1:]) for row in told(events)]


def gaps(events: list[Event]) -> list[tuple[float, float]]:
    found = [event for event in events if isinstance(event, NoCandle)]
    return [((gap.start_ms - START) / 1_000, (gap.end_ms - START) / 1_000) for gap in found]


def states(events: list[Event]) -> list[str]:
    return [event.state for event in events if isinstance(event, StreamState)]


def faults(events: list[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, FeedFault)]


def begun(**options: Any) -> Intake:
    """One that heard an old trade from REST, and hears the stream from second 0 on."""
    taking = intake(**options)
    taken(taking, connection("open", ms(-1)), rest(trade(-5, 9.0), opened=-1, at=-0.5))
    return taking


FLAT = [9.0, 9.0, 9.0, 9.0, 0.0]


def test_a_second_closes_with_a_trade_of_a_later_one_and_the_grace() -> None:
    taking = begun()
    events = taken(taking, stream(trade(0.2, 10.0), trade(0.7, 12.0, 0.5)))
    events += taken(taking, stream(trade(1.1, 11.0)))
    assert told(events) == []  # second 0 is over, but a trade of it may still come
    events = taken(taking, stream(trade(0.9, 8.0), at=1.3), stream(trade(3.0, 7.0)))
    assert seconds(events) == [(0, [10.0, 12.0, 8.0, 8.0, 2.5]), (1, [11.0, 11.0, 11.0, 11.0, 1.0])]


def test_time_alone_closes_nothing_but_a_word_that_was_sent_after_the_grace() -> None:
    taking = begun()
    taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)))
    assert told(taking.advance(ms(60))) == []  # what was sent by then may be on its way
    assert told(taken(taking, word(60.0, ms(1.999)))) == []
    assert seconds(taken(taking, word(60.1, ms(2)))) == [(0, [10.0, 10.0, 10.0, 10.0, 1.0])]


def test_seconds_without_a_trade_are_flat_while_the_connection_lives() -> None:
    taking = begun(quiet_ms=3_000)
    taken(taking, stream(trade(0.2, 10.0)))
    assert told(taking.advance(ms(20))) == []  # not a word: is there a connection at all?
    assert [second for second, _ in seconds(taken(taking, word(20.0)))] == list(range(17))


def stalled(*before: Message) -> list[Event]:
    """A second of trades, and eleven in which nothing comes; then all that was sent, at once."""
    taking = begun()
    events = taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)), *before)
    late = [trade(2.2, 12.0), trade(2.7, 13.0), trade(5.4, 14.0), trade(11.6, 15.0)]
    for number, each in enumerate(late):
        sent_at = (each["T"] - START) / 1_000 + 0.1
        events += taken(taking, stream(each, at=12.0 + number / 1_000, sent_at=sent_at))
    return events


TOLD_LATE = [
    (0, [10.0] * 4 + [1.0]),
    (1, [11.0] * 4 + [1.0]),
    (2, [12.0, 13.0, 12.0, 13.0, 2.0]),
    *[(second, [13.0] * 4 + [0.0]) for second in (3, 4)],
    (5, [14.0] * 4 + [1.0]),
    *[(second, [14.0] * 4 + [0.0]) for second in (6, 7, 8, 9)],
]


def test_a_network_that_stalls_makes_no_second_wrong() -> None:
    events = stalled()
    assert seconds(events) == TOLD_LATE
    assert (gaps(events), faults(events)) == ([], [])


def test_a_process_that_was_stopped_makes_no_second_wrong() -> None:
    """Before anything of what waits is read, somebody looks at the clock."""
    taking = begun()
    events = taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)))
    events += taking.advance(ms(40))
    events += taken(taking, stream(trade(2.2, 12.0), at=40.0, sent_at=2.3))
    events += taking.advance(ms(50))  # stopped again, in the middle of what waited
    events += taken(taking, stream(trade(2.9, 13.0), at=50.0, sent_at=3.0))
    events += taken(taking, stream(trade(49.9, 14.0), at=50.001, sent_at=50.0))
    assert seconds(events)[:3] == [
        (0, [10.0] * 4 + [1.0]),
        (1, [11.0] * 4 + [1.0]),
        (2, [12.0, 13.0, 12.0, 13.0, 2.0]),
    ]
    assert seconds(events)[3:] == [(second, [13.0] * 4 + [0.0]) for second in range(3, 49)]
    assert (gaps(events), faults(events)) == ([], [])


def test_what_other_topics_sent_closes_no_second_before_the_trades_had_their_time() -> None:
    """Of a burst the last candle comes first: trades sent up to five seconds before may follow."""
    events = stalled(word(12.0, ms(7.1)))
    assert seconds(events) == TOLD_LATE
    assert faults(events) == []


@pytest.mark.parametrize("ts", ["absent", 0, -5, 10**30, 1.5, True, None, [], {}, "now"])
def test_a_message_that_does_not_say_when_it_was_sent_says_nothing_of_time(ts: object) -> None:
    taking = begun()
    taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)))
    content = {"topic": "publicTrade.ETHUSDT", "data": [trade(30.2, 12.0)], "ts": ts}
    if ts == "absent":
        del content["ts"]
    events = taking.take(text(json.dumps(content), ms(31)))
    if ts != 10**30:
        assert told(events) == []
        events = taken(taking, word(31.1))
    assert seconds(events)[:2] == [(0, [10.0] * 4 + [1.0]), (1, [11.0] * 4 + [1.0])]
    assert seconds(events)[-1] == (29, [11.0] * 4 + [0.0])
    assert faults(events) == []


def test_a_message_sent_in_the_future_was_sent_when_it_arrived() -> None:
    taking = begun()
    taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)))
    events = taken(taking, word(4.0, ms(3_600)))
    assert [second for second, _ in seconds(events)] == [0]
    events = taken(taking, stream(trade(4.5, 12.0)), stream(trade(7.5, 12.0)))
    assert seconds(events)[-3:] == [
        (3, [11.0] * 4 + [0.0]),
        (4, [12.0] * 4 + [1.0]),
        (5, [12.0] * 4 + [0.0]),
    ]
    assert faults(events) == []


def test_trades_of_a_time_that_a_machine_which_slept_does_not_know_of_yet_count() -> None:
    """Our clock stood still for a minute, and is set right three seconds later."""
    taking = begun()
    events = taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)))
    events += taken(taking, stream(trade(61.2, 12.0), at=1.3, sent_at=61.3))
    events += taken(taking, stream(trade(63.2, 13.0), at=3.3, sent_at=63.3))
    assert [second for second, _ in seconds(events)] == [0, 1]
    events += taken(taking, stream(trade(65.2, 14.0), at=65.3))
    assert seconds(events)[-4:] == [
        (60, [11.0] * 4 + [0.0]),
        (61, [12.0] * 4 + [1.0]),
        (62, [12.0] * 4 + [0.0]),
        (63, [13.0] * 4 + [1.0]),
    ]
    assert (gaps(events), faults(events)) == ([], [])


def test_trades_that_come_again_count_once() -> None:
    twice = stream(trade(0.2, 10.0))
    events = taken(begun(), twice, twice, stream(trade(3.5, 11.0)))
    assert seconds(events)[0] == (0, [10.0, 10.0, 10.0, 10.0, 1.0])


def test_a_trade_that_comes_too_late_is_a_fault() -> None:
    taking = begun()
    events = taken(taking, stream(trade(0.2, 10.0)), stream(trade(3.5, 11.0)))
    assert len(told(events)) == 2
    events = taken(taking, stream(trade(0.4, 99.0), at=3.6), stream(trade(6.5, 11.0)))
    events += taken(taking, stream(trade(0.5, 99.0), at=6.6), stream(trade(9.5, 11.0)))
    said = [event.words for event in events if isinstance(event, FeedFault)]
    assert said == ["ETHUSDT 1s: 1 trade of seconds that were told without"] * 2
    assert 99.0 not in np.array(told(events))


@pytest.mark.parametrize(
    "parts",
    [
        {"p": "NaN"},
        {"p": "-1"},
        {"v": "inf"},
        {"v": None},
        {"v": "1e308"},
        {"p": "1e308"},
        {"s": "BTCUSDT"},
        {"T": START // 1_000},
        {"T": START + 10**11},
        {"T": 10**30},
        {"T": "now"},
    ],
)
def test_a_trade_that_is_none_is_said_and_those_beside_it_count(parts: dict[str, Any]) -> None:
    taking = begun()
    beside = stream(trade(0.5, 11.0, **parts), trade(0.2, 10.0), at=0.6)
    events = taken(taking, beside, stream(trade(2.5, 11.0)))
    assert seconds(events)[0] == (0, [10.0, 10.0, 10.0, 10.0, 1.0])
    assert faults(events) == ["bad trade"]


@pytest.mark.parametrize("odd", ["\ud800", "\x00", "", "x" * 10_000, " "])
def test_whatever_id_a_trade_has_it_counts_once(odd: str) -> None:
    """A lone half of a pair can't be written down in any encoding."""
    taking = begun()
    twice = stream(trade(0.2, 10.0, i=odd))
    events = taken(taking, twice, twice, stream(trade(2.5, 11.0)))
    assert seconds(events) == [(0, [10.0] * 4 + [1.0])]
    assert faults(events) == []


def test_history_begins_with_the_oldest_trade_that_rest_tells() -> None:
    taking = intake(since=-60)
    assert taking.wanted(ms(-1)) == []
    taken(taking, connection("open", ms(-1)))
    assert taking.wanted(ms(-1)) == []  # not before the stream tells the later ones
    taken(taking, stream(trade(0.5, 12.0)))
    (ask,) = taking.wanted(ms(0.6))
    assert (ask.what, ask.symbol, taking.wanted(ms(0.7))) == ("trades", "ETHUSDT", [ask])
    told_by_rest = [trade(-2.5, 10.0), trade(-1.5, 11.0), trade(0.5, 12.0)]
    events = taken(taking, rest(*told_by_rest, opened=-1, at=1.2))
    assert gaps(events) == [(-60, -2)]  # second -3 may have had trades that did not fit
    assert seconds(events) == [(-2, [11.0] * 4 + [1.0])]  # the stream's last word is of 0.6
    assert taking.wanted(ms(1.2)) == []
    events = taken(taking, stream(trade(2.1, 13.0)))
    assert seconds(events) == [(-1, [11.0] * 4 + [0.0]), (0, [12.0] * 4 + [1.0])]


def test_rest_fills_an_outage_that_its_trades_reach_back_over() -> None:
    taking = begun()
    events = taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)), word(2.2))
    assert seconds(events) == [(0, [10.0] * 4 + [1.0])]
    events = taken(taking, connection("lost", ms(3), "reset"))
    assert (told(events), states(events)) == ([], ["lost"])
    assert states(taken(taking, connection("open", ms(8)))) == ["filling"]
    taken(taking, stream(trade(8.4, 14.0)))
    missed = [trade(0.2, 10.0), trade(1.1, 11.0), trade(1.8, 12.0), trade(6, 13.0)]
    events = taken(taking, rest(*missed, trade(8.4, 14.0), opened=8, at=9), word(9.1))
    assert gaps(events) == []
    assert seconds(events) == [
        (1, [11.0, 12.0, 11.0, 12.0, 2.0]),
        *[(second, [12.0] * 4 + [0.0]) for second in (2, 3, 4, 5)],
        (6, [13.0] * 4 + [1.0]),
        (7, [13.0] * 4 + [0.0]),
    ]
    assert states(events) == ["live"]


def test_newest_trades_that_end_before_the_stream_begins_are_asked_for_again() -> None:
    taking = intake()
    taken(taking, connection("open", ms(10)), stream(trade(10.4, 110.0)))
    old = [trade(5.1, 100.0), trade(6.2, 101.0), trade(8.4, 103.0)]
    events = taken(taking, rest(*old, opened=10, at=10.9))  # REST is two seconds behind
    assert (told(events), gaps(events), len(taking.wanted(ms(11)))) == ([], [], 1)
    new = [*old, trade(8.9, 105.0), trade(9.9, 106.0), trade(10.4, 110.0)]
    events = taken(taking, rest(*new, opened=10, at=12), word(12.1))
    assert gaps(events) == [(0, 6)]
    assert seconds(events) == [
        (6, [101.0] * 4 + [1.0]),
        (7, [101.0] * 4 + [0.0]),
        (8, [103.0, 105.0, 103.0, 105.0, 2.0]),
        (9, [106.0] * 4 + [1.0]),
    ]


def test_rest_that_stays_behind_the_stream_makes_a_gap() -> None:
    taking = intake(patience_ms=10_000)
    taken(taking, connection("open", ms(10)), stream(trade(10.4, 110.0)))
    events = taken(taking, rest(trade(5.1, 100.0), opened=10, at=19.9))
    assert (told(events), gaps(events)) == ([], [])
    events = taken(taking, stream(trade(21.5, 111.0)), stream(trade(23.5, 112.0)))
    assert gaps(events) == [(0, 11)]  # of second 10 trades may be missing
    assert seconds(events)[0] == (11, [110.0] * 4 + [0.0])
    assert seconds(events)[-2:] == [(20, [110.0] * 4 + [0.0]), (21, [111.0] * 4 + [1.0])]


def test_what_no_trades_reach_back_to_is_a_gap() -> None:
    taking = begun()
    taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)), word(2.2))
    taken(taking, connection("lost", ms(3), "reset"), connection("open", ms(8)))
    taken(taking, stream(trade(8.4, 14.0)))
    events = taken(taking, rest(trade(6, 13.0), trade(8.4, 14.0), opened=8, at=9), word(9.1))
    assert gaps(events) == [(1, 7)]
    assert seconds(events) == [(7, [13.0] * 4 + [0.0])]


def test_the_newest_trade_of_rest_may_be_days_old_but_not_of_1970() -> None:
    taking = intake()
    taken(taking, connection("open", ms(0)))
    seconds_for_ms = trade(-5, 9.0, T=START // 1_000)
    assert faults(taken(taking, rest(seconds_for_ms, opened=0, at=5.1))) == ["bad trade"]
    assert len(taking.wanted(ms(5.2))) == 1
    old = rest(trade(-300_000, 9.0), opened=0, at=5.3)
    assert faults(taken(taking, old)) == []
    events = taken(taking, stream(trade(8.5, 10.0)))
    assert seconds(events)[0] == (0, FLAT)


def test_without_an_answer_an_outage_is_a_gap_after_a_while() -> None:
    taking = begun(patience_ms=10_000)
    taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)), word(2.2))
    taken(taking, connection("lost", ms(3), "reset"), connection("open", ms(8)))
    taken(taking, stream(trade(9.4, 14.0)), stream(trade(12.4, 15.0)))
    assert gaps(taking.advance(ms(17.9))) == []
    events = taking.advance(ms(18))
    assert gaps(events) == [(1, 10)]
    assert seconds(events) == [(10, [14.0] * 4 + [0.0])]


def test_after_an_outage_seconds_begin_behind_a_trade_that_was_heard() -> None:
    """Ours is two seconds behind: what it calls 8.1 is 10.1, and no trade of before was heard."""
    taking = begun(patience_ms=10_000)
    taken(taking, stream(trade(0.2, 10.0)), connection("lost", ms(3), "reset"))
    taken(taking, connection("open", ms(8.1)))
    assert gaps(taking.advance(ms(40)) + taken(taking, word(40.1, ms(10.2)))) == []
    events = taken(taking, stream(trade(10.6, 14.0), at=40.2, sent_at=10.7))
    assert gaps(events) == [(0, 11)]
    events = taken(taking, stream(trade(12.8, 15.0), at=40.8), stream(trade(14.5, 15.0)))
    assert seconds(events)[:2] == [(11, [14.0] * 4 + [0.0]), (12, [15.0] * 4 + [1.0])]


def test_an_answer_without_a_trade_is_none() -> None:
    taking = intake()
    taken(taking, connection("open", ms(0)), rest(opened=0, at=5.1))
    assert len(taking.wanted(ms(5.2))) == 1


def test_an_answer_to_a_question_of_an_earlier_connection_is_not_taken() -> None:
    taking = begun()
    taken(taking, connection("lost", ms(3), "reset"), connection("open", ms(8)))
    taken(taking, connection("lost", ms(9), "reset"), connection("open", ms(12)))
    assert told(taken(taking, rest(trade(-5, 9.0), opened=8, at=12.1))) == []
    assert len(taking.wanted(ms(17.1))) == 1
    right = rest(trade(-5, 9.0), trade(14, 9.0), opened=12, at=15)
    assert len(told(taken(taking, right, word(15)))) == 14
    # Nor one that comes again after all.
    events = taken(taking, rest(trade(2, 5.0), opened=12, at=15.1), word(20.5))
    assert seconds(events) == [(14, [9.0] * 4 + [1.0])]


def test_seconds_are_caught_up_once_they_have_begun_and_while_the_exchange_speaks() -> None:
    assert not intake().caught_up(ms(0))
    taking = begun()
    assert taking.caught_up(ms(0))
    assert not taking.caught_up(ms(10))
    taken(taking, word(10))
    assert taking.caught_up(ms(10))


def test_staleness_when_no_trade_comes() -> None:
    taking = begun()
    taken(taking, stream(trade(0.2, 10.0)), stream(trade(1.1, 11.0)), word(1.4))
    limit = 1.4 + 2 + 1 + 5  # the last word, two seconds, the grace, and a quiet while
    assert states(taking.advance(ms(limit) - 1)) == []
    assert states(taking.advance(ms(limit))) == ["stale"]


class TradeWorld:
    """A minute of trades, told with duplicates, disorder, outages and stalls.

    In a stall nothing arrives, while time passes; then all that was sent does, at once, or never.
    Another topic speaks, too, before the trades of the same moment.
    """

    def __init__(self, seed: int, newest: int, lag: float) -> None:
        self.random, self.newest, self.lag = random.Random(seed), newest, lag
        seconds = sorted(self.random.uniform(-20, 60) for _ in range(200))
        self.trades = [trade(at, round(self.random.uniform(90, 110), 1)) for at in seconds]
        self.intake = intake(books=["BTCUSDT"])
        self.events: list[Event] = []
        self.held: list[tuple[str, Any, int]] = []
        self.stalls = 0

    def run(self) -> None:
        """Step by step; now and then there is no connection for some seconds, or it stalls."""
        self.open(0.0)
        back, last, stalled = 0.0, 0.0, 0.0
        while (now := last + self.random.uniform(0.05, 0.8)) < 75:
            heard = [each for each in self.trades if ms(last) < each["T"] <= ms(now)]
            last = now
            if now < back:
                continue
            if back:
                self.open(now)
                back = 0.0
            self.send(heard, now)
            for _ in self.intake.wanted(ms(now)):
                self.take(self.answered(now))
            self.events += self.intake.advance(ms(now))
            if now >= stalled:
                self.arrive(now)
                if self.random.random() < 0.04:
                    stalled, self.stalls = now + self.random.uniform(0, 12), self.stalls + 1
            if self.random.random() < 0.03:
                self.take(connection("lost", ms(now), "reset"))
                self.held, stalled = [], 0.0
                back = now + self.random.uniform(0, 6)

    def open(self, now: float) -> None:
        self.take(connection("open", ms(now)))
        self.opened = now

    def send(self, heard: list[dict[str, Any]], now: float) -> None:
        """What the exchange sends; whoever listens may hear it later."""
        if self.random.random() < 0.7:
            self.held.append(("orderbook.50.BTCUSDT", {}, ms(now)))
        if heard:
            self.random.shuffle(heard)
            for _ in range(self.random.choice([1, 1, 2])):
                self.held.append(("publicTrade.ETHUSDT", heard, ms(now)))

    def arrive(self, now: float) -> None:
        """All that is on its way, a millisecond each; whoever reads it may be stopped."""
        at_ms = ms(now)
        for number, (topic, data, ts) in enumerate(self.held):
            self.take(sent(topic, data, at_ms + number, ts=ts))
            if self.random.random() < 0.1:
                self.events += self.intake.advance(at_ms + number)
        self.held = []

    def answered(self, now: float) -> Message:
        behind = self.random.uniform(0, self.lag)
        known = [each for each in self.trades if each["T"] <= ms(now - behind)]
        return rest(*known[-self.newest :], opened=self.opened, at=now)

    def take(self, message: Message) -> None:
        self.events += self.intake.take(message)

    def true(self) -> dict[float, list[float]]:
        """What each second was, by the builder that has all trades at once."""
        columns = [[row[name] for row in self.trades] for name in ("T", "seq", "i", "p", "v")]
        builder = TradeCandles(SECOND)
        time, sequence = (np.array(column, np.int64) for column in columns[:2])
        price, size = (np.array(column, np.float64) for column in columns[3:])
        builder.add(TradeRows(time, sequence, np.array(columns[2], object), price, size))
        times, ohlcv = builder.close(ms(100))
        at = ((times - START) / 1_000).tolist()
        return dict(zip(at, ohlcv.tolist(), strict=True))


@pytest.mark.parametrize(("newest", "lag"), [(1_000, 0.0), (12, 0.0), (1_000, 3.0), (12, 3.0)])
def test_seconds_are_told_once_in_order_and_true_or_a_gap(newest: int, lag: float) -> None:
    outages = stalls = 0
    for seed in range(6):
        world = TradeWorld(seed, newest, lag)
        world.run()
        true, place = world.true(), 0.0
        for event in world.events:
            if isinstance(event, Closed):
                assert (event.open_ms[0] - START) / 1_000 == place
                assert all(true[at] == candle for at, candle in seconds([event]))
                place += len(event.open_ms)
            if isinstance(event, NoCandle):
                assert (event.start_ms - START) / 1_000 == place
                place = (event.end_ms - START) / 1_000
        outages += faults(world.events).count("lost connection")
        stalls += world.stalls
        assert place >= 55
        assert (newest < 1_000) or gaps(world.events) == []
        assert set(faults(world.events)) <= {"lost connection"}
    assert outages > 6
    assert stalls > 12


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCUSDT"])
def test_live_and_offline_builder_give_the_sample_seconds(real_data: Path, symbol: str) -> None:
    table = pq.read_table(real_data / "trades" / f"{symbol}_spot_20240808.parquet").to_pandas()
    true = pq.read_table(real_data / "candles" / f"{symbol}_1s_20240808.parquet").to_pandas()
    table = table.sort_values(["time_ms", "trade_id"])  # a stream tells them as they happen
    time, price, size = (table[name].to_numpy() for name in ("time_ms", "price", "size"))
    number = table["trade_id"].to_numpy()
    offline = TradeCandles(SECOND, since_ms=int(time.min()))
    offline.add(TradeRows(time, number, number, price, size))
    offline_times, offline_ohlcv = offline.close(int(time.max()))

    taking = Intake({(symbol, SECOND): int(true["open_time"].iloc[0])})
    first = int(time.min()) - 1_000
    older = {"execId": "0", "symbol": symbol, "price": "1", "size": "1", "time": str(first)}
    events = taking.take(connection("open", first))
    events += taking.take(answer([older], first, first, first + 10, ask="trades", symbol=symbol))
    rows: list[dict[str, Any]] = [
        {"T": int(t), "s": symbol, "p": str(p), "v": str(v), "i": str(i), "seq": int(i)}
        for t, i, p, v in zip(time, number, price, size, strict=True)
    ]
    for start in range(0, len(rows), 37):
        part = rows[start : start + 37]
        message = sent(f"publicTrade.{symbol}", part, max(row["T"] for row in part) + 50)
        events += taking.take(message)
        events += taking.take(message) if start % 5 == 0 else []
    events += taking.take(sent(f"publicTrade.{symbol}", [], int(time.max()) + 1_000))
    live = np.array(told(events))
    assert (gaps(events), faults(events)) == ([], [])
    np.testing.assert_array_equal(live[:, 0], offline_times)
    np.testing.assert_array_equal(live[:, 1:], offline_ohlcv)
    np.testing.assert_array_equal(live[:, 0], true["open_time"])
    np.testing.assert_array_equal(live[:, 1:5], true[["open", "high", "low", "close"]])
    # The sample's volumes are sums of floats; ours are whole lots.
    np.testing.assert_array_equal(live[:, 5], np.round(true["volume"], 8))
