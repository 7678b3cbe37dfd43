"""A market drawn from another one: its moves in an order of chance, at every timeframe."""

from __future__ import annotations

import numpy as np
import pytest

from mtf.data_sources.bootstrapped import Bootstrapped
from mtf.data_sources.synthetic import Synthetic
from mtf.errors import ConfigError
from mtf.market.candles import CLOSE, Candles
from mtf.market.resample import resample
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

DAY = 86_400_000
MOMENTUM = {"name": "synthetic", "world": "momentum", "rho": 0.6}


def asked(*streams: tuple[str, str, int]) -> list[Request]:
    """Requests to the end of day 20: symbol, timeframe, first day."""
    return [
        Request(symbol, Timeframe.parse(name), day * DAY, 20 * DAY) for symbol, name, day in streams
    ]


def returns(candles: Candles) -> np.ndarray:
    """Log returns from close to close."""
    return np.diff(np.log(candles.ohlcv[:, CLOSE]))


def memory(candles: Candles) -> float:
    """Correlation of a return with the one before."""
    moves = returns(candles)
    return float(np.corrcoef(moves[1:], moves[:-1])[0, 1])


def test_the_moves_are_those_of_the_source_in_another_order() -> None:
    wanted = asked(("ETHUSDT", "1m", 15), ("BTCUSDT", "1m", 15))
    real = Synthetic(world="market").load(wanted)
    eth, btc = Bootstrapped(source={"name": "synthetic", "world": "market"}).load(wanted)
    assert len(eth) == len(real[0]) == 5 * 1440
    known = set(np.round(returns(real[0]), 9))
    assert np.mean([move in known for move in np.round(returns(eth), 9)]) > 0.99
    together = np.corrcoef(returns(eth), returns(btc))[0, 1]
    assert together == pytest.approx(
        np.corrcoef(returns(real[0]), returns(real[1]))[0, 1], abs=0.03
    )
    Candles.from_rows("ETHUSDT", eth.timeframe, eth.open_time(), eth.ohlcv)  # refuses what is none


def test_what_follows_what_is_lost_but_for_within_a_block() -> None:
    wanted = asked(("ETHUSDT", "1m", 10))
    (real,) = Synthetic(world="momentum", rho=0.6).load(wanted)
    (single,) = Bootstrapped(source=MOMENTUM).load(wanted)
    (blocks,) = Bootstrapped(source=MOMENTUM, block=30).load(wanted)
    assert memory(real) == pytest.approx(0.6, abs=0.03)
    assert memory(single) == pytest.approx(0.0, abs=0.03)
    assert memory(blocks) == pytest.approx(0.6 * 29 / 30, abs=0.03)


def test_a_seed_is_a_history() -> None:
    wanted = asked(("ETHUSDT", "1m", 18))
    one, same, other = (
        Bootstrapped(source=MOMENTUM, seed=seed).load(wanted)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.ohlcv, same.ohlcv)
    assert not np.array_equal(one.ohlcv, other.ohlcv)


def test_coarser_candles_are_made_of_finer_ones_and_reach_further_back() -> None:
    wanted = asked(
        *(("ETHUSDT", "1s", 18), ("ETHUSDT", "1m", 17), ("ETHUSDT", "1h", 5)),
        *(("BTCUSDT", "1m", 17), ("ETHUSDT", "1d", 0)),
    )
    source = {"name": "synthetic", "world": "random_walk"}
    seconds, minutes, hours, btc, days = Bootstrapped(source=source).load(wanted)
    assert [len(one) for one in (seconds, hours, days)] == [2 * 86_400, 15 * 24, 20]
    for fine, coarse in ((seconds, minutes), (minutes, hours), (hours, days)):
        built = resample(fine, coarse.timeframe)
        np.testing.assert_allclose(built.ohlcv, coarse.ohlcv[-len(built) :], rtol=1e-9)
    assert np.std(returns(btc)) == pytest.approx(0.03 / np.sqrt(1440), rel=0.05)
    (real,) = Synthetic(world="random_walk").load(asked(("ETHUSDT", "1d", -1)))
    assert set(np.round(returns(days)[:4], 6)) <= set(np.round(returns(real), 6))


def test_what_can_not_be_drawn_from_is_refused() -> None:
    with pytest.raises(ConfigError, match="a source with a name"):
        Bootstrapped(source={})
    with pytest.raises(ConfigError, match="block of at least 1"):
        Bootstrapped(source=MOMENTUM, block=0)
