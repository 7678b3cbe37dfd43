"""Fills and round trips as tables, from the flat arrays that the kernel wrote."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from pandas.api.extensions import ExtensionArray

from mtf.trading import kernels as at
from mtf.trading.sequence import Sequence
from mtf.trading.targets import Reals

KINDS = ("open", "increase", "reduce", "close", "stop_loss", "take_profit", "liquidation", "end")
"""What a fill is, in the kernel's order; the last one is what ends a round trip still open."""
END = len(KINDS) - 1
SIDES = ("short", "long")
Fills = Float64[np.ndarray, "fill 8"]


def fills_table(fills: Fills, rows: Sequence, confidence: Reals) -> pd.DataFrame:
    """One row a fill; see ``Outcome.fills``."""
    columns = {
        "time": utc(rows.open_time[whole(fills, at.BAR)]),
        "type": words(KINDS, whole(fills, at.KIND)),
        "side": np.sign(fills[:, at.SIZE]).astype(np.int64),
        "price": fills[:, at.PRICE],
        "size": np.abs(fills[:, at.SIZE]),
        "commission": fills[:, at.COMMISSION],
        "slippage": fills[:, at.SLIPPAGE],
        "confidence": confidences(fills, confidence),
    }
    return pd.DataFrame(columns)


def trades_table(
    fills: Fills,
    funding: Float64[np.ndarray, " order"],
    marks: Float64[np.ndarray, "row 3"],
    shortfall: float,
    rows: Sequence,
    confidence: Reals,
) -> pd.DataFrame:
    """One row a round trip, the last one marked where it is still open; see ``Outcome.trades``."""
    first = np.flatnonzero(np.diff(fills[:, at.TRADE], prepend=-1.0))
    last = np.append(first[1:], len(fills))[: len(first)] - 1
    side = np.sign(fills[first, at.SIZE])
    entered = fills[:, at.KIND] <= at.INCREASE
    size, value = np.abs(fills[:, at.SIZE]), np.abs(fills[:, at.SIZE]) * fills[:, at.PRICE]
    columns = (size * entered, value * entered, value * ~entered)
    sizes, paid, got = (total(column, first) for column in columns)
    commission, slippage = (total(fills[:, k], first) for k in (at.COMMISSION, at.SLIPPAGE))
    exit_time = rows.open_time[whole(fills[last], at.BAR)]
    exits = whole(fills[last], at.KIND)
    if len(first) and marks[-1, 2] != 0.0:  # still open: sold at the mark, for nothing
        got[-1] += abs(marks[-1, 0] - marks[-1, 1])
        exit_time[-1], exits[-1] = rows.close_time[-1], END
    pnl = side * (got - paid) - commission - slippage - funding[: len(first)]
    if shortfall:  # of the last one: after it the account is bankrupt
        pnl[-1] += shortfall
    return pd.DataFrame(
        {
            "entry_time": utc(rows.open_time[whole(fills[first], at.BAR)]),
            "exit_time": utc(exit_time),
            "type": words(SIDES, (side > 0).astype(np.int64)),
            "price": paid / sizes,
            "exit_price": got / sizes,
            "size": sizes,
            "pnl": pnl,
            "commission": commission,
            "slippage": slippage,
            "funding": funding[: len(first)],
            "confidence": confidences(fills[first], confidence),
            "exit": words(KINDS, exits),
        }
    )


def whole(fills: Fills, column: int) -> Int64[np.ndarray, " fill"]:
    """A column of numbers that count."""
    return fills[:, column].astype(np.int64)


def words(names: tuple[str, ...], number: Int64[np.ndarray, " row"]) -> ExtensionArray:
    """Names by their numbers, as the kind of text that pandas prefers: converting takes longer."""
    return pd.Series(names).array.take(number)


def total(values: Float64[np.ndarray, " fill"], first: np.ndarray) -> Float64[np.ndarray, " trade"]:
    """Sums from each first row up to the next."""
    return np.add.reduceat(values, first) if len(first) else np.empty(0)


def confidences(fills: Fills, confidence: Reals) -> Float64[np.ndarray, " fill"]:
    """Of the decision behind each fill; NaN where none is."""
    row = whole(fills, at.ROW)
    found = np.full(len(row), np.nan)
    found[row >= 0] = confidence[row[row >= 0]]
    return found


def utc(times: Int64[np.ndarray, " row"]) -> pd.DatetimeIndex:
    """Milliseconds as times."""
    return pd.to_datetime(times, unit="ms", utc=True).as_unit("ms")


__all__ = ["fills_table", "trades_table"]
