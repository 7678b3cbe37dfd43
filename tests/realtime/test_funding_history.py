"""Funding rates: every one once, pages back, holes asked for again, and as the costs read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fetching import QuickTime, asking, contents

from mtf.errors import MtfError
from mtf.realtime.funding_history import FetchedFunding, fetch_funding
from mtf.realtime.rest import ExchangeError, Rest
from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket
from mtf.realtime.store import Store
from mtf.trading.funding import read_funding

START = 1_748_736_000_000
HOUR, DAY = 3_600_000, 86_400_000
FUNDING = "/v5/market/funding/history"


@pytest.fixture(scope="module")
def year() -> SyntheticMarket:
    """One coin with 250 days, which are 750 rates: four pages."""
    return SyntheticMarket(("ETHUSDT",), START, history_days=250)


def fetched(sandbox: Sandbox, folder: Path, start: int, end: int | None) -> FetchedFunding:
    with asking(sandbox) as rest:
        return fetch_funding(["ETHUSDT"], Store(folder), lambda: rest, start, end)[0]


def test_rates_are_those_of_the_exchange_and_read_by_the_costs(
    year: SyntheticMarket, tmp_path: Path
) -> None:
    since = START - 250 * DAY
    with Sandbox(year) as sandbox:
        found = fetched(sandbox, tmp_path, since, START)
        assert (found.added, found.rates) == (750, 750)
        assert len(sandbox.requests) == 1 + 4
        true = sandbox.exchange.funding("ETHUSDT", since, START - 1, 10_000)[::-1]
    rates = read_funding(str(tmp_path / "linear" / "{symbol}_funding.parquet"), "ETHUSDT")
    assert rates.times.tolist() == [time for time, _ in true]
    assert rates.values[:, 0].tolist() == [rate / 1e8 for _, rate in true]


def test_nothing_is_asked_for_twice(year: SyntheticMarket, tmp_path: Path) -> None:
    with Sandbox(year) as sandbox:
        fetched(sandbox, tmp_path, START - 60 * DAY, START - 30 * DAY)
        fetched(sandbox, tmp_path, START - 60 * DAY, START - 30 * DAY)
        assert len(sandbox.requests) == 2
        found = fetched(sandbox, tmp_path, START - 70 * DAY, START - 20 * DAY)
        assert (found.added, found.rates) == (60, 150)
        asked = [dict(r.query) for r in sandbox.requests if r.path == FUNDING][1:]
        assert [(int(q["startTime"]), int(q["endTime"]) + 1) for q in asked] == [
            (START - 70 * DAY, START - 60 * DAY),
            (START - 30 * DAY, START - 20 * DAY),
        ]
        # What was paid just now may still come, so the end of an open time is asked for again.
        fetched(sandbox, tmp_path, START - DAY, None)
        sandbox.advance(8 * HOUR)
        assert fetched(sandbox, tmp_path, START - DAY, None).added == 1


@pytest.mark.parametrize("kind", ["http_502", "cut", "html", "json_list", "code_10006"])
def test_faults_at_every_page_change_no_byte(
    year: SyntheticMarket, tmp_path: Path, kind: str
) -> None:
    with Sandbox(year) as sandbox:
        fetched(sandbox, tmp_path / "whole", START - 250 * DAY, START)
        sandbox.inject(*(Fault(kind, FUNDING, nth=2 * page + 1) for page in range(4)))
        fetched(sandbox, tmp_path / "faults", START - 250 * DAY, START)
        assert sandbox.counts[kind] == 4
    assert contents(tmp_path / "faults") == contents(tmp_path / "whole")


class SmallExchange:
    """Rates every 8 hours from 0 on; each answer is spoilt as it is told."""

    def __init__(self, *spoilers: Callable[[list[dict[str, str]]], Any]) -> None:
        self.spoilers, self.asked = list(spoilers), 0

    def get_server_time(self) -> dict[str, Any]:
        return {"result": {"timeNano": str(START * 1_000_000)}}

    def get_funding_rate_history(self, **asked: Any) -> Mapping[str, Any]:
        self.asked += 1
        times = range(asked["endTime"] // (8 * HOUR) * 8 * HOUR, asked["startTime"] - 1, -8 * HOUR)
        rows = [{"fundingRate": "0.0001", "fundingRateTimestamp": str(time)} for time in times]
        rows = rows[: asked["limit"]]
        if self.spoilers:
            self.spoilers.pop(0)(rows)
        return {"result": {"list": rows}}

    def fetch(self, folder: Path) -> FetchedFunding:
        rest = Rest(self, time=QuickTime(), attempts=3)
        return fetch_funding(["ETHUSDT"], Store(folder), lambda: rest, 0, 30 * DAY)[0]


def test_a_rate_that_was_left_out_is_asked_for_once_more(tmp_path: Path) -> None:
    exchange = SmallExchange(lambda rows: rows.pop(40))
    assert exchange.fetch(tmp_path).rates == 90
    assert exchange.asked == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows[3].update(fundingRate="NaN"),
        lambda rows: rows[3].update(fundingRate="Infinity"),
        lambda rows: rows[3].update(fundingRate=""),
        lambda rows: rows[3].update(fundingRate="12"),
        lambda rows: rows[3].update(fundingRateTimestamp="5"),
        lambda rows: rows.append(rows[0]),
        lambda rows: rows[3].pop("fundingRate"),
    ],
)
def test_no_rate_that_is_none_is_stored(
    tmp_path: Path, spoil: Callable[[list[dict[str, str]]], Any]
) -> None:
    exchange = SmallExchange(spoil)
    assert exchange.fetch(tmp_path / "once").rates == 90
    assert exchange.asked == 2
    with pytest.raises(ExchangeError, match="another form"):
        SmallExchange(spoil, spoil, spoil).fetch(tmp_path / "always")
    assert contents(tmp_path / "always") == {}


def test_spot_pays_none(tmp_path: Path) -> None:
    with pytest.raises(MtfError, match="only perpetuals pay funding"):
        fetch_funding(["ETHUSDT"], Store(tmp_path, "spot"), lambda: pytest.fail("asked"), 0, DAY)
