"""Each fault does what it says, at the place and time that it is planned for, and is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from listening import pybit
from pybit.exceptions import FailedRequestError, InvalidRequestError

from mtf.errors import MtfError
from mtf.realtime.sandbox.faults import (
    FRAME_FAULTS,
    HANDSHAKE_FAULTS,
    KINDS,
    REPLY_FAULTS,
    ROW_FAULTS,
    SPAN_FAULTS,
    SUBSCRIPTION_FAULTS,
    Fault,
    Schedule,
)
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

KLINE = "/v5/market/kline"
WANTED: dict[str, Any] = {"category": "linear", "symbol": "ETHUSDT", "interval": "1", "limit": 20}


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        (Fault("http_500"), FailedRequestError, 500),
        (Fault("http_502"), FailedRequestError, 502),
        (Fault("http_429"), FailedRequestError, 429),
        (Fault("http_403"), FailedRequestError, 403),
        (Fault("code_10016"), InvalidRequestError, 10016),
        (Fault("code_10000"), InvalidRequestError, 10000),
        (Fault("code_10002"), FailedRequestError, 400),  # pybit tries again, and is out of tries
        (Fault("code_10006", value=-5_000), ValueError, None),  # pybit sleeps a negative time
        (Fault("reset"), requests.exceptions.ConnectionError, None),
        (Fault("cut"), requests.exceptions.ChunkedEncodingError, None),
        (Fault("html"), FailedRequestError, 409),
        (Fault("json_list"), AttributeError, None),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_an_answer_that_goes_wrong_once(
    market: SyntheticMarket, fault: Fault, error: type[Exception], told: int | None
) -> None:
    with Sandbox(market, faults=(fault,)) as sandbox:
        session = pybit(sandbox, retry_delay=0.01)
        with pytest.raises(error) as caught:
            session.get_kline(**WANTED)
        assert getattr(caught.value, "status_code", None) == told
        assert len(session.get_kline(**WANTED)["result"]["list"]) == 20
        session.client.close()
        assert [one.kind for one in sandbox.injected] == [fault.kind]
        assert sandbox.injected[0].where == KLINE
        assert len(sandbox.requests) == 2


def test_over_the_limit_until_a_time_to_come(
    market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("pybit._http_manager.time.sleep", slept.append)
    with Sandbox(market, faults=(Fault("code_10006", value=5_000),)) as sandbox:
        session = pybit(sandbox)
        session.max_retries = 2  # pybit's own: it waits until the reset, and asks again
        assert session.get_kline(**WANTED)["retCode"] == 0
        assert len(slept) == 1
        assert 1 < slept[0] <= 5
        session.client.close()


def test_a_slow_answer(market: SyntheticMarket) -> None:
    with Sandbox(market, faults=(Fault("slow", value=2.0),)) as sandbox:
        session = pybit(sandbox, timeout=0.2)
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get_kline(**WANTED)
        session.timeout = 10
        assert session.get_kline(**WANTED)["retCode"] == 0
        session.client.close()


def test_sent_elsewhere(market: SyntheticMarket) -> None:
    with Sandbox(market, faults=(Fault("http_302"),)) as sandbox:
        answer = requests.get(f"{sandbox.url}/v5/market/time", timeout=5, allow_redirects=False)
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"{sandbox.url}/elsewhere"


def page(sandbox: Sandbox, **more: Any) -> list[list[str]]:
    """A page of twenty minutes."""
    session = pybit(sandbox)
    rows: list[list[str]] = session.get_kline(**{**WANTED, **more})["result"]["list"]
    session.client.close()
    return rows


def differing(rows: list[list[str]], wanted: list[list[str]]) -> list[tuple[str, str]]:
    """What differs, said and right."""
    pairs = zip(rows, wanted, strict=True)
    return [
        both for row, right in pairs for both in zip(row, right, strict=True) if both[0] != both[1]
    ]


@pytest.mark.parametrize("kind", sorted(set(ROW_FAULTS) - {"open_last"}))
def test_a_page_of_spoilt_candles(market: SyntheticMarket, kind: str) -> None:
    with Sandbox(market) as sandbox:
        sandbox.advance(30_000)
        wanted = page(sandbox)
        sandbox.inject(Fault(kind, where=KLINE))
        rows = page(sandbox)
        assert page(sandbox) == wanted
        assert sandbox.counts == {kind: 1}
    if kind == "duplicate":
        assert len(rows) == 21
        assert sorted({tuple(row) for row in rows}) == sorted(tuple(row) for row in wanted)
    elif kind == "gap":
        assert len(rows) == 19
        assert all(row in wanted for row in rows)
    elif kind == "shuffle":
        assert rows != wanted
        assert sorted(rows) == sorted(wanted)
    elif kind == "seconds":
        assert differing(rows, wanted) == [(row[0][:-3], row[0]) for row in wanted]
    elif kind == "high_below_low":
        [row] = [row for row in rows if float(row[2]) < float(row[3])]
        assert row[3:1:-1] in [right[2:4] for right in wanted]
    else:
        [(said, right)] = differing(rows, wanted)
        assert said == {"nan": "NaN", "inf": "Infinity", "negative": f"-{right}"}[kind]


def test_the_open_candle_though_it_was_not_asked_for(market: SyntheticMarket) -> None:
    with Sandbox(market) as sandbox:
        sandbox.advance(30_000)
        before = {"end": market.start_ms - 1}
        wanted = page(sandbox, **before)
        newest = page(sandbox)[0]
        sandbox.inject(Fault("open_last"))
        assert page(sandbox, **before) == [newest, *wanted]


def test_at_the_nth_event_of_a_place_so_often_not_before_a_time() -> None:
    schedule = Schedule()
    schedule.add([Fault("http_500", where="/a*", nth=2, count=2, at_ms=10)], 0)
    took = [
        schedule.take(REPLY_FAULTS, place, time) is not None
        for place, time in (("/a", 9), ("/a", 10), ("/b", 11), ("/ab", 12), ("/a", 13), ("/a", 14))
    ]
    assert took == [False, False, False, True, True, False]
    assert [(one.where, one.at_ms) for one in schedule.injected] == [("/ab", 12), ("/a", 13)]
    assert schedule.waiting == 0
    assert schedule.take(ROW_FAULTS, "/a", 20) is None


def test_faults_of_one_place_come_one_after_the_other() -> None:
    schedule = Schedule()
    schedule.add([Fault("http_500"), Fault("reset")], 0)
    kinds = [fault.kind for _ in range(2) if (fault := schedule.take(REPLY_FAULTS, "/", 0))]
    assert kinds == ["http_500", "reset"]
    assert schedule.counts == {"http_500": 1, "reset": 1}


def test_what_can_not_happen_is_refused() -> None:
    with pytest.raises(MtfError, match="unknown fault 'http_501'"):
        Fault("http_501")
    with pytest.raises(MtfError, match="found stall with lasts_ms=0"):
        Fault("stall")


def test_every_kind_has_its_test() -> None:
    files = Path(__file__).parent.glob("test_sandbox_*.py")
    text = "".join(file.read_text() for file in files)
    rest = (HANDSHAKE_FAULTS, SUBSCRIPTION_FAULTS, FRAME_FAULTS, SPAN_FAULTS, REPLY_FAULTS)
    named = {kind for group in rest for kind in group}
    assert set(KINDS) == named | set(ROW_FAULTS)
    assert [kind for kind in sorted(named) if f'"{kind}"' not in text] == []
