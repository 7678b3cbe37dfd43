"""The stand-in's REST side, asked by pybit's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from listening import DAY, HOUR, MINUTE, pybit
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from mtf.realtime.sandbox.interval import DAY as D
from mtf.realtime.sandbox.interval import MINUTE as M1
from mtf.realtime.sandbox.limits import Limits, Window
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

ETH = {"category": "linear", "symbol": "ETHUSDT"}


@pytest.fixture(scope="module")
def sandbox(market: SyntheticMarket) -> Iterator[Sandbox]:
    """A market that stands still at 00:10:30 of the second day."""
    start = market.start_ms + DAY + 10 * MINUTE + 30_000
    with Sandbox(market, start_ms=start) as running:
        yield running


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Iterator[HTTP]:
    """pybit's client without a key."""
    client = pybit(sandbox)
    yield client
    client.client.close()


def test_the_time_is_that_of_the_market(sandbox: Sandbox, session: HTTP) -> None:
    answer = session.get_server_time()
    assert answer["time"] == sandbox.clock.now_ms()
    assert answer["result"]["timeNano"] == f"{sandbox.clock.now_ms()}000000"
    assert answer["result"]["timeSecond"] == str(sandbox.clock.now_ms() // 1_000)


def test_candles_come_newest_first_and_the_open_one_says_nothing(
    sandbox: Sandbox, session: HTTP
) -> None:
    now = sandbox.clock.now_ms()
    found = session.get_kline(**ETH, interval="1")["result"]
    assert (found["symbol"], found["category"], len(found["list"])) == ("ETHUSDT", "linear", 200)
    times = [int(row[0]) for row in found["list"]]
    assert times == [now // MINUTE * MINUTE - MINUTE * back for back in range(200)]
    whole = sandbox.exchange.market.base("ETHUSDT", M1, times[0], times[0] + 1).values[0]
    assert 0 < float(found["list"][0][5]) < whole[4] / 100  # of the open minute half is over
    assert [len(row) for row in found["list"]] == [7] * 200


def test_paging_back_gets_every_candle_once(sandbox: Sandbox, session: HTTP) -> None:
    start, end = sandbox.clock.now_ms() - 5 * HOUR, sandbox.clock.now_ms()
    seen: list[int] = []
    while rows := session.get_kline(
        **ETH, interval="1", start=start, end=end, limit=77
    )["result"]["list"]:  # fmt: skip
        seen += [int(row[0]) for row in rows]
        end = seen[-1] - 1
    first = -(-start // MINUTE) * MINUTE
    assert seen[::-1] == list(range(first, sandbox.clock.now_ms(), MINUTE))


def test_a_start_alone_goes_forward(sandbox: Sandbox, session: HTTP) -> None:
    start = sandbox.clock.now_ms() // HOUR * HOUR - 30 * HOUR + 1
    rows = session.get_kline(**ETH, interval="60", start=start, limit=3)["result"]["list"]
    assert [int(row[0]) for row in rows] == [start - 1 + HOUR * ahead for ahead in (3, 2, 1)]
    rows = session.get_kline(**ETH, interval="60", start=start, limit=1_000)["result"]["list"]
    assert len(rows) == 30


def test_nothing_before_the_launch_and_nothing_to_come(sandbox: Sandbox, session: HTTP) -> None:
    launch = sandbox.exchange.market.instruments["ETHUSDT"].launch_ms
    rows = session.get_kline(**ETH, interval="D", limit=1_000)["result"]["list"]
    assert [int(row[0]) for row in rows][::-1] == list(range(launch, launch + 11 * DAY, DAY))
    later = sandbox.clock.now_ms() + DAY
    assert session.get_kline(**ETH, interval="1", start=later)["result"]["list"] == []
    months = session.get_kline(**ETH, interval="M")["result"]["list"]
    assert [int(row[0]) for row in months] == [1_748_736_000_000, 1_746_057_600_000]


def test_hours_add_up_from_the_minutes_that_are_served(session: HTTP, sandbox: Sandbox) -> None:
    hour = sandbox.clock.now_ms() // HOUR * HOUR - HOUR
    minutes = session.get_kline(**ETH, interval="1", start=hour, end=hour + HOUR - 1)["result"]
    rows = [[float(value) for value in row] for row in minutes["list"]][::-1]
    [found] = session.get_kline(**ETH, interval="60", start=hour, limit=1)["result"]["list"]
    told = [float(value) for value in found]
    assert len(rows) == 60
    assert told[:5] == [
        hour,
        rows[0][1],
        max(row[2] for row in rows),
        min(row[3] for row in rows),
        rows[-1][4],
    ]
    assert told[5] == pytest.approx(sum(row[5] for row in rows), rel=1e-12)
    assert told[6] == pytest.approx(sum(row[6] for row in rows), rel=1e-12)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"category": "liner"}, "Category is invalid"),
        ({"category": "spot"}, "symbol invalid"),
        ({"symbol": "NOSUCHUSDT"}, "symbol invalid"),
        ({"interval": "7"}, "Invalid period!"),
        ({"interval": "1m"}, "Invalid period!"),
        ({"limit": 1_001}, "limit must be 1 to 1000"),
        ({"limit": 0}, "limit must be 1 to 1000"),
        ({"start": "yesterday"}, "start is invalid"),
        ({"start": 2, "end": 1}, "start time is greater than end time"),
        ({"symbol": "BTCUSDT&limit=1"}, None),
        ({"symbol": "ETHUSDT&symbol=BTCUSDT"}, "a parameter is there twice"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(session: HTTP, asked: dict[str, Any], told: str | None) -> None:
    wanted = {**ETH, "interval": "1", **asked}
    if told is None:  # pybit escapes nothing, so one parameter becomes two
        assert len(session.get_kline(**wanted)["result"]["list"]) == 1
        return
    with pytest.raises(InvalidRequestError, match=told) as caught:
        session.get_kline(**wanted)
    assert caught.value.status_code == 10001


def test_an_unknown_path_is_not_found(sandbox: Sandbox, session: HTTP) -> None:
    with pytest.raises(FailedRequestError) as caught:
        session.get_open_interest(**ETH, intervalTime="5min")
    assert caught.value.status_code == 404
    assert requests.post(f"{sandbox.url}/v5/market/kline", timeout=5).status_code == 404


def test_instruments_come_in_pages() -> None:
    names = [f"COIN{number:03d}USDT" for number in range(601)]
    with Sandbox(SyntheticMarket(names)) as sandbox:
        session = pybit(sandbox)
        seen: list[str] = []
        cursor = ""
        while True:
            page = session.get_instruments_info(category="linear", cursor=cursor)["result"]
            seen += [one["symbol"] for one in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
        with pytest.raises(InvalidRequestError, match="cursor is invalid"):
            session.get_instruments_info(category="linear", cursor="else")
        session.client.close()
    assert seen == names
    assert len(sandbox.requests) == 3


def test_what_an_instrument_says(session: HTTP, market: SyntheticMarket) -> None:
    [one] = session.get_instruments_info(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert one["priceFilter"]["tickSize"] == "0.1"
    assert one["lotSizeFilter"]["qtyStep"] == one["lotSizeFilter"]["minOrderQty"] == "0.001"
    assert (one["baseCoin"], one["quoteCoin"], one["fundingInterval"]) == ("BTC", "USDT", 480)
    assert one["launchTime"] == str(market.instruments["BTCUSDT"].launch_ms)


def test_funding_every_eight_hours_newest_first(sandbox: Sandbox, session: HTTP) -> None:
    rows = session.get_funding_rate_history(**ETH)["result"]["list"]
    times = [int(row["fundingRateTimestamp"]) for row in rows]
    last = sandbox.clock.now_ms() // (8 * HOUR) * 8 * HOUR
    assert times == [last - 8 * HOUR * back for back in range(len(rows))]
    assert times[-1] == sandbox.exchange.market.instruments["ETHUSDT"].launch_ms
    assert all(abs(float(row["fundingRate"])) < 0.001 for row in rows)
    part = session.get_funding_rate_history(**ETH, startTime=times[3], endTime=times[1])
    assert part["result"]["list"] == rows[1:4]
    with pytest.raises(InvalidRequestError, match="startTime without endTime"):
        session.get_funding_rate_history(**ETH, startTime=times[3])
    with pytest.raises(InvalidRequestError, match="limit must be 1 to 200"):
        session.get_funding_rate_history(**ETH, limit=201)


def test_the_last_trades_add_up_to_the_last_minutes(sandbox: Sandbox, session: HTTP) -> None:
    rows = session.get_public_trade_history(**ETH, limit=1_000)["result"]["list"]
    assert len(rows) == len({row["execId"] for row in rows}) == 1_000
    sequence = [int(row["seq"]) for row in rows]
    assert sequence == sorted(sequence, reverse=True)
    last = sandbox.clock.now_ms() // MINUTE * MINUTE
    for start in (last, last - MINUTE, last - 2 * MINUTE):  # the open one too
        part = [row for row in rows if start <= int(row["time"]) < start + MINUTE][::-1]
        prices = [float(row["price"]) for row in part]
        [candle] = session.get_kline(**ETH, interval="1", start=start, limit=1)["result"]["list"]
        told = [float(value) for value in candle[1:6]]
        assert told[:4] == [prices[0], max(prices), min(prices), prices[-1]]
        assert told[4] == pytest.approx(sum(float(row["size"]) for row in part), rel=1e-12)


def test_the_book_stands_around_the_price(session: HTTP) -> None:
    book = session.get_orderbook(**ETH, limit=500)["result"]
    [ticker] = session.get_tickers(**ETH)["result"]["list"]
    bids, asks = ([float(level[0]) for level in book[side]] for side in "ba")
    assert (len(bids), len(asks)) == (500, 500)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] == float(ticker["lastPrice"]) == float(ticker["bid1Price"]) < asks[0]
    assert all(float(level[1]) > 0 for level in book["b"] + book["a"])
    assert session.get_orderbook(**ETH, limit=500)["result"]["b"] == book["b"]


def test_all_tickers_at_once(session: HTTP, sandbox: Sandbox) -> None:
    rows = session.get_tickers(category="linear")["result"]["list"]
    assert [row["symbol"] for row in rows] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    day = sandbox.exchange.known("BTCUSDT", D, 0, sandbox.clock.now_ms() + 1)
    assert float(rows[0]["lastPrice"]) == day.values[-1, 3] / 10
    assert float(rows[0]["lowPrice24h"]) <= float(rows[0]["lastPrice"])


def test_one_request_too_many_bans_the_address(market: SyntheticMarket) -> None:
    with Sandbox(market, limits=Limits(requests=3, ban_s=0.4)) as sandbox:
        session = pybit(sandbox)
        for _ in range(3):
            session.get_server_time()
        for _ in range(2):
            with pytest.raises(FailedRequestError) as caught:
                session.get_server_time()
            assert caught.value.status_code == 403
        session.client.close()
        assert len(sandbox.requests) == 5


def test_the_limits_are_the_exchanges() -> None:
    seconds = [0.0]
    limits = Limits()
    window = Window(limits.requests, limits.requests_s, limits.ban_s, lambda: seconds[0])
    assert all(window.allows() for _ in range(600))
    seconds[0] = 4.9
    assert not window.allows()
    seconds[0] = 604.8
    assert not window.allows()
    seconds[0] = 605.0
    assert window.allows()
    connects = Window(limits.connects, limits.connects_s, monotonic=lambda: seconds[0])
    assert [connects.allows() for _ in range(501)] == [True] * 500 + [False]
    seconds[0] += 300.1
    assert connects.allows()


def test_requests_are_written_down(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        session = pybit(sandbox)
        session.get_kline(**ETH, interval="1", limit=1)
        session.client.close()
        [request] = sandbox.requests
    assert (request.method, request.path) == ("GET", "/v5/market/kline")
    assert dict(request.query) == {**ETH, "interval": "1", "limit": "1"}
