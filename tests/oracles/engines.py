"""What other backtest engines make of the same orders on the same real candles: engines.json.

Run once per engine, each in an environment of its own, from the root of the repository:

    python3.11 -m venv /tmp/vbt && /tmp/vbt/bin/pip install vectorbt==1.2.0 pyarrow
    /tmp/vbt/bin/python tests/oracles/engines.py --engine vectorbt
    python3.11 -m venv /tmp/bt && /tmp/bt/bin/pip install backtesting==0.6.6 pyarrow
    /tmp/bt/bin/python tests/oracles/engines.py --engine backtesting
    python3.12 -m venv /tmp/ml4t && /tmp/ml4t/bin/pip install ml4t-backtest==0.2.0 pyarrow
    /tmp/ml4t/bin/python tests/oracles/engines.py --engine ml4t-backtest

``--candles FILE`` says where the hourly candles of ETHUSDT are. They are not stored, their sha256
is. Nothing of mtf is used here, and no code of the engines is copied: they are called.

No two engines size alike, so sizes are worked out here, bar by bar, by the rule that mtf states (a
share of the equity at the open that fills; a flip closes, pays, and opens with what is left), and
every engine is given the same explicit orders. Stops and take-profits the engines find themselves.
Weights are drawn from a seed, on the real candles where all engines read a candle alike. Where they
do not, ``STORIES`` of ten candles show it, and ``DIFFERENCES`` says it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

FILE = Path(__file__).with_suffix(".json")
CANDLES = "../shared/data/candles/ETHUSDT_1h.parquet"
START_MS, BARS, HOUR_MS = 1_640_995_200_000, 2_000, 3_600_000
EVERY = 8
"""Of so many bars the equity of one is stored."""
TERMS = ("commission", "slippage_bps", "stop_loss", "take_profit", "lot_size", "capital", "used")
DIFFERENCES = {
    "vectorbt": "commission of the slipped price; stops are not looked for in the candle of the "
    "fill; a stop inside a candle comes before an order at its open, which is dropped",
    "backtesting": "whole units only; slippage (spread) at entries only, with commission of that "
    "price; a stop inside a candle comes before an order at its open, which opens the other way",
    "ml4t-backtest": "commission of the slipped price; stops are not looked for in the candle of "
    "the fill; a stop inside a candle comes before an order at its open, which opens the other way "
    "until the next candle; an order right after the candle of a stop is refused",
}


@dataclass(frozen=True)
class Case:
    """Terms of trade, and what is wanted: the weight from the open of each bar on."""

    name: str
    weights: tuple[float, ...] = ()
    seed: int = 0
    wishes: tuple[tuple[int, float], ...] = ()
    stormy: int = 0
    commission: float = 0.001
    slippage_bps: float = 0.0
    stop_loss: float | None = None
    take_profit: float | None = None
    lot_size: float = 0.0
    quiet: bool = True
    capital: float = 100_000.0
    used: float = 0.95


CASES = (
    Case("long_only", (0.0, 1.0), 1),
    Case("long_short", (-1.0, -0.5, 0.0, 0.5, 1.0), 2),
    Case("slippage", (-1.0, -0.5, 0.0, 0.5, 1.0), 3, slippage_bps=5.0),
    Case("stops", (-1.0, 0.0, 1.0), 4, stop_loss=0.02, take_profit=0.03),
)
CALM, FALL = (100.0, 101.0, 99.0, 100.0), (100.0, 101.0, 97.0, 99.0)
STORY: dict[str, Any] = {"stop_loss": 0.02, "take_profit": 0.03, "quiet": False}
STORIES = (
    Case("stop_in_the_candle_of_the_fill", wishes=((4, 1.0),), stormy=4, **STORY),
    Case(
        "order_at_the_open_of_the_candle_of_a_stop", wishes=((4, 1.0), (6, 0.0)), stormy=6, **STORY
    ),
    Case("order_after_the_candle_of_a_stop", wishes=((4, 1.0), (7, -1.0)), stormy=6, **STORY),
)
"""Ten calm candles but one, which falls through a stop at 98: where the engines disagree."""


@dataclass(frozen=True)
class Order:
    """An order that fills at the open of a bar; stop and take-profit are prices, 0 = none."""

    size: float
    before: float
    stop: float
    take: float


class Account:
    """Money and position by mtf's rule of sizes, and the orders that it leads to."""

    def __init__(self, case: Case) -> None:
        """Nothing but the capital."""
        self.case, self.cash, self.held = case, case.capital, 0.0
        self.stop = self.take = 0.0

    def exits(self, price: float, side: float) -> tuple[float, float]:
        """Prices of the stop and the take-profit of a position opened at a price."""
        if self.case.stop_loss is None or self.case.take_profit is None:
            return 0.0, 0.0
        stop = price * (1.0 - side * self.case.stop_loss)
        return stop, price * (1.0 + side * self.case.take_profit)

    def ends(self, low: float, high: float) -> float:
        """The price among these that ends the position, the stop before the profit; 0 = none."""
        return first(self.held, self.stop, self.take, low, high)

    def trade(self, size: float, price: float) -> None:
        """Buy or sell and pay."""
        lost = self.case.commission + self.case.slippage_bps * 1e-4
        self.cash -= size * price + abs(size) * price * lost
        self.held += size

    def rebalance(self, weight: float, price: float) -> Order:
        """Bring the position to a share of the equity; a flip pays for closing first."""
        before, share = self.held, weight * self.case.used
        if self.held * weight <= 0.0 and self.held:
            self.trade(-self.held, price)
            self.held = 0.0
        wanted = self.lots(share * (self.cash + self.held * price) / price)
        self.trade(wanted - self.held, price)
        self.held = wanted
        self.stop, self.take = self.exits(price, math.copysign(1.0, weight))
        return Order(wanted - before, before, self.stop, self.take)

    def lots(self, size: float) -> float:
        """Rounded down to whole lots."""
        lot = self.case.lot_size
        return math.copysign(math.floor(abs(size) / lot * (1 + 1e-12)) * lot, size) if lot else size


def first(held: float, stop: float, take: float, low: float, high: float) -> float:
    """The price from low to high that ends a position, the stop before the profit; 0 = none."""
    if held == 0.0 or stop == 0.0:
        return 0.0
    lost, won = (low <= stop, high >= take) if held > 0 else (high >= stop, low <= take)
    return stop if lost else take if won else 0.0


def planned(case: Case, candles: np.ndarray) -> tuple[dict[int, float], dict[int, Order]]:
    """The targets and the orders of a case, by the bar at whose open they fill."""
    account, wanted, wishes = Account(case), 0.0, dict(drawn(case))
    targets: dict[int, float] = {}
    orders: dict[int, Order] = {}
    ended = False
    for bar, (opened, high, low, _) in enumerate(candles):
        busy = ended or account.ends(low, high) != 0.0
        if account.ends(opened, opened):
            account.trade(-account.held, opened)
        weight = wishes.get(bar, wanted)
        stop, take = account.exits(opened, math.copysign(1.0, weight))
        busy = busy or first(weight, stop, take, low, high) != 0.0
        if weight != wanted and not (case.quiet and busy):
            targets[bar] = wanted = weight
            order = account.rebalance(weight, opened)
            if order.size:
                orders[bar] = order
        ended = account.ends(low, high) != 0.0
        if ended:
            account.trade(-account.held, account.ends(low, high))
    return targets, orders


def drawn(case: Case) -> Iterator[tuple[int, float]]:
    """Weights that change every few bars, or those that are written out."""
    yield from case.wishes
    draw, bar = random.Random(case.seed), 2
    while case.weights and (bar := bar + draw.randint(2, 12)) < BARS:
        yield bar, draw.choice(case.weights)


@dataclass(frozen=True)
class Made:
    """What an engine made: equity at the close of every bar, and how many orders it filled."""

    equity: np.ndarray
    fills: int


def vectorbt(case: Case, candles: np.ndarray, orders: dict[int, Order]) -> Made:
    """Sizes at the open, equity at the close; stops by ``from_signals``."""
    vbt = importlib.import_module("vectorbt")
    opened, high, low, close = candles.T
    sizes = np.full(len(close), np.nan)
    for bar, order in orders.items():
        sizes[bar] = order.size
    terms: dict[str, Any] = {"fees": case.commission, "slippage": case.slippage_bps * 1e-4}
    terms |= {"init_cash": case.capital, "price": opened, "freq": "1h"}
    if case.stop_loss is None:
        made = vbt.Portfolio.from_orders(
            close, sizes, size_type="amount", direction="both", **terms
        )
        return Made(made.value().to_numpy(), int(made.orders.count()))
    after = {bar: order.before + order.size for bar, order in orders.items()}
    at = {sign: np.zeros(len(close), bool) for sign in (-1, 0, 1)}
    for bar, held in after.items():
        at[int(np.sign(held))][bar] = True
        sizes[bar] = abs(held) or np.nan
    made = vbt.Portfolio.from_signals(
        close, at[1], at[0], at[-1], at[0], size=sizes, size_type="amount",
        open=opened, high=high, low=low, sl_stop=case.stop_loss, tp_stop=case.take_profit,
        stop_entry_price="price", stop_exit_price="stoplimit", upon_opposite_entry="reverse",
        **terms,
    )  # fmt: skip
    return Made(made.value().to_numpy(), int(made.orders.count()))


def backtesting(case: Case, candles: np.ndarray, orders: dict[int, Order]) -> Made:
    """Whole units only: a unit is one lot, so prices are those of a lot."""
    library = importlib.import_module("backtesting")
    pandas = importlib.import_module("pandas")
    lot = case.lot_size
    frame = pandas.DataFrame(candles * lot, columns=["Open", "High", "Low", "Close"])
    frame.index = pandas.date_range("2022-01-01", periods=len(frame), freq="h")

    class Given(library.Strategy):  # type: ignore[misc, name-defined]
        def init(self) -> None: ...

        def next(self) -> None:
            order = orders.get(len(self.data))
            if order is not None:
                exits = {"sl": order.stop * lot or None, "tp": order.take * lot or None}
                opens = order.before + order.size != 0.0
                send = self.buy if order.size > 0 else self.sell
                send(size=round(abs(order.size) / lot), **(exits if opens else {}))

    with warnings.catch_warnings():
        warnings.filterwarnings("error" if case.quiet else "ignore", ".*Broker canceled")
        test = library.Backtest(
            frame, Given, cash=case.capital, commission=case.commission,
            spread=case.slippage_bps * 1e-4, trade_on_close=False, finalize_trades=False,
        )  # fmt: skip
        warnings.filterwarnings("ignore", "Some trades remain open")
        found = test.run()
    strategy = found["_strategy"]
    fills = 2 * len(strategy.closed_trades) + len(strategy.trades)
    return Made(found["_equity_curve"]["Equity"].to_numpy(), fills)


def ml4t(case: Case, candles: np.ndarray, orders: dict[int, Order]) -> Made:
    """Orders in base coin, filled at the next open; stops as rules of the position."""
    library = importlib.import_module("ml4t.backtest")
    models = importlib.import_module("ml4t.backtest.models")
    polars = importlib.import_module("polars")
    datetime = importlib.import_module("datetime")
    hours = [
        datetime.datetime(2022, 1, 1) + k * datetime.timedelta(hours=1) for k in range(len(candles))
    ]
    table = dict(zip(("open", "high", "low", "close"), candles.T, strict=True))
    frame = polars.DataFrame({"timestamp": hours, "symbol": "ETHUSDT", **table, "volume": 1e9})

    class Given(library.Strategy):  # type: ignore[misc, name-defined]
        bar = 0

        def on_start(self, broker: Any) -> None:
            if case.stop_loss is not None:
                rules = importlib.import_module("ml4t.backtest.risk.position")
                stop, take = rules.StopLoss(case.stop_loss), rules.TakeProfit(case.take_profit)
                broker.set_position_rules(rules.RuleChain([stop, take]))

        def on_data(self, timestamp: Any, data: Any, context: Any, broker: Any) -> None:
            self.bar += 1
            order = orders.get(self.bar)
            if order is not None:
                broker.submit_order("ETHUSDT", order.size)

    config = library.BacktestConfig(
        initial_cash=case.capital, allow_short_selling=True, allow_leverage=True,
        share_type=library.config.ShareType.FRACTIONAL,
    )  # fmt: skip
    engine = library.Engine(
        library.DataFeed(prices_df=frame), Given(), config,
        commission_model=models.PercentageCommission(case.commission),
        slippage_model=models.PercentageSlippage(case.slippage_bps * 1e-4),
    )  # fmt: skip
    found = engine.run()
    equity = np.array([value for _, value in found.equity_curve])
    return Made(equity, len(found.to_fills_dataframe()))


ENGINES: dict[str, tuple[Callable[..., Made], float]] = {
    "vectorbt": (vectorbt, 0.0),
    "backtesting": (backtesting, 0.001),
    "ml4t-backtest": (ml4t, 0.0),
}
"""Engine → how it is called, and the lot that it needs."""


def candles_of(file: str) -> np.ndarray:
    """Open, high, low and close of the stretch, without a gap in it.

    Raises:
        SystemExit: the file has not these candles.
    """
    table = pq.read_table(file).to_pydict()
    times = np.array(table["open_time"])
    rows = slice(*np.searchsorted(times, [START_MS, START_MS + BARS * HOUR_MS]))
    if len(times[rows]) != BARS:
        raise SystemExit(f"{file} has {len(times[rows])} of {BARS} candles")
    return np.array([table[name][rows] for name in ("open", "high", "low", "close")]).T.copy()


def described(case: Case, name: str, candles: np.ndarray) -> dict[str, Any]:
    """One case through one engine, as it is stored."""
    run, lot = ENGINES[name]
    case, every = replace(case, lot_size=lot), EVERY
    if case.stormy:
        every, candles = 1, np.array([FALL if bar == case.stormy else CALM for bar in range(10)])
    targets, orders = planned(case, candles)
    made = run(case, candles, orders)
    return {
        "terms": {key: getattr(case, key) for key in TERMS},
        **({"candles": candles.tolist()} if case.stormy else {}),
        "bars": list(targets),
        "weights": list(targets.values()),
        "orders": len(orders),
        "fills": made.fills,
        "equity": made.equity[every - 1 :: every].tolist(),
        "final": float(made.equity[-1]),
    }


def main() -> None:
    """Run one engine and put what it makes beside what the others made."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=ENGINES, required=True)
    options.add_argument("--candles", default=CANDLES)
    given = options.parse_args()
    candles = candles_of(given.candles)
    stored = json.loads(FILE.read_text()) if FILE.exists() else {}
    stored["candles"] = {
        "start_ms": START_MS,
        "bars": BARS,
        "sha256": hashlib.sha256(candles.tobytes()).hexdigest(),
        "every": EVERY,
    }
    packages = (given.engine, "numpy", "pandas")
    stored.setdefault("engines", {})[given.engine] = {
        "versions": {name: metadata.version(name) for name in packages},
        "differences": DIFFERENCES[given.engine],
        "cases": {case.name: described(case, given.engine, candles) for case in CASES + STORIES},
    }
    text = json.dumps(stored, indent=1)
    FILE.write_text(text + "\n")
    for name, case in stored["engines"][given.engine]["cases"].items():
        print(f"{given.engine} {name}: {case['orders']} orders, final {case['final']:.6f}")


if __name__ == "__main__":
    main()
