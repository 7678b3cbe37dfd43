"""Bars a second of the candle engine with costs and funding, beside vectorbt where it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module, metadata, util
from typing import Annotated, Any

import numpy as np
import typer

from mtf.market.timeframe import Timeframe
from mtf.report.measure import Measured, Row, assert_equal, compared, rates, rounds
from mtf.trading import kernels
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle, prepared
from mtf.trading.costs import Broker
from mtf.trading.targets import Targets

MINUTE = 60_000
FUNDED_MS = 8 * 60 * MINUTE
BROKER = Broker(commission=1e-5, slippage_bps=0.1)
"""Small enough that the account lasts for a million bars."""
EQUAL = 1e-9
"""Of the capital: how far the equities of two engines may be apart."""


def run(
    bars: Annotated[int, typer.Option(min=100, help="Candles of one minute.")] = 1_000_000,
    every: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Bars from one change of target to the next (15, 60, 1440)."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 7,
) -> Measured:
    """Measure the compiled engine alone, whole runs with their tables, and vectorbt.

    All of mtf's variants pay commission, slippage and funding, and look for liquidation in every
    candle; those with stops have a stop and a take-profit, too. vectorbt pays commission on the
    same orders and knows neither funding nor liquidation; its equity is compared with mtf's on
    those terms. The ratio is to the first variant.
    """
    spans = every or [15, 60, 1440]
    market = walk(bars)
    variants: dict[str, Callable[[], object]] = {}
    notes = [
        "kernel: the compiled pass from orders to marked equity; run: with checks and tables of "
        "fills and round trips; × n = a change of target every n bars"
    ]
    if util.find_spec("vectorbt") is None:
        notes.append("vectorbt is not installed (pip install vectorbt): nothing to compare with")
    else:
        apart = check_equal(market, spans[0])
        variants |= beside(market, spans[0])
        notes.append(
            f"vectorbt {metadata.version('vectorbt')}: the same orders with commission alone; its "
            f"equity and mtf's are {apart:.1e} of the capital apart at most"
        )
    for span in spans:
        variants |= ways(market, span)
    seconds = rounds(variants, repeats)
    found: list[Row] = compared(rates(dict.fromkeys(variants, bars), seconds), "bars/s")
    return Measured(found, {"bars": bars, "every": spans, "repeats": repeats}, notes)


def walk(count: int) -> Bars:
    """A random walk of minutes with funding every eight hours."""
    rng = np.random.default_rng(count)
    close = 1_000 * np.exp(np.cumsum(rng.normal(0, 2e-4, count)))
    opens = np.concatenate([[1_000.0], close[:-1]])
    high, low = np.maximum(opens, close) * 1.0002, np.minimum(opens, close) * 0.9998
    ohlc = np.stack([opens, high, low, close], axis=1)
    times = np.arange(count, dtype=np.int64) * MINUTE
    paid = np.arange(0, count * MINUTE, FUNDED_MS, dtype=np.int64)
    valid = np.ones(count, dtype=np.bool_)
    rate = rng.normal(0, 1e-4, len(paid))
    return Bars("ETHUSDT", Timeframe.parse("1m"), times, ohlc, valid, paid, rate)


def decisions(market: Bars, every: int, *, lowest: float = -1.0) -> Targets:
    """A decision a bar, whose weight changes every so many of them."""
    count = len(market)
    drawn = np.random.default_rng(every).uniform(lowest, 1.0, count // every + 1)
    return Targets.plain(market.open_time, np.repeat(drawn, every)[:count])


def ways(market: Bars, every: int) -> dict[str, Callable[[], object]]:
    """The kernel without and with stops, and the whole run."""
    plain = decisions(market, every)
    distances = {"stop_loss": np.full(len(plain), 0.01), "take_profit": np.full(len(plain), 0.02)}
    stopped = replace(plain, **distances)
    return {
        f"mtf, kernel × {every}": kernel(market, plain),
        f"mtf, kernel with stops × {every}": kernel(market, stopped),
        f"mtf, run × {every}": partial(Candle().run, plain, market, BROKER),
    }


def kernel(market: Bars, targets: Targets) -> Callable[[], object]:
    """The compiled pass, once its orders are known."""
    given = prepared(targets, market, BROKER)
    return lambda: kernels.simulate(*given.results(), *given.arguments)


def beside(market: Bars, every: int) -> dict[str, Callable[[], object]]:
    """Vectorbt on the same orders, without and with its equity."""
    targets = decisions(market, every)
    return {
        f"vectorbt, from_orders × {every}": partial(vectorbt, market, targets),
        f"vectorbt, and equity × {every}": lambda: vectorbt(market, targets).value(),
    }


def vectorbt(market: Bars, targets: Targets) -> Any:
    """Vectorbt's portfolio of the same targets: at opens, only where the target changes."""
    package = import_module("vectorbt")
    wanted = targets.weight * BROKER.used
    size = np.where(np.diff(wanted, prepend=0.0) != 0.0, wanted, np.nan)
    return package.Portfolio.from_orders(
        market.ohlc[:, 3],
        size,
        size_type="targetpercent",
        price=market.ohlc[:, 0],
        fees=BROKER.commission,
        init_cash=BROKER.capital,
        freq="1min",
    )


def check_equal(market: Bars, every: int) -> float:
    """Make sure that both trade the same; how far the equities are apart, over the capital.

    Long only: mtf's flip closes, pays, and opens with what is left; vectorbt's is one order.

    Raises:
        MtfError: they do not.
    """
    bare = replace(market, funding_time=market.funding_time[:0], funding_rate=np.empty(0))
    targets = decisions(bare, every, lowest=0.0)
    ours = Candle().run(targets, bare, replace(BROKER, slippage_bps=0.0)).equity
    theirs = vectorbt(bare, targets).value().to_numpy()
    scale = BROKER.capital
    return assert_equal(ours / scale, theirs / scale, EQUAL, "mtf and vectorbt", "the equity")
