"""From predictions to money in one call."""

from __future__ import annotations

import numpy as np
import pytest
from money import FREE, MINUTE, bars_of

from mtf.errors import DataError
from mtf.predictions import Predictions
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.policies import Position
from mtf.trading.run import backtest

CANDLES = [(100.0, 102.0, 99.0, 100.0), (100.0, 110.0, 100.0, 110.0), (110.0, 110.0, 90.0, 90.0)]


def predictions(symbol: str) -> Predictions:
    times = np.array([1, 2], dtype=np.int64) * MINUTE
    weight = {"position.weight": np.array([0.5, -0.5], np.float32)}
    return Predictions(times, symbol, "test", weight)


def test_predictions_become_equity() -> None:
    terms = (bars_of(CANDLES), Position(), Candle(), Broker(**FREE))
    outcome = backtest(predictions("ETHUSDT"), *terms)
    # 5 coins earn 50; 525 sold at 110 earn 525 · 20 / 110 down to 90
    assert outcome.equity == pytest.approx([1000, 1050, 1050 + 525 * 20 / 110])


def test_candles_of_another_symbol_are_refused() -> None:
    terms = (bars_of(CANDLES), Position(), Candle(), Broker(**FREE))
    with pytest.raises(DataError, match="predictions of BTCUSDT and candles of ETHUSDT"):
        backtest(predictions("BTCUSDT"), *terms)
