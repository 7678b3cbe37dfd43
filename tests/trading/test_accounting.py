"""What holds on every market: nothing is lost or made up, and a slow broker finds the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_broker import random_bars, random_targets, random_terms, slowly

from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

KINDS = ("open", "increase", "reduce", "close", "stop_loss", "take_profit", "liquidation")


def drawn(seed: int, leverage: float) -> tuple[Targets, Bars, Broker]:
    """A market, decisions and terms."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    bars = random_bars(rng, count, float(rng.choice([0.002, 0.02])), float(rng.choice([0, 0.2])))
    return random_targets(rng, count, leverage), bars, random_terms(rng, leverage)


CASES = st.tuples(st.integers(0, 2**32), st.sampled_from([1.0, 3.0, 10.0]))


@given(CASES)
@settings(max_examples=2000, deadline=None)
def test_cash_and_position_less_costs_are_conserved(case: tuple[int, float]) -> None:
    targets, bars, broker = drawn(*case)
    outcome = Candle().run(targets, bars, broker)
    cash, held = replayed(outcome, bars, broker.capital)
    close(outcome.cash, cash, broker.capital)
    close(outcome.position, held)
    mark = np.where(held == 0, 0.0, last_known(bars.ohlc[:, 3]))
    close(outcome.equity, cash + held * mark, broker.capital)
    made = outcome.equity[-1] - broker.capital
    close(made, outcome.trades["pnl"].sum(), broker.capital)
    check_prices(outcome, bars)
    assert (outcome.equity >= 0).all()


def close(found: np.ndarray | float, expected: np.ndarray | float, scale: float = 1.0) -> None:
    """Equal to 1e-9, of what they are or of the scale."""
    np.testing.assert_allclose(
        np.asarray(found), np.asarray(expected), rtol=1e-9, atol=1e-9 * scale
    )


def replayed(outcome: Outcome, bars: Bars, capital: float) -> tuple[np.ndarray, np.ndarray]:
    """Cash and size at every close, from the fills and payments alone, one after another."""
    at = {int(time): bar for bar, time in enumerate(bars.open_time)}
    cash, held = np.zeros(len(bars)), np.zeros(len(bars))
    columns = ("side", "size", "price", "commission", "slippage")
    rows = zip(*(outcome.fills[name].tolist() for name in columns), strict=True)
    for time, fill in zip(outcome.fills["time"].astype("int64").tolist(), rows, strict=True):
        side, size, price, commission, slippage = fill
        bar = at[time]
        cash[bar] -= side * size * price + commission + slippage
        held[bar] += side * size
    if outcome.shortfall:
        cash[bar] += outcome.shortfall
    held = np.cumsum(held)
    held[np.abs(held) < 1e-9] = 0.0
    return capital + np.cumsum(cash - outcome.funding), held


def last_known(closes: np.ndarray) -> np.ndarray:
    """Each close, or the last one that was there."""
    row = np.maximum.accumulate(np.where(np.isnan(closes), 0, np.arange(len(closes))))
    return closes[row]


def check_prices(outcome: Outcome, bars: Bars) -> None:
    """No price before slippage lies outside of its candle; entries are opens."""
    row = np.searchsorted(bars.open_time, outcome.fills["time"].astype("int64").to_numpy())
    price = outcome.fills["price"].to_numpy()
    opens, high, low, _ = bars.ohlc[row].T
    assert (price <= high).all()
    assert (price >= low).all()
    asked = outcome.fills["type"].isin(["open", "increase", "reduce", "close"]).to_numpy()
    assert (price[asked] == opens[asked]).all()


@given(CASES)
@settings(max_examples=500, deadline=None)
def test_a_slow_broker_in_plain_python_finds_the_same(case: tuple[int, float]) -> None:
    targets, bars, broker = drawn(*case)
    outcome = Candle().run(targets, bars, broker)
    slow, equity = slowly(targets, bars, broker)
    assert outcome.fills["type"].tolist() == [fill[1] for fill in slow.fills]
    found = outcome.fills.assign(size=outcome.fills["side"] * outcome.fills["size"])
    for name, place in (("size", 2), ("price", 3), ("commission", 4), ("slippage", 5)):
        close(found[name].to_numpy(), np.array([fill[place] for fill in slow.fills]))
    close(outcome.equity, np.array(equity), broker.capital)
    close(outcome.shortfall, slow.shortfall, broker.capital)
    close(outcome.funding, np.array([slow.funding.get(bar, 0.0) for bar in range(len(bars))]))


def test_the_drawn_cases_show_every_kind_of_fill() -> None:
    seen: set[str] = set()
    for seed in range(200):
        targets, bars, broker = drawn(seed, 10.0)
        seen |= set(Candle().run(targets, bars, broker).fills["type"])
    assert seen == set(KINDS)
