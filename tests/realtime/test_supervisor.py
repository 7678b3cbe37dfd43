"""A stream that is kept alive: what ended it is told, the next one is made, and never too soon."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from answering import answering
from feeding import HandClock, Letters, quick
from hypothesis import given
from hypothesis import strategies as st
from listening import MINUTE, until

from mtf.realtime.bybit_stream import BybitStream, StreamFactory
from mtf.realtime.hosts import HostError
from mtf.realtime.inbox import Inbox
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.supervisor import Backoff, Supervisor

TOPICS = ("kline.1.ETHUSDT", "kline.60.BTCUSDT", "publicTrade.SOLUSDT")


@contextmanager
def supervised(
    sandbox: Sandbox, topics: tuple[str, ...] = TOPICS, **options: Any
) -> Iterator[Letters]:
    """Letters of a supervisor of some topics."""
    clock = HandClock(sandbox)
    letters = Letters(Inbox(clock))
    supervisor = Supervisor(
        options.pop("connect", StreamFactory(sandbox.websocket_url)),
        topics,
        lambda text: letters.inbox.put("frame", {"text": text}),
        clock,
        letters.inbox,
        **{"backoff": quick(), "stale_s": 3_600.0, **options},
    )
    thread = supervisor.start()
    try:
        yield letters
    finally:
        supervisor.stop()
        thread.join(5)
        assert not thread.is_alive()


def has(letters: Letters, *states: str) -> Callable[[object], bool]:
    """Whether these states were told, in this order, and no others."""
    return lambda _: letters.states() == list(states)


def frames(letters: Letters) -> list[str]:
    return [each.content["text"] for each in letters.messages if each.kind == "frame"]


def told_after(letters: Letters, time_ms: int) -> Callable[[object], bool]:
    """Whether a frame came that was sent after a time."""
    return lambda _: any(json.loads(text)["ts"] > time_ms for text in frames(letters))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("drop"), "Connection"),
        (Fault("close", value=1011), "closed by the server with code 1011"),
        (Fault("bad_frame"), "JSONDecodeError"),
        (Fault("unknown_frame"), "KeyError: 'unheard.of'"),
        (Fault("downtime", lasts_ms=1), "Connection"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_after_its_end_comes_the_next(market: SyntheticMarket, fault: Fault, why: str) -> None:
    with Sandbox(market) as sandbox, supervised(sandbox) as letters:
        letters.wait(has(letters, "open"))
        sandbox.advance(MINUTE)
        sandbox.inject(fault)
        sandbox.advance(MINUTE)
        # After a downtime it may knock too early, and is refused once more.
        letters.wait(lambda _: letters.states()[-1] == "open" and len(letters.states()) >= 3)
        assert letters.states()[:2] == ["open", "lost"]
        assert why in letters.whys()[1]
        assert sandbox.subscribed == tuple(sorted(TOPICS))
        before = len(frames(letters))
        sandbox.advance(MINUTE)
        letters.wait(lambda _: len(frames(letters)) >= before + 3)


def test_a_refused_handshake_is_tried_again(market: SyntheticMarket) -> None:
    faults = (Fault("refuse_handshake", count=2),)
    with Sandbox(market, faults=faults) as sandbox, supervised(sandbox) as letters:
        letters.wait(has(letters, "refused", "refused", "open"))
        assert "Handshake status 503" in letters.whys()[0]
        assert letters.whys()[2] == "3 topics"


def test_a_topic_that_is_refused_ends_no_other(market: SyntheticMarket) -> None:
    gone = "kline.1.NOPEUSDT"
    with Sandbox(market) as sandbox, supervised(sandbox, (gone, *TOPICS)) as letters:
        letters.wait(has(letters, "open", "failed"))
        assert letters.whys()[0] == "3 of 4 topics"
        refused = f"topic {gone} was refused: error:handler not found,topic:{gone}"
        assert letters.whys()[1] == refused
        assert letters.messages[-1].content["topic"] == gone
        sandbox.advance(MINUTE)
        letters.wait(lambda _: len(frames(letters)) >= 3)
        sandbox.inject(Fault("drop"))
        sandbox.advance(MINUTE)
        letters.wait(has(letters, "open", "failed", "lost", "open", "failed"))  # once each


def test_a_topic_that_was_refused_is_asked_for_again(market: SyntheticMarket) -> None:
    faults = (Fault("refuse_subscription", where="kline.60.*", count=2),)
    with Sandbox(market, faults=faults) as sandbox:
        with supervised(sandbox, refused_s=0.0) as letters:  # a second and a bit
            letters.wait(has(letters, "open", "failed"))
            until(lambda: sandbox.subscribed == tuple(sorted(TOPICS)))
            sandbox.advance(60 * MINUTE)
            letters.wait(lambda _: any("kline.60.BTC" in text for text in frames(letters)))
            assert letters.states() == ["open", "failed"]
        assert sandbox.counts["refuse_subscription"] == 2
        assert len(sandbox.connects) == 1


def test_where_no_topic_is_accepted_it_is_refused(market: SyntheticMarket) -> None:
    faults = (Fault("refuse_subscription", count=3),)
    with Sandbox(market, faults=faults) as sandbox, supervised(sandbox) as letters:
        letters.wait(has(letters, "refused", "open"))
        assert letters.whys()[0].count("was refused: error:handler not found") == 3
        assert letters.whys()[1] == "3 topics"


def test_a_connection_that_is_not_wanted_is_made_anew(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is said at the very moment in which it is open."""
    with Sandbox(market) as sandbox:
        clock = HandClock(sandbox)
        letters = Letters(Inbox(clock))
        connect = StreamFactory(sandbox.websocket_url)
        supervisor = Supervisor(connect, TOPICS, print, clock, letters.inbox, backoff=quick())
        put = letters.inbox.put

        def told(kind: Any, content: dict[str, Any]) -> None:
            put(kind, content)
            if kind == "state" and len(sandbox.connects) == 1:
                supervisor.renew("a book missed a change")

        monkeypatch.setattr(letters.inbox, "put", told)
        thread = supervisor.start()
        letters.wait(has(letters, "open", "lost", "open"))
        supervisor.stop()
        thread.join(5)
        assert letters.whys()[1] == "a book missed a change"
        assert len(sandbox.connects) == 2


def test_a_server_that_is_away_is_asked_once_a_second(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, supervised(sandbox, backoff=quick(longest_s=0.01)) as letters:
        letters.wait(has(letters, "open"))
        sandbox.inject(Fault("downtime", lasts_ms=MINUTE))
        letters.wait(lambda _: letters.states()[1:4] == ["lost", "refused", "refused"])
        sandbox.advance(MINUTE)
        letters.wait(lambda _: letters.states()[-1] == "open")
        stamps = [each.at_ms for each in letters.messages]
        assert stamps == sorted(stamps)


def test_a_second_is_between_two_connects_whatever_happens(market: SyntheticMarket) -> None:
    with Sandbox(market, faults=(Fault("refuse_handshake", count=4),)) as sandbox:
        knock, knocked = StreamFactory(sandbox.websocket_url), list[float]()

        def connect(**named: Any) -> BybitStream:
            knocked.append(time.monotonic())
            return knock(**named)

        with supervised(sandbox, connect=connect, backoff=quick(longest_s=0.001)) as letters:
            letters.wait(has(letters, *["refused"] * 4, "open"))
        assert len(sandbox.connects) == 5
        assert min(b - a for a, b in itertools.pairwise(knocked)) > 1


def test_silence_ends_a_connection_though_pings_are_answered(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        connect = StreamFactory(sandbox.websocket_url, ping_interval_s=0.1)
        options: dict[str, Any] = {"connect": connect, "stale_s": 0.5, "least_stale_s": 0.5}
        with supervised(sandbox, **options) as letters:
            letters.wait(lambda _: letters.states()[:3] == ["open", "lost", "open"])
            assert letters.whys()[1] == "no data for 0.5 s while pings were answered"


class HandTime:
    """The supervisor's ``time``, moved by hand, and how often it was looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks = 1_000.0, 0
        monkeypatch.setattr("mtf.realtime.supervisor.time", self)
        monkeypatch.setattr("mtf.realtime.supervisor.LOOK_S", 0.001)

    def monotonic(self) -> float:
        now = self.now
        self.looks += 1
        return now

    def jump(self, seconds: float, sandbox: Sandbox) -> None:
        """Move it at once, and wait until that was seen, or there is another connection."""
        self.now += seconds
        before = self.looks + 1  # somebody may have looked just before
        until(lambda: self.looks > before or len(sandbox.connects) > 1)

    def run(self, seconds: float, sandbox: Sandbox) -> None:
        """Let it pass second by second."""
        for _ in range(int(seconds)):
            self.jump(1.0, sandbox)


@pytest.mark.parametrize(
    ("topics", "silence_s"), [(("kline.1.ETHUSDT", "kline.60.BTCUSDT"), 75.0), (TOPICS, 20.0)]
)
def test_a_word_in_time_keeps_a_connection(
    market: SyntheticMarket,
    monkeypatch: pytest.MonkeyPatch,
    topics: tuple[str, ...],
    silence_s: float,
) -> None:
    """Of candles alone the exchange may say as little as one word a minute."""
    outside = HandTime(monkeypatch)
    with Sandbox(market) as sandbox, supervised(sandbox, topics, stale_s=None) as letters:
        letters.wait(has(letters, "open"))
        for _ in range(4):
            outside.run(silence_s - 1, sandbox)
            before_ms = sandbox.clock.now_ms()
            sandbox.advance(1_000)
            letters.wait(told_after(letters, before_ms))
        assert letters.states() == ["open"]
        while letters.states() == ["open"]:  # words may still be on their way
            outside.run(silence_s + 1, sandbox)
            letters.messages += letters.inbox.take(2**60, 0.2)[0]
        # The next connection may be lost, too: its time goes by hand.
        letters.wait(lambda _: letters.states()[-1] == "open")
        assert letters.states()[:2] == ["open", "lost"]
        assert letters.whys()[1] == f"no data for {silence_s:g} s while pings were answered"


def test_a_process_that_was_stopped_heard_nothing_and_that_is_no_silence(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came meanwhile waits to be read: a connection that is given up loses it."""
    outside = HandTime(monkeypatch)
    with Sandbox(market) as sandbox, supervised(sandbox, stale_s=None) as letters:
        letters.wait(has(letters, "open"))
        for _ in range(3):
            outside.jump(3_600.0, sandbox)
            before_ms = sandbox.clock.now_ms()
            sandbox.advance(1_000)
            letters.wait(told_after(letters, before_ms))
        assert letters.states() == ["open"]


def test_silence_is_measured_in_the_markets_time_but_not_below_a_second_or_two() -> None:
    silences = []
    for speed in (1.0, 2.0, 60.0):  # with trades among the topics
        clock = LiveClock(speed)
        supervisor = Supervisor(StreamFactory(), TOPICS, print, clock, Inbox(clock))
        silences.append(supervisor._silence_s)
    assert silences == [20.0, 10.0, 2.0]


def test_an_end_in_the_middle_of_a_handshake_that_drips(market: SyntheticMarket) -> None:
    with (
        answering(b"HTTP/1.1 101 x\r\n" + b"X" * 4_000, every_s=0.05) as server,
        Sandbox(market) as sandbox,
        supervised(sandbox, connect=StreamFactory(f"ws://{server.host}", connect_timeout_s=600.0)),
    ):
        until(lambda: len(server.asked) == 1)


def test_a_defect_of_ours_is_raised_where_it_is_seen(market: SyntheticMarket) -> None:
    def fails(on_text: Callable[[str], None], stopped: threading.Event) -> BybitStream:
        raise ZeroDivisionError("a defect")

    with (
        Sandbox(market) as sandbox,
        supervised(sandbox, connect=fails) as letters,
        pytest.raises(ZeroDivisionError, match="a defect"),
    ):
        letters.wait(lambda told: False)


def test_an_end_in_the_middle_of_connecting(market: SyntheticMarket) -> None:
    refusals = (Fault("refuse_handshake", count=99),)
    with Sandbox(market, faults=refusals) as sandbox, supervised(sandbox):
        until(lambda: bool(sandbox.connects))


def test_foreign_hosts_are_refused_before_anything_is_sent() -> None:
    for url in ("ws://stream.bybit.com", "wss://evil.example", "wss://stream.bybit.com:8443"):
        with pytest.raises(HostError, match="nothing was sent"):
            StreamFactory(url)


@given(
    lives=st.lists(st.floats(0, 200), min_size=1, max_size=40),
    first=st.floats(0.1, 5),
    longest=st.floats(5, 60),
)
def test_waits_double_have_an_end_and_begin_anew(
    lives: list[float], first: float, longest: float
) -> None:
    backoff = Backoff(first, longest, steady_s=60.0)
    expected = first
    for lived in lives:
        expected = first if lived >= 60 else expected
        wait = backoff.wait_s(lived)
        assert min(expected, longest) <= wait <= 1.25 * min(expected, longest)
        expected = min(2 * expected, longest)
