"""Questions that are asked again: what is, how long the wait is, and what stops it all."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
import traceback
from typing import Any

import pytest
from answering import answering, reply
from fetching import KLINE, QuickTime, asking
from listening import until
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

from mtf.errors import MtfError
from mtf.realtime.bybit_client import BybitClient
from mtf.realtime.hosts import HostError
from mtf.realtime.pace import Pace
from mtf.realtime.rest import BannedError, ExchangeError, RefusedError, Rest, StoppedError
from mtf.realtime.sandbox.faults import REPLY_FAULTS, Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

WANTED: dict[str, Any] = {"category": "linear", "symbol": "ETHUSDT", "interval": "1", "limit": 7}
PASSING = (
    "http_500",
    "http_502",
    "http_429",
    "code_10000",
    "code_10002",
    "code_10006",
    "code_10016",
    "reset",
    "cut",
    "html",
    "json_list",
)


def rows(result: Any) -> int:
    return len(result["list"])


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_asked_again(market: SyntheticMarket, kind: str) -> None:
    with Sandbox(market) as sandbox, asking(sandbox) as rest:
        sandbox.inject(Fault(kind, where=KLINE, count=3))
        assert rest.ask("get_kline", rows, **WANTED) == 7
        assert sandbox.counts[kind] == sum(rest.asked.failures.values()) == 3
        clocks = 3 if kind == "code_10002" else 0
        assert rest.asked.requests == len(sandbox.requests) == 4 + clocks


def test_every_failure_of_an_answer_has_a_class() -> None:
    assert set(PASSING) | {"http_403", "http_302", "slow"} == set(REPLY_FAULTS)


def test_waits_double_with_jitter_and_have_an_end(market: SyntheticMarket) -> None:
    clock = QuickTime()
    with Sandbox(market) as sandbox, asking(sandbox, clock, attempts=9) as rest:
        sandbox.inject(Fault("http_500", where=KLINE, count=9))
        words = r"no answer to get_kline of ETHUSDT in 9 attempts; .* 500"
        with pytest.raises(ExchangeError, match=words) as caught:
            rest.ask("get_kline", rows, **WANTED)
        assert sandbox.url in caught.value.expected
    waits = [seconds for seconds in clock.slept if seconds > 0.02]  # the others are the pace
    assert len(waits) == 8
    for wait, longest in zip(waits, (0.5, 1, 2, 4, 8, 16, 30, 30), strict=True):
        assert longest / 2 <= wait <= longest
    assert len({wait / longest for wait, longest in zip(waits, (0.5, 1, 2, 4), strict=False)}) == 4


@pytest.mark.parametrize(
    ("reset_ms", "shortest", "longest"), [(4_000, 3.5, 4.0), (-4_000, 0.25, 0.5), (1e9, 30, 30)]
)
def test_a_limit_is_waited_for_as_long_as_it_lasts(
    market: SyntheticMarket, reset_ms: float, shortest: float, longest: float
) -> None:
    began, clock = time.monotonic(), QuickTime()
    with Sandbox(market) as sandbox, asking(sandbox, clock) as rest:
        sandbox.inject(Fault("code_10006", where=KLINE, value=reset_ms))
        rest.ask("get_kline", rows, **WANTED)
    # The reset is by the time that passed, and the quick one stood still meanwhile.
    assert shortest <= clock.slept[0] <= longest + 0.1 + time.monotonic() - began


def test_a_clock_error_measures_the_clock_again(market: SyntheticMarket) -> None:
    clock = QuickTime()
    clock.now = market.start_ms / 1_000
    with Sandbox(market) as sandbox, asking(sandbox, clock) as rest:
        sandbox.inject(Fault("clock", value=7_000), Fault("code_10002", where=KLINE))
        assert rest.offset_ms == 0
        rest.ask("get_kline", rows, **WANTED)
        assert 5_000 < rest.offset_ms <= 7_000  # less what we slept and the market did not
        assert [request.path for request in sandbox.requests] == [KLINE, "/v5/market/time", KLINE]


def test_a_ban_stops_everything_at_once(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, asking(sandbox) as rest:
        sandbox.inject(Fault("http_403", where=KLINE))
        for _ in range(3):
            with pytest.raises(BannedError, match=r"status 403[\s\S]*wait 10 minutes"):
                rest.ask("get_kline", rows, **WANTED)
        assert len(sandbox.requests) == 1


def test_who_is_stopped_asks_no_more(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, asking(sandbox) as rest:
        rest.stop("enough")
        with pytest.raises(StoppedError, match="enough"):
            rest.server_ms()
        assert not sandbox.requests


def test_a_refusal_is_told_and_not_repeated(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox, asking(sandbox) as rest:
        with pytest.raises(
            RefusedError, match="NOPEUSDT with code 10001: params error: symbol"
        ) as caught:
            rest.ask("get_kline", rows, **{**WANTED, "symbol": "NOPEUSDT"})
        assert caught.value.code == 10001
        assert len(sandbox.requests) == 1


def test_an_answer_that_can_not_be_taken_apart_is_asked_for_again(market: SyntheticMarket) -> None:
    def strange(result: Any) -> int:
        return int(result["list"][0]["price"])

    with Sandbox(market) as sandbox, asking(sandbox, attempts=2) as rest:
        with pytest.raises(ExchangeError, match="another form"):
            rest.ask("get_kline", strange, **WANTED)
        assert len(sandbox.requests) == 2


STRANGE = {
    "deep": b"[" * 200_000,
    "long": b"9" * 10_000,
    "bytes": b"\xff\xfe\x00",
    **{
        f"code {code}": b'{"retCode": %s, "retMsg": "gateway", "result": {}}' % code.encode()
        for code in ('"E500"', '"10001"', "[1]", '{"a": 1}', "1.5", "NaN", "Infinity", "true")
    },
    "no words": b'{"retCode": 10001}',
    "no time": b'{"retCode": 0, "retMsg": "OK", "result": {"timeNano": "1e3"}}',
}


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_is_answered_is_a_failure_that_may_pass(name: str) -> None:
    with answering(reply(STRANGE[name])) as server:
        rest = Rest(BybitClient(f"http://{server.host}"), time=QuickTime(), attempts=2)
        with pytest.raises(ExchangeError, match="no answer to get_server_time in 2 attempts"):
            rest.server_ms()
        rest.close()
        assert len(server.asked) == 2


class Refusing:
    """Refuses as pybit tells it."""

    def __init__(self, code: int, words: str, headers: dict[str, str] | None = None) -> None:
        self._refusal = InvalidRequestError("GET", words, code, "", headers)

    def get_kline(self, **_: Any) -> None:
        raise self._refusal


def test_a_reset_that_is_no_time_is_none() -> None:
    headers = {"X-Bapi-Limit-Reset-Timestamp": "9" * 5_000}
    clock = QuickTime()
    rest = Rest(Refusing(10006, "too many", headers), time=clock, attempts=2)
    with pytest.raises(ExchangeError, match="code 10006"):
        rest.ask("get_kline", rows, **WANTED)
    assert clock.slept[0] <= 0.5


def test_words_of_the_exchange_can_be_shown_anywhere() -> None:
    refusing = Refusing(10001, json.loads('"gone \\ud800\\u001b[2J ende"'))
    with pytest.raises(RefusedError) as caught:
        Rest(refusing, time=QuickTime()).ask("get_kline", rows, **WANTED)
    assert "code 10001: gone \\ud800\\x1b[2J ende" in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("said", ["head", "body"])
def test_an_answer_byte_by_byte_has_no_longer_than_one_that_comes_at_once(said: str) -> None:
    """A byte in time keeps the socket's own time-out from ending it."""
    whole = reply(b'{"retCode": 0, "x": "' + b" " * 40_000)
    dripping = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4_000 if said == "head" else whole
    with answering(dripping, every_s=0.001 if said == "body" else 0.05) as server:
        client = BybitClient(f"http://{server.host}", timeout_s=2.0)
        rest = Rest(client, time=QuickTime(), attempts=1)
        with pytest.raises(ExchangeError, match="TimeoutError"):
            rest.server_ms()
        rest.close()
        assert len(server.asked) == 1
        assert server.said < len(dripping) / 2


def test_who_is_stopped_waits_for_no_answer() -> None:
    ended: list[Exception] = []

    def ask() -> None:
        with pytest.raises(StoppedError) as caught:
            rest.server_ms()
        ended.append(caught.value)

    with answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4_000, every_s=0.05) as server:
        rest = Rest(BybitClient(f"http://{server.host}", timeout_s=600.0))
        asking_thread = threading.Thread(target=ask, daemon=True)
        asking_thread.start()
        until(lambda: len(server.asked) == 1)
        rest.stop("enough")
        asking_thread.join(30)
        assert len(ended) == 1
        rest.close()


def test_requests_are_spread_evenly_over_all_who_ask() -> None:
    clock = QuickTime()
    pace = Pace(10.0, clock)
    for _ in range(21):
        pace.wait()
    assert sum(clock.slept) == pytest.approx(2.0)
    assert max(clock.slept) == pytest.approx(0.1)
    clock.now += 50
    pace.wait()  # time that nobody used is not saved up
    assert len(clock.slept) == 20


def test_every_question_waits_for_its_turn(market: SyntheticMarket) -> None:
    clock = QuickTime()
    with Sandbox(market) as sandbox, asking(sandbox, clock, per_second=10.0) as rest:
        for _ in range(3):
            rest.ask("get_kline", rows, **WANTED)
        rest.server_ms()
    assert clock.slept == pytest.approx([0.1, 0.1, 0.1])


@pytest.mark.parametrize("rate", [0.0, -1.0, 101.0, float("nan")])
def test_a_rate_that_the_exchange_would_not_bear_is_refused(rate: float) -> None:
    with pytest.raises(MtfError, match="requests a second"):
        Pace(rate, QuickTime())


def test_redirects_are_refused_before_a_byte_is_sent_there(market: SyntheticMarket) -> None:
    with Sandbox(market) as elsewhere, Sandbox(market) as sandbox, asking(sandbox) as rest:
        sandbox.inject(Fault("http_302", where=KLINE, value=f"{elsewhere.url}/v5/market/kline"))
        with pytest.raises(RefusedError, match="status 302"):
            rest.ask("get_kline", rows, **WANTED)
        assert len(sandbox.requests) == 1
        assert not elsewhere.requests


@pytest.mark.parametrize("url", ["http://api.bybit.com", "https://example.com", "http://10.0.0.1"])
def test_other_addresses_and_plain_http_are_refused_before_a_byte_is_sent(url: str) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        BybitClient(url)
    moved = BybitClient("http://127.0.0.1:9")
    moved.endpoint = url  # whoever changes it later gets no further
    rest = Rest(moved, time=QuickTime())
    with pytest.raises(HostError, match="nothing was sent"):
        rest.ask("get_kline", rows, **WANTED)
    rest.close()


KEY, SECRET = secrets.token_hex(9), secrets.token_hex(18)


@pytest.mark.parametrize("kind", [*PASSING, "http_403", "http_302", "clock", "key", "gone"])
def test_no_secret_is_told_on_any_failing_path(
    market: SyntheticMarket, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.DEBUG)
    signed: list[str] = []
    with Sandbox(market, keys={} if kind == "key" else {KEY: SECRET}) as sandbox:
        client = BybitClient(sandbox.url, api_key=KEY, api_secret=SECRET)
        prepare = client._prepare_headers

        def prepared(*arguments: Any, **named: Any) -> dict[str, str]:
            headers: dict[str, str] = prepare(*arguments, **named)
            signed.append(headers["X-BAPI-SIGN"])
            return headers

        client._prepare_headers = prepared
        if kind == "clock":
            sandbox.inject(Fault("clock", value=-60_000))
        elif kind not in ("key", "gone"):
            sandbox.inject(Fault(kind, where="/v5/account/*", count=99))
        if kind == "gone":
            client.endpoint = "http://127.0.0.1:9"
        rest = Rest(client, time=QuickTime(), attempts=3)
        with pytest.raises(ExchangeError) as caught:
            rest.ask("get_wallet_balance", rows, accountType="UNIFIED")
        rest.close()
    told = [
        repr(caught.value),
        str(caught.value),
        "".join(traceback.format_exception(caught.value)),
        repr(rest),
        repr(rest.asked),
        caplog.text,
    ]
    assert signed
    for secret in (KEY, SECRET, *signed):  # pybit writes some words in small letters
        assert not [text for text in told if secret in text.lower()]


def test_the_plain_client_shows_what_this_test_looks_for() -> None:
    plain = HTTP(api_key=KEY, api_secret=SECRET)
    assert SECRET in repr(plain)
    assert SECRET not in repr(BybitClient(api_key=KEY, api_secret=SECRET))
    plain.client.close()
