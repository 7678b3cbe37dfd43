"""What other backtests got wrong, each by its name."""

from __future__ import annotations

import numpy as np
import pytest
from money import flat, traded

FALLING = [flat(100.0), (100.0, 100.0, 90.0, 90.0), (90.0, 90.0, 80.0, 80.0), flat(80.0)]
RISING = [flat(100.0), (100.0, 110.0, 100.0, 110.0), (110.0, 120.0, 110.0, 120.0), flat(120.0)]


@pytest.mark.parametrize(("candles", "weight", "profit"), [
    (FALLING, -1, 200.0), (RISING, -1, -200.0), (FALLING, 1, -200.0), (RISING, 1, 200.0),
])  # fmt: skip
def test_short_profit_with_the_wrong_sign(candles: list, weight: float, profit: float) -> None:
    outcome = traded(candles, {1: weight, 3: 0})
    assert outcome.equity[-1] == pytest.approx(1000 + profit)
    assert outcome.trades["pnl"].tolist() == pytest.approx([profit])
    assert np.sign(outcome.returns[1]) == np.sign(profit)


def test_commission_only_at_the_close() -> None:
    outcome = traded(RISING, {1: 0.5, 3: 0}, commission=0.01)
    assert outcome.commission == pytest.approx([0, 5, 0, 6])
    assert outcome.fills["commission"].tolist() == pytest.approx([5, 6])


def test_last_position_never_marked() -> None:
    outcome = traded(RISING, {1: 1})
    assert outcome.equity.tolist() == [1000, 1100, 1200, 1200]
    assert outcome.trades["exit"].tolist() == ["end"]
    assert outcome.trades["pnl"].tolist() == pytest.approx([200])


def test_equity_not_net_of_costs() -> None:
    costs = {"commission": 0.01, "slippage_bps": 100.0}
    outcome = traded([flat(100.0)] * 4, {1: 0.5, 2: -0.5, 3: 0}, **costs)
    paid = outcome.commission.sum() + outcome.slippage.sum()
    assert paid > 30
    assert outcome.equity[-1] == pytest.approx(1000 - paid)
    assert outcome.equity[1] == pytest.approx(990)  # at once, not when the trade is over


def test_entry_at_the_candle_that_decided() -> None:
    # the candle that opens at 0:01 jumps; deciding at its close, 0:02, comes too late for it
    candles = [flat(100.0), (100.0, 150.0, 100.0, 150.0), flat(150.0), flat(150.0)]
    outcome = traded(candles, {2: 1})
    assert outcome.fills["price"].tolist() == [150]
    assert outcome.equity.tolist() == [1000] * 4
