"""The same orders on the same real candles as vectorbt, backtesting.py and ml4t-backtest.

What they made is stored in ``tests/oracles/engines.json`` with versions and parameters, by the
script beside it. Where the semantics are the same, so is the equity of every bar, to 1e-9; every
difference of theirs has a name and a test that works out what it comes to.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtf.market.timeframe import Timeframe
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

STORED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "oracles" / "engines.json").read_text()
)
HOUR_MS = 3_600_000
ENGINES = ("vectorbt", "backtesting", "ml4t-backtest")
BPS = 1e-4


def case_of(engine: str, name: str) -> dict[str, Any]:
    case: dict[str, Any] = STORED["engines"][engine]["cases"][name]
    return case


@pytest.fixture(scope="module")
def ethusdt(real_data: Path) -> np.ndarray:
    """The stretch of real candles, checked to be the one that the engines had."""
    about = STORED["candles"]
    table = pq.read_table(real_data / "candles/ETHUSDT_1h.parquet").to_pandas()
    begin, end = about["start_ms"], about["start_ms"] + about["bars"] * HOUR_MS
    rows = table[(table["open_time"] >= begin) & (table["open_time"] < end)]
    ohlc = np.array(rows[["open", "high", "low", "close"]])
    assert hashlib.sha256(ohlc.tobytes()).hexdigest() == about["sha256"]
    return ohlc


def ours(case: dict[str, Any], ohlc: np.ndarray) -> Outcome:
    """The case traded by mtf."""
    times = STORED["candles"]["start_ms"] + HOUR_MS * np.arange(len(ohlc))
    none, terms = np.full(len(case["bars"]), np.nan), case["terms"]
    targets = Targets(
        times[case["bars"]],  # decided at the close before, filled at this open
        np.array(case["weights"]),
        none,
        np.full(len(none), terms["stop_loss"] or np.nan),
        np.full(len(none), terms["take_profit"] or np.nan),
    )
    broker = Broker(
        commission=terms["commission"],
        slippage_bps=terms["slippage_bps"],
        capital=terms["capital"],
        used=terms["used"],
        lot_size=terms["lot_size"],
    )
    nothing = np.empty(0, dtype=np.int64), np.empty(0)
    hour, valid = Timeframe.parse("1h"), np.ones(len(ohlc), dtype=np.bool_)
    return Candle().run(targets, Bars("ETHUSDT", hour, times, ohlc, valid, *nothing), broker)


def assert_same(case: dict[str, Any], equity: np.ndarray) -> None:
    every = STORED["candles"]["every"]
    np.testing.assert_allclose(case["equity"], equity[every - 1 :: every], rtol=1e-9)
    np.testing.assert_allclose(case["final"], equity[-1], rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["long_only", "long_short", "stops"])
def test_equity_is_that_of_other_engines(engine: str, name: str, ethusdt: np.ndarray) -> None:
    case = case_of(engine, name)
    found = ours(case, ethusdt)
    assert len(case["bars"]) > 100
    assert_same(case, found.equity)
    if name == "stops":
        ends = found.fills["type"].value_counts()
        assert ends["stop_loss"] > 20
        assert ends["take_profit"] > 20


@pytest.mark.parametrize("name", ["long_only", "long_short", "stops"])
def test_a_flip_is_one_order_there_and_two_fills_here(name: str, ethusdt: np.ndarray) -> None:
    found = ours(case_of("vectorbt", name), ethusdt)
    times = {kind: rows["time"] for kind, rows in found.fills.groupby("type")}
    flips = int(times["close"].isin(times["open"]).sum())
    for engine in ("vectorbt", "ml4t-backtest"):
        assert case_of(engine, name)["fills"] == len(found.fills) - flips
    assert (flips == 0) == (name == "long_only")


@pytest.mark.parametrize("engine", ["vectorbt", "ml4t-backtest"])
def test_commission_is_of_the_price_before_slippage_there_after_it(
    engine: str, ethusdt: np.ndarray
) -> None:
    case = case_of(engine, "slippage")
    found = ours(case, ethusdt)
    slip, fee = case["terms"]["slippage_bps"] * BPS, case["terms"]["commission"]
    more = found.fills["side"] * value(found) * slip * fee  # buying at p·(1 + s) costs p·s·fee more
    assert_same(case, found.equity - by_bar(found, more.to_numpy()))
    with pytest.raises(AssertionError):
        assert_same(case, found.equity)


def test_backtesting_py_has_slippage_at_entries_alone(ethusdt: np.ndarray) -> None:
    case = case_of("backtesting", "slippage")
    found = ours(case, ethusdt)
    slip, fee = case["terms"]["slippage_bps"] * BPS, case["terms"]["commission"]
    entry = found.fills["type"].isin(["open", "increase"])
    more = found.fills["side"] * value(found) * slip * fee
    theirs = np.where(entry, -more, value(found) * slip)
    assert_same(case, found.equity + by_bar(found, theirs))


def value(found: Outcome) -> Any:
    """Of every fill, in quote currency."""
    return found.fills["price"] * found.fills["size"]


def by_bar(found: Outcome, amounts: np.ndarray) -> np.ndarray:
    """What fills come to, summed up to every bar."""
    times = found.fills["time"].dt.as_unit("ms").astype("int64").to_numpy()
    sums = np.bincount(
        (times - STORED["candles"]["start_ms"]) // HOUR_MS, amounts, len(found.equity)
    )
    return np.cumsum(sums)


# Ten candles, open and close 100, high 101, low 99; one falls to 97 and closes at 99. The stop of
# what is bought at 100 is at 98. 95 % of 100,000 are 950 at 100: 95 of commission.
BOUGHT = 100_000 - 95.0
STOPPED = BOUGHT - 950 * 2 - 93.1
SOLD = BOUGHT - 95.0
STORIES = {
    "stop_in_the_candle_of_the_fill": {
        "mtf": STOPPED,  # the position was there when the price fell
        "backtesting": STOPPED,
        "vectorbt": BOUGHT,  # held through it
        "ml4t-backtest": BOUGHT,
    },
    "order_at_the_open_of_the_candle_of_a_stop": {
        "mtf": SOLD,  # the open comes first, then there is nothing to stop
        "vectorbt": STOPPED,  # the stop instead of the order
        "backtesting": STOPPED - 95.0,  # the stop, then the order, which sells 950 short
        "ml4t-backtest": STOPPED - 2 * 95.0,  # and buys them back at the next open
    },
    "order_after_the_candle_of_a_stop": {
        "mtf": STOPPED * (1 - 0.95 * 0.001),  # short at 100 with what is left
        "vectorbt": STOPPED * (1 - 0.95 * 0.001),
        "backtesting": STOPPED * (1 - 0.95 * 0.001),  # a lot more or less is 5e-11
        "ml4t-backtest": STOPPED,  # refused
    },
}


@pytest.mark.parametrize("name", STORIES)
def test_what_happens_inside_a_candle_by_hand(name: str) -> None:
    for engine in ENGINES:
        case = case_of(engine, name)
        assert case["final"] == pytest.approx(STORIES[name][engine], rel=1e-9)
        found = ours(case, np.array(case["candles"]))
        assert found.equity[-1] == pytest.approx(STORIES[name]["mtf"], rel=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_stored_results_say_which_engine_made_them(engine: str) -> None:
    about = STORED["engines"][engine]
    assert about["versions"][engine]
    assert about["differences"]
