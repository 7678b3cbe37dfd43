"""The stand-in's private side: keys, signatures and the window of time; no order is taken."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator

import pytest
import requests
from listening import MINUTE, pybit
from pybit.exceptions import InvalidRequestError

from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

KEYS = {"the-key": "the-secret"}


@pytest.fixture(scope="module")
def sandbox(market: SyntheticMarket) -> Iterator[Sandbox]:
    """A market that stands still."""
    with Sandbox(market, keys=KEYS) as running:
        yield running


def test_private_reads_with_a_key(sandbox: Sandbox) -> None:
    session = pybit(sandbox, api_key="the-key", api_secret="the-secret")
    assert session.get_positions(category="linear", settleCoin="USDT")["result"]["list"] == []
    assert session.get_open_orders(category="linear", symbol="ETHUSDT")["result"]["list"] == []
    assert session.get_order_history(category="linear")["result"]["list"] == []
    assert session.get_executions(category="linear")["result"]["list"] == []
    wallet = session.get_wallet_balance(accountType="UNIFIED")["result"]["list"]
    assert wallet == [{"accountType": "UNIFIED", "coin": []}]
    with pytest.raises(InvalidRequestError, match="takes no orders") as caught:
        session.place_order(
            category="linear", symbol="ETHUSDT", side="Buy", orderType="Market", qty="1"
        )
    assert caught.value.status_code == 10005
    session.client.close()
    assert "the-secret" not in repr(sandbox.rest.account) + str(sandbox.requests)


@pytest.mark.parametrize(
    ("key", "secret", "code"), [("no-key", "the-secret", 10003), ("the-key", "another", 10004)]
)
def test_a_wrong_key_or_secret(sandbox: Sandbox, key: str, secret: str, code: int) -> None:
    session = pybit(sandbox, api_key=key, api_secret=secret)
    with pytest.raises(InvalidRequestError) as caught:
        session.get_positions(category="linear")
    assert caught.value.status_code == code
    session.client.close()


def signed(sandbox: Sandbox, ahead_ms: int, window_ms: int) -> int:
    """The code of a request whose sender's clock is ahead of the server's."""
    sent, query = str(time.time_ns() // 1_000_000 + ahead_ms), "category=linear"
    said = f"{sent}the-key{window_ms}{query}".encode()
    headers = {
        "X-BAPI-API-KEY": "the-key",
        "X-BAPI-TIMESTAMP": sent,
        "X-BAPI-RECV-WINDOW": str(window_ms),
        "X-BAPI-SIGN": hmac.new(b"the-secret", said, hashlib.sha256).hexdigest(),
    }
    url = f"{sandbox.url}/v5/position/list?{query}"
    return int(requests.get(url, headers=headers, timeout=5).json()["retCode"])


@pytest.mark.parametrize(
    ("ahead_ms", "window_ms", "code"),
    [
        (0, 5_000, 0),
        (-1_000, 5_000, 0),
        (-9_000, 5_000, 10002),
        (-9_000, 20_000, 0),
        (400, 5_000, 0),
        (9_000, 5_000, 10002),
        (9_000, 50_000, 10002),  # no window cures a clock that is ahead
    ],
)
def test_the_window_of_time(sandbox: Sandbox, ahead_ms: int, window_ms: int, code: int) -> None:
    assert signed(sandbox, ahead_ms, window_ms) == code


def test_a_servers_clock_that_is_off(market: SyntheticMarket) -> None:
    with Sandbox(market, keys=KEYS) as sandbox:
        assert signed(sandbox, 0, 5_000) == 0
        sandbox.inject(Fault("clock", value=-9_000, lasts_ms=MINUTE))
        session = pybit(sandbox)
        assert session.get_server_time()["time"] == market.start_ms - 9_000
        assert signed(sandbox, 0, 5_000) == 10002
        sandbox.inject(Fault("clock", value=10_000, lasts_ms=MINUTE))
        assert signed(sandbox, 0, 5_000) == 10002
        assert signed(sandbox, 10_000, 5_000) == 0
        sandbox.advance(MINUTE)
        assert session.get_server_time()["time"] == market.start_ms + MINUTE
        assert signed(sandbox, 0, 5_000) == 0
        session.client.close()
    assert sandbox.counts == {"clock": 2}
