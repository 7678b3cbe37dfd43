"""A session traded as a backtest: late orders, funding, holes at the ends, worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from tasks import small_config
from worlds import MINUTE, candles_of

from mtf.config.schema import Config
from mtf.errors import ConfigError, DataError
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.predictions import Predictions
from mtf.realtime.batch_answers import decisions_of
from mtf.realtime.batch_backtest import session_backtest, session_bars, session_broker
from mtf.realtime.decision import Decision
from mtf.realtime.events import Key

NAN = float("nan")
FREE = {"commission": 0.0}
CLOCK = ("ETHUSDT", Timeframe.parse("1m"))
FINE = ("ETHUSDT", Timeframe.parse("30s"))
PRICES = [100.0, 100.0, 110.0, 120.0, 120.0]
"""Open of each minute; it closes where the next one opens, the last one at 120."""
SIDES = ("buy", "sell", "hold")


def config_of(*, fine: bool = False, **costs: object) -> Config:
    """A run on minutes, or on half minutes too, that puts all of 1,000 into a position."""
    streams = {"30s": {"lookback": 8}} if fine else {}
    backtest = {"capital": 1_000.0, "used": 1.0}
    return small_config(streams=streams, costs={**FREE, **costs}, backtest=backtest)


def minutes_of(prices: list[float | None]) -> Candles:
    """Minutes from 0 on that move from open to open; None = there is none."""
    after = [*prices[1:], prices[-1]]
    ends = [(one, one if two is None else two) for one, two in zip(prices, after, strict=True)]
    return candles_of(
        [
            None if one is None or two is None else (one, max(one, two), min(one, two), two, 1.0)
            for one, two in ends
        ]
    )


def market(fine: bool = False) -> dict[Key, Candles]:
    """The minutes, and half minutes that lie on the line between their prices."""
    found: dict[Key, Candles] = {CLOCK: minutes_of(list(PRICES))}
    if fine:
        at = np.interp(np.arange(11) / 2, np.arange(6), [*PRICES, PRICES[-1]])
        rows = [(a, max(a, b), min(a, b), b, 1.0) for a, b in pairwise(at)]
        found[FINE] = candles_of([*rows], "30s")
    return found


def decision(minute: int, weight: float) -> Decision:
    return Decision(minute * MINUTE, {}, weight, weight, NAN, NAN, NAN)


LONG_AT_1 = [decision(1, 1.0), decision(2, 1.0), decision(3, 0.0)]


def test_a_decision_that_takes_time_is_filled_at_the_next_open() -> None:
    config = config_of()
    for delay_ms, entry, leave in ((0, 100.0, 120.0), (2_000, 110.0, 120.0)):
        bars = session_bars(config, market(), 0, 5 * MINUTE, decision_delay_ms=delay_ms)
        broker = session_broker(config, delay_ms)
        found = session_backtest(config, LONG_AT_1, bars, broker)
        assert found.fills["price"].tolist() == [entry, leave]
        assert found.equity[-1] == pytest.approx(1_000 * leave / entry, rel=1e-12)


def test_with_finer_candles_it_is_filled_in_them() -> None:
    config = config_of(fine=True, order_latency_ms=10_000)
    broker = session_broker(config, 2_000)
    assert broker.order_latency_ms == 12_000
    bars = session_bars(config, market(fine=True), 0, 5 * MINUTE, decision_delay_ms=2_000)
    found = session_backtest(config, LONG_AT_1, bars, broker)
    # Twelve seconds after minute 1 the next half minute opens in the middle of 100 and 110.
    assert found.fills["price"].tolist() == [105.0, 120.0]


def test_funding_of_the_session_is_paid_on_what_is_held() -> None:
    config = config_of()
    funding = {0: 0.5, 3 * MINUTE: 0.001, 5 * MINUTE: 0.5}
    bars = session_bars(config, market(), MINUTE, 5 * MINUTE, decision_delay_ms=0, funding=funding)
    assert bars.funding_time.tolist() == [3 * MINUTE]
    found = session_backtest(config, LONG_AT_1, bars, session_broker(config, 0))
    # Ten coins bought at 100 are worth 1,200 when a thousandth of it is paid.
    assert found.funding.sum() == pytest.approx(1.2, rel=1e-12)
    assert found.equity[-1] == pytest.approx(1_198.8, rel=1e-12)


def test_minutes_that_never_came_at_the_ends_are_bars_without_a_candle() -> None:
    config, prices = config_of(), [None, 100.0, 110.0, 120.0, None]
    candles = {CLOCK: minutes_of(prices)}
    bars = session_bars(config, candles, 0, 5 * MINUTE, decision_delay_ms=0)
    assert bars.valid.tolist() == [False, True, True, True, False]
    early = [decision(0, 1.0), decision(5, 0.0)]
    found = session_backtest(config, early, bars, session_broker(config, 0))
    assert found.fills["price"].tolist() == [100.0]
    assert found.equity.tolist() == pytest.approx([1_000, 1_100, 1_200, 1_200, 1_200])


def test_predictions_and_the_decisions_made_of_them_come_to_the_same() -> None:
    config = config_of(commission=0.001, slippage_bps=1.0)
    rng = np.random.default_rng(0)
    prices = (100 * np.exp(np.cumsum(rng.normal(0, 1e-3, 200)))).tolist()
    candles = {CLOCK: minutes_of(prices)}
    times = np.arange(1, 199, dtype=np.int64) * MINUTE
    probs = rng.dirichlet(np.ones(3), len(times))
    arrays = {f"action.prob_{side}": probs[:, i] for i, side in enumerate(SIDES)}
    said = Predictions(times, "ETHUSDT", "live", arrays)
    bars = session_bars(config, candles, 0, 199 * MINUTE, decision_delay_ms=2_000)
    broker = session_broker(config, 2_000)
    one = session_backtest(config, said, bars, broker)
    other = session_backtest(config, decisions_of(config, said), bars, broker)
    assert len(one.fills) > 100
    assert one.fills.equals(other.fills)
    assert one.equity.tolist() == other.equity.tolist()
    flat = [Decision(int(time), {}, 1.0, 0.0, NAN, NAN, NAN) for time in times]
    assert not len(session_backtest(config, flat, bars, broker).fills), "wanted is not ordered"


def test_what_can_not_be_traded_is_told() -> None:
    config = config_of()
    with pytest.raises(DataError, match="no candles of ETHUSDT 1m were given"):
        session_bars(config, {}, 0, MINUTE, decision_delay_ms=0)
    untraded = config.model_copy(update={"backtest": None})
    with pytest.raises(ConfigError, match="backtest is null"):
        session_broker(untraded, 0)
