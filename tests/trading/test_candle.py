"""Six candles written out, and what trading them comes to."""

from __future__ import annotations

import numpy as np
import pytest
from money import MINUTE, bars_of, flat, targets_of, traded

from mtf.errors import DataError

SIX = [
    (100.0, 102.0, 99.0, 101.0),
    (100.0, 106.0, 98.0, 104.0),
    (104.0, 108.0, 103.0, 106.0),
    (106.0, 107.0, 100.0, 102.0),
    (102.0, 104.0, 101.0, 103.0),
    (103.0, 105.0, 102.0, 104.0),
]
COSTS = {"commission": 0.01, "slippage_bps": 10.0, "used": 0.5}
HALF = {"used": 0.5}


def test_long() -> None:
    outcome = traded(SIX, {1: 1, 4: 0}, **COSTS)
    # 5 coins at 100 cost 500, 5 of commission and 0.5 of slippage; sold at 102 for 510 less 5.61
    assert outcome.equity == pytest.approx([1000, 1014.5, 1024.5, 1004.5, 998.89, 998.89])
    assert outcome.position == pytest.approx([0, 5, 5, 5, 0, 0])
    assert outcome.cash == pytest.approx([1000, 494.5, 494.5, 494.5, 998.89, 998.89])
    assert outcome.commission == pytest.approx([0, 5, 0, 0, 5.1, 0])
    assert outcome.slippage == pytest.approx([0, 0.5, 0, 0, 0.51, 0])
    (trade,) = outcome.trades.to_dict("records")
    assert (trade["type"], trade["exit"]) == ("long", "close")
    assert (trade["price"], trade["exit_price"], trade["size"]) == (100, 102, 5)
    assert trade["pnl"] == pytest.approx(10 - 10.1 - 1.01)
    assert trade["entry_time"].value == MINUTE * 10**6
    assert outcome.fills["type"].tolist() == ["open", "close"]
    assert outcome.fills["side"].tolist() == [1, -1]


def test_short() -> None:
    falling = [flat(100.0), (100.0, 101.0, 90.0, 90.0), (90.0, 92.0, 80.0, 80.0), flat(80.0)]
    outcome = traded([*falling, flat(85.0), flat(85.0)], {1: -1, 4: 0}, **COSTS)
    # 5 coins sold at 100 bring 500 less 5.5; bought back at 85 for 425 and 4.675
    assert outcome.equity == pytest.approx([1000, 1044.5, 1094.5, 1094.5, 1064.825, 1064.825])
    assert outcome.position == pytest.approx([0, -5, -5, -5, 0, 0])
    assert outcome.trades["pnl"].tolist() == pytest.approx([64.825])
    assert outcome.fills["side"].tolist() == [-1, 1]


def test_a_flip_closes_and_opens_with_what_is_left() -> None:
    outcome = traded(SIX, {1: 1, 3: -1}, commission=0.01, used=0.5)
    left = 1000 - 5 + 5 * (106 - 100) - 5.3  # 1019.7
    size = 0.5 * left / 106
    assert outcome.fills["type"].tolist() == ["open", "close", "open"]
    assert outcome.fills["size"].tolist() == pytest.approx([5, 5, size])
    assert outcome.fills["price"].tolist() == [100, 106, 106]
    assert outcome.equity[3] == pytest.approx(left - 5.0985 + size * (106 - 102))
    assert outcome.trades["type"].tolist() == ["long", "short"]
    assert outcome.trades["exit"].tolist() == ["close", "end"]


def test_funding_is_paid_on_the_position_held_just_before_its_time() -> None:
    # at 1:00 the fill comes after the payment, at 3:00 the close does; 3.5 is inside a candle
    bars = bars_of(SIX, {1: 0.01, 2: 0.01, 3: 0.01, 3.5: 0.01})
    outcome = traded(bars, {1: 1, 3: 0}, **HALF)
    assert outcome.funding == pytest.approx([0, 0, 5 * 104 * 0.01, 5 * 106 * 0.01, 0, 0])
    assert outcome.equity[-1] == pytest.approx(1030 - 10.5)
    assert outcome.trades["funding"].tolist() == pytest.approx([10.5])
    assert outcome.trades["pnl"].tolist() == pytest.approx([19.5])


def test_shorts_get_what_longs_pay_and_pay_negative_rates() -> None:
    outcome = traded(bars_of(SIX, {2: 0.01, 3: -0.02}), {1: -1}, **HALF)
    assert outcome.funding == pytest.approx([0, 0, -5.2, 10.6, 0, 0])


def test_funding_inside_a_candle_is_on_what_its_open_filled() -> None:
    outcome = traded(bars_of(SIX, {1.5: 0.01}), {1: 1}, **HALF)
    assert outcome.funding[1] == pytest.approx(5 * 100 * 0.01)


def test_funding_inside_a_candle_is_not_paid_on_what_its_open_ended() -> None:
    bars = bars_of([flat(100.0), flat(100.0), flat(90.0)], {2.5: 0.01})
    outcome = traded(bars, targets_of({1: 1}, stop_loss=0.05))
    assert outcome.fills["price"].tolist() == [100, 90]
    assert outcome.funding.tolist() == [0, 0, 0]


def test_funding_in_a_missing_candle_is_valued_at_the_last_close() -> None:
    bars = bars_of([*SIX[:3], None, *SIX[4:]], {3: 0.01})
    assert traded(bars, {1: 1}, **HALF).funding[3] == pytest.approx(5 * 106 * 0.01)


def test_liquidation() -> None:
    """4 × long: 40 coins at 100, 3,000 owed; at p = 3000 / (40 · 0.99) equity is 1 % of 40 p."""
    falling = [flat(100.0), flat(100.0), (90.0, 91.0, 70.0, 80.0), flat(80.0), flat(100.0)]
    outcome = traded(
        [*falling, flat(100.0)], {1: 4, 4: 4, 5: 1}, leverage=4.0, maintenance_margin=0.01
    )
    price = 3000 / 39.6
    left = 40 * price - 3000
    assert outcome.fills["type"].tolist() == ["open", "liquidation", "open"]
    assert outcome.fills["price"][1] == pytest.approx(price)
    assert outcome.equity == pytest.approx([1000, 1000, left, left, left, left])
    assert outcome.shortfall == 0.0
    assert outcome.fills["size"][2] == pytest.approx(left / 100)  # only a new target trades


def test_a_short_is_liquidated_above() -> None:
    """2 × short: 20 coins sold at 100, cash 3,000; at p = 3000 / (20 · 1.01) equity is 1 %."""
    rising = [flat(100.0), (100.0, 149.0, 99.0, 140.0), (140.0, 160.0, 130.0, 135.0)]
    outcome = traded(rising, {1: -2}, leverage=2.0, maintenance_margin=0.01)
    assert outcome.fills["price"][1] == pytest.approx(3000 / 20.2)
    assert outcome.fills["type"][1] == "liquidation"


def test_a_liquidation_behind_a_gap_never_costs_more_than_there_is() -> None:
    falling = [flat(100.0), flat(100.0), flat(70.0), flat(100.0), flat(100.0), flat(100.0)]
    outcome = traded(falling, {1: 4, 3: 1, 4: -1}, leverage=4.0, commission=0.01)
    # 40 coins, 3,040 owed with the commission; sold at 70 they bring 2,800 − 28
    assert outcome.equity == pytest.approx([1000, 960, 0, 0, 0, 0])
    assert outcome.shortfall == pytest.approx(268)
    assert len(outcome.fills) == 2  # a bankrupt account stays flat
    assert outcome.trades["pnl"].tolist() == pytest.approx([-1000])
    assert outcome.returns.tolist() == pytest.approx([0, -0.04, -1, 0, 0, 0])
    assert outcome.daily()[1].tolist() == [-1]


@pytest.mark.parametrize(("stop_loss", "ended"), [(0.2, "stop_loss"), (0.3, "liquidation")])
def test_the_nearer_of_stop_and_liquidation_comes_first(stop_loss: float, ended: str) -> None:
    falling = [flat(100.0), (100.0, 100.0, 60.0, 60.0)]
    weights = targets_of({1: 4}, stop_loss=stop_loss)
    outcome = traded(falling, weights, leverage=4.0, maintenance_margin=0.01)
    assert outcome.fills["type"][1] == ended
    assert outcome.fills["price"][1] == pytest.approx(80 if ended == "stop_loss" else 3000 / 39.6)


def test_a_gap_over_the_stop_fills_at_the_open() -> None:
    candles = [flat(100.0), flat(100.0), (90.0, 99.0, 88.0, 95.0), flat(95.0)]
    outcome = traded(candles, targets_of({1: 1}, stop_loss=0.05))
    assert outcome.fills["price"].tolist() == [100, 90]
    assert outcome.equity.tolist() == [1000, 1000, 900, 900]


def test_a_gap_over_the_take_profit_fills_at_the_open_whatever_comes_after() -> None:
    candles = [flat(100.0), flat(100.0), (110.0, 112.0, 80.0, 95.0), flat(95.0)]
    outcome = traded(candles, targets_of({1: 1}, stop_loss=0.05, take_profit=0.05))
    assert outcome.fills["type"].tolist() == ["open", "take_profit"]
    assert outcome.fills["price"].tolist() == [100, 110]


def test_what_the_open_has_passed_fills_before_the_order_there() -> None:
    candles = [flat(100.0), flat(100.0), flat(90.0), flat(90.0)]
    outcome = traded(candles, targets_of({1: 1, 2: 0.5}, stop_loss=0.05))
    assert outcome.fills["type"].tolist() == ["open", "stop_loss", "open"]
    assert outcome.position.tolist() == [0, 10, 5, 5]


def test_a_stop_inside_a_candle() -> None:
    candles = [flat(100.0), (100.0, 104.0, 94.0, 103.0), flat(103.0), flat(103.0), flat(103.0)]
    outcome = traded(candles, targets_of({1: 1, 2: 1, 3: 1}, stop_loss=0.05), slippage_bps=10.0)
    # the stop of the candle that filled counts: its low comes after its open
    assert outcome.fills["price"].tolist() == [100, 95]
    assert outcome.slippage == pytest.approx([0, 1.95, 0, 0, 0])
    assert outcome.equity[-1] == pytest.approx(950 - 1.95)  # flat until the target changes


def test_the_stop_comes_before_the_take_profit() -> None:
    candles = [flat(100.0), (100.0, 106.0, 94.0, 103.0)]
    weights = targets_of({1: 1}, stop_loss=0.05, take_profit=0.05)
    assert traded(candles, weights).fills["type"][1] == "stop_loss"
    weights = targets_of({1: -1}, stop_loss=0.05, take_profit=0.05)
    assert traded(candles, weights).fills["price"][1] == 105


def test_a_take_profit_rests_in_the_book() -> None:
    candles = [flat(100.0), (100.0, 106.0, 99.0, 101.0)]
    weights = targets_of({1: 1}, take_profit=0.05)
    costs = {"commission": 0.01, "maker_commission": -0.001, "slippage_bps": 10.0}
    outcome = traded(candles, weights, **costs)
    assert outcome.fills["price"].tolist() == [100, 105]
    assert outcome.fills["commission"].tolist() == pytest.approx([10, -1.05])
    assert outcome.fills["slippage"].tolist() == pytest.approx([1, 0])


def test_after_a_stop_another_target_enters() -> None:
    candles = [flat(100.0), (100.0, 100.0, 94.0, 100.0), *[flat(100.0)] * 4]
    outcome = traded(candles, targets_of({1: 1, 2: 1, 3: np.nan, 4: 0, 5: 1}, stop_loss=0.05))
    assert outcome.position.tolist() == [0, 0, 0, 0, 0, 9.5]


def test_the_last_position_is_marked() -> None:
    outcome = traded(SIX, {4: 1}, **HALF)
    size = 500 / 102
    assert outcome.equity == pytest.approx([1000] * 4 + [1000 + size, 1000 + 2 * size])
    (trade,) = outcome.trades.to_dict("records")
    assert (trade["exit"], trade["exit_price"]) == ("end", pytest.approx(104))
    assert trade["exit_time"].value == 6 * MINUTE * 10**6
    assert trade["pnl"] == pytest.approx(2 * size)


def test_only_a_change_of_target_trades() -> None:
    outcome = traded(SIX, {0: 0, 1: 1, 2: 1, 3: np.nan, 4: 1}, **HALF)
    assert outcome.position == pytest.approx([0, 5, 5, 5, 5, 5])


def test_increase_and_reduce() -> None:
    prices = [flat(100.0), flat(100.0), flat(110.0), flat(120.0), flat(120.0)]
    outcome = traded(prices, {1: 0.5, 2: 1, 3: 0.5, 4: 0})
    # 5 at 100; equity 1,050 at 110 is 9.5454 coins; 1,145.45 at 120 halved is 4.7727
    assert outcome.position == pytest.approx([0, 5, 1050 / 110, 1050 / 110 * 0.5, 0])
    assert outcome.fills["type"].tolist() == ["open", "increase", "reduce", "close"]
    (trade,) = outcome.trades.to_dict("records")
    assert trade["price"] == pytest.approx((500 + (1050 / 110 - 5) * 110) / (1050 / 110))
    assert trade["exit_price"] == pytest.approx(120)
    assert trade["pnl"] == pytest.approx(outcome.equity[-1] - 1000)


def test_the_last_of_several_decisions_before_a_bar_counts_and_waits_for_one() -> None:
    candles = [flat(100.0), None, None, flat(110.0), flat(110.0)]
    outcome = traded(candles, {1: 1, 2: -1, 3: np.nan})
    assert outcome.fills["price"].tolist() == [110]
    assert outcome.position[3] < 0


def test_an_order_waits_for_its_latency() -> None:
    assert traded(SIX, {1: 1}, order_latency_ms=1).fills["price"].tolist() == [104]
    assert traded(SIX, {1: 1}, order_latency_ms=MINUTE).fills["price"].tolist() == [104]
    assert traded(SIX, {5: 1}, order_latency_ms=1).fills.empty


def test_a_missing_bar_keeps_the_last_mark() -> None:
    outcome = traded([*SIX[:2], None, None, *SIX[4:]], {1: 1}, **HALF)
    assert outcome.equity == pytest.approx([1000, 1020, 1020, 1020, 1015, 1020])


def test_sizes_are_rounded_down_to_lots() -> None:
    candles = [flat(300.0)] * 4
    assert traded(candles, {1: 1, 2: -1}, lot_size=0.1).fills["size"].tolist() == pytest.approx(
        [3.3, 3.3, 3.3]
    )
    assert traded(candles, {1: 0.03}, lot_size=0.1).fills["size"].tolist() == pytest.approx([0.1])
    assert traded(candles, {1: 0.02}, lot_size=0.1).fills.empty


def test_exits_are_rounded_to_ticks_against_the_trader() -> None:
    candles = [flat(100.0), (100.3, 100.3, 90.0, 90.0)]
    long = traded(candles, targets_of({1: 1}, stop_loss=0.05), tick_size=0.5)
    assert long.fills["price"][1] == 95.0  # 95.285: the seller gets less
    rising = [flat(100.0), (100.3, 110.0, 100.3, 110.0)]
    short = traded(rising, targets_of({1: -1}, stop_loss=0.05), tick_size=0.5)
    assert short.fills["price"][1] == 105.5  # 105.315: the buyer pays more
    profit = traded(rising, targets_of({1: 1}, take_profit=0.05), tick_size=0.5)
    assert profit.fills["price"][1] == 105.0


def test_a_price_on_the_grid_stays_there() -> None:
    candles = [flat(100.0), (100.0, 100.0, 90.0, 90.0)]
    outcome = traded(candles, targets_of({1: 1}, stop_loss=0.05), tick_size=0.1)
    assert outcome.fills["price"][1] == pytest.approx(95.0, abs=1e-9)


def test_orders_too_small_are_not_sent_but_closing_is_allowed() -> None:
    outcome = traded([flat(100.0)] * 5, {1: 0.5, 2: 0.52, 3: 0.49}, min_notional=50.0)
    assert outcome.fills["type"].tolist() == ["open"]
    small = traded([flat(100.0), flat(100.0), flat(1.0), flat(1.0)], {1: 1, 2: 0}, min_notional=50)
    assert small.fills["type"].tolist() == ["open", "close"]


def test_weights_beyond_the_leverage_are_cut() -> None:
    outcome = traded([flat(100.0)] * 4, {1: 3, 2: 2.5}, leverage=2.0)
    assert outcome.position.tolist() == [0, 20, 20, 20]


def test_confidence_of_the_decision_goes_with_its_fills() -> None:
    candles = [flat(100.0), (100.0, 100.0, 94.0, 94.0)]
    outcome = traded(candles, targets_of({1: 1}, stop_loss=0.05, confidence=0.7))
    assert outcome.fills["confidence"][0] == 0.7
    assert np.isnan(outcome.fills["confidence"][1])
    assert outcome.trades["confidence"].tolist() == [0.7]


def test_without_decisions_nothing_happens() -> None:
    outcome = traded(SIX, {})
    assert outcome.equity.tolist() == [1000] * 6
    assert outcome.fills.empty
    assert outcome.trades.empty
    assert traded([], {}).equity.tolist() == []


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (targets_of({-1: 1}), "decisions from"),
        (targets_of({7: 1}), "decisions from"),
        (targets_of({2: 1, 1: 1}), "out of order"),
        (targets_of({1: 1}, stop_loss=0.0), "stop_loss of 0"),
        (targets_of({1: 1}, take_profit=-0.1), "take_profit of -0.1"),
    ],
)
def test_targets_that_make_no_sense_are_refused(weights: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        traded(SIX, weights)  # type: ignore[arg-type]
