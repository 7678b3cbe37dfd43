"""Candles with the trades made on them: the whole stretch, then the best, worst and last trade."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from mtf.report.decimate import CANDLES, joined_candles
from mtf.report.figures import Candles, Content, Marks, Note, Panel, Shape, Table
from mtf.report.money import Money
from mtf.report.terminal import number, spoken

MOST_MARKS = 200
"""Trades marked on one figure; beyond that only the largest gains and losses."""
FEW = 50
"""With more trades their exits are left out of the overview."""
WINDOW = 120
"""Candles of a window around a trade, at least."""


def trade_figures(money: Money) -> Iterator[Content]:
    """The whole stretch with its trades, windows around three of them, and why trades ended."""
    if not len(money.time):
        return
    trades = timed(money.trades)
    yield overview(money, trades)
    if not len(trades):
        yield Note("The strategy made no trade.")
        return
    yield exits(trades)
    pnl = trades["pnl"]
    chosen = {"Best": pnl.idxmax(), "Worst": pnl.idxmin(), "Last": trades.index[-1]}
    for which, row in chosen.items():
        yield window(money, trades, int(row), f"{which} trade")


def timed(trades: pd.DataFrame) -> pd.DataFrame:
    """The trades with their times in ms, rows numbered from 0."""
    found = trades.reset_index(drop=True)
    for name in ("entry_time", "exit_time"):
        found[name] = to_ms(found[name])
    return found


def to_ms(times: pd.Series) -> Int64[np.ndarray, " row"]:
    """Times in ms since the epoch; numbers are taken as that already."""
    whole = times if pd.api.types.is_numeric_dtype(times) else times.dt.as_unit("ms")
    found: Int64[np.ndarray, " row"] = whole.astype("int64").to_numpy()
    return found


def overview(money: Money, trades: pd.DataFrame) -> Candles:
    """All candles, joined to a few hundred, with the trades that moved most money."""
    time, ohlc = joined_candles(money.time, money.ohlc)
    largest = trades["pnl"].abs().sort_values(ascending=False).index[:MOST_MARKS]
    shown = trades.loc[np.sort(largest.to_numpy())]
    joined = len(money.time) > CANDLES
    words = [f"{len(money.time):,} candles joined to {len(time):,}."] if joined else []
    if len(shown) < len(trades):
        words.append(f"The {len(shown):,} trades of {len(trades):,} that moved most money.")
    return Candles(
        f"{money.symbol} with trades",
        time,
        [Panel(money.symbol, ohlc)],
        marks(shown, exits=len(shown) <= FEW),
        "price",
        " ".join(words),
    )


def window(money: Money, trades: pd.DataFrame, row: int, title: str) -> Candles:
    """The candles around a trade, joined where it lasted long, with all trades there."""
    entry, end = int(trades["entry_time"][row]), int(trades["exit_time"][row])
    step = int(money.time[1] - money.time[0]) if len(money.time) > 1 else 1
    room = max(WINDOW * step - (end - entry), (end - entry) // 2, 2 * step) // 2
    first, last = entry - room, end + room
    inside: Bool[np.ndarray, " bar"] = (money.time >= first) & (money.time <= last)
    time, ohlc = joined_candles(money.time[inside], money.ohlc[inside], CANDLES // 2)
    there = (trades["exit_time"] >= first) & (trades["entry_time"] <= last)
    near = trades[there].iloc[:MOST_MARKS]
    panels = [Panel(money.symbol, ohlc)]
    note = words(trades.loc[row].to_dict())
    return Candles(title, time, panels, marks(near, first, last), "price", note)


def marks(
    trades: pd.DataFrame, first: int = 0, last: int = 2**62, *, exits: bool = True
) -> list[Marks]:
    """Entries of long and short trades, and exits; those within the times."""
    long = (trades["type"] == "long").to_numpy()
    kinds: list[tuple[str, Shape, str, str, np.ndarray]] = [
        ("long entry", "up", "entry_time", "price", long),
        ("short entry", "down", "entry_time", "price", ~long),
        ("exit", "cross", "exit_time", "exit_price", np.ones(len(trades), dtype=bool)),
    ]
    found = []
    for name, shape, time, price, of in kinds if exits else kinds[:2]:
        rows = trades[of & trades[time].between(first, last).to_numpy()]
        at: Float64[np.ndarray, " mark"] = rows[price].to_numpy(np.float64)
        told = [words(row) for row in rows.to_dict("records")]
        found.append(Marks(name, rows[time].to_numpy(np.int64), at, shape, told))
    return [one for one in found if len(one.x)]


def words(trade: Mapping[Hashable, object]) -> str:
    """A trade in words: type, size, what it earned, what ended it."""
    parts = [f"{trade['type']} {number(float(str(trade['size'])))}"]
    parts.append(f"pnl {float(str(trade['pnl'])):+,.2f}")
    confidence = float(str(trade.get("confidence", "nan")))
    if np.isfinite(confidence):
        parts.append(f"confidence {confidence:.2f}")
    return ", ".join([*parts, f"ended by {spoken(str(trade.get('exit', '')))}"])


def exits(trades: pd.DataFrame) -> Table:
    """By type and what ended them: how many trades, the share that gained, what they earned."""
    header = ["", "ended by", "trades", "gaining", "net"]
    rows = []
    for (kind, end), of in trades.groupby(["type", "exit"], sort=True):
        share = f"{100 * float((of['pnl'] > 0).mean()):.0f} %"
        cells = [str(kind), spoken(str(end)), f"{len(of):,}", share]
        rows.append([*cells, f"{float(of['pnl'].sum()):+,.0f}"])
    return Table("Trades", header, rows)


__all__ = ["marks", "overview", "timed", "trade_figures", "window"]
