"""Funding rates from a file, laid beside the bars that they are paid in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.market.side.records import Records, read_records
from mtf.market.times import duration_name, iso, spacing
from mtf.trading.bars import Bars

RATE = "funding_rate"


def read_funding(path: str, symbol: str) -> Records:
    """Rates of a symbol from a parquet or csv file with ``time_ms`` and ``funding_rate``.

    Args:
        path: of the file; ``{symbol}`` in it stands for the symbol.
        symbol: such as ETHUSDT.

    Raises:
        DataError: no such file, without these columns, or a rate that is no number.
    """
    path = path.replace("{symbol}", symbol)
    rates = read_records(path, [RATE])
    unknown = np.flatnonzero(~np.isfinite(rates.values[:, 0]))
    if len(unknown):
        when = iso(int(rates.times[unknown[0]]))
        raise DataError(
            f"{path}: {len(unknown)} rates are no numbers, the first at {when}",
            "a rate in every row",
        )
    return rates


def with_funding(bars: Bars, rates: Records) -> Bars:
    """The bars with the payments that fall between their first open and their last close.

    Raises:
        DataError: payments are missing in that time, judged by their usual distance.
    """
    if not len(bars):
        return bars
    start, end = int(bars.open_time[0]), bars.end_ms
    check_complete(rates.times, start, end, bars.symbol)
    inside = (rates.times >= start) & (rates.times < end)
    return replace(
        bars, funding_time=rates.times[inside], funding_rate=rates.values[inside, 0].copy()
    )


def check_complete(times: Int64[np.ndarray, " record"], start: int, end: int, symbol: str) -> None:
    """Refuse rates with a hole in ``[start, end)``, at its ends too.

    The usual distance of payments is the median over the whole file; half of it more is a hole.

    Raises:
        DataError: with the first hole.
    """
    step = spacing(times)
    if step == 0:
        raise DataError(
            f"{len(times)} funding rates of {symbol}",
            "at least two: how often funding is paid is told by their distance",
            "give a longer file, or set costs.funding=none",
        )
    first = max(int(np.searchsorted(times, start, side="right")) - 1, 0)
    known = times[first : int(np.searchsorted(times, end)) + 1]
    # Beyond an end one payment less is due: it may lie up to a whole step from it.
    early = [start - step // 2] if known[0] > start else []
    late = [end + step // 2] if known[-1] < end else []
    known = np.concatenate([np.array(early, np.int64), known, np.array(late, np.int64)])
    holes = np.flatnonzero(np.diff(known) > 1.5 * step)
    if len(holes):
        since, until = max(int(known[holes[0]]), start), min(int(known[holes[0] + 1]), end)
        raise DataError(
            f"no funding rate of {symbol} between {iso(since)} and {iso(until)}",
            f"one every {duration_name(step)} while the candles last",
            "complete the file, shorten the decisions, or set costs.funding=none",
        )


__all__ = ["read_funding", "with_funding"]
