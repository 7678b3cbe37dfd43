"""One stream is one connection, and its end is heard of, whatever it was."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import websocket
from answering import answering
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
    thread.join(30)
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
        with pytest.raises(StreamError, match="this stream is over"):
            stream.is_connected()
        assert len(sandbox.connects) == 1  # it is for others to try again
        assert why in repr(stream)


def test_a_refused_subscription_is_noted_and_may_be_asked_for_again(
    market: SyntheticMarket,
) -> None:
    heard, topic = Heard(), "kline.1.ETHUSDT"
    with Sandbox(market, faults=(Fault("refuse_subscription"),)) as sandbox:
        stream = BybitStream(sandbox.websocket_url)
        stream.kline_stream(1, "ETHUSDT", heard)
        until(lambda: stream.refused == {topic: f"error:handler not found,topic:{topic}"})
        assert stream.accepted == set()
        stream.kline_stream(1, "ETHUSDT", heard)
        until(lambda: stream.accepted == {topic})
        assert stream.refused == {}
        sandbox.advance(MINUTE)
        heard.wait_for(1)
        stream.exit()
        assert stream.failure == "closed by us"


class Breaking:
    """A server whose connections do not live: nothing of the stand-in's, which is too polite.

    Each is closed within two milliseconds, or after an answer that refuses nobody knows what.
    """

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self._random = random.Random(1)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self._break(connection)

    def _break(self, connection: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(4_096)
        key = asked.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # as RFC 6455 says
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        if not self.answers:
            time.sleep(self._random.uniform(0, 0.002))
            return
        connection.recv(4_096)
        text = b'{"success": false, "ret_msg": "bad", "op": "subscribe"}'
        connection.sendall(bytes([0x81, len(text)]) + text)
        time.sleep(0.02)


GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.mark.parametrize("answers", [False, True], ids=["closes", "refuses"])
def test_nobody_who_asks_while_it_ends_waits_for_ever(answers: bool) -> None:
    server, ended = Breaking(answers=answers), 0
    for _ in range(50):
        stream = BybitStream(server.url)

        def ask(stream: BybitStream = stream) -> None:
            with suppress(StreamError, OSError, websocket.WebSocketException):
                for topic in ("kline.1", "kline.5", "kline.60", "publicTrade", "orderbook.50"):
                    stream.subscribe(topic + ".{symbol}", print, "ETHUSDT")

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), stream.failure
        ended += stream.ended.wait(10)
        stream.exit()
    assert ended == 50
    server.close()


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


def test_a_process_that_was_stopped_asks_once_more_before_it_gives_up(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_s = [0.0]
    passing = SimpleNamespace(monotonic=lambda: time.monotonic() + stopped_s[0])
    monkeypatch.setattr("mtf.realtime.stream_socket.time", passing)
    pings = {"ping_interval_s": 0.1, "ping_timeout_s": 0.1}
    with Sandbox(market) as sandbox, minutes_of_eth(sandbox, print, **pings) as stream:
        for stopped_s[0] in (10.0, 20.0, 30.0):
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


def test_a_handshake_byte_by_byte_is_given_up_in_time() -> None:
    with answering(b"HTTP/1.1 101 x\r\n" + b"X" * 4_000, every_s=0.05) as server:
        with pytest.raises(StreamError, match="TimeoutError"):
            BybitStream(f"ws://{server.host}", connect_timeout_s=2.0)
        assert len(server.asked) == 1
        assert server.said < 2_000


def test_this_machine_is_reached_past_any_proxy(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as proxy, Sandbox(market) as sandbox:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        for url in (sandbox.websocket_url, sandbox.websocket_url.replace("127.0.0.1", "localhost")):
            with suppress(StreamError):  # where this machine's name is another address
                BybitStream(url).exit()
        assert proxy.asked == []
        assert sandbox.connects


@pytest.mark.parametrize(
    "url", ["ws://stream.bybit.com", "wss://evil.example", "http://127.0.0.1:1", "wss://192.0.2.7"]
)
def test_an_address_that_nothing_is_sent_to(url: str) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        BybitStream(url)
