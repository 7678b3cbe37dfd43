"""May a position be held? Hand-made conditions, with what the table says of each written out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from histories import candles, closes
from hypothesis import given
from hypothesis import strategies as st

from mtf.evaluation.cells import Cell
from mtf.market.asof import as_of
from mtf.market.features import Ohlcv
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.realtime.degraded_table import DegradedTable, Worth
from mtf.realtime.events import State
from mtf.realtime.gate import Gate, Verdict, stream_conditions

MINUTE, FIVE = Timeframe.parse("1m"), Timeframe.parse("5m")
MS = MINUTE.duration_ms
CLOCK = ("ETHUSDT", MINUTE)
SPECS = (
    StreamSpec("1m", "ETHUSDT", MINUTE, "primary", 10, latency_ms=250, max_age=4.0),
    StreamSpec("5m", "ETHUSDT", FIVE, "primary", 2, latency_ms=250, derived_from="1m"),
    StreamSpec("btc", "BTCUSDT", MINUTE, "reference", 10, latency_ms=250, max_age=4.0),
)
WHOLE = {spec.name: "present" for spec in SPECS}
TABLE = DegradedTable(
    Path("degraded.csv"),
    "action",
    "log loss of the class prior - log loss, nats",
    {
        Cell("present", ("1m", "5m", "btc")): Worth(0.05, 0.04, 0.06),
        Cell("present", ("1m", "5m")): Worth(0.031, 0.012, 0.049),
        Cell("present", ("1m",)): Worth(0.011, 0.001, 0.02),
        Cell("present", ("btc",)): Worth(0.002, -0.01, 0.014),
        Cell("present", ()): Worth(0.5, 0.4, 0.6),  # whatever it says: nothing is known then
        Cell("late", ("1m",), 1): Worth(0.04, 0.03, 0.05),
        Cell("late", ("1m",), 2): Worth(0.0004, -0.002, 0.003),
        Cell("late", ("btc",), 1): Worth(0.045, 0.035, 0.055),
        Cell("late", ("btc",), 3): Worth(0.039, 0.029, 0.049),
        Cell("late", ("btc",), 5): Worth(0.031, 0.012, 0.049),
    },
)
OF_TWO = "the action is worth 0.031 nats [0.012, 0.049]"


def judge(
    conditions: dict[str, str] | None = None,
    table: DegradedTable | None = TABLE,
    *,
    since_last_close_ms: int = 0,
    state: State = "live",
    offset_ms: int = 0,
) -> Verdict:
    """A decision with these streams not present."""
    return Gate(SPECS, CLOCK, table, "eth").judge(
        {**WHOLE, **(conditions or {})},
        since_last_close_ms=since_last_close_ms,
        state=state,
        offset_ms=offset_ms,
    )


# --- what is missing -------------------------------------------------------------------------


def test_with_all_there_nothing_is_said() -> None:
    verdict = judge(table=None)
    assert verdict == Verdict(True, "", "", True)
    assert verdict.why == ""
    assert verdict.weight(-0.5) == -0.5


def test_without_a_stream_that_is_not_needed_decisions_go_on() -> None:
    verdict = judge({"btc": "absent"})
    assert verdict.allowed
    assert verdict.why == f"btc is absent: without it {OF_TWO}, so decisions go on"


def test_a_derived_stream_goes_with_its_source_and_is_not_told_twice() -> None:
    verdict = judge({"1m": "absent", "5m": "absent"})
    assert not verdict.allowed
    assert verdict.weight(1.0) == 0.0
    assert verdict.why == (
        "1m is absent: without it the action is worth 0.002 nats [-0.01, 0.014], "
        "so no position is wanted"
    )


def test_a_derived_stream_may_be_missing_by_itself() -> None:
    verdict = judge({"5m": "absent", "btc": "absent"})
    assert verdict.why == (
        "5m is absent and btc is absent: without them the action is worth 0.011 nats "
        "[0.001, 0.02], so decisions go on"
    )
    assert judge({"5m": "late by 1", "btc": "absent"}).allowed  # it counts as absent


@pytest.mark.parametrize(
    ("slots", "measured", "worth"),
    [(1, 1, "0.045 nats [0.035, 0.055]"), (2, 3, "0.039 nats [0.029, 0.049]")],
)
def test_a_late_stream_is_worth_what_was_measured_at_the_next_more(
    slots: int, measured: int, worth: str
) -> None:
    verdict = judge({"btc": f"late by {slots}"})
    assert verdict.allowed
    assert verdict.why == (
        f"btc is late by {slots}: late by {measured} the action is worth {worth}, "
        "so decisions go on"
    )


def test_later_than_was_measured_it_counts_as_absent() -> None:
    verdict = judge({"btc": "late by 6"})
    assert verdict.why == f"btc is late by 6: without it {OF_TWO}, so decisions go on"


def test_a_low_end_below_zero_is_not_beyond_chance() -> None:
    assert judge({"1m": "late by 1", "5m": "late by 1"}).allowed
    assert not judge({"1m": "late by 2", "5m": "late by 2"}).allowed


def test_zero_itself_is_not_above_zero() -> None:
    cell = Cell("present", ("1m", "5m"))
    for low, allowed in ((0.0, False), (1e-9, True)):
        table = replace(TABLE, worth={**TABLE.worth, cell: Worth(0.1, low, 0.2)})
        assert judge({"btc": "absent"}, table).allowed is allowed


def test_of_several_missing_what_is_whole_counts() -> None:
    late = judge({"1m": "late by 1", "5m": "late by 1", "btc": "late by 1"})
    assert not late.allowed
    assert late.why == "1m is late by 1 and btc is late by 1: no stream is whole, " + (
        "so no position is wanted"
    )
    assert judge({"5m": "absent", "btc": "late by 1"}).why.endswith(
        "without them the action is worth 0.011 nats [0.001, 0.02], so decisions go on"
    )


def test_without_any_stream_nothing_is_held_whatever_was_measured() -> None:
    assert TABLE.worth[Cell("present", ())].low > 0
    assert not judge(dict.fromkeys(WHOLE, "absent")).allowed


def test_what_was_not_measured_is_not_traded() -> None:
    verdict = judge({"btc": "absent"}, None)
    assert not verdict.allowed
    assert verdict.why == (
        "btc is absent and nothing was measured without it, so no position is wanted: "
        "run mtf evaluate eth --degraded"
    )
    some = replace(TABLE, worth={})  # of many streams only some sets are measured
    unmeasured = "btc is absent and nothing was measured without it, so no position is wanted"
    assert judge({"btc": "absent"}, some).why == unmeasured
    nothing = Worth(math.nan, math.nan, math.nan)
    undefined = replace(TABLE, worth={Cell("present", ("1m", "5m")): nothing})
    assert judge({"btc": "absent"}, undefined).why == unmeasured


def test_a_value_of_unknown_certainty_is_not_traded() -> None:
    one_day = Worth(0.031, math.nan, math.nan)
    table = replace(TABLE, worth={Cell("present", ("1m", "5m")): one_day})
    verdict = judge({"btc": "absent"}, table)
    assert not verdict.allowed
    assert verdict.why == (
        "btc is absent: without it the action is worth 0.031 nats, measured on less than two "
        "days, so no position is wanted"
    )


# --- what halts it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset_ms", "words"),
    [
        (-1_000, ""),
        (-1_001, "1,001 ms ahead of the exchange's, more than 1,000 ms"),
        (-60_000, "60,000 ms ahead of the exchange's, more than 1,000 ms"),
        (0, ""),
        (5_000, ""),
        (5_001, "5,001 ms behind the exchange's, more than 5,000 ms"),
        (10_000, "10,000 ms behind the exchange's, more than 5,000 ms"),
    ],
)
def test_clocks_that_disagree_stop_every_order(offset_ms: int, words: str) -> None:
    verdict = judge(offset_ms=offset_ms)
    assert verdict.allowed == verdict.orders == (not words)
    told = (
        f"this machine's clock is {words}, so no order is made, not even on paper: set the clock "
        "by NTP, or begin with --new where a stand-in was started again"
    )
    assert verdict.halted == (told if words else "")


def test_nothing_closed_for_two_intervals_halts_until_something_does() -> None:
    assert judge(since_last_close_ms=2 * MS - 1).allowed
    verdict = judge(since_last_close_ms=2 * MS)
    assert not verdict.allowed
    assert verdict.weight(1.0) == 0.0
    assert verdict.why == (
        "nothing of ETHUSDT 1m closed for two intervals or more, so no position is wanted"
    )
    assert judge().allowed


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("frozen", "ETHUSDT 1m is frozen: nothing traded for two intervals"),
        ("filling", "candles of ETHUSDT 1m are still being filled in"),
        ("starting", "candles of ETHUSDT 1m are still being filled in"),
        ("live", ""),
        ("lost", ""),  # what closed may be known all the same: age is what counts
    ],
)
def test_the_state_of_the_candles_that_decide(state: State, words: str) -> None:
    verdict = judge(state=state, since_last_close_ms=MS)
    assert verdict.allowed == (not words)
    assert verdict.halted == (f"{words}, so no position is wanted" if words else "")


@pytest.mark.parametrize("state", ["starting", "filling"])
def test_where_the_newest_candle_is_there_nothing_before_it_is_missing(state: State) -> None:
    """Candles are told in order: a refill after a reconnect ends no position."""
    assert judge(state=state, since_last_close_ms=0) == Verdict(True)


def test_all_reasons_are_told_the_gravest_first() -> None:
    verdict = judge({"btc": "absent"}, since_last_close_ms=3 * MS, state="frozen", offset_ms=-2_500)
    assert not verdict.allowed
    assert math.isnan(verdict.weight(1.0))  # no order: neither into a position nor out of one
    assert verdict.why.split("; ") == [
        "this machine's clock is 2,500 ms ahead of the exchange's, more than 1,000 ms, so no "
        "order is made, not even on paper: set the clock by NTP, or begin with --new where a "
        "stand-in was started again",
        "nothing of ETHUSDT 1m closed for two intervals or more, so no position is wanted",
        "ETHUSDT 1m is frozen: nothing traded for two intervals, so no position is wanted",
        f"btc is absent: without it {OF_TWO}, which is enough",
    ]


STATES: list[State] = ["starting", "live", "filling", "stale", "frozen", "lost"]


@given(
    st.fixed_dictionaries({name: st.sampled_from(["present", "late by 1", "late by 9", "absent"])
                           for name in ("1m", "btc")}),
    st.integers(0, 4 * MS), st.sampled_from(STATES), st.integers(-70_000, 70_000),
)  # fmt: skip
def test_a_position_is_held_only_without_a_halt_and_with_worth(
    conditions: dict[str, str], since_ms: int, state: State, offset_ms: int
) -> None:
    """The table by hand: what is not listed here is not worth a position."""
    worth_it = {
        ("present", "present"), ("present", "late by 1"), ("present", "late by 9"),
        ("present", "absent"), ("late by 1", "present"),
    }  # fmt: skip
    verdict = judge(
        {**conditions, "5m": conditions["1m"]},
        since_last_close_ms=since_ms,
        state=state,
        offset_ms=offset_ms,
    )
    filling = state in ("starting", "filling") and since_ms > 0
    halted = since_ms >= 120_000 or state == "frozen" or filling
    in_tolerance = -1_000 <= offset_ms <= 5_000
    enough = (conditions["1m"], conditions["btc"]) in worth_it
    assert verdict.allowed == (enough and not halted and in_tolerance)
    assert verdict.orders == in_tolerance
    assert bool(verdict.halted) == (halted or not in_tolerance)
    assert bool(verdict.degraded) == (set(conditions.values()) != {"present"})


# --- what is there at a decision -------------------------------------------------------------


def conditions_at(
    time_ms: int,
    missing: set[int],
    arrived_ms: dict[int, int] | None = None,
    frozen: tuple[str, ...] = (),
) -> dict[str, str]:
    """Of a minute, five minutes made of it, and BTC, with an hour of minutes; BTC lacks some.

    ``arrived_ms``: when a minute of ETH came that came late; the five minutes follow it.
    """
    prices = [100.0 + minute for minute in range(60)]
    came = np.arange(1, 61, dtype=np.int64) * MS
    for minute, at in (arrived_ms or {}).items():
        came[minute] = at
    eth = candles(closes(prices), first_slot=0, available_at=came)
    came_five = came.reshape(12, 5).max(axis=1)
    five = candles(closes(prices[4::5]), None, FIVE, first_slot=0, available_at=came_five)
    gone = closes([math.nan if minute in missing else price for minute, price in enumerate(prices)])
    btc = candles(gone, ~np.isnan(gone[:, 0]), first_slot=0)
    quick = Ohlcv(volatility_half_life=1, volume_half_life=1)
    streams = zip(SPECS, (eth, five, btc), strict=True)
    times = np.array([time_ms], np.int64)
    known = {spec.name: as_of(compute_stream(spec, one, quick), times) for spec, one in streams}
    return stream_conditions(SPECS, known, frozen)


DECISION = 40 * MS + 250
"""By the timetable minutes 0 to 39 are known."""


def test_everything_is_present_up_to_the_last_close() -> None:
    assert conditions_at(DECISION, set()) == WHOLE
    assert conditions_at(DECISION + MS - 1, set()) == WHOLE  # nothing else may be known by then


def test_a_stream_is_late_by_the_candles_that_it_lacks_at_the_end() -> None:
    assert conditions_at(DECISION, {39})["btc"] == "late by 1"
    assert conditions_at(DECISION, {37, 38, 39})["btc"] == "late by 3"
    assert conditions_at(DECISION + MS - 1, {39})["btc"] == "late by 1"
    assert conditions_at(DECISION, {38})["btc"] == "present"  # a hole before the end is no delay


def test_beyond_its_max_age_a_stream_is_absent() -> None:
    # four candles late it is 4 minutes and 250 ms old, of 4 minutes
    assert conditions_at(DECISION, {36, 37, 38, 39})["btc"] == "absent"


def test_a_derived_stream_is_as_late_as_its_source() -> None:
    told = conditions_at(DECISION + MS, set(), {40: 42 * MS})
    assert told == {"1m": "late by 1", "5m": "late by 1", "btc": "present"}
    told = conditions_at(DECISION, set(), {38: 42 * MS, 39: 42 * MS})
    assert told == {"1m": "late by 2", "5m": "late by 2", "btc": "present"}  # in minutes
    assert conditions_at(DECISION + 2 * MS, set(), {40: 42 * MS}) == WHOLE  # it has arrived


def test_a_derived_stream_that_is_behind_by_itself_says_so() -> None:
    """Its source is whole at the end: a hole further back is seen by the longer candles alone."""
    told = conditions_at(DECISION, set(), {37: 50 * MS})
    assert told == {"1m": "present", "5m": "late by 1", "btc": "present"}
    # both candles of its lookback are gone, while its source lacks one minute at the end
    told = conditions_at(DECISION, set(), dict.fromkeys((32, 37, 39), 50 * MS))
    assert told == {"1m": "late by 1", "5m": "absent", "btc": "present"}


@given(st.sets(st.integers(30, 39)), st.integers(0, MS - 1))
def test_conditions_are_what_counting_backwards_says(missing: set[int], after_ms: int) -> None:
    told = conditions_at(DECISION + after_ms, missing)["btc"]
    last = max(set(range(40)) - missing)
    if DECISION + after_ms - (last + 1) * MS > 4 * MS:
        assert told == "absent"
    else:
        assert told == ("present" if last == 39 else f"late by {39 - last}")


FROZEN = replace(
    TABLE,
    worth={
        **TABLE.worth,
        Cell("frozen", ("btc",), 1): Worth(0.04, 0.03, 0.05),
        Cell("frozen", ("btc",), 15): Worth(0.02, 0.01, 0.03),
    },
)


def test_a_stream_in_which_nothing_trades_is_frozen() -> None:
    """It tells candles, so it is neither late nor absent; what it is worth then was measured."""
    verdict = judge({"btc": "frozen"}, FROZEN)
    assert verdict.allowed
    assert verdict.degraded == (
        "btc is frozen: frozen for 15 the action is worth 0.02 nats [0.01, 0.03], "
        "so decisions go on"
    )


def test_what_was_not_measured_frozen_counts_as_absent() -> None:
    verdict = judge({"btc": "frozen"})
    assert verdict.allowed
    assert "btc is frozen: without it the action is worth 0.031 nats" in verdict.degraded
    assert not judge({"btc": "frozen", "1m": "late by 1", "5m": "late by 1"}, FROZEN).allowed


def test_frozen_is_told_of_what_is_there_alone() -> None:
    told = conditions_at(DECISION, set(), frozen=("1m",))
    assert told == {**WHOLE, "1m": "frozen", "5m": "frozen"}
    assert conditions_at(DECISION, set(), frozen=("btc",))["btc"] == "frozen"
    assert conditions_at(DECISION, {39}, frozen=("btc",))["btc"] == "late by 1"
