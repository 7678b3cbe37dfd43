"""Faults of the streams, and those that last: each does what it says, and is counted."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
import requests
import websocket
from listening import HOUR, MINUTE, Heard, closed, hang_up, listening, pybit, until
from pybit.exceptions import FailedRequestError

from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import HOST, Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

WANTED: dict[str, Any] = {"category": "linear", "symbol": "ETHUSDT", "interval": "1", "limit": 20}


def starts(messages: list[dict[str, Any]], first: int) -> list[int]:
    """Which minutes closed, counted from the first."""
    return [(candle["start"] - first) // MINUTE for candle in closed(messages)]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("twice", [0, 1, 1, 2, 3]),
        ("late", [0, 1, 2, 3]),
        ("lose", [0, 2, 3]),
    ],
)
def test_messages_that_come_otherwise(
    market: SyntheticMarket, kind: str, wanted: list[int]
) -> None:
    fault = Fault(kind, where="kline.1.*/closed", nth=2)
    with Sandbox(market, faults=(fault,)) as sandbox, listening(sandbox) as stream:
        heard = Heard()
        stream.kline_stream(1, "ETHUSDT", heard)
        until(lambda: bool(sandbox.subscribed))
        for _ in range(4):
            sandbox.advance(MINUTE)
        messages = heard.wait_for(8 + {"twice": 1, "late": 0, "lose": -1}[kind])
    assert starts(messages, market.start_ms) == wanted
    in_order = [message["data"][0]["start"] for message in messages]
    assert (in_order == sorted(in_order)) == (kind != "late")
    assert sandbox.injected[0].where == "kline.1.ETHUSDT/closed"
    assert sandbox.injected[0].at_ms == market.start_ms + 2 * MINUTE


def frames(market: SyntheticMarket, fault: Fault, steps: int) -> tuple[list[str], Sandbox]:
    """Texts that a plain websocket reads of the minutes of ETH; the last is how it ended."""
    texts: list[str] = []
    with Sandbox(market) as sandbox:
        socket = websocket.create_connection(f"{sandbox.websocket_url}/v5/public/linear", timeout=5)
        socket.send('{"op": "subscribe", "args": ["kline.1.ETHUSDT"]}')
        texts.append(str(socket.recv()))
        sandbox.inject(fault)
        for _ in range(steps):
            sandbox.advance(MINUTE)
        socket.send('{"op": "ping"}') if fault.kind not in ("drop", "close") else None
        try:
            while '"ping"' not in texts[-1]:
                code, frame = socket.recv_data_frame(control_frame=True)
                if code == websocket.ABNF.OPCODE_CLOSE:
                    texts.append(f"close {int.from_bytes(frame.data[:2], 'big')}")
                    break
                texts.append(frame.data.decode())
        except (ConnectionError, websocket.WebSocketConnectionClosedException):
            texts.append("lost")
        hang_up(socket)
    return texts[1:], sandbox


def test_a_text_that_is_no_json_and_a_topic_that_nobody_asked_for(market: SyntheticMarket) -> None:
    plain, _ = frames(market, Fault("lose", where="nothing"), 2)
    bad, sandbox = frames(market, Fault("bad_frame"), 2)
    assert bad[:-1] == ['{"topic": "kline', *plain[:-1]]
    assert sandbox.counts == {"bad_frame": 1}
    unknown, _ = frames(market, Fault("unknown_frame", nth=2), 2)
    assert [text for text in unknown if '"unheard.of"' in text] == [unknown[1]]
    assert len(unknown) == len(plain) + 1


@pytest.mark.parametrize(("value", "code"), [(None, 1001), (1000, 1000), (1011, 1011)])
def test_closed_with_a_code(market: SyntheticMarket, value: int | None, code: int) -> None:
    texts, _ = frames(market, Fault("close", value=value, nth=2), 3)
    assert texts[1:] == [f"close {code}"]


def test_lost_without_a_word(market: SyntheticMarket) -> None:
    texts, sandbox = frames(market, Fault("drop", nth=3), 3)
    assert texts[-1] == "lost"
    assert len(texts) <= 3  # what was on its way may be lost, too
    assert sandbox.counts == {"drop": 1}


def test_the_book_begins_anew(market: SyntheticMarket) -> None:
    with Sandbox(market, faults=(Fault("book_reset", nth=2),)) as sandbox:
        with listening(sandbox) as stream:
            heard = Heard()
            stream.orderbook_stream(50, "ETHUSDT", heard)
            heard.wait_for(1)
            for _ in range(3):
                sandbox.advance(5_000)
            updates = [message["data"]["u"] for message in heard.wait_for(4)]
        book = sandbox.exchange.book("ETHUSDT", sandbox.clock.now_ms(), 50)
    assert updates == [updates[0], updates[0] + 1, 1, 2]
    best = max(float(level[0]) for level in heard.messages[-1]["data"]["b"])
    assert best == max(book.bids) / 100


def test_a_stall_answers_pings_and_says_nothing(market: SyntheticMarket) -> None:
    stall = Fault(
        "stall", where="kline.1.BTCUSDT", lasts_ms=3 * MINUTE, at_ms=market.start_ms + MINUTE
    )
    with Sandbox(market, faults=(stall,)) as sandbox:
        with listening(sandbox) as stream:
            btc, eth = Heard(), Heard()
            stream.kline_stream(1, "BTCUSDT", btc)
            stream.kline_stream(1, "ETHUSDT", eth)
            until(lambda: len(sandbox.subscribed) == 2)
            sandbox.advance(2 * MINUTE)
            sandbox.advance(4 * MINUTE)
            eth.wait(lambda messages: len(closed(messages)) == 6)
            btc.wait(lambda messages: starts(messages, market.start_ms)[-1:] == [5])
            assert stream.is_connected()
        assert starts(eth.messages, market.start_ms) == [0, 1, 2, 3, 4, 5]
        assert starts(btc.messages, market.start_ms) == [3, 4, 5]  # closed at 1, 2, 3 min: stalled
        assert sandbox.counts == {"stall": 1}


def test_a_frozen_price_is_frozen_everywhere(market: SyntheticMarket) -> None:
    start = market.start_ms + HOUR
    frozen = Fault("frozen", where="ETH*", lasts_ms=2 * MINUTE, at_ms=start + 2 * MINUTE - 20_000)
    with Sandbox(market, start_ms=start) as sandbox:
        sandbox.advance(MINUTE)
        sandbox.inject(frozen)
        with listening(sandbox) as stream:
            candles, trades = Heard(), Heard()
            stream.kline_stream(1, "ETHUSDT", candles)
            stream.trade_stream("ETHUSDT", trades)
            until(lambda: len(sandbox.subscribed) == 2)
            for _ in range(5):
                sandbox.advance(MINUTE)
            candles.wait(lambda messages: len(closed(messages)) == 5)
            trades.wait(
                lambda messages: (
                    bool(messages) and messages[-1]["data"][0]["T"] > start + 5 * MINUTE
                )
            )
        session = pybit(sandbox)
        asked = {"category": "linear", "symbol": "ETHUSDT"}
        rows = session.get_kline(**asked, interval="1", start=start, limit=6)["result"]["list"][
            ::-1
        ]
        [five] = session.get_kline(**asked, interval="5", start=start, limit=1)["result"]["list"]
        session.client.close()
        at = start + 2 * MINUTE
        [btc] = sandbox.exchange.minutes("BTCUSDT", at, at + 1).values
    last = rows[1][4]
    for row in rows[2:4]:  # the next whole minutes
        assert row[1:5] == [last] * 4
        assert row[5:] == ["0", "0"]
    assert float(rows[4][5]) > 0
    assert btc[4] > 0
    told = [
        [candle[c] for c in ("open", "high", "low", "close", "volume")] for candle in candles.closed
    ]
    assert told == [row[1:6] for row in rows[1:6]]
    assert float(five[5]) == pytest.approx(sum(float(row[5]) for row in rows[:5]))
    assert float(five[2]) == max(float(row[2]) for row in rows[:5])
    minutes = {trade["T"] // MINUTE * MINUTE for m in trades.messages for trade in m["data"]}
    assert minutes == {start + MINUTE * at for at in (1, 4, 5)}
    assert sandbox.counts == {"frozen": 1}


def read_out(socket: websocket.WebSocket) -> None:
    """Read until there is no more."""
    while True:
        socket.recv()


def test_downtime_closes_the_port_and_opens_the_same_one_again(market: SyntheticMarket) -> None:
    down = Fault("downtime", lasts_ms=MINUTE, at_ms=market.start_ms + 90_000)
    with Sandbox(market, faults=(down,)) as sandbox:
        port = sandbox.port
        session = pybit(sandbox)
        socket = websocket.create_connection(f"{sandbox.websocket_url}/v5/public/linear", timeout=5)
        socket.send('{"op": "subscribe", "args": ["kline.1.ETHUSDT"]}')
        socket.recv()
        assert session.get_kline(**WANTED)["retCode"] == 0
        sandbox.advance(MINUTE)
        assert "confirm" in socket.recv()
        sandbox.advance(MINUTE)
        with pytest.raises((ConnectionError, websocket.WebSocketConnectionClosedException)):
            read_out(socket)
        hang_up(socket)
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get_kline(**WANTED)
        with pytest.raises(ConnectionRefusedError):
            websocket.create_connection(f"{sandbox.websocket_url}/v5/public/linear", timeout=5)
        sandbox.advance(MINUTE)
        assert session.get_kline(**WANTED)["retCode"] == 0
        assert sandbox.port == port
        session.client.close()
        assert sandbox.counts == {"downtime": 1}


def test_downtime_within_one_step_and_in_two_that_overlap(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        sandbox.inject(Fault("downtime", lasts_ms=MINUTE, at_ms=market.start_ms + MINUTE))
        sandbox.advance(5 * MINUTE)
        session = pybit(sandbox)
        assert session.get_server_time()["retCode"] == 0
        sandbox.inject(Fault("downtime", lasts_ms=MINUTE), Fault("downtime", lasts_ms=2 * MINUTE))
        sandbox.advance(MINUTE)
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get_server_time()
        sandbox.advance(MINUTE)
        assert session.get_server_time()["retCode"] == 0
        session.client.close()
        sandbox.inject(Fault("downtime", lasts_ms=MINUTE))  # it ends in the middle of one
    assert sandbox.counts == {"downtime": 4}


def test_pybits_stream_dies_of_seconds_of_downtime(market: SyntheticMarket) -> None:
    with Sandbox(market, speed=1) as sandbox:
        with listening(sandbox) as stream:
            stream.kline_stream(1, "ETHUSDT", Heard())
            sandbox.inject(Fault("downtime", lasts_ms=4_000))
            until(lambda: sandbox.schedule.counts["downtime"] == 1)
            until(lambda: not stream.is_connected())
            time.sleep(4.7)  # the port is open again, and pybit is out of attempts
            assert not stream.is_connected()
        assert len(sandbox.connects) == 1


def test_handshakes_and_subscriptions_are_refused(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        sandbox.inject(Fault("refuse_handshake", count=2), Fault("refuse_subscription"))
        url = f"{sandbox.websocket_url}/v5/public/linear"
        for _ in range(2):
            with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
                websocket.create_connection(url, timeout=5)
        socket = websocket.create_connection(url, timeout=5)
        for wanted in ("false", "true"):
            socket.send('{"op": "subscribe", "args": ["kline.1.ETHUSDT"]}')
            assert f'"success":{wanted}' in socket.recv()
        hang_up(socket)
        assert sandbox.counts == {"refuse_handshake": 2, "refuse_subscription": 1}


def test_a_silent_symbol_is_told_by_nobody(market: SyntheticMarket) -> None:
    """Neither its stream nor REST say anything of BTC for two minutes; of ETH both do."""
    start = market.start_ms + HOUR
    with Sandbox(market, start_ms=start) as sandbox:
        with listening(sandbox) as stream:
            btc, eth = Heard(), Heard()
            stream.kline_stream(1, "BTCUSDT", btc)
            stream.kline_stream(1, "ETHUSDT", eth)
            until(lambda: len(sandbox.subscribed) == 2)
            sandbox.inject(Fault("silent", where="BTCUSDT", lasts_ms=2 * MINUTE))
            sandbox.advance(MINUTE)
            session = pybit(sandbox)
            with pytest.raises(FailedRequestError):
                session.get_kline(category="linear", symbol="BTCUSDT", interval="1")
            session.get_kline(category="linear", symbol="ETHUSDT", interval="1")
            for _ in range(3):
                sandbox.advance(MINUTE)
            eth.wait(lambda messages: len(closed(messages)) == 4)
            btc.wait(lambda messages: starts(messages, start)[-1:] == [3])
            session.get_kline(category="linear", symbol="BTCUSDT", interval="1")
            session.client.close()
        assert starts(eth.messages, start) == [0, 1, 2, 3]
        assert starts(btc.messages, start) == [1, 2, 3]  # from two minutes on it is told again
        assert sandbox.counts == {"silent": 1}


@pytest.mark.parametrize("steps", range(10))
def test_an_end_in_the_middle_of_opening_leaves_no_port_open(
    market: SyntheticMarket, steps: int
) -> None:
    async def opened_half_way(sandbox: Sandbox) -> None:
        sandbox._close()
        opening = asyncio.ensure_future(sandbox._listen())
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])

    with Sandbox(market) as sandbox:
        sandbox._call(opened_half_way(sandbox))
        address = (HOST, sandbox.port)
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(address)
