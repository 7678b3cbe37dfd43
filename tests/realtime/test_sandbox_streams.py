"""The stand-in's streams, heard by pybit's own client."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import websocket
from listening import DAY, HOUR, MINUTE, Heard, closed, listening, pybit, until

from mtf.errors import MtfError
from mtf.realtime.sandbox import streams
from mtf.realtime.sandbox.connection import Connection
from mtf.realtime.sandbox.limits import Limits
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

ETH = {"category": "linear", "symbol": "ETHUSDT"}
COLUMNS = ("start", "open", "high", "low", "close", "volume", "turnover")


def rows(sandbox: Sandbox, interval: str, start: int, count: int) -> list[list[str]]:
    """Candles as REST tells them, in order of time."""
    session = pybit(sandbox)
    found = session.get_kline(**ETH, interval=interval, start=start, limit=count)["result"]["list"]
    session.client.close()
    return list(found)[::-1]


def as_row(candle: dict[str, Any]) -> list[str]:
    """A candle of the stream as REST writes it."""
    return [str(candle[column]) for column in COLUMNS]


def test_every_closed_candle_once_and_equal_to_rest(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, listening(sandbox) as stream:
        minutes, fives, heard = Heard(), Heard(), Heard()
        stream.kline_stream(1, "ETHUSDT", minutes)
        stream.kline_stream(5, ["ETHUSDT", "BTCUSDT"], fives)
        stream.kline_stream("D", "ETHUSDT", heard)
        until(lambda: len(sandbox.subscribed) == 4)
        sandbox.advance(0)
        for step in (1_000, 30_000, 29_000, 60_000, 8 * MINUTE, 3 * MINUTE + 1_000):
            sandbox.advance(step)
        start = market.start_ms
        minutes.wait(lambda messages: len(closed(messages)) == 13)
        fives.wait(lambda messages: len(closed(messages)) == 4)
        heard.wait_for(6)
        assert [as_row(candle) for candle in minutes.closed] == rows(sandbox, "1", start, 13)
        eth = [message for message in fives.messages if message["topic"] == "kline.5.ETHUSDT"]
        assert [as_row(candle) for candle in closed(eth)] == rows(sandbox, "5", start, 2)
        assert closed(heard.messages) == []
        newest = heard.messages[-1]["data"][0]
        assert as_row(newest) == rows(sandbox, "D", start, 1)[0]
        assert newest["end"] == start + DAY - 1
        assert newest["timestamp"] == sandbox.clock.now_ms()


def test_the_open_candle_grows_and_then_closes(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        stream.kline_stream(1, "ETHUSDT", heard)
        until(lambda: bool(sandbox.subscribed))
        for _ in range(60):
            sandbox.advance(1_000)
        candles = [message["data"][0] for message in heard.wait_for(61)]
        first = [candle for candle in candles if candle["start"] == market.start_ms]
        volumes = [float(candle["volume"]) for candle in first]
        assert volumes == sorted(volumes)
        assert volumes[0] < volumes[-1]
        assert [candle["confirm"] for candle in first] == [False] * 59 + [True]
        assert candles[-1]["start"] == market.start_ms + MINUTE
        sandbox.advance(999)  # the open candle is told once a second
        sandbox.advance(1)
        assert len(heard.wait_for(62)) == 62


def test_trades_add_up_to_the_candles(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        stream.trade_stream("ETHUSDT", heard)
        until(lambda: bool(sandbox.subscribed))
        for _ in range(30):
            sandbox.advance(7_000)
        sandbox.advance(30_000)
        parts = sandbox.exchange.trades("ETHUSDT", market.start_ms - 1, sandbox.clock.now_ms())
        count = sum(len(part) for part in parts)
        heard.wait(lambda messages: sum(len(m["data"]) for m in messages) == count)
        trades = [trade for message in heard.messages for trade in message["data"]]
        assert len({trade["i"] for trade in trades}) == count
        assert [trade["seq"] for trade in trades] == sorted(trade["seq"] for trade in trades)
        for row in rows(sandbox, "1", market.start_ms, 4):
            part = [t for t in trades if 0 <= t["T"] - int(row[0]) < MINUTE]
            prices = [float(trade["p"]) for trade in part]
            told = [float(value) for value in row[1:6]]
            assert told[:4] == [prices[0], max(prices), min(prices), prices[-1]]
            assert round(told[4] * 100) == sum(round(float(trade["v"]) * 100) for trade in part)


def test_deltas_make_the_book_that_rest_shows(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        stream.orderbook_stream(50, "ETHUSDT", heard)  # pybit puts snapshot and deltas together
        first = heard.wait_for(1)[0]["data"]
        for _ in range(20):
            sandbox.advance(3_000)
        messages = heard.wait_for(21)
        assert [m["data"]["u"] for m in messages] == [first["u"] + step for step in range(21)]
        session = pybit(sandbox)
        wanted = session.get_orderbook(**ETH, limit=50)["result"]
        session.client.close()
        book = messages[-1]["data"]
        assert sorted(book["b"], key=lambda level: -float(level[0])) == wanted["b"]
        assert sorted(book["a"], key=lambda level: float(level[0])) == wanted["a"]
        assert first["b"] != wanted["b"]


def raw(sandbox: Sandbox) -> websocket.WebSocket:
    """A websocket without pybit, to see every answer."""
    return websocket.create_connection(f"{sandbox.websocket_url}/v5/public/linear", timeout=5)


def ask(socket: websocket.WebSocket, **request: Any) -> dict[str, Any]:
    """The answer to a request."""
    socket.send(json.dumps(request))
    answer: dict[str, Any] = json.loads(socket.recv())
    return answer


def test_answers_to_requests(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        socket = raw(sandbox)
        pong = ask(socket, op="ping", req_id="7")
        assert (pong["ret_msg"], pong["success"], pong["op"]) == ("pong", True, "ping")
        topic = "kline.1.ETHUSDT"
        good = ask(socket, op="subscribe", args=[topic], req_id="8")
        assert (good["success"], good["req_id"], good["op"]) == (True, "8", "subscribe")
        again = ask(socket, op="subscribe", args=[topic])
        assert (again["success"], again["ret_msg"]) == (
            False,
            f"error:already subscribed,topic:{topic}",
        )
        for name in ("kline.7.ETHUSDT", "kline.1.NONE", "orderbook.3.ETHUSDT", "x", ""):
            bad = ask(socket, op="subscribe", args=["publicTrade.ETHUSDT", name])
            assert (bad["success"], bad["ret_msg"]) == (
                False,
                f"error:handler not found,topic:{name}",
            )
        sandbox.advance(MINUTE)
        assert json.loads(socket.recv())["topic"] == topic
        assert json.loads(socket.recv())["topic"] == topic
        assert ask(socket, op="unsubscribe", args=[topic])["success"]
        sandbox.advance(MINUTE)
        assert ask(socket, op="dance")["ret_msg"] == "error:unknown operation,op:dance"
        socket.ping("x")
        assert socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"x")
        socket.close()


def test_pybits_own_pings_are_answered(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        with listening(sandbox, ping_interval=1.6, ping_timeout=1.5, retries=2) as stream:
            heard = Heard()
            stream.kline_stream(1, "ETHUSDT", heard)
            until(lambda: stream.ws.last_pong_tm > 0)
            assert stream.is_connected()
            sandbox.advance(MINUTE)
            heard.wait_for(1)
        assert len(sandbox.connects) == 1


def test_too_many_connections_are_refused(market: SyntheticMarket) -> None:
    with Sandbox(market, limits=Limits(connects=2)) as sandbox:
        sockets = [raw(sandbox), raw(sandbox)]
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            raw(sandbox)
        for socket in sockets:
            socket.close()
        assert len(sandbox.connects) == 3


def session_of(market: SyntheticMarket) -> list[str]:
    """All texts of a session of ten minutes in steps of 20 s."""
    with Sandbox(market) as sandbox:
        socket = raw(sandbox)
        topics = ["kline.1.BTCUSDT", "publicTrade.ETHUSDT", "orderbook.1.SOLUSDT"]
        ask(socket, op="subscribe", args=topics)
        texts = [str(socket.recv())]
        for _ in range(30):
            sandbox.advance(20_000)
        socket.send(json.dumps({"op": "ping"}))
        while '"pong"' not in texts[-1]:
            texts.append(str(socket.recv()))
        socket.close()
    return texts[:-1]


def test_the_same_steps_tell_the_same(market: SyntheticMarket) -> None:
    first = session_of(market)
    again = SyntheticMarket(start_ms=market.start_ms, history_days=9)
    assert len(first) > 80
    assert session_of(again) == first


def test_a_market_that_runs_speaks_by_itself(market: SyntheticMarket) -> None:
    with Sandbox(market, speed=600) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        outer = time.monotonic()
        begun, inner = sandbox.clock.now_ms(), time.monotonic()
        stream.kline_stream(1, "ETHUSDT", heard)
        heard.wait(lambda messages: len(closed(messages)) >= 4)
        least_s = time.monotonic() - inner
        passed_s = (sandbox.clock.now_ms() - begun) / 600_000
        assert least_s - 0.001 <= passed_s <= time.monotonic() - outer + 0.001
        starts = [candle["start"] for candle in heard.closed]
        assert starts == list(range(starts[0], starts[0] + len(starts) * MINUTE, MINUTE))
        assert [as_row(candle) for candle in heard.closed][:4] == rows(sandbox, "1", starts[0], 4)


def without_end(monkeypatch: pytest.MonkeyPatch, patience_s: float) -> None:
    """As if nobody ever read all that is sent."""

    async def drained(_: Connection) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Connection, "drained", drained)
    monkeypatch.setattr(streams, "DRAIN_S", patience_s)


def test_a_client_that_reads_no_more_holds_nobody_up(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_end(monkeypatch, 3_600.0)
    with Sandbox(market, speed=600) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        stream.kline_stream(1, "ETHUSDT", heard)
        heard.wait(lambda messages: len(closed(messages)) >= 4)
    gc.collect()
    assert not caplog.records  # such as a task whose exception nobody asked for


def test_by_hand_a_client_that_reads_no_more_is_waited_for_a_while(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_end(monkeypatch, 0.01)
    with Sandbox(market) as sandbox:
        socket = raw(sandbox)
        ask(socket, op="subscribe", args=["kline.1.ETHUSDT"])
        for minute in range(1, 4):
            assert sandbox.advance(MINUTE) == market.start_ms + minute * MINUTE
        socket.close()


def test_recorded_minutes_are_streamed(real_data: Path) -> None:
    from mtf.realtime.sandbox.recorded import RecordedMarket

    market = RecordedMarket(real_data / "exchange", ["ETHUSDT"])
    with Sandbox(market) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        stream.kline_stream(60, "ETHUSDT", heard)
        until(lambda: bool(sandbox.subscribed))
        sandbox.advance(2 * HOUR)
        heard.wait(lambda messages: len(closed(messages)) == 2)
        assert [as_row(candle) for candle in heard.closed] == rows(
            sandbox, "60", market.start_ms, 2
        )
        assert heard.closed[0]["open"] == "2630.79"


def test_nothing_is_left_behind(market: SyntheticMarket) -> None:
    before = (0, 0)
    for attempt in range(4):
        with Sandbox(market) as sandbox:
            socket = raw(sandbox)
            ask(socket, op="subscribe", args=["kline.1.ETHUSDT"])
            sandbox.advance(MINUTE)
            session = pybit(sandbox)
            session.get_server_time()
            session.client.close()
        socket.close()
        if attempt == 0:  # the first one imports and caches
            before = (len(os.listdir("/dev/fd")), threading.active_count())
    assert len(os.listdir("/dev/fd")) <= before[0]
    assert threading.active_count() <= before[1]


def test_a_port_that_is_taken(market: SyntheticMarket) -> None:
    with (
        Sandbox(market) as sandbox,
        pytest.raises(MtfError, match=f"can't listen on 127.0.0.1:{sandbox.port}"),
        Sandbox(market, port=sandbox.port),
    ):
        pass


def test_only_this_machine_is_listened_to(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        assert sandbox._server is not None
        at = [socket.getsockname() for socket in sandbox._server.sockets]
        assert at == [("127.0.0.1", sandbox.port)]
        assert sandbox.url == f"http://127.0.0.1:{sandbox.port}"


def test_other_channels_are_not_there(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        for path in ("/v5/public/spot", "/v5/private", "/elsewhere"):
            with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
                websocket.create_connection(f"{sandbox.websocket_url}{path}", timeout=5)
