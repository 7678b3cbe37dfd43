"""The feed as a whole: every closed candle once and in order, replayed as it was, ended cleanly."""

from __future__ import annotations

import gc
import itertools
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feeding import assert_whole, candles_of, feeding, handles, take_until
from listening import HOUR, MINUTE, until

from mtf.errors import MtfError
from mtf.market.timeframe import Timeframe
from mtf.realtime.bybit_client import BybitClient
from mtf.realtime.bybit_stream import StreamFactory
from mtf.realtime.events import (
    ClockMeasured,
    Closed,
    Event,
    FeedFault,
    FundingRate,
    Key,
    Message,
    StreamState,
)
from mtf.realtime.feed import Feed, Replay
from mtf.realtime.hosts import HostError
from mtf.realtime.intake import Intake
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.recording import Recorder, read_recording
from mtf.realtime.rest import ExchangeError, RefusedError, Rest
from mtf.realtime.sandbox import server
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

START = 1_748_736_000_000
NOW = START + 2_000
"""Tests begin two seconds after a close: REST is not believed about what closed just now."""
KLINE, TIME = "/v5/market/kline", "/v5/market/time"
ONE, SIXTY = Timeframe.parse("1m"), Timeframe.parse("1h")
ETH: Key = ("ETHUSDT", ONE)
BTC: Key = ("BTCUSDT", ONE)
HOURS: Key = ("ETHUSDT", SIXTY)
SINCE = {ETH: START - 90 * MINUTE, BTC: START - 5 * MINUTE, HOURS: START - 100 * HOUR}


def up_to(end_ms: int, *keys: Key) -> Any:
    """Whether all candles that close by a time were told."""

    def done(events: Sequence[Event]) -> bool:
        for key in keys:
            last = key[1].open_time(key[1].slot(end_ms)) - key[1].duration_ms
            if not any(
                isinstance(each, Closed) and each.key == key and each.open_ms[-1] >= last
                for each in events
            ):
                return False
        return True

    return done


def sources(events: Sequence[Event], key: Key, start_ms: int = 0) -> list[str]:
    """How each candle from a time on became known."""
    return [
        each.source
        for each in events
        if isinstance(each, Closed) and each.key == key
        for time in each.open_ms.tolist()
        if time >= start_ms
    ]


def states(events: Sequence[Event], key: Key) -> list[str]:
    """The states that were told of a key."""
    told = [each for each in events if isinstance(each, StreamState)]
    return [each.state for each in told if (each.symbol, each.timeframe) == key]


def connected(sandbox: Sandbox) -> None:
    """Wait for all topics to be subscribed."""
    until(lambda: len(sandbox.subscribed) == len(SINCE))


def test_history_then_the_stream(market: SyntheticMarket) -> None:
    with Sandbox(market, start_ms=NOW) as sandbox, feeding(sandbox, Intake(SINCE)) as feed:
        events = take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        for minute in range(1, 62):
            sandbox.advance(MINUTE)
            take_until(feed, up_to(START + minute * MINUTE, ETH, BTC), events)
        assert assert_whole(events, sandbox, SINCE, START + 61 * MINUTE) == 151 + 66 + 101
        assert set(sources(events, ETH, START)) == {"stream"}
        assert sources(events, HOURS) == ["answer"] * 100 + ["stream"]
        assert states(events, ETH)[-1] == "live"
        assert feed.now_ms() == NOW + 61 * MINUTE


@pytest.mark.slow
@pytest.mark.alone
def test_a_quick_rehearsal_tells_a_candle_when_it_closes(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "TICK_S", 0.9)  # at the next one it would be half a minute late
    with Sandbox(market, start_ms=NOW, speed=60.0) as sandbox:
        with feeding(sandbox, Intake({ETH: START})) as feed:
            events = take_until(feed, up_to(START + 12 * MINUTE, ETH))
        told = [each for each in events if isinstance(each, Closed) and each.source == "stream"]
        late_ms = [each.arrived_ms - int(each.open_ms[-1]) - MINUTE for each in told]
    assert len(late_ms) >= 10
    assert np.median(late_ms) < 12_000  # 25 ms of the wall clock, 200 on a busy machine


def test_seconds_and_funding_come_the_same_way(market: SyntheticMarket) -> None:
    now = START + 12_000  # funding is asked for ten seconds after the hour
    seconds: Key = ("SOLUSDT", Timeframe.parse("1s"))
    funding = {"ETHUSDT": START - 20 * HOUR}
    intake = Intake({ETH: now, seconds: now}, funding=funding, patience_ms=HOUR)
    with Sandbox(market, start_ms=now) as sandbox, feeding(sandbox, intake) as feed:
        events = take_until(feed, lambda told: len(payments(told)) == 3)
        assert payments(events) == [START - 16 * HOUR, START - 8 * HOUR, START]
        until(lambda: len(sandbox.subscribed) == 2)
        take_until(feed, moving(sandbox, up_to(now + 50_000, seconds)), events)
        sandbox.inject(Fault("downtime", lasts_ms=1))
        until(lambda: not sandbox.subscribed)
        sandbox.advance(20_000)
        until(lambda: len(sandbox.subscribed) == 2)
        take_until(feed, moving(sandbox, up_to(START + 90_000, seconds)), events)
    times, values = candles_of(events, seconds)
    assert times == list(range(times[0], times[0] + 1_000 * len(times), 1_000))
    assert times[0] < START + 30_000  # their history begins with the stream
    minute = (np.array(times) >= START + MINUTE) & (np.array(times) < START + MINUTE + 20_000)
    there = sandbox.exchange.trades("SOLUSDT", START + MINUTE - 1, START + MINUTE + 19_999)
    lots = sum(int(trades.size.sum()) for trades in there)
    assert np.isclose(values[minute, 4].sum(), lots / 10)  # those of the outage, too


def moving(sandbox: Sandbox, done: Any) -> Any:
    """The same condition, with time that goes on until it holds: seconds without a trade end so."""

    def moved(events: Sequence[Event]) -> bool:
        if not done(events):
            sandbox.advance(1_000)
        return bool(done(events))

    return moved


def payments(events: Sequence[Event]) -> list[int]:
    """When funding was paid."""
    return [each.time_ms for each in events if isinstance(each, FundingRate)]


def test_what_was_missed_is_asked_for_after_each_reconnect(market: SyntheticMarket) -> None:
    with Sandbox(market, start_ms=NOW) as sandbox, feeding(sandbox, Intake(SINCE)) as feed:
        events = take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        end = START
        for lost in (3, 0, 70):
            sandbox.inject(Fault("downtime", lasts_ms=1 + lost * MINUTE))
            until(lambda: not sandbox.subscribed)
            sandbox.advance(lost * MINUTE + 30_000)  # nobody is connected
            connected(sandbox)
            end += lost * MINUTE
            take_until(feed, up_to(end, *SINCE), events)
            sandbox.advance(MINUTE - 30_000)
            end += MINUTE
            take_until(feed, up_to(end, *SINCE), events)
        assert_whole(events, sandbox, SINCE, end)
        missed = ["answer"] * 3 + ["stream"] + ["stream"] + ["answer"] * 70 + ["stream"]
        assert sources(events, ETH, START) == missed
        # Lost for another reason is told, too: where it was refused meanwhile.
        told = (state for state in states(events, ETH) if state in ("lost", "live"))
        lost_and_live = [state for state, _ in itertools.groupby(told)]
        assert lost_and_live == ["live", *["lost", "live"] * 3]
        assert len(sandbox.connects) <= 4 + 3


def test_take_gives_what_arrived_by_a_time_and_keeps_the_rest(market: SyntheticMarket) -> None:
    with Sandbox(market, start_ms=NOW) as sandbox, feeding(sandbox, Intake(SINCE)) as feed:
        take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        while feed.take(NOW, 0.05) or not feed.over(NOW):
            pass
        assert not feed.over(NOW + MINUTE)
        while feed.take(NOW + 30_000, wait_s=0.2):  # until nothing comes: the market stands still
            pass
        sandbox.advance(MINUTE)
        until(lambda: len(feed._inbox._queue) >= 2 * len(SINCE) - 1)
        assert not [each for each in feed.take(NOW + MINUTE - 1) if isinstance(each, Closed)]
        assert feed.over(NOW + MINUTE - 1)
        assert not feed.over(NOW + MINUTE)
        told = feed.take(NOW + MINUTE)
        assert feed.over(NOW + MINUTE)
        assert {each.symbol for each in told if isinstance(each, Closed)} == {"ETHUSDT", "BTCUSDT"}
        note = feed._inbox.put("session", {})
        assert note.at_ms == NOW + MINUTE + 1  # nothing arrives any more by a time that is over


def same(events: Sequence[Event]) -> list[str]:
    """Events in words, arrays too."""
    return [repr(each) for each in events]


def test_a_replay_tells_the_same_at_the_same_times(market: SyntheticMarket, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with Sandbox(market, start_ms=NOW) as sandbox:
        with feeding(sandbox, Intake(SINCE), record=Recorder(path)) as feed:
            live: list[list[str]] = []
            for minute in range(12):
                connected(sandbox)
                until_ms = NOW + minute * MINUTE
                if minute in (3, 7):
                    sandbox.inject(Fault("drop"))
                if minute in (5, 9):
                    sandbox.inject(Fault("lose", where="kline.1.BTCUSDT/closed"))
                told: list[Event] = []
                while not feed.over(until_ms):
                    told += feed.take(until_ms)
                live.append(same(told))
                if minute == 5:
                    feed.note({"what": "missed decisions", "first_ms": until_ms})
                sandbox.advance(MINUTE)
        assert sandbox.counts == {"drop": 2, "lose": 2}
    replay = Replay(Intake(SINCE), read_recording(path))
    again = []
    for minute in range(12):
        again.append(same(replay.take(NOW + minute * MINUTE)))
        assert replay.over(NOW + minute * MINUTE)
        assert replay.now_ms() == NOW + minute * MINUTE
    assert again == live
    left = replay.ended
    replay.take(NOW + 2 * HOUR)
    assert (left, replay.ended) == (False, True)
    assert not replay.over(NOW + 2 * HOUR)  # the session was over before: nothing was decided
    messages = list(read_recording(path))
    assert [each.at_ms for each in messages] == sorted(each.at_ms for each in messages)
    notes = [each for each in messages if each.kind == "session"]
    assert [dict(each.content) for each in notes] == [
        {"what": "missed decisions", "first_ms": NOW + 5 * MINUTE},
        {"what": "end"},
    ]
    assert notes[0].at_ms == NOW + 5 * MINUTE + 1


def test_what_was_never_taken_is_none_of_the_session(
    market: SyntheticMarket, tmp_path: Path
) -> None:
    """What the session itself noted is, and when it ended."""
    path = tmp_path / "session.jsonl"
    with (
        Sandbox(market, start_ms=NOW) as sandbox,
        feeding(sandbox, Intake(SINCE), record=Recorder(path)) as feed,
    ):
        take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        while not feed.over(NOW):
            feed.take(NOW)
        sandbox.advance(MINUTE)
        until(lambda: len(feed._inbox._queue) >= 2 * len(SINCE) - 1)
        feed.note({"what": "missed decisions", "first_ms": NOW})
    messages = list(read_recording(path))
    assert {each.kind for each in messages if each.at_ms <= NOW} >= {"answer", "clock"}
    late = [(each.at_ms, dict(each.content)) for each in messages if each.at_ms > NOW + 1]
    assert late == [
        (NOW + MINUTE, {"what": "missed decisions", "first_ms": NOW}),
        (NOW + MINUTE, {"what": "end"}),
    ]


def test_a_symbol_that_is_not_traded_any_more_ends_no_other(market: SyntheticMarket) -> None:
    since = {ETH: START - 5 * MINUTE, ("NOPEUSDT", ONE): START - 5 * MINUTE}
    with Sandbox(market, start_ms=NOW) as sandbox, feeding(sandbox, Intake(since)) as feed:
        events = take_until(feed, up_to(START, ETH))
        until(lambda: sandbox.subscribed == ("kline.1.ETHUSDT",))
        for minute in range(1, 6):
            sandbox.advance(MINUTE)
            take_until(feed, up_to(START + minute * MINUTE, ETH), events)
        assert set(sources(events, ETH, START)) == {"stream"}
        told = [each.words for each in events if isinstance(each, FeedFault)]
        refused = "topic kline.1.NOPEUSDT was refused: error:handler not found"
        assert sum(words.startswith(refused) for words in told) == 1
        assert len(sandbox.connects) == 1


class Full:
    """A disk without room."""

    closed = False

    def write(self, message: Message) -> None:
        raise MtfError("no room")

    def close(self) -> None:
        self.closed = True


class Deaf:
    """An intake that counts."""

    topics = ("kline.1.ETHUSDT",)

    def __init__(self) -> None:
        self.taken: list[Message] = []

    def take(self, message: Message) -> list[Event]:
        self.taken.append(message)
        return []

    def advance(self, now_ms: int) -> list[Event]:
        return []

    def wanted(self, now_ms: int) -> list[Any]:
        return []


def test_nothing_is_acted_upon_that_is_not_recorded(market: SyntheticMarket) -> None:
    deaf, full = Deaf(), Full()
    with (
        Sandbox(market, start_ms=NOW) as sandbox,
        pytest.raises(MtfError, match="no room"),
        feeding(sandbox, deaf, record=full) as feed,
    ):
        feed.take(NOW)
    assert deaf.taken == []
    assert full.closed


def test_it_ends_sooner_than_an_attempt_and_leaves_nothing(
    market: SyntheticMarket, tmp_path: Path
) -> None:
    with Sandbox(market, start_ms=NOW) as sandbox:
        until(lambda: not [each for each in threading.enumerate() if each.name == "deadline"])
        gc.collect()  # what tests before this one have left
        before = threading.active_count(), handles()
        for number in range(20):
            record = Recorder(tmp_path / f"{number}.jsonl")
            since = START - 3_000 * MINUTE if number % 2 else START - MINUTE
            sandbox.inject(Fault("slow", value=0.3, where=KLINE)) if number % 4 == 3 else None
            with feeding(sandbox, Intake({ETH: since}), record=record) as feed:
                if number % 2:  # in the middle of connecting, and of a long history
                    take_until(feed, lambda _: feed._backfill._flying)
                else:
                    take_until(feed, up_to(START, ETH))
                    until(lambda: sandbox.subscribed == ("kline.1.ETHUSDT",))
                began = time.monotonic()
            assert time.monotonic() - began < 5  # an attempt is given longer
            assert not [each for each in threading.enumerate() if each.name.startswith("feed")]
            until(lambda: threading.active_count() <= before[0] and handles() <= before[1])


def test_an_end_does_not_wait_for_an_exchange_that_is_slow(market: SyntheticMarket) -> None:
    slow = Fault("slow", value=6.0, where=KLINE, count=9)
    with Sandbox(market, start_ms=NOW, faults=(slow,)) as sandbox:
        with feeding(sandbox, Intake(SINCE)) as feed:
            take_until(feed, lambda _: feed._backfill._flying)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        until(lambda: not [each for each in threading.enumerate() if each.name.startswith("feed")])


def test_an_end_wakes_who_waits_to_ask_again(market: SyntheticMarket) -> None:
    faults = (Fault("http_500", where=KLINE, count=99),)
    with Sandbox(market, start_ms=NOW, faults=faults) as sandbox:
        with feeding(sandbox, Intake(SINCE), attempts=99) as feed:
            take_until(feed, lambda _: sandbox.counts["http_500"] >= 8)  # the next wait: 4 s
            began = time.monotonic()
        assert time.monotonic() - began < 3
        assert not [each for each in threading.enumerate() if each.name.startswith("feed")]


def test_silence_is_noticed_mended_and_filled(market: SyntheticMarket) -> None:
    options: dict[str, Any] = {"stale_s": 0.5, "least_stale_s": 0.5}
    with (
        Sandbox(market, start_ms=NOW) as sandbox,
        feeding(sandbox, Intake(SINCE), **options) as feed,
    ):
        events = take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        sandbox.inject(Fault("stall", lasts_ms=3 * MINUTE))
        sandbox.advance(3 * MINUTE)
        take_until(feed, up_to(START + 3 * MINUTE, *SINCE), events)
        take_until(feed, lambda told: states(told, ETH)[-1] == "live", events)
        assert_whole(events, sandbox, SINCE, START + 3 * MINUTE)
        assert "no data for 0.5 s while pings were answered" in words(events, "lost connection")
        assert sources(events, ETH, START) == ["answer"] * 3
        assert len(sandbox.connects) >= 2


def test_a_new_connection_asks_at_once_for_what_failed_before(market: SyntheticMarket) -> None:
    options: dict[str, Any] = {"again_s": 600.0, "longest_again_s": 600.0}
    with (
        Sandbox(market, start_ms=NOW) as sandbox,
        feeding(sandbox, Intake({ETH: START}), **options) as feed,
    ):
        until(lambda: len(sandbox.subscribed) == 1)
        lost = Fault("lose", where="kline.1.ETHUSDT/closed")
        sandbox.inject(lost, Fault("http_500", where=KLINE, count=3))
        sandbox.advance(MINUTE)
        sandbox.advance(10_000)
        events = take_until(feed, lambda told: words(told, "REST"))
        sandbox.inject(Fault("drop"))
        sandbox.advance(1_000)
        take_until(feed, up_to(START + MINUTE, ETH), events)
        assert sources(events, ETH, START) == ["answer"]


def test_one_silent_topic_is_asked_for_and_ends_nothing(market: SyntheticMarket) -> None:
    options: dict[str, Any] = {"stale_s": 2.5, "least_stale_s": 2.5}
    with (
        Sandbox(market, start_ms=NOW) as sandbox,
        feeding(sandbox, Intake(SINCE), **options) as feed,
    ):
        events = take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        sandbox.inject(Fault("stall", where="kline.1.BTCUSDT", lasts_ms=HOUR))
        for step in range(40):
            sandbox.advance(MINUTE // 4)
            events += feed.take(2**60, 0.05)
            time.sleep(0.08)  # longer in all than a silence may last
            assert step or not words(events, "lost connection")
        take_until(feed, up_to(START + 10 * MINUTE - 10_000, ETH, BTC), events)
        assert set(sources(events, ETH, START)) == {"stream"}
        assert set(sources(events, BTC, START)) == {"answer"}
        assert not words(events, "lost connection")
        assert len(sandbox.connects) == 1


def test_a_price_that_stands_still_is_named(market: SyntheticMarket) -> None:
    with Sandbox(market, start_ms=NOW) as sandbox, feeding(sandbox, Intake(SINCE)) as feed:
        events = take_until(feed, up_to(START, *SINCE))
        connected(sandbox)
        sandbox.inject(Fault("frozen", where="ETHUSDT", lasts_ms=3 * MINUTE))
        for _ in range(5):
            sandbox.advance(MINUTE)
            take_until(feed, up_to(feed.now_ms(), ETH, BTC), events)
        take_until(feed, lambda _: feed.over(NOW + 5 * MINUTE) or feed.take(NOW + 5 * MINUTE))
        assert [state for state in states(events, ETH) if state in ("frozen", "live")] == [
            *("live", "frozen", "live")
        ]
        assert "frozen" not in states(events, BTC)
        assert_whole(events, sandbox, SINCE, START + 5 * MINUTE)


@pytest.mark.parametrize("ahead", [-10_000, 60_000])
def test_a_clock_that_is_off_is_named_and_spoils_no_candle(
    market: SyntheticMarket, ahead: int
) -> None:
    with Sandbox(market, start_ms=NOW, speed=60.0) as sandbox:
        with feeding(sandbox, Intake(SINCE), measure_s=6.0, least_measure_s=0.1) as feed:
            events = take_until(feed, up_to(START, *SINCE))
            sandbox.inject(Fault("clock", value=ahead, lasts_ms=180_000))
            off = [ahead - 3_000, ahead + 3_000]
            take_until(feed, lambda told: any(off[0] < o < off[1] for o in offsets(told)), events)
            take_until(feed, lambda told: abs(offsets(told)[-1]) < 3_000, events)
            end = sandbox.clock.now_ms() + 2 * MINUTE
            take_until(feed, up_to(end, ETH, BTC), events)
        assert_whole(events, sandbox, SINCE, end)


def offsets(events: Sequence[Event]) -> list[int]:
    """What was measured."""
    return [each.offset_ms for each in events if isinstance(each, ClockMeasured)]


def words(events: Sequence[Event], kind: str) -> str:
    """What was said of faults of a kind."""
    return " | ".join(
        each.words for each in events if isinstance(each, FeedFault) and each.kind == kind
    )


def test_a_key_in_the_environment_never_shows(
    market: SyntheticMarket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key, secret = secrets.token_hex(9), secrets.token_hex(18)
    for name in ("BYBIT_API_KEY", "API_KEY", "MTF_API_KEY", "BYBIT_KEY"):
        monkeypatch.setenv(name, key)
    for name in ("BYBIT_API_SECRET", "API_SECRET", "MTF_API_SECRET", "BYBIT_SECRET"):
        monkeypatch.setenv(name, secret)
    caplog.set_level(logging.DEBUG)
    failing = [Fault(kind, where=KLINE) for kind in ("http_500", "http_302", "html", "http_403")]
    failing += [Fault("refuse_handshake"), Fault("refuse_subscription"), Fault("bad_frame")]
    seen: list[object] = []
    record = Recorder(tmp_path / "session.jsonl")
    with Sandbox(market, start_ms=NOW, faults=tuple(failing), keys={key: secret}) as sandbox:
        options: dict[str, Any] = {"record": record, "ban_s": 0.2, "refused_s": 0.0}
        with feeding(sandbox, Intake(SINCE), **options) as feed:
            seen += take_until(feed, up_to(START, *SINCE))
            until(lambda: "refuse_subscription" in sandbox.counts)
            until(lambda: set(sandbox.subscribed) == set(feed.intake.topics))
            sandbox.advance(MINUTE)
            seen += take_until(feed, up_to(START + MINUTE, ETH))
            seen += [feed, vars(feed), feed._rest, feed.clock, feed._supervisor, feed._inbox]
        assert {fault.kind for fault in failing} == set(sandbox.counts)
        assert not [each for each in sandbox.requests if key in str(each)]
    told = (*map(repr, seen), caplog.text, *capfd.readouterr(), record.path.read_text())
    everything = "\n".join(told)
    assert len(everything) > 10_000
    assert key not in everything
    assert secret not in everything


def test_redirects_are_not_followed(market: SyntheticMarket) -> None:
    with Sandbox(market, start_ms=NOW) as sandbox:
        sandbox.inject(Fault("http_302", where=TIME))
        refused = pytest.raises(RefusedError, match="redirects are not followed")
        with refused, feeding(sandbox, Intake(SINCE)):
            raise AssertionError("it began")
        sandbox.inject(Fault("refuse_handshake", value=302), Fault("http_302", where=KLINE))
        with feeding(sandbox, Intake(SINCE)) as feed:
            events = take_until(feed, up_to(START, *SINCE))
            connected(sandbox)
            take_until(feed, lambda told: states(told, ETH)[-1] == "live", events)
        assert "Redirect limit exhausted" in words(events, "refused connection")
        assert "status 302" in words(events, "REST")
        assert not [each for each in sandbox.requests if each.path == "/elsewhere"]


@pytest.mark.parametrize(
    ("rest", "stream"),
    [
        ("http://api.bybit.com", "wss://stream.bybit.com"),
        ("https://api.bybit.com.evil.example", "wss://stream.bybit.com"),
        ("https://192.0.2.7", "wss://stream.bybit.com"),
        ("https://api.bybit.com", "ws://stream.bybit.com"),
        ("https://api.bybit.com", "wss://stream.bybit.co"),
        ("https://api.bybit.com", "wss://key:secret@stream.bybit.com"),
    ],
)
def test_other_hosts_and_plain_http_are_refused_before_a_byte_is_sent(
    rest: str, stream: str
) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        Feed(
            Intake(SINCE),
            rest=Rest(BybitClient(rest)),
            stream=StreamFactory(stream),
            clock=LiveClock(),
        )


def test_without_the_exchanges_time_nothing_begins(market: SyntheticMarket) -> None:
    with Sandbox(market, start_ms=NOW, faults=(Fault("http_500", where=TIME, count=9),)) as sandbox:
        silent = pytest.raises(ExchangeError, match="no answer to get_server_time")
        with silent, feeding(sandbox, Intake(SINCE), attempts=1):
            raise AssertionError("it began")
        assert sandbox.connects == ()
    assert not [each for each in threading.enumerate() if each.name.startswith("feed")]
