"""The benchmark of the engine: it measures what is traded, and says what it could not compare."""

from __future__ import annotations

from importlib import util

import numpy as np
import pytest

from mtf.benchmarks import backtest
from mtf.errors import MtfError
from mtf.trading.candle import Candle, prepared
from mtf.trading.kernels import simulate


def test_every_span_has_its_rows_and_a_missing_engine_is_told() -> None:
    found = backtest.run(bars=2_000, every=[15, 60], repeats=1)
    names = [row.variant for row in found.rows if row.variant.startswith("mtf")]
    whats = ("kernel", "kernel with stops", "run")
    assert names == [f"mtf, {what} × {span}" for span in (15, 60) for what in whats]
    assert all(row.median > 0 for row in found.rows)
    installed = util.find_spec("vectorbt") is not None
    assert any("vectorbt is not installed" in note for note in found.notes) is not installed


def test_what_is_measured_trades_pays_and_is_stopped() -> None:
    market = backtest.walk(2_000)
    targets = backtest.decisions(market, 15)
    outcome = Candle().run(targets, market, backtest.BROKER)
    assert len(outcome.trades) > 60
    assert outcome.commission.sum() > 0
    assert outcome.slippage.sum() > 0
    assert np.count_nonzero(outcome.funding) > 2
    given = prepared(targets, market, backtest.BROKER)
    results = given.results()
    count, _ = simulate(*results, *given.arguments)
    assert count == len(outcome.fills)
    assert np.array_equal(results[0][:, 0], outcome.equity)


def test_an_engine_that_trades_something_else_is_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Idle:
        """A portfolio that does nothing."""

        def value(self) -> Idle:
            return self

        def to_numpy(self) -> np.ndarray:
            return np.full(500, backtest.BROKER.capital)

    monkeypatch.setattr(backtest, "vectorbt", lambda market, targets: Idle())
    with pytest.raises(MtfError, match="mtf and vectorbt differ"):
        backtest.check_equal(backtest.walk(500), 15)
