"""One stream is one connection, and its end is heard of, whatever it was."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from listening import MINUTE, Heard, closed, until

from mtf.realtime.bybit_stream import BybitStream, StreamError
from mtf.realtime.hosts import HostError
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket


@contextmanager
def minutes_of_eth(sandbox: Sandbox, callback: Any, **options: Any) -> Iterator[BybitStream]:
    """A stream of candles that the stand-in knows of."""
    stream = BybitStream(sandbox.websocket_url, **options)
    stream.kline_stream(1, "ETHUSDT", callback)
    until(lambda: bool(sandbox.subscribed) or stream.ended.is_set())
    yield stream
    stream.exit()
    assert stream.ended.wait(5)
    assert not stream.wst.is_alive()


def test_candles_are_heard_until_it_is_closed(market: SyntheticMarket) -> None:
    heard = Heard()
    with Sandbox(market) as sandbox:
        with minutes_of_eth(sandbox, heard, ping_interval_s=0.1, ping_timeout_s=0.1) as stream:
            for _ in range(5):
                sandbox.advance(MINUTE)
            heard.wait(lambda messages: len(closed(messages)) == 5)
            assert not stream.ended.wait(0.5)  # pings are answered
            assert stream.is_connected()
        assert stream.failure == "closed by us"
        assert len(sandbox.connects) == 1


def asked_again(stream: BybitStream) -> str:
    """What is said to who asks for another topic; pybit alone would say nothing, and wait."""
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(StreamError) as caught:
            stream.trade_stream("ETHUSDT", print)
        told.append(str(caught.value))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2)
    return told[0] if told else "it waits for ever"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("drop"), "Connection"),
        (Fault("close", value=1011), "closed by the server with code 1011"),
        (Fault("bad_frame"), "JSONDecodeError"),
        (Fault("unknown_frame"), "KeyError"),
        (Fault("downtime", lasts_ms=30_000), "Connection"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_its_end_is_told(market: SyntheticMarket, fault: Fault, why: str) -> None:
    with Sandbox(market) as sandbox, minutes_of_eth(sandbox, Heard()) as stream:
        sandbox.inject(fault)
        sandbox.advance(MINUTE)
        assert stream.ended.wait(5)
        assert why in stream.failure
        assert "this stream is over" in asked_again(stream)
        assert not stream.is_connected()
        assert len(sandbox.connects) == 1  # it is for others to try again
        assert why in repr(stream)


def test_a_refused_subscription_ends_it(market: SyntheticMarket) -> None:
    with Sandbox(market, faults=(Fault("refuse_subscription"),)) as sandbox:
        with minutes_of_eth(sandbox, print) as stream:
            assert stream.ended.wait(5)
        refused = "a subscription was refused: error:handler not found,topic:kline.1.ETHUSDT"
        assert stream.failure == refused
        assert stream.accepted == set()


def test_texts_are_handed_on_as_they_came(market: SyntheticMarket) -> None:
    texts: list[str] = []
    with Sandbox(market) as sandbox:
        quick = {"ping_interval_s": 0.05, "ping_timeout_s": 5.0, "on_text": texts.append}
        with minutes_of_eth(sandbox, None, **quick) as stream:
            stream.orderbook_stream(50, "ETHUSDT", None)
            until(lambda: stream.accepted == {"kline.1.ETHUSDT", "orderbook.50.ETHUSDT"})
            sandbox.advance(MINUTE)
            until(lambda: len(texts) == 4)  # the book, a candle that closed, the open one, a change
            assert not stream.ended.wait(0.2)
            sandbox.inject(Fault("bad_frame"))
            sandbox.advance(MINUTE)
            assert stream.ended.wait(5)
    heard = [json.loads(text) for text in texts[:-1]]  # no answer, no pong among them
    assert [each["topic"].split(".")[0] for each in heard] == [
        *("orderbook", "kline", "kline", "orderbook")
    ]
    assert heard[1]["data"][0]["confirm"] is True
    assert texts[-1] == '{"topic": "kline'  # what it died of


def test_a_slow_callback_is_no_silence(market: SyntheticMarket) -> None:
    heard = Heard()

    def slow(message: Any) -> None:
        time.sleep(0.5)
        heard(message)

    pings = {"ping_interval_s": 0.1, "ping_timeout_s": 0.1}
    with Sandbox(market) as sandbox, minutes_of_eth(sandbox, slow, **pings) as stream:
        sandbox.advance(MINUTE)
        heard.wait_for(2)
        assert not stream.ended.wait(0.3)


def test_a_failing_callback_ends_it(market: SyntheticMarket) -> None:
    def fails(_: Any) -> None:
        raise ZeroDivisionError("of the user")

    with Sandbox(market) as sandbox, minutes_of_eth(sandbox, fails) as stream:
        sandbox.advance(MINUTE)
        assert stream.ended.wait(5)
        assert stream.failure == "ZeroDivisionError: of the user"


def test_an_answer_at_once_finds_what_was_asked(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        for _ in range(50):  # without the lock about one in four dies of it
            heard = Heard()
            with minutes_of_eth(sandbox, heard):
                sandbox.advance(MINUTE)
                heard.wait_for(1)


def test_it_knocks_once(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        for status in (503, 403, 302):
            sandbox.inject(Fault("refuse_handshake", value=status))
            with pytest.raises(StreamError, match="can't open ws:"):
                BybitStream(sandbox.websocket_url)
        assert len(sandbox.connects) == 3
        assert sandbox.requests == ()  # a 302 led to /elsewhere
        sandbox.inject(Fault("downtime", lasts_ms=MINUTE))
        with pytest.raises(StreamError, match="ConnectionRefusedError"):
            BybitStream(sandbox.websocket_url)
    assert not [thread for thread in threading.enumerate() if thread.name == "bybit stream"]


def test_a_server_that_answers_no_ping_is_dead(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        with minutes_of_eth(sandbox, print, ping_interval_s=0.2, ping_timeout_s=0.2) as stream:
            gate = threading.Event()
            sandbox._loop.call_soon_threadsafe(gate.wait, 5)  # the whole server hangs
            assert stream.ended.wait(3)
            gate.set()
        assert stream.failure == "no answer to a ping"


@pytest.mark.parametrize(
    "url", ["ws://stream.bybit.com", "wss://evil.example", "http://127.0.0.1:1", "wss://192.0.2.7"]
)
def test_an_address_that_nothing_is_sent_to(url: str) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        BybitStream(url)
