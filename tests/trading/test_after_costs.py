from __future__ import annotations

import numpy as np
import pytest
from money import MINUTE, bars_of, flat, targets_of

from mtf.trading import after_costs
from mtf.trading.candle import Candle
from mtf.trading.costs import Broker
from mtf.trading.targets import Targets

RISING = bars_of([flat(100.0), flat(100.0), flat(110.0), flat(120.0), flat(130.0), flat(140.0)])
FREE = Broker(commission=0.0, used=1.0, capital=1000.0)


def decided(weight: list[float], confidence: list[float]) -> Targets:
    targets = targets_of(dict(enumerate(weight)))
    none = targets.stop_loss
    return Targets(targets.times, targets.weight, np.array(confidence), none, none)


def test_cost_and_delay_by_hand() -> None:
    # in at minute 1, out at 4: bought at 100 with 10 coins, sold at 130
    grid = after_costs.by_cost_and_delay(
        targets_of({1: 1.0, 4: 0.0}),
        RISING,
        Candle(),
        FREE,
        commissions_bps=(0, 100),
        delays=(0, 1),
    )
    assert [(cell.commission_bps, cell.delay) for cell in grid] == [
        (0, 0), (0, 1), (100, 0), (100, 1),
    ]  # fmt: skip
    earned = [cell.net.total_return for cell in grid]
    # a minute later: bought at 110, sold at 140
    assert earned[:2] == pytest.approx([0.3, 140 / 110 - 1])
    assert earned[2] < 0.3 - 0.02
    assert earned[3] < earned[1]
    assert [cell.net.num_trades for cell in grid] == [1] * 4


def test_the_default_grid() -> None:
    grid = after_costs.by_cost_and_delay(targets_of({1: 1.0}), RISING, Candle(), FREE)
    assert len(grid) == 16
    assert {cell.commission_bps for cell in grid} == {0, 2, 5.5, 10}
    assert {cell.delay for cell in grid} == {0, 1, 2, 5}
    assert all(cell.net.num_trades == (cell.delay < 5) for cell in grid)  # minute 6 is not there


def test_makers_pay_as_much_and_the_broker_s_latency_stays() -> None:
    broker = Broker(maker_commission=-0.001, order_latency_ms=500, slippage_bps=3.0)
    terms = after_costs._terms(broker, 5.5, 2 * MINUTE)
    assert terms.commission == pytest.approx(0.00055)
    assert terms.maker_commission is None
    assert terms.order_latency_ms == 120_500
    assert terms.slippage_bps == 3.0


def test_a_clock_step_may_be_longer_than_a_bar() -> None:
    grid = after_costs.by_cost_and_delay(
        targets_of({1: 1.0, 4: 0.0}), RISING, Candle(), FREE,
        commissions_bps=(0,), delays=(1,), clock_ms=2 * MINUTE,
    )  # fmt: skip
    assert grid[0].net.total_return == pytest.approx(140 / 120 - 1)  # bought at 3, never sold


def test_only_confident_entries_are_traded() -> None:
    targets = decided([1, 0, -1, np.nan, 0, 1], [0.9, 0.1, 0.6, 0.2, 0.1, np.nan])
    kept, share = after_costs.confident(targets, 0.7)
    # leaving and staying need no confidence; what is unknown is too little
    assert np.array_equal(kept.weight, [1, 0, 0, np.nan, 0, 0], equal_nan=True)
    assert share == pytest.approx(1 / 3)
    kept, share = after_costs.confident(targets, -np.inf)
    assert np.array_equal(kept.weight, targets.weight, equal_nan=True)
    assert share == 1


def test_coverage_by_hand() -> None:
    # the sure entry earns 100 → 110, the other one loses 130 → 120 of a short
    bars = bars_of([flat(100.0), flat(110.0), flat(120.0), flat(130.0), flat(120.0)])
    targets = decided([1, 0, -1, 0], [0.9, 0.5, 0.6, 0.5])
    found = after_costs.by_coverage(targets, bars, Candle(), FREE, coverages=(1.0, 0.5))
    assert [one.traded for one in found] == [1, 0.5]
    assert all(one.in_hindsight for one in found)
    assert found[1].threshold == pytest.approx(0.75)  # between the two that enter
    assert found[1].net.total_return == pytest.approx(0.1)
    assert found[0].net.total_return == pytest.approx(1.1 * (1 - 10 / 120) - 1)
    assert (found[0].net.num_trades, found[1].net.num_trades) == (2, 1)


def test_thresholds_from_an_earlier_part_look_not_ahead() -> None:
    targets = decided([1, 0, -1, 0], [0.9, 0.5, 0.6, 0.5])
    earlier = decided([1, 1, 1, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.99])
    (found,) = after_costs.by_coverage(
        targets, RISING, Candle(), FREE, fixed_on=earlier, coverages=(0.5,)
    )
    assert not found.in_hindsight
    assert found.threshold == pytest.approx(0.25)
    assert found.traded == 1  # twice as many as was meant: what comes is surer than what was
    # and what later decisions say changes nothing of it
    changed = decided([1, 0, -1, 0], [0.9, 0.5, 0.1, 0.5])
    (again,) = after_costs.by_coverage(
        changed, RISING, Candle(), FREE, fixed_on=earlier, coverages=(0.5,)
    )
    assert again.threshold == found.threshold


def test_without_confidence_there_is_nothing_to_choose_by() -> None:
    assert after_costs.by_coverage(targets_of({1: 1.0}), RISING, Candle(), FREE) == []
