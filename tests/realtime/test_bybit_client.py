"""pybit made safe: one attempt, allowed hosts only, no redirect, no secret in sight."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from answering import answering
from listening import MINUTE, pybit
from pybit.exceptions import FailedRequestError, InvalidRequestError

from mtf.errors import MtfError
from mtf.realtime.bybit_client import MAINNET, BybitClient
from mtf.realtime.bybit_stream import MAINNET as STREAMS
from mtf.realtime.hosts import HostError, check_url, stream_url
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

WANTED: dict[str, Any] = {"category": "linear", "symbol": "ETHUSDT", "interval": "1"}
KEY, SECRET = "key-4f1c9d", "secret-77aa03e1"


@pytest.fixture
def sandbox(market: SyntheticMarket) -> Iterator[Sandbox]:
    """A market that stands still."""
    with Sandbox(market, keys={KEY: SECRET}) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[BybitClient]:
    """A client with a key."""
    made = BybitClient(sandbox.url, api_key=KEY, api_secret=SECRET)
    yield made
    made.close()


def test_it_asks_what_pybit_asks(sandbox: Sandbox, client: BybitClient) -> None:
    plain = pybit(sandbox)
    assert client.get_kline(**WANTED) == plain.get_kline(**WANTED)
    plain.client.close()
    assert client.get_positions(category="linear")["result"]["list"] == []
    instruments = client.get_instruments_info(category="linear", limit=2)["result"]
    cursor = instruments["nextPageCursor"]
    assert "%" in cursor
    rest = client.get_instruments_info(category="linear", limit=2, cursor=cursor)["result"]
    assert [one["symbol"] for one in rest["list"]] == ["SOLUSDT"]


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault("http_500", count=9), FailedRequestError, 500),
        (Fault("code_10006", count=9, value=-5_000), InvalidRequestError, 10006),
        (Fault("code_10006", count=9, value=9_000), InvalidRequestError, 10006),
        (Fault("code_10002", count=9), InvalidRequestError, 10002),
        (Fault("reset", count=9), requests.exceptions.ConnectionError, None),
        (Fault("html", count=9), FailedRequestError, 409),
    ],
)
def test_one_call_is_one_request(
    sandbox: Sandbox, client: BybitClient, fault: Fault, error: type[Exception], code: int | None
) -> None:
    sandbox.inject(fault)
    with pytest.raises(error) as caught:
        client.get_kline(**WANTED)
    assert getattr(caught.value, "status_code", None) == code
    assert len(sandbox.requests) == 1


def test_this_machine_is_reached_past_any_proxy(
    sandbox: Sandbox, client: BybitClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n") as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        assert client.get_kline(**WANTED)["result"]["list"]
        assert proxy.asked == []


def test_a_redirect_is_not_followed(sandbox: Sandbox, client: BybitClient) -> None:
    with Sandbox(sandbox.exchange.market) as other:
        for elsewhere in (None, f"{other.url}/v5/position/list"):
            sandbox.inject(Fault("http_302", value=elsewhere))
            with pytest.raises(FailedRequestError) as caught:
                client.get_positions(category="linear")
            assert caught.value.status_code == 302
        assert other.requests == ()
    assert [request.path for request in sandbox.requests] == ["/v5/position/list"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "http://api.bybit.com",
        "https://api.bybit.com.evil.example",
        "https://api.bybit.com@evil.example",
        "https://user:word@api.bybit.com",
        "https://api.bybit.com:8443",
        "https://stream.bybit.com",
        "https://192.0.2.7",
        "http://192.0.2.7",
        "http://0.0.0.0:1",
        "http://127.0.0.1.evil.example",
        "ws://127.0.0.1:1",
        "ftp://127.0.0.1",
        "//127.0.0.1",
        "api.bybit.com",
        "http://[",
        "",
    ],
)
def test_an_address_that_nothing_is_sent_to(client: BybitClient, url: str) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        BybitClient(url, api_key=KEY, api_secret=SECRET)
    client.endpoint = url  # pybit reads it at every call
    with pytest.raises((HostError, requests.exceptions.RequestException)):
        client.get_positions(category="linear")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7", "http://localhost", "https://[::1]:7", MAINNET]
)
def test_addresses_that_are_allowed(url: str) -> None:
    assert check_url(url, "rest") == url
    assert check_url(url.replace("http", "ws").replace("api.", "stream."), "stream")
    assert check_url(STREAMS, "stream")


def test_a_client_of_the_exchange_itself_is_made_but_reaches_nothing_here() -> None:
    client = BybitClient()
    with pytest.raises(RuntimeError, match=r"api\.bybit\.com"):  # this folder's guard
        client.get_server_time()
    client.close()


@pytest.mark.parametrize("symbol", ["BTCUSDT&limit=1", "ETH USDT", "ETHUSDT#", "ÄTHUSDT", "a=b"])
def test_a_value_that_would_be_another_parameter(
    sandbox: Sandbox, client: BybitClient, symbol: str
) -> None:
    with pytest.raises(MtfError, match="found symbol="):
        client.get_kline(**{**WANTED, "symbol": symbol})
    assert sandbox.requests == ()


def test_no_secret_is_shown(
    sandbox: Sandbox, client: BybitClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(client), str(client)]
    kinds = ("http_500", "http_403", "http_302", "reset", "cut", "html", "json_list", "code_10006")
    for kind in kinds:
        sandbox.inject(Fault(kind))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            client.get_positions(category="linear")
        shown += [str(caught.value), repr(caught.value)]
    sandbox.inject(Fault("downtime", lasts_ms=MINUTE))
    with pytest.raises(requests.exceptions.ConnectionError) as refused:
        client.get_positions(category="linear")
    shown += [repr(refused.value), caplog.text]
    sent = str(client._prepare_headers("category=linear", 5_000)["X-BAPI-SIGN"])
    for text in shown:
        assert not any(word in text for word in (KEY, SECRET, "X-BAPI-SIGN", sent))
    assert sum(sandbox.counts.values()) == len(kinds) + 1


def test_clients_add_no_handlers_to_pybits_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # then pybit adds its own
    log = logging.getLogger("pybit._http_manager")
    before = list(log.handlers)
    for _ in range(3):
        BybitClient().close()
    assert log.handlers == before


@pytest.mark.parametrize(
    ("endpoint", "streams"),
    [
        ("https://api.bybit.com", "wss://stream.bybit.com"),
        ("https://api-testnet.bybit.com/", "wss://stream-testnet.bybit.com"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
    ],
)
def test_streams_follow_from_the_address(endpoint: str, streams: str) -> None:
    assert stream_url(endpoint) == streams
    assert check_url(stream_url(endpoint), "stream") == streams
