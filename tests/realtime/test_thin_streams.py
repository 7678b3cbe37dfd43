"""Seconds begin with the session: as long as most of their window is not there, they are thin."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from histories import candles, closes, walk
from hypothesis import given
from hypothesis import strategies as st
from living import ALLOWED, LIVE, NOT_ALLOWED, Events, closed, live_run, measure, quick_model
from rich.console import Console
from worlds import MINUTE, random_candles

from mtf.evaluation.cells import Cell
from mtf.market.asof import Known, as_of, window
from mtf.market.features import Ohlcv
from mtf.market.flow import Flow
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.realtime.degraded_table import DegradedTable, Worth
from mtf.realtime.gate import Gate, stream_conditions
from mtf.realtime.journal import Lines
from mtf.realtime.screen import screen
from mtf.realtime.session import Session
from mtf.realtime.streams_told import StreamsTold
from mtf.realtime.terms import Terms
from mtf.run import Run

S1, S5, M1, D1 = (Timeframe.parse(name) for name in ("1s", "5s", "1m", "1d"))
SPECS = (
    StreamSpec("1s", "ETHUSDT", S1, "primary", 40),
    StreamSpec("5s", "ETHUSDT", S5, "primary", 8, derived_from="1s"),
    StreamSpec("1m", "ETHUSDT", M1, "primary", 10),
    StreamSpec("1d", "ETHUSDT", D1, "primary", 10),
)
QUICK = Ohlcv(volatility_half_life=1, volume_half_life=1)
LOOKBACK, FIRST = 240, 28_000_020
START = FIRST * MINUTE


def flows_of(seconds: int, days: int) -> dict[str, Flow]:
    """All streams up to second 6,000, the first with so many seconds, the last with so many days.

    The quick features of a candle are usable from the third one on.
    """
    counts = {"1s": seconds, "5s": seconds // 5, "1m": 60, "1d": days}
    flows = {}
    for spec in SPECS:
        flow = Flow(spec, QUICK, spec.lookback)
        end, count = 6_000_000 // spec.timeframe.duration_ms, counts[spec.name]
        if spec.name == "1d":
            end = 10
        prices = [100.0 + n for n in range(count)]
        flow.take_all(candles(closes(prices), None, spec.timeframe, first_slot=end - count))
        flows[spec.name] = flow
    return flows


def known_of(flows: dict[str, Flow], age: int = 0) -> dict[str, Known]:
    """All is known up to the last candle, the last so many seconds have not come."""
    later = {"1s": age}
    return {
        name: known(flow.end - 1 + later.get(name, 0), 1_000 * later.get(name, 0))
        for name, flow in flows.items()
    }


def known(last_slot: int, age_ms: int) -> Known:
    """Present, and so old."""
    nan, whole = np.array([np.nan]), np.array([0], np.int64)
    there, late = np.array([True]), np.array([age_ms > 0])
    age = np.array([age_ms], np.int64)
    return Known(np.array([last_slot], np.int64), whole, age, there, late, nan, nan, nan)


def conditions(seconds: int, days: int = 20, age: int = 0, frozen: tuple[str, ...] = ()) -> Any:
    """Of all streams with so many seconds and days in them."""
    flows = flows_of(seconds, days)
    of = known_of(flows, age)
    usable = StreamsTold(SPECS).usable(flows, of)
    return stream_conditions(SPECS, of, frozen, usable)


def test_below_half_of_its_window_a_stream_of_seconds_is_thin() -> None:
    assert conditions(21)["1s"] == "thin (19 of 40)"
    assert conditions(22)["1s"] == "present"
    assert conditions(5)["1s"] == "thin (3 of 40)"


def test_what_is_made_of_thin_seconds_goes_with_them() -> None:
    assert conditions(21)["5s"] == "thin (19 of 40)"
    some = conditions(29)  # five candles of five seconds, three of them usable
    assert (some["1s"], some["5s"]) == ("present", "thin (3 of 8)")
    assert conditions(30)["5s"] == "present"


def test_what_is_thin_is_neither_late_nor_frozen_besides() -> None:
    """It is looked up as absent, which is no better than these."""
    assert conditions(21, age=2)["1s"] == "thin (19 of 40)"
    assert conditions(21, frozen=("1s",))["1s"] == "thin (19 of 40)"
    assert conditions(40, age=2)["1s"] == "late by 2"


def test_a_young_symbol_has_no_more_days_than_research_knew() -> None:
    """Days can be asked for from any time on: what is not there was not there in training."""
    assert conditions(40, days=3)["1d"] == "present"


@given(st.integers(0, 2**32), st.integers(2, 120), st.floats(0, 0.9), st.integers(0, 30))
def test_so_many_are_usable_as_research_would_see(
    seed: int, count: int, missing: float, later: int
) -> None:
    """Also of a session that hears little: the engine's rings beside the research window."""
    spec = SPECS[0]
    features = Ohlcv(volatility_half_life=5, volume_half_life=3)
    history = candles(*walk(count, seed, missing), S1, first_slot=1_000)
    flow = Flow(spec, features, spec.lookback)
    flow.take_all(history)
    time_ms = (1_000 + count + later) * 1_000
    stream = compute_stream(spec, history, features)
    of = {"1s": as_of(stream, np.array([time_ms], np.int64))}
    usable = StreamsTold((spec,)).usable({"1s": flow}, of)["1s"]
    assert usable == window(stream, features, time_ms, spec.lookback)[1].sum()


def test_the_table_is_asked_as_if_what_is_thin_were_absent() -> None:
    nats, path = "log loss of the class prior - log loss, nats", Path("degraded.csv")
    worth = {
        Cell("present", ("1m", "1d")): Worth(0.01, -0.01, 0.03),
        Cell("late", ("1s",), 1): Worth(0.2, 0.1, 0.3),
        Cell("frozen", ("1s",), 15): Worth(0.2, 0.1, 0.3),
    }
    gate = Gate(SPECS, ("ETHUSDT", M1), DegradedTable(path, "action", nats, worth))
    verdict = gate.judge(conditions(21), since_last_close_ms=0, state="live", offset_ms=0)
    assert not verdict.allowed
    assert verdict.why == (
        "1s is thin (19 of 40): without it the action is worth 0.01 nats [-0.01, 0.03], "
        "so no position is wanted"
    )


# --- a session -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose table says that it is worth nothing without its seconds."""
    streams = {"1s": {"lookback": LOOKBACK}, **LIVE["streams"]}
    run = live_run(tmp_path_factory.mktemp("thin"), streams=streams)
    names = [spec.name for spec in run.config.stream_specs()]
    sets = [chosen for size in range(1, 6) for chosen in combinations(names, size)]
    measure(run, {chosen: ALLOWED if "1s" in chosen else NOT_ALLOWED for chosen in sets})
    return run


def events(silent_ms: range) -> list[Any]:
    """Minutes and hours with their history, and seconds from half a minute before the start on."""
    first = FIRST - 700
    return [
        *closed(random_candles(720, 1, first_slot=first)),
        *closed(random_candles(720, 2, first_slot=first, symbol="BTCUSDT")),
        *closed(random_candles(80, 3, "1h", first_slot=FIRST // 60 - 78)),
        *(
            event
            for event in closed(random_candles(1_200, 4, "1s", first_slot=START // 1_000 - 30))
            if int(event.open_ms[0]) not in silent_ms
        ),
    ]


def session_over(run: Run, silent_ms: range = range(0)) -> SimpleNamespace:
    """A session of 16 minutes: its decisions, journal, and screen after the first decision."""
    lines, source = Lines(), Events(events(silent_ms))
    session = Session(quick_model(run), Terms("ETHUSDT", 2_000, True), lines)
    session.on(source.take(START - 29_000))
    session.start(START, START - 29_000)
    made, console = [], Console(width=140, height=40, file=io.StringIO(), record=True)
    for _ in range(16):
        session.on(source.take(session.due_ms))
        made.append(session.decide())
        if len(made) == 1:
            console.print(screen(session.view(START + 2_000)))
    return SimpleNamespace(made=made, lines=lines.written, text=console.export_text())


def expected_conditions(run: Run, silent_ms: range) -> list[str]:
    """What the research window says of the seconds at every decision."""
    (spec,) = (one for one in run.config.stream_specs() if one.name == "1s")
    told = random_candles(1_200, 4, "1s", first_slot=START // 1_000 - 30)
    gone = np.isin(told.open_time(), np.array(silent_ms))
    ohlcv, valid = told.ohlcv.copy(), told.valid & ~gone
    ohlcv[gone] = np.nan
    features = quick_model(run).engine.flows["1s"].feature_set
    stream = compute_stream(spec, candles(ohlcv, valid, S1, first_slot=told.first_slot), features)
    found = []
    for minute in range(16):
        _, usable, at = window(stream, features, START + minute * MINUTE, LOOKBACK)
        count = int(usable.sum())
        if not at.present[0]:
            found.append("absent")
        else:
            thin = count < LOOKBACK / 2
            found.append(f"thin ({count} of {LOOKBACK})" if thin else "present")
    return found


OUTAGE = range(START + 6 * MINUTE, START + 10 * MINUTE, 1_000)


@pytest.mark.parametrize("silent_ms", [range(0), OUTAGE])
def test_a_session_holds_nothing_while_its_seconds_are_thin(run: Run, silent_ms: range) -> None:
    """At its start, and after four minutes without a connection: seconds are not filled in."""
    found = session_over(run, silent_ms)
    expected = expected_conditions(run, silent_ms)
    assert [one.streams["1s"] for one in found.made] == expected
    assert [one.allowed for one in found.made] == [how == "present" for how in expected]
    assert all("1s is" in one.why for one in found.made if not one.allowed)
    assert any(how.startswith("thin") for how in expected[:3])
    assert expected[-1] == expected[5] == "present"
    if silent_ms:
        assert any(how.startswith("thin") for how in expected[10:])


def test_thin_is_written_down_and_shown(run: Run) -> None:
    found = session_over(run)
    line = next(one for one in found.lines if one["kind"] == "decision")
    count = expected_conditions(run, range(0))[0]
    assert count.startswith("thin (")
    assert line["streams"]["1s"] == count
    assert f"1s is {count}: without it " in line["why"]
    (row,) = (row for row in found.text.splitlines() if row.startswith("1s "))
    assert count in row
    assert f"DEGRADED: 1s is {count}" in found.text
