"""Messages become events, whatever their order: once, in order, equal to REST, always the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from messages import (
    HOUR,
    MINUTE,
    MINUTE_MS,
    START,
    Row,
    answer,
    candles,
    connection,
    frame,
    numbers,
    sent,
    text,
    told,
)

from mtf.errors import ConfigError, MtfError
from mtf.market.timeframe import Timeframe
from mtf.realtime import frames, in_order
from mtf.realtime.events import (
    Ask,
    ClockMeasured,
    Closed,
    Event,
    FeedFault,
    FundingKnown,
    FundingRate,
    Message,
    NoCandle,
    StreamState,
)
from mtf.realtime.intake import Intake
from mtf.realtime.sandbox.rows import spoil

SETTLE_MS = 2 * MINUTE_MS
FATES = ("told", "told", "lost", "twice", "late", "nonsense", "future", "drop")
ROW_FATES = (
    "",
    "",
    "duplicate",
    "shuffle",
    "nan",
    "inf",
    "negative",
    "high_below_low",
    "open_last",
)
KEYS = {("ETHUSDT", MINUTE): START, ("BTCUSDT", HOUR): START - 5 * HOUR.duration_ms}


class World:
    """An exchange of 40 minutes, some of which do not exist, and one who listens to it badly."""

    def __init__(self, seed: int, **options: Any) -> None:
        self.random = random.Random(seed)
        self.rows = candles(40)
        self.absent = {minute for minute in range(3, 38) if self.random.random() < 0.1}
        self.intake = Intake({("ETHUSDT", MINUTE): START}, settle_ms=SETTLE_MS, **options)
        self.calls: list[Message | int] = []
        self.events: list[Event] = []
        self.late: list[Message] = []
        self.gapped = False

    @property
    def there(self) -> list[Row]:
        return [row for minute, row in enumerate(self.rows) if minute not in self.absent]

    def take(self, message: Message) -> None:
        self.calls.append(message)
        self.events += self.intake.take(message)

    def advance(self, now_ms: int) -> None:
        self.calls.append(now_ms)
        self.events += self.intake.advance(now_ms)

    def run(self) -> None:
        """Forty minutes in which anything happens, then some in which nothing does."""
        for minute, row in enumerate(self.rows):
            now = START + (minute + 1) * MINUTE_MS
            if minute not in self.absent:
                self.tell(row, now)
            for _ in range(self.random.randrange(3)):
                now += self.random.randrange(1, 15_000)
                self.rest(now)
                self.advance(now)
        end = START + len(self.rows) * MINUTE_MS + SETTLE_MS
        for _ in range(20):
            end += 6_000
            for ask in self.intake.wanted(end):
                self.take(self.answered(ask, ask.start_ms, ask.end_ms, end, ""))

    def tell(self, row: Row, now: int) -> None:
        """What the stream makes of a candle."""
        fate = self.random.choice(FATES)
        message = frame(row, now + self.random.randrange(-900, 900))
        before, self.late = self.late, []
        if fate in ("told", "twice"):
            self.take(message)
        if fate == "twice":
            self.take(message)
        if fate == "late":
            self.late.append(message)
        if fate == "nonsense":
            self.take(frame(row, now, close=self.random.choice(["NaN", "-1", "x", None])))
        if fate == "future":
            self.take(frame(row, int(row[0]) + 1_000))
        if fate == "drop":
            self.take(connection("lost", now, "reset"))
            self.take(connection("open", now + 2_000))
        for each in before:
            self.take(each)

    def rest(self, now: int) -> None:
        """Some answers to what is asked: in pages, in any order, some of them lost or spoilt."""
        pages = [page for ask in self.intake.wanted(now) for page in self.pages(ask)]
        self.random.shuffle(pages)
        for ask, start, end in pages:
            if self.random.random() < 0.6:
                self.take(self.answered(ask, start, end, now, self.random.choice(ROW_FATES)))

    def pages(self, ask: Ask) -> list[tuple[Ask, int, int]]:
        width = self.random.randrange(1, 8) * MINUTE_MS
        starts = range(ask.start_ms, ask.end_ms, width)
        return [(ask, start, min(start + width, ask.end_ms)) for start in starts]

    def answered(self, ask: Ask, start: int, end: int, now: int, fate: str) -> Message:
        rows = [row for row in self.there if start <= int(row[0]) < end][::-1]
        newest = [row for row in self.rows if int(row[0]) + MINUTE_MS > now][:1]
        if not self.gapped and self.random.random() < 0.2:
            self.gapped, fate = True, "gap"  # once: what two answers lack is believed
        return answer(spoil(rows, fate, newest, 7) if fate else rows, start, end, now)


def heard_well(seed: int) -> int:
    """Check that a world was told as it is, and return how many candles that were."""
    world = World(seed)
    world.run()
    assert told(world.events) == numbers(world.there)
    gaps = [event for event in world.events if isinstance(event, NoCandle)]
    lacking = {
        (time - START) // MINUTE_MS
        for gap in gaps
        for time in range(gap.start_ms, gap.end_ms, MINUTE_MS)
    }
    assert {minute for minute in lacking if minute < 40} == world.absent
    assert world.intake.wanted(START + 40 * MINUTE_MS) == []
    return len(world.there)


SEEDS = settings(deadline=None, phases=[Phase.generate])  # a smaller seed is no simpler world


@settings(SEEDS, max_examples=15)
@given(st.integers(0, 10**9))
def test_every_candle_once_in_order_and_equal_to_rest(seed: int) -> None:
    assert heard_well(seed) > 0


def all_heard_well(worlds: int) -> None:
    count = sum(heard_well(seed) for seed in range(worlds))
    print(f"\n{worlds} of 500 worlds, {count} candles: 0 lost, 0 duplicated, 0 out of order")


@pytest.mark.slow
def test_a_hundred_worlds_are_heard_well() -> None:
    all_heard_well(100)


@pytest.mark.long
def test_five_hundred_worlds_are_heard_well() -> None:
    all_heard_well(500)


@settings(SEEDS, max_examples=8)
@given(st.integers(0, 10**9))
def test_the_same_messages_give_the_same_events_whoever_asks_what_is_wanted(seed: int) -> None:
    world = World(seed)
    world.run()
    again = Intake({("ETHUSDT", MINUTE): START}, settle_ms=SETTLE_MS)
    events: list[Event] = []
    for call in world.calls:
        events += again.advance(call) if isinstance(call, int) else again.take(call)
    assert [repr(event) for event in events] == [repr(event) for event in world.events]


def harmed(seeds: range = range(5)) -> bool:
    """Whether any of some worlds hears anything else than what there was."""
    for seed in seeds:
        world = World(seed)
        world.run()
        if told(world.events) != numbers(world.there):
            return True
    return False


def test_without_the_check_of_numbers_nonsense_gets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not harmed()
    monkeypatch.setattr(frames, "find_faults", lambda *_: {})
    assert harmed()


def test_without_backfill_candles_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_order.InOrder, "wanted", lambda *_: [])
    assert harmed()


def test_without_the_patience_for_what_just_closed_a_gap_is_told_that_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = [answer([], START, START + MINUTE_MS, START + 65_000)] * 2
    quick = Intake({("ETHUSDT", MINUTE): START}, settle_ms=0)
    patient = Intake({("ETHUSDT", MINUTE): START})
    for intake, gaps in ((quick, 1), (patient, 0)):
        events = [event for message in late for event in intake.take(message)]
        assert sum(isinstance(event, NoCandle) for event in events) == gaps


NONSENSE = [
    "",
    "null",
    "[]",
    "17",
    '"kline"',
    '{"topic": "kline',
    '{"topic": 5, "data": []}',
    '{"topic": "kline.1.ETHUSDT"}',
    '{"topic": "kline.1.ETHUSDT", "data": 5}',
    '{"topic": "kline.1.ETHUSDT", "data": null}',
    '{"topic": "kline.1.ETHUSDT", "data": [[1, 2]]}',
    '{"topic": "kline.1.ETHUSDT", "data": [{}]}',
    '{"topic": "kline.1.ETHUSDT", "data": [{"confirm": true}]}',
    '{"topic": "kline.1.ETHUSDT", "data": {"confirm": {}, "start": {}}}',
    '{"topic": "kline.5.ETHUSDT", "data": []}',
    '{"topic": "unheard.of", "data": []}',
    "[" * 100_000,
    "9" * 10_000,
    '{"a": NaN}',
    "\x00\ud800",
]


@pytest.mark.parametrize("content", NONSENSE, ids=range(len(NONSENSE)))
def test_whatever_is_sent_is_told_as_a_fault_and_nothing_else_suffers(content: str) -> None:
    intake = Intake(KEYS)
    row = candles(1)[0]
    faults = intake.take(text(content, START + 1))
    assert [type(event) for event in faults if not isinstance(event, StreamState)] == [FeedFault]
    assert told(intake.take(frame(row))) == numbers([row])


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["start", "confirm", "open", "close", "T", "s", "i", "p", "v", "u", "b",
                             "fundingRate", "fundingRateTimestamp"]), inner, max_size=6),
    ),
    st.sampled_from(["kline.1.ETHUSDT", "publicTrade.ETHUSDT", "orderbook.50.ETHUSDT"]),
)  # fmt: skip
def test_nothing_that_json_can_hold_raises(data: Any, topic: str) -> None:
    second = Timeframe.parse("1s")
    keys = {("ETHUSDT", MINUTE): START, ("ETHUSDT", second): START}
    intake = Intake(keys, funding={"ETHUSDT": START}, books=["ETHUSDT"])
    events = intake.take(sent(topic, data, START + MINUTE_MS))
    for ask in ("candles", "trades", "funding"):
        said = answer(data, START, START + MINUTE_MS, START + 2 * MINUTE_MS, ask=ask)
        events += intake.take(said)
    others = FeedFault | StreamState | FundingKnown  # an empty answer says that nothing was paid
    told_of = [event for event in events if not isinstance(event, others)]
    assert all(isinstance(event, NoCandle) and event.timeframe == second for event in told_of)


def test_answers_to_what_we_sent_are_nothing() -> None:
    intake = Intake(KEYS)
    intake.advance(START)
    assert intake.take(text('{"success": true, "op": "subscribe", "ret_msg": ""}', START)) == []
    assert intake.take(text('{"op": "pong"}', START)) == []
    assert intake.take(Message(START, "session", {"what": "a note"})) == []


def test_keys_topics_and_the_clock() -> None:
    intake = Intake({**KEYS, ("SOLUSDT", Timeframe.parse("1s")): START}, books=["BTCUSDT"])
    assert intake.topics == [
        "kline.1.ETHUSDT",
        "kline.60.BTCUSDT",
        "orderbook.50.BTCUSDT",
        "publicTrade.SOLUSDT",
    ]
    clock = intake.take(Message(START, "clock", {"offset_ms": -7}))
    assert clock[0] == ClockMeasured(START, -7)
    with pytest.raises(ConfigError, match="45m"):
        Intake({("ETHUSDT", Timeframe.parse("45m")): START})
    with pytest.raises(MtfError, match="symbol"):
        Intake({("ETH&USDT", MINUTE): START})


def test_one_key_is_told_while_another_is_missing() -> None:
    intake = Intake(KEYS)
    first = intake.take(connection("open", START))
    assert states(first) == {("ETHUSDT", "live"), ("BTCUSDT", "starting")}
    row = candles(1)[0]
    events = intake.take(frame(row))
    assert told(events) == numbers([row])
    assert states(events) == set()
    assert not intake.caught_up(START + MINUTE_MS)
    assert intake.caught_up(START + MINUTE_MS, [("ETHUSDT", MINUTE)])
    assert not intake.caught_up(START + MINUTE_MS, [("BTCUSDT", HOUR)])
    assert not intake.caught_up(START + 2 * MINUTE_MS, [("ETHUSDT", MINUTE)])
    assert [ask.symbol for ask in intake.wanted(START + MINUTE_MS)] == ["BTCUSDT"]
    hours = [[str(int(row[0]) - 5 * HOUR.duration_ms), *row[1:]] for row in candles(5, HOUR)]
    start = START - 5 * HOUR.duration_ms
    answered = answer(hours, start, START, START + MINUTE_MS, symbol="BTCUSDT", timeframe=HOUR)
    assert told(intake.take(answered)) == numbers(hours)
    assert intake.caught_up(START + MINUTE_MS)
    refused = intake.take(connection("refused", START + MINUTE_MS, "status 503"))
    assert states(refused) == {("ETHUSDT", "lost"), ("BTCUSDT", "lost")}


def states(events: list[Event]) -> set[tuple[str, str]]:
    return {(e.symbol, e.state) for e in events if isinstance(e, StreamState)}


def test_a_connection_stays_lost_for_the_reason_that_is_true_now() -> None:
    intake = Intake({("ETHUSDT", MINUTE): START})
    intake.take(frame(candles(1)[0]))
    whys = ["reset", "status 403", "status 403", "timed out"]
    events = []
    for number, why in enumerate(whys):
        state = "refused" if number else "lost"
        events += intake.take(connection(state, START + MINUTE_MS + 1_000 * number, why))
    told_of = [(e.state, e.since_ms, e.why) for e in events if isinstance(e, StreamState)]
    since = START + MINUTE_MS
    assert told_of == [("lost", since, why) for why in ("reset", "status 403", "timed out")]


def rate(hour: int, value: str = "0.0001") -> dict[str, str]:
    stamp = str(START + hour * HOUR.duration_ms)
    return {"symbol": "ETHUSDT", "fundingRate": value, "fundingRateTimestamp": stamp}


def funding(intake: Intake, rows: Any, start: int, end: int, at: float) -> list[Event]:
    hour = HOUR.duration_ms
    message = answer(
        rows, START + start * hour, START + end * hour + 1, START + int(at * hour), ask="funding"
    )
    return [e for e in intake.take(message) if not isinstance(e, StreamState | FundingKnown)]


def test_funding_is_asked_for_after_each_hour_and_told_once_in_order() -> None:
    intake = Intake({}, funding={"ETHUSDT": START})
    hour = HOUR.duration_ms
    assert intake.wanted(START + 9_999) == []
    assert intake.wanted(START + 10_000)[0].end_ms == START + 1
    ask = intake.wanted(START + 9 * hour + 10_000)[0]
    assert (ask.start_ms, ask.end_ms) == (START, START + 9 * hour + 1)
    events = funding(intake, [rate(8), rate(0)], 0, 9, 9.01)
    assert [(e.time_ms, e.rate) for e in events if isinstance(e, FundingRate)] == [
        (START, 0.0001),
        (START + 8 * hour, 0.0001),
    ]
    assert intake.wanted(START + 10 * hour + 9_999) == []
    assert intake.wanted(START + 10 * hour + 10_000)[0].start_ms == START + 8 * hour + 1
    assert funding(intake, [rate(8), rate(0)], 0, 10, 10.01) == []


def test_funding_of_a_later_page_waits_for_the_earlier_one() -> None:
    intake = Intake({}, funding={"ETHUSDT": START})
    assert funding(intake, [rate(8)], 5, 9, 9.01) == []
    assert len(funding(intake, [rate(0)], 0, 5, 9.02)) == 2


def test_a_payment_that_is_due_is_asked_for_until_it_is_stamped() -> None:
    day, hour = 24 * HOUR.duration_ms, HOUR.duration_ms
    symbols = {"ETHUSDT": START, "BTCUSDT": START}
    intake = Intake({}, funding=symbols, funding_every_ms={"ETHUSDT": 8 * hour})
    for symbol in symbols:
        rows = [rate(number) for number in (0, 8, 16)]
        intake.take(answer(rows, START, START + day, START + day, ask="funding", symbol=symbol))
    now = START + day

    def asked(second: float) -> list[str]:
        return [ask.symbol for ask in intake.wanted(now + int(1_000 * second))]

    def empty(second: float) -> None:
        for symbol in symbols:
            at_ms = now + int(1_000 * second)
            intake.take(answer([], START + day, now + 1, at_ms, ask="funding", symbol=symbol))

    assert (asked(9.999), asked(10)) == ([], ["ETHUSDT", "BTCUSDT"])
    empty(11)
    assert (asked(40.999), asked(41)) == ([], ["ETHUSDT"])  # nobody knows that BTC's is due
    assert asked(50) == ["ETHUSDT"]  # the same until it is answered
    empty(51)
    assert (asked(80.999), asked(81)) == ([], ["ETHUSDT"])
    (ask,) = intake.wanted(now + 81_000)
    assert (ask.start_ms, ask.end_ms) == (now - 8 * hour + 1, now + 1)
    late = answer([rate(24)], ask.start_ms, ask.end_ms, now + 82_000, ask="funding")
    assert [e.time_ms for e in intake.take(late) if isinstance(e, FundingRate)] == [now]
    assert asked(3_600) == []  # the hours between two payments are asked for once, as ever
    assert asked(3_610) == ["ETHUSDT", "BTCUSDT"]
    now += hour
    empty(11)
    assert asked(600) == []


@pytest.mark.parametrize("minutes", [0, 1, 59])
def test_an_answer_that_is_just_full_leaves_no_hole(minutes: int) -> None:
    hour, since = HOUR.duration_ms, START + minutes * MINUTE_MS
    intake = Intake({}, funding={"ETHUSDT": since})
    now = START + 210 * hour + 20_000
    first = 1 if minutes else 0
    rows = [rate(number) for number in range(first, first + 200)][::-1]
    events = intake.take(answer(rows, since, since + 200 * hour, now, ask="funding"))
    assert len([e for e in events if isinstance(e, FundingRate)]) == 200
    (ask,) = intake.wanted(now)
    assert ask.start_ms == START + (first + 199) * hour + 1


def test_what_had_no_room_in_a_full_answer_is_asked_for_and_told_first() -> None:
    hour = HOUR.duration_ms
    intake = Intake({}, funding={"ETHUSDT": START})
    now, told_of = START + 450 * hour + 20_000, list[int]()
    for rounds in range(4):  # the exchange has room for the newest 200
        for ask in intake.wanted(now):
            there = [rate(n) for n in range(451) if ask.start_ms <= START + n * hour < ask.end_ms]
            said = answer(there[-200:][::-1], ask.start_ms, ask.end_ms, now, ask="funding")
            told_of += [e.time_ms for e in intake.take(said) if isinstance(e, FundingRate)]
        assert bool(told_of) == (rounds >= 2)
    assert told_of == [START + number * hour for number in range(451)]
    assert intake.wanted(now) == []


def test_an_answer_says_nothing_of_a_payment_that_is_still_to_come() -> None:
    intake = Intake({}, funding={"ETHUSDT": START})
    assert len(funding(intake, [rate(0)], 0, 9, 8.5)) == 1  # the clock was ahead when it was asked
    due = START + 9 * HOUR.duration_ms + 10_000
    assert [ask.end_ms for ask in intake.wanted(due)] == [due - 9_999]


@pytest.mark.parametrize("value", ["NaN", "inf", "7", "x"])
def test_a_rate_that_is_none_is_asked_for_again(value: str) -> None:
    intake = Intake({}, funding={"ETHUSDT": START})
    events = funding(intake, [rate(8), rate(0, value)], 0, 8, 8.01)
    assert [type(event) for event in events] == [FeedFault]
    assert len(intake.wanted(START + 8 * HOUR.duration_ms + 10_000)) == 1
    assert len(funding(intake, [rate(8), rate(0)], 0, 8, 8.02)) == 2


def test_times_of_candles_told_in_a_block_are_their_own() -> None:
    rows = candles(3)
    intake = Intake({("ETHUSDT", MINUTE): START})
    events = intake.take(answer(rows, START, START + 3 * MINUTE_MS, START + 4 * MINUTE_MS))
    (block,) = [event for event in events if isinstance(event, Closed)]
    np.testing.assert_array_equal(block.open_ms, START + MINUTE_MS * np.arange(3))
    assert (block.source, block.arrived_ms) == ("answer", START + 4 * MINUTE_MS)


def test_a_refused_topic_is_told_and_the_others_go_on() -> None:
    """Trades that will never come are no quiet seconds; candles of another key come as before."""
    seconds = Timeframe.parse("1s")
    intake = Intake({("NOPEUSDT", seconds): START, ("ETHUSDT", MINUTE): START})
    at_ms = START + 500
    intake.take(connection("open", at_ms))
    why = "topic publicTrade.NOPEUSDT was refused: invalid symbol"
    content = {"state": "failed", "why": why, "topic": "publicTrade.NOPEUSDT"}
    events = intake.take(Message(at_ms, "state", content))
    assert FeedFault(at_ms, "refused topic", why) in events
    (row,) = candles(1)
    later = [*intake.take(frame(row)), *intake.advance(START + 10 * MINUTE_MS)]
    assert told(later) == numbers([row])
    assert not [one for one in later if isinstance(one, Closed) and one.timeframe == seconds]
