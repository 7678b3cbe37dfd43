"""What is missing is asked for: in pages, once at a time, not again at once, never the open one."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from feeding import HandClock, Letters
from fetching import KLINE, asking
from listening import MINUTE, until

from mtf.market.timeframe import Timeframe
from mtf.realtime.backfill import Backfill, Job
from mtf.realtime.events import Ask, Event, FundingRate, Message
from mtf.realtime.funding_due import FundingDue
from mtf.realtime.funding_history import PAGE as FUNDING_PAGE
from mtf.realtime.inbox import Inbox
from mtf.realtime.kline import read_rows
from mtf.realtime.rest import Rest
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.interval import MINUTE as ONE_MINUTE
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

START = 1_748_736_000_000
FRAME = Timeframe.parse("1m")


class Filling:
    """A backfill of a stand-in, with all that it takes."""

    def __init__(self, sandbox: Sandbox, rest: Rest, options: dict[str, Any]) -> None:
        self.clock = HandClock(sandbox)
        self.letters = Letters(Inbox(self.clock))
        self.backfill = Backfill(
            rest, self.clock, self.letters.inbox, **{"again_s": 0.05, **options}
        )

    @property
    def answers(self) -> list[Message]:
        return [each for each in self.letters.messages if each.kind == "answer"]

    def wait_for_answers(self, count: int) -> list[dict[str, Any]]:
        self.letters.wait(lambda _: len(self.answers) >= count)
        return [dict(each.content) for each in self.answers]


@contextmanager
def filling(sandbox: Sandbox, attempts: int = 2, **options: Any) -> Iterator[Filling]:
    """A backfill that is ended."""
    with asking(sandbox, attempts=attempts) as rest:
        one = Filling(sandbox, rest, options)
        threads = one.backfill.start()
        yield one
        rest.stop()
        one.backfill.stop()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


def minutes(start_ms: int, end_ms: int, symbol: str = "ETHUSDT") -> Ask:
    return Ask("candles", symbol, FRAME, start_ms, end_ms)


def asked(sandbox: Sandbox) -> list[tuple[int, int]]:
    """Start and end of every question for candles."""
    queries = [dict(each.query) for each in sandbox.requests if each.path == KLINE]
    return [(int(query["start"]), int(query["end"])) for query in queries]


def test_a_long_question_is_asked_in_pages_the_oldest_first(market: SyntheticMarket) -> None:
    first = START - 2_500 * MINUTE
    with Sandbox(market) as sandbox, filling(sandbox) as one:
        one.backfill.want([minutes(first, START)])
        answers = one.wait_for_answers(3)[:3]
        pages = [(first, first + 1_000 * MINUTE), (first + 1_000 * MINUTE, START - 500 * MINUTE)]
        pages.append((START - 500 * MINUTE, START))
        assert [(each["start_ms"], each["end_ms"]) for each in answers] == pages
        assert asked(sandbox)[:3] == [(start, end - 1) for start, end in pages]
    rows = [row for each in answers for row in each["rows"][::-1]]
    there = read_rows(rows, FRAME, first, START)
    wanted = market.base("ETHUSDT", ONE_MINUTE, first, START)
    assert there.open_time.tolist() == wanted.open_time.tolist()
    assert (there.ohlcv[:, 3] * 100).round().tolist() == wanted.values[:, 3].tolist()
    assert answers[0]["ask"] == "candles"
    assert answers[0]["symbol"] == "ETHUSDT"
    assert answers[0]["timeframe"] == "1m"
    assert json.loads(json.dumps(answers)) == answers


def test_the_candle_that_is_open_is_never_asked_for(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, filling(sandbox, again_s=2.0) as one:
        sandbox.advance(5 * MINUTE + 59_999)
        one.backfill.want([minutes(START, START + 60 * MINUTE)])
        one.wait_for_answers(1)
        assert asked(sandbox) == [(START, START + 5 * MINUTE - 1)]
        one.backfill.want([minutes(START + 5 * MINUTE, START + 60 * MINUTE)])
        time.sleep(0.3)
        assert len(asked(sandbox)) == 1  # there is nothing to ask yet
        sandbox.advance(1)
        one.wait_for_answers(2)
        assert asked(sandbox)[1] == (START + 5 * MINUTE, START + 6 * MINUTE - 1)


def test_the_same_is_asked_once_at_a_time_and_not_again_at_once(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []
    with (
        Sandbox(market, faults=(Fault("slow", value=0.3),)) as sandbox,
        filling(sandbox, workers=4, again_s=0.4) as one,
    ):
        ask = one.backfill._rest.ask

        def noted(*arguments: Any, **named: Any) -> Any:
            began.append(time.monotonic())
            return ask(*arguments, **named)

        monkeypatch.setattr(one.backfill._rest, "ask", noted)
        sandbox.advance(10 * MINUTE)
        while len(began) < 4:
            part = minutes(START + MINUTE, START + 10 * MINUTE)
            one.backfill.want([minutes(START, START + 10 * MINUTE), part])
            time.sleep(0.005)
    assert began[1] - began[0] >= 0.3 + 0.4  # the first answer is slow
    assert all(b - a >= 0.4 for a, b in itertools.pairwise(began))


def test_what_is_not_wanted_any_more_is_not_asked_for(market: SyntheticMarket) -> None:
    slow = Fault("slow", value=2.0)
    with Sandbox(market, faults=(slow,)) as sandbox, filling(sandbox, workers=1) as one:
        sandbox.advance(10 * MINUTE)
        one.backfill.want(
            [minutes(START, START + MINUTE), minutes(START, START + MINUTE, "SOLUSDT")]
        )
        until(lambda: len(asked(sandbox)) >= 1)
        one.backfill.want([minutes(START, START + MINUTE, "BTCUSDT")])
        answers = one.wait_for_answers(2)
        assert [each["symbol"] for each in answers[:2]] == ["ETHUSDT", "BTCUSDT"]


def test_a_candle_of_now_does_not_wait_for_long_histories(market: SyntheticMarket) -> None:
    long_ago = START - 12_000 * MINUTE
    histories = [minutes(long_ago, START, symbol) for symbol in market.instruments]
    slow = Fault("slow", value=0.05, count=99)
    options: dict[str, Any] = {"workers": 1, "again_s": 60.0}
    with Sandbox(market, faults=(slow,)) as sandbox, filling(sandbox, **options) as one:
        sandbox.advance(MINUTE)
        one.backfill.want(histories)
        one.wait_for_answers(2)
        one.backfill.want([*histories, minutes(START, START + MINUTE)])
        answers = one.wait_for_answers(37)
        assert len(asked(sandbox)) == 37
    place = [each["start_ms"] for each in answers].index(START)
    assert place < 10  # of 37: as soon as a page is there, not as soon as all of them are
    for symbol in market.instruments:
        starts = [each["start_ms"] for each in answers if each["symbol"] == symbol]
        pages = [long_ago + page * 1_000 * MINUTE for page in range(12)]
        assert [start for start in starts if start < START] == pages


def test_a_failure_is_said_and_asked_again_later_each_time(market: SyntheticMarket) -> None:
    fault = Fault("http_500", where=KLINE, count=8)
    with Sandbox(market, faults=(fault,)) as sandbox, filling(sandbox, again_s=0.1) as one:
        sandbox.advance(MINUTE)
        one.backfill.want([minutes(START, START + MINUTE)])
        one.wait_for_answers(1)
        assert one.letters.states() == ["failed"] * 4  # of two attempts each
        assert "candles of ETHUSDT: no answer to get_kline" in one.letters.whys()[0]
        times = [each.wall_s for each in sandbox.requests][::2]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert [gap > wait for gap, wait in zip(gaps, (0.2, 0.4, 0.8, 1.6), strict=True)] == [
            True
        ] * 4


def test_after_a_new_connection_nothing_waits_for_what_failed_before(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the network is away each failure doubles the pause; when it is back, all is new.

    Also where it is back at the very moment in which a failure is told.
    """
    fault = Fault("http_500", where=KLINE, count=2)
    with Sandbox(market, faults=(fault,)) as sandbox, filling(sandbox, again_s=600.0) as one:
        put = one.letters.inbox.put

        def told(kind: Any, content: dict[str, Any]) -> None:
            put(kind, content)
            if kind == "state":
                one.backfill.forget()

        monkeypatch.setattr(one.letters.inbox, "put", told)
        sandbox.advance(MINUTE)
        one.backfill.want([minutes(START, START + MINUTE)])
        one.wait_for_answers(1)
        assert one.letters.states() == ["failed"]
        assert one.backfill._failures == {}


def test_trades_before_another_connection_are_another_question(market: SyntheticMarket) -> None:
    """The first is on its way, or waits to be asked again, for as long as anybody looks."""
    slow = Fault("slow", where="/v5/market/recent-trade", value=1.0)
    with Sandbox(market, faults=(slow,)) as sandbox, filling(sandbox, again_s=600.0) as one:
        sandbox.advance(MINUTE)
        one.backfill.want([Ask("trades", "ETHUSDT", None, 1, 1)])
        until(lambda: sandbox.counts["slow"] == 1)
        for start in (2, 3):
            one.backfill.want([Ask("trades", "ETHUSDT", None, start, start)])
            one.letters.wait(is_answered(one, start))
        one.letters.wait(is_answered(one, 1))


def is_answered(one: Filling, start_ms: int) -> Callable[[object], bool]:
    """Whether there is an answer to a question from a time on."""
    return lambda _: any(each.content["start_ms"] == start_ms for each in one.answers)


def test_a_ban_stops_all_questions_for_its_time(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, filling(sandbox, again_s=0.01, longest_s=0.02) as one:
        sandbox.inject(Fault("http_403"))
        sandbox.advance(MINUTE)
        one.backfill.want([minutes(START, START + MINUTE)])
        one.letters.wait(lambda _: len(one.letters.states()) >= 5)
        assert len(sandbox.requests) == 1
        assert "status 403" in one.letters.whys()[0]
        assert "nothing is asked for 600 s" in one.letters.whys()[0]
        one.backfill._rest._time.sleep(599)  # of a time that tests move
        one.letters.messages.clear()
        one.letters.wait(lambda _: len(one.letters.states()) >= 2)
        assert len(sandbox.requests) == 1
        one.backfill._rest._time.sleep(2)
        one.wait_for_answers(1)


def test_trades_and_funding(market: SyntheticMarket) -> None:
    hour = 60 * MINUTE
    with Sandbox(market) as sandbox, filling(sandbox, again_s=2.0) as one:
        sandbox.advance(10 * MINUTE)
        one.backfill.want([Ask("trades", "ETHUSDT", None, 0, 0)])
        trades = one.wait_for_answers(1)[0]
        assert trades["ask"] == "trades"
        assert len(trades["rows"]) == 1_000
        times = [int(row["time"]) for row in trades["rows"]]
        assert times == sorted(times, reverse=True)
        one.backfill.want([Ask("funding", "ETHUSDT", None, START - 9 * 24 * hour, START + 1)])
        funding = [each for each in one.wait_for_answers(3) if each["ask"] == "funding"]
        assert [each["end_ms"] - each["start_ms"] for each in funding] == [
            199 * hour,
            17 * hour + 1,
        ]
        stamps = [
            int(row["fundingRateTimestamp"]) for each in funding for row in each["rows"][::-1]
        ]
        assert stamps == list(range(START - 9 * 24 * hour, START + 1, 8 * hour))
        assert json.loads(json.dumps(funding)) == funding


HOUR = 60 * MINUTE


def paid(start_ms: int, end_ms: int, most: int = FUNDING_PAGE) -> list[dict[str, str]]:
    """What the exchange tells of a symbol that pays once an hour: the newest, if too many."""
    times = range(-(-start_ms // HOUR) * HOUR, end_ms, HOUR)
    return [
        {"symbol": "X1USDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(time)}
        for time in times
    ][-most:][::-1]


@pytest.mark.parametrize("off_ms", [0, 1, 17 * MINUTE])
def test_pages_of_funding_are_never_full(off_ms: int) -> None:
    """Of nine days each page is asked for once, and each rate is told once."""
    due, now = FundingDue("X1USDT", START + off_ms), START + 210 * HOUR + 20_000
    (ask,) = due.wanted(now)
    job, told = Job(ask, ask.start_ms), list[int]()
    while job.at_ms < ask.end_ms:
        page = job.page()
        rows = paid(page.start_ms, page.end_ms)
        assert len(rows) < FUNDING_PAGE
        told += times_of(due.answer(rows, page.start_ms, page.end_ms, now))
        job.at_ms = page.end_ms
    assert due.wanted(now) == []
    assert told == [START + hour * HOUR for hour in range(1 if off_ms else 0, 211)]


def times_of(events: Sequence[Event]) -> list[int]:
    """When funding was paid; faults are none."""
    return [event.time_ms for event in events if isinstance(event, FundingRate)]


def test_of_a_full_page_the_older_rates_are_asked_for_again() -> None:
    """Three days of a symbol that paid each hour, from an exchange that tells 200 at most."""
    due, now = FundingDue("X1USDT", START), START + 210 * HOUR + 20_000
    (ask,) = due.wanted(now)
    assert due.answer(paid(ask.start_ms, ask.end_ms), ask.start_ms, ask.end_ms, now) == []
    assert [again.start_ms for again in due.wanted(now)] == [START]  # the first eleven
    end = START + 11 * HOUR
    told = times_of(due.answer(paid(START, end), START, end, now))
    assert told == [START + hour * HOUR for hour in range(211)]


def test_an_answer_says_nothing_of_a_time_after_it() -> None:
    due = FundingDue("X1USDT", START)
    at = START + 30 * MINUTE  # asked for two hours, half an hour after the first
    assert times_of(due.answer(paid(START, at), START, START + 2 * HOUR, at)) == [START]
    later = START + HOUR + 20_000
    (ask,) = due.wanted(later)
    rows = paid(ask.start_ms, ask.end_ms)
    assert times_of(due.answer(rows, ask.start_ms, ask.end_ms, later)) == [START + HOUR]


@pytest.mark.parametrize("kind", ["json_list", "html", "cut", "reset"])
def test_an_answer_of_another_form_is_none(market: SyntheticMarket, kind: str) -> None:
    with Sandbox(market, faults=(Fault(kind, count=2),)) as sandbox, filling(sandbox) as one:
        one.backfill.want([Ask("trades", "ETHUSDT", None, 0, 0)])
        one.letters.wait(lambda told: any(each.kind == "answer" for each in told))
        assert one.letters.states() == ["failed"]


@pytest.mark.parametrize("kind", ["nan", "duplicate", "shuffle", "gap", "high_below_low"])
def test_bad_rows_are_handed_on_as_they_came(market: SyntheticMarket, kind: str) -> None:
    with Sandbox(market, faults=(Fault(kind),)) as sandbox, filling(sandbox) as one:
        sandbox.advance(9 * MINUTE)
        one.backfill.want([minutes(START, START + 9 * MINUTE)])
        spoilt, good = (each["rows"] for each in one.wait_for_answers(2)[:2])
        assert len(good) == 9
        assert spoilt != good
