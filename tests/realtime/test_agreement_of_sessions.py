"""What differs between a session and its backtest, and why: differences made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as fuzzed
from hypothesis import strategies as st
from sessions_of_candles import arriving, market, told
from tasks import small_config
from whole import minutes, small_whole, whole_model
from worlds import MINUTE, random_candles

from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.predictions import Predictions
from mtf.realtime.agreement import Agreement, columns_apart, compare
from mtf.realtime.batch_answers import batch_predictions, decisions_of
from mtf.realtime.batch_backtest import session_backtest, session_bars, session_broker
from mtf.realtime.decision import Decision
from mtf.realtime.events import Key
from mtf.realtime.session_candles import as_decided, on_time
from mtf.trading.tables import utc

NAN = float("nan")
NOON = 1_748_779_200_000  # 2025-06-01 12:00
M1 = Timeframe.parse("1m")
ETH, BTC = ("ETHUSDT", M1), ("BTCUSDT", M1)
CONFIG = small_config()
FIRST_SLOT = NOON // MINUTE - 30


def candles(seed: int = 0) -> dict[Key, Candles]:
    """An hour of minutes from half past eleven on, all known by the timetable."""
    return {
        ETH: random_candles(60, seed, first_slot=FIRST_SLOT),
        BTC: random_candles(60, seed + 1, symbol="BTCUSDT", first_slot=FIRST_SLOT),
    }


def late(of: Candles, minute: int, by_ms: int) -> Candles:
    """With the candle of a minute after noon known so much later than its close."""
    after = np.zeros(len(of), np.int64)
    after[30 + minute] = by_ms
    return arriving(of, after)


def missing(of: Candles, minute: int) -> Candles:
    """Without the candle of a minute after noon."""
    valid, ohlcv = of.valid.copy(), of.ohlcv.copy()
    valid[30 + minute], ohlcv[30 + minute] = False, np.nan
    return replace(of, valid=valid, ohlcv=ohlcv)


def decisions(weights: Mapping[int, float], said: float = 0.5, **more: Any) -> list[Decision]:
    """Decisions by the minute after noon."""
    return [
        Decision(
            NOON + minute * MINUTE,
            {"action.prob_buy": said},
            weight,
            weight,
            NAN,
            NAN,
            NAN,
            **more,
        )
        for minute, weight in weights.items()
    ]


def fills(*rows: tuple[int, str, int, float, float]) -> pd.DataFrame:
    """Fills: minute after noon, type, side, price, size."""
    columns = ("minute", "type", "side", "price", "size")
    frame = pd.DataFrame(list(rows), columns=list(columns))
    frame["time"] = utc(NOON + frame["minute"].to_numpy(np.int64) * MINUTE)
    return frame


NONE = pd.DataFrame()
TEN: dict[int, float] = dict.fromkeys(range(1, 11), 1.0)


def agreement(
    live: Sequence[Decision],
    expected: Sequence[Decision],
    live_fills: pd.DataFrame = NONE,
    expected_fills: pd.DataFrame = NONE,
    *,
    own: Mapping[Key, Candles] | None = None,
    research: Mapping[Key, Candles] | None = None,
) -> Agreement:
    return compare(
        CONFIG,
        live,
        expected,
        live_fills,
        expected_fills,
        candles=own or candles(),
        expected_candles=research,
    )


def changed(of: list[Decision], minute: int, **changes: Any) -> list[Decision]:
    """With the decision of one minute changed."""
    at = NOON + minute * MINUTE
    return [replace(one, **changes) if one.time_ms == at else one for one in of]


def test_what_is_identical_is_said_in_one_sentence() -> None:
    both = fills((1, "open", 1, 100.0, 2.0), (9, "close", -1, 101.0, 2.0))
    found = agreement(decisions(TEN), decisions(TEN), both, both)
    assert found.identical
    assert found.sentence == "identical 10 of 10 decisions and 2 of 2 fills"
    nothing = agreement([], [])
    assert nothing.sentence == "identical 0 of 0 decisions and 0 of 0 fills"


def test_what_was_said_counts_up_to_a_hundred_thousandth() -> None:
    near, far = decisions(TEN, 0.5 + 0.9e-5), decisions(TEN, 0.5 + 1.1e-5)
    assert agreement(near, decisions(TEN)).identical
    assert agreement(far, decisions(TEN)).same_decisions == 0
    # Above 1 it is a share of what was expected.
    assert columns_apart({"x": 1_000.009}, {"x": 1_000.0}) == ""
    assert columns_apart({"x": 1_000.011}, {"x": 1_000.0}) == "x is 1000.01 for 1000"
    assert columns_apart({"x": NAN, "y": np.inf}, {"x": NAN, "y": np.inf}) == ""
    assert columns_apart({"x": NAN}, {"x": 0.0}) == "x is nan for 0"
    assert columns_apart({"x": 0.0}, {"x": NAN}) == "x is 0 for nan"
    assert columns_apart({"x": 0.0}, {}) == "x was said by one of them alone"
    assert columns_apart({}, {"x": 0.0}) == "x was said by one of them alone"


def test_a_weight_that_leaves_the_position_is_equal_to_itself() -> None:
    assert agreement(decisions({1: NAN}), decisions({1: NAN})).identical
    assert not agreement(decisions({1: NAN}), decisions({1: 0.0})).identical


def test_a_late_candle_is_named_with_its_lateness() -> None:
    live = changed(decisions(TEN), 3, said={"action.prob_buy": 0.4})
    own = {**candles(), BTC: late(candles()[BTC], 2, 3_250)}
    found = agreement(live, decisions(TEN), own=own, research=candles())
    assert found.sentence == (
        "identical 9 of 10 decisions and 0 of 0 fills; first difference at 2025-06-01 12:03:00, "
        "because the candle BTCUSDT 1m of 2025-06-01 12:02:00 (stream btc) came 3.25 s too late"
    )


def test_a_candle_that_never_came_is_named_and_others_are_counted() -> None:
    live = changed(decisions(TEN), 3, said={"action.prob_buy": 0.4})
    own = {ETH: missing(candles()[ETH], 1), BTC: missing(missing(candles()[BTC], 2), 0)}
    (why,) = reasons(agreement(live, decisions(TEN), own=own, research=candles()))
    assert why == (
        "the candle BTCUSDT 1m of 2025-06-01 12:02:00 (stream btc) never came (and 2 more such)"
    )


def test_candles_of_later_are_no_reason() -> None:
    live = changed(decisions(TEN), 3, said={"action.prob_buy": 0.4})
    own = {**candles(), BTC: missing(candles()[BTC], 3)}
    (why,) = reasons(agreement(live, decisions(TEN), own=own, research=candles()))
    assert why == (
        "nothing but another model or other code explains it: action.prob_buy is 0.4 for 0.5"
    )


def test_a_candle_that_came_before_it_was_due_is_no_reason() -> None:
    # It closes at 12:02, is due half a second later, and seen by the decision at 12:03 at first.
    slow = small_config(streams={"btc": {"latency_ms": 500}})
    for after_ms, minute, named in ((400, 2, False), (60_000, 3, False), (60_001, 3, True)):
        live = changed(decisions(TEN), minute, said={"action.prob_buy": 0.4})
        own = {**candles(), BTC: late(candles()[BTC], 1, after_ms)}
        found = compare(
            slow, live, decisions(TEN), NONE, NONE, candles=own, expected_candles=candles()
        )
        assert ("12:01:00 (stream btc) came 0.001 s too late" in reasons(found)[0]) == named
        assert ("nothing but another model" in reasons(found)[0]) != named


def test_a_candle_that_was_another_one_or_that_research_lacks_is_named() -> None:
    live = changed(decisions(TEN), 3, said={"action.prob_buy": 0.4})
    other = replace(candles()[BTC], ohlcv=candles()[BTC].ohlcv * [[1, 1, 1, 1, 2]])
    (why,) = reasons(
        agreement(live, decisions(TEN), own={**candles(), BTC: other}, research=candles())
    )
    assert "the candle BTCUSDT 1m of 2025-06-01 12:02:00 (stream btc) was another one" in why
    lacking = {**candles(), BTC: missing(candles()[BTC], 2)}
    (why,) = reasons(agreement(live, decisions(TEN), research=lacking))
    assert why.endswith("12:02:00 (stream btc) was known, and research lacks it then")


def test_a_stream_without_any_candle_is_compared_too() -> None:
    live = changed(decisions(TEN), 3, said={"action.prob_buy": 0.4})
    own = {**candles(), BTC: Candles.empty(*BTC)}
    (why,) = reasons(agreement(live, decisions(TEN), own=own, research=candles()))
    assert "12:02:00 (stream btc) never came (and 32 more such)" in why  # all from 11:30 on


def test_a_position_that_was_not_allowed_is_the_reason_with_its_own() -> None:
    gate = {"weight": 0.0, "allowed": False, "why": "btc is stale"}
    live = changed(decisions(TEN), 4, **gate)
    (why,) = reasons(agreement(live, decisions(TEN)))
    assert why == "no position was allowed (btc is stale)"
    both = changed(live, 4, said={"action.prob_buy": 0.3})
    own = {**candles(), BTC: missing(candles()[BTC], 3)}
    (why,) = reasons(agreement(both, decisions(TEN), own=own, research=candles()))
    assert "12:03:00 (stream btc) never came; no position was allowed (btc is stale)" in why
    flat = changed(decisions(dict.fromkeys(TEN, 0.0)), 4, **gate)
    assert agreement(flat, decisions(dict.fromkeys(TEN, 0.0))).identical


def test_what_a_policy_still_holds_follows_from_the_decision_that_began_it() -> None:
    live = changed(decisions(TEN), 4, said={"action.prob_buy": 0.1}, weight=0.0)
    live = changed(changed(live, 5, weight=0.0), 6, weight=0.0)
    own = {**candles(), ETH: late(candles()[ETH], 3, 100)}
    first, second, third = reasons(agreement(live, decisions(TEN), own=own, research=candles()))
    assert first.endswith("came 0.1 s too late")
    assert second == third == "it follows from the decision at 2025-06-01 12:04:00"


def test_what_follows_names_the_last_decision_that_differed_by_itself() -> None:
    live = changed(decisions(TEN), 2, said={"action.prob_buy": 0.1})
    live = changed(live, 4, weight=0.0, allowed=False, why="the feed is lost")
    live = changed(changed(live, 5, weight=0.0), 6, weight=0.0)
    found = agreement(live, decisions(TEN))
    assert reasons(found)[1:] == [
        "no position was allowed (the feed is lost)",
        *["it follows from the decision at 2025-06-01 12:04:00"] * 2,
    ]


def test_a_weight_that_nothing_explains_is_another_policy() -> None:
    live = changed(decisions(TEN), 4, weight=-1.0)
    (why,) = reasons(agreement(live, decisions(TEN)))
    assert why == ("nothing but another policy or other code explains it: weight -1 for 1")


JUDGED: dict[str, Any] = {
    "streams": {"1m": "present", "btc": "late by 1"},
    "allowed": True,
    "why": "go on",
}
"""What a session says beyond what research does."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wanted": -1.0}, "policy or other code explains it: wanted -1 for 1"),
        ({"confidence": 0.1}, "policy or other code explains it: confidence 0.1 for nan"),
        ({"stop_loss": 0.5}, "policy or other code explains it: stop_loss 0.5 for nan"),
        ({"take_profit": 0.01}, "policy or other code explains it: take_profit 0.01 for nan"),
        ({"allowed": False}, "table or other code explains it: allowed is False for True"),
        ({"why": "HALTED"}, "table or other code explains it: why is 'HALTED' for 'go on'"),
        (
            {"streams": {"1m": "present", "btc": "absent"}},
            "table or other code explains it: btc is absent for late by 1",
        ),
        (
            {"streams": {"1m": "present"}},
            "table or other code explains it: btc is not told for late",
        ),
    ],
)
def test_of_two_sessions_all_that_a_decision_says_counts(
    change: dict[str, Any], words: str
) -> None:
    expected = decisions(TEN, **JUDGED)
    found = agreement(changed(expected, 3, **change), expected)
    assert found.same_decisions == 9
    assert words in found.sentence
    assert agreement(expected, expected).identical


def test_what_a_session_says_and_research_does_not_is_not_compared() -> None:
    live = changed(decisions(TEN, **JUDGED), 3, stop_loss=0.5, confidence=0.1, wanted=-1.0)
    assert agreement(live, decisions(TEN)).identical


def test_another_stop_explains_the_fills_that_follow() -> None:
    expected = decisions(TEN, **JUDGED)
    live = changed(expected, 3, stop_loss=0.5)
    found = agreement(live, expected, NONE, fills((4, "stop_loss", -1, 100.0, 2.0)))
    assert reasons(found)[-1].endswith("it follows from the decision at 2025-06-01 12:03:00")
    said_alone = changed(expected, 3, why="HALTED")
    found = agreement(said_alone, expected, NONE, fills((4, "stop_loss", -1, 100.0, 2.0)))
    assert reasons(found)[-1].endswith("nothing but another broker or other code explains it")


def test_decisions_that_only_one_of_them_made() -> None:
    live = [one for one in decisions(TEN) if one.time_ms != NOON + 3 * MINUTE]
    found = agreement(live, decisions(TEN))
    assert found.sentence.endswith("at 2025-06-01 12:03:00, because the decision was missed")
    assert (found.decisions, found.same_decisions) == (10, 9)
    (why,) = reasons(agreement(decisions(TEN), decisions(TEN)[:9]))
    assert why == "research makes no decision at that time"


def test_fills_count_to_the_last_digits_and_each_is_matched_once() -> None:
    one = fills((1, "open", 1, 100.0, 2.0), (1, "stop_loss", -1, 99.0, 2.0))
    twice = fills((1, "stop_loss", -1, 99.0, 2.0), (1, "stop_loss", -1, 98.0, 2.0))
    near = fills((1, "open", 1, 100.0 * (1 + 5e-10), 2.0), (1, "stop_loss", -1, 99.0, 2.0))
    far = fills((1, "open", 1, 100.0 * (1 + 5e-9), 2.0), (1, "stop_loss", -1, 99.0, 2.0))
    assert agreement([], [], one, near).identical
    assert agreement([], [], one, far).same_fills == 1
    assert agreement([], [], twice, twice).identical
    found = agreement([], [], one, twice)
    assert (found.fills, found.same_fills) == (3, 1)


def test_the_reasons_of_fills() -> None:
    expected = fills((1, "open", 1, 100.0, 2.0), (5, "close", -1, 101.0, 2.0))
    live = fills((1, "open", 1, 100.0, 2.5), (5, "close", -1, 101.0, 2.5))
    first, second = reasons(agreement([], [], live, expected))
    assert first == (
        "a fill of type open has price 100 for 100 and size 2.5 for 2: "
        "nothing but another broker or other code explains it"
    )
    assert second.endswith("it follows from the fill at 2025-06-01 12:01:00")
    own = {**candles(), ETH: missing(candles()[ETH], 5)}
    some = fills((1, "open", 1, 100.0, 2.0))
    (why,) = reasons(agreement([], [], some, expected, own=own, research=candles()))
    assert why == (
        "a fill of type close is missing: the candle ETHUSDT 1m of 2025-06-01 12:05:00 never came"
    )
    (why,) = reasons(agreement([], [], expected, some))
    assert why.startswith("research has no fill of type close then: ")


def test_fills_follow_from_the_decision_that_ordered_something_else() -> None:
    held = decisions({1: 0.0, 2: 1.0, 3: 1.0})
    live = changed(changed(held, 1, said={"action.prob_buy": 0.4}), 2, weight=0.0, allowed=False)
    some = fills((2, "open", 1, 100.0, 2.0))
    *_, why = reasons(agreement(live, held, NONE, some))
    assert why == (
        "a fill of type open is missing: it follows from the decision at 2025-06-01 12:02:00"
    )


def test_a_fill_follows_from_the_last_order_before_it() -> None:
    live = changed(decisions(TEN), 2, weight=0.0, allowed=False)
    live = changed(live, 3, said={"action.prob_buy": 0.4})  # orders the same
    live = changed(live, 5, weight=0.0, allowed=False)
    found = agreement(live, decisions(TEN), NONE, fills((4, "open", 1, 100.0, 2.0)))
    (why,) = [one.why for one in found.differences if one.what == "fill"]
    assert why.endswith("it follows from the decision at 2025-06-01 12:02:00")


@pytest.mark.parametrize("delay_ms", [0, 2_000])
def test_a_session_with_late_candles_beside_the_two_backtests_of_it(delay_ms: int) -> None:
    config = small_whole("linear", forming=True)
    model = whole_model(config)
    times = minutes(*range(285, 345))
    arrived = market(config, int(minutes(245)[0]), int(minutes(345)[0]))
    seen = as_decided(arrived, delay_ms)
    bars = session_bars(config, arrived, *span(times), decision_delay_ms=delay_ms)
    broker = session_broker(config, delay_ms)

    def traded(some: list[Decision]) -> pd.DataFrame:
        return session_backtest(config, some, bars, broker).fills

    rows = list(told(config, model, arrived, times, delay_ms))
    live = live_decisions(config, times, rows)
    same = decisions_of(config, batch_predictions(config, model, seen, times))
    found = compare(config, live, same, traded(live), traded(same), candles=seen)
    assert found.identical, found.sentence
    assert found.decisions == 60
    plain = on_time(arrived)
    assumed = decisions_of(config, batch_predictions(config, model, plain, times))
    found = compare(
        config, live, assumed, traded(live), traded(assumed), candles=seen, expected_candles=plain
    )
    # Row 300 of the minutes came two minutes late: 120 s, less the delay.
    late_s = f"{120 - delay_ms / 1_000:g} s too late"
    assert f"first difference at {pd.Timestamp(int(minutes(300)[0]), unit='ms')}" in found.sentence
    assert found.sentence.endswith(late_s)
    assert all("other code" not in one.why for one in found.differences)


def span(times: np.ndarray) -> tuple[int, int]:
    return int(times[0]), int(times[-1]) + MINUTE


def live_decisions(config: Any, times: np.ndarray, rows: list[dict[str, float]]) -> list[Decision]:
    """What a session decides whose gate lets everything pass."""
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return decisions_of(config, Predictions(times, "ETHUSDT", "live", arrays))


@fuzzed(
    st.sets(st.integers(1, 40)),
    st.sets(st.integers(1, 40)),
    st.sets(st.integers(1, 40)),
)
def test_as_many_differ_as_were_changed(ours: set[int], theirs: set[int], other: set[int]) -> None:
    live = decisions(dict.fromkeys(sorted(ours), 1.0))
    expected = decisions({m: 0.5 if m in other else 1.0 for m in sorted(theirs)})
    found = agreement(live, expected)
    assert found.decisions == len(ours | theirs)
    assert found.same_decisions == len((ours & theirs) - other)
    times = [one.time_ms for one in found.differences]
    assert times == sorted(NOON + m * MINUTE for m in (ours ^ theirs) | (ours & theirs & other))
    assert found.identical == (ours == theirs and not ours & other)


def reasons(found: Agreement) -> list[str]:
    """Why each thing differs."""
    return [one.why for one in found.differences]


def test_a_weight_without_steps_may_differ_by_rounding() -> None:
    """Fractions of 1e-7 come of rounding what was said; sizes follow them."""
    own, other = decisions({0: 0.3}), decisions({0: 0.3 * (1 + 1e-7)})
    nothing = pd.DataFrame()
    assert compare(CONFIG, own, other, nothing, nothing, candles=candles()).identical
    far = decisions({0: 0.3001})
    assert not compare(CONFIG, own, far, nothing, nothing, candles=candles()).identical
    fill = {"type": "open", "side": 1, "price": 10.0, "time": utc(np.array([NOON]))[0]}
    ours, theirs = (pd.DataFrame([{**fill, "size": size}]) for size in (2.0, 2.0 * (1 + 1e-7)))
    exact = compare(CONFIG, own, other, ours, theirs, candles=candles())
    assert exact.same_fills == 0
    loose = compare(CONFIG, own, other, ours, theirs, candles=candles(), fill_tolerance=1e-5)
    assert loose.identical
