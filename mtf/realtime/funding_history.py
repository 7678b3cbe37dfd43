"""Funding rates of perpetuals into a store: page by page from the newest to the oldest.

How often funding is paid differs from symbol to symbol and changes, so pages go back from what the
page before began with. An answer with a rate that is none is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from mtf.errors import MtfError
from mtf.market.times import spacing
from mtf.realtime.rest import Rest
from mtf.realtime.spans import Spans
from mtf.realtime.store import FundingSeries, Store

PAGE = 200
MINUTE_MS = 60_000
MOST_RATE = 1.0
"""As a fraction of a position's value; the exchange's own caps are far below."""
SETTLE_MS = 600_000
"""A payment so lately may still come."""


@dataclass(frozen=True)
class FetchedFunding:
    """What fetching the rates of one symbol came to.

    Attributes:
        added: rates that are new.
        rates: stored by now.
    """

    series: FundingSeries
    added: int
    rates: int


def fetch_funding(
    symbols: Sequence[str],
    store: Store,
    rest: Callable[[], Rest],
    start_ms: int,
    end_ms: int | None = None,
) -> list[FetchedFunding]:
    """Store the rates with ``start_ms <= time < end_ms`` that are not there yet.

    Args:
        symbols: perpetuals.
        store: where to.
        rest: makes what asks, once it is needed.
        start_ms: of the time wanted.
        end_ms: None = now.

    Raises:
        MtfError: a category without funding.
        ExchangeError: no answer, or a refusal.
        DataError: the disk refuses.
    """
    if store.category != "linear":
        raise MtfError(
            f"found funding of category {store.category}",
            "category linear: only perpetuals pay funding",
            "leave out --funding",
        )
    series = [store.funding(symbol) for symbol in symbols]
    if end_ms is not None and not any(len(one.missing(start_ms, end_ms)) for one in series):
        return [FetchedFunding(one, 0, len(one.read()[0])) for one in series]
    asking = rest()
    now = asking.server_ms()
    end = now if end_ms is None else min(end_ms, now)
    with store.writing():
        added = [_fill(one, asking, start_ms, end, now) for one in series]
    return [
        FetchedFunding(one, count, len(one.read()[0]))
        for one, count in zip(series, added, strict=True)
    ]


def _fill(series: FundingSeries, rest: Rest, start_ms: int, end_ms: int, now_ms: int) -> int:
    """Store what is missing of one symbol, and return how many rates are new."""
    added = 0
    for start, end in series.missing(start_ms, end_ms):
        rates = _rates(rest, series.symbol, start, end)
        holes = _holes(sorted(rates))
        if holes is not None:
            rates |= _rates(rest, series.symbol, *holes)
        times = np.array(sorted(rates), np.int64)
        values = np.array([rates[time] for time in times.tolist()], np.float64)
        added += series.add(times, values, Spans.of([(start, min(end, now_ms - SETTLE_MS))]))
    return added


def _rates(rest: Rest, symbol: str, start_ms: int, end_ms: int) -> dict[int, float]:
    """Rates by their times."""
    found: dict[int, float] = {}
    while start_ms < end_ms:
        page = rest.ask(
            "get_funding_rate_history",
            partial(_page, start_ms=start_ms, end_ms=end_ms),
            category="linear",
            symbol=symbol,
            startTime=start_ms,
            endTime=end_ms - 1,
            limit=PAGE,
        )
        found |= page
        if len(page) < PAGE:
            break
        end_ms = min(page)
    return found


def _page(result: dict[str, Any], start_ms: int, end_ms: int) -> dict[int, float]:
    """The rates of one answer.

    Raises:
        ValueError: another time, a time twice, or a rate that is none.
    """
    rows = result["list"]
    found = {int(row["fundingRateTimestamp"]): float(row["fundingRate"]) for row in rows}
    if len(found) < len(rows) or any(
        not start_ms <= time < end_ms or time % MINUTE_MS for time in found
    ):
        raise ValueError("times that were not asked for, or no times of a payment")
    if any(not isfinite(rate) or abs(rate) > MOST_RATE for rate in found.values()):
        raise ValueError("rates that are none")
    return found


def _holes(times: Sequence[int]) -> tuple[int, int] | None:
    """From the first to the last distance that is too long; None = there is none."""
    numbers = np.array(times, np.int64)
    if len(numbers) < 3:
        return None
    wide = np.flatnonzero(np.diff(numbers) > 1.5 * spacing(numbers))
    return (times[wide[0]] + 1, times[wide[-1] + 1]) if len(wide) else None
