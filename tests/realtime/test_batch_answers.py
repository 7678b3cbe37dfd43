"""What research says of a session's candles: the same as the engine that saw them come one by one.

The engine and the batches share no code behind the features: each is the other's oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given as fuzzed
from hypothesis import settings
from hypothesis import strategies as st
from sessions_of_candles import arriving, by_key, market, told
from tasks import small_task
from whole import START, minutes, small_whole, whole_model, whole_world
from worlds import MINUTE, random_candles

from mtf.config.plugin_spec import SideInputSpec
from mtf.config.schema import Config
from mtf.errors import DataError, MtfError
from mtf.evaluation.part import predictions_of_part
from mtf.market.candles import Candles
from mtf.market.side_input import Moments
from mtf.market.timeframe import Timeframe
from mtf.model.hybrid import HybridModel
from mtf.predictions import Predictions
from mtf.realtime.batch_answers import (
    batch_predictions,
    decisions_of,
    history_needed,
    said_of,
    side_inputs,
)
from mtf.realtime.events import Key
from mtf.realtime.session_candles import as_decided, on_time

EQUAL = 1e-5
M1, H1 = Timeframe.parse("1m"), Timeframe.parse("1h")
ETH, BTC = ("ETHUSDT", M1), ("BTCUSDT", M1)
FIRST, END = 285, 345
"""Rows of the primary's minutes in which sessions decide; two candles come late there."""
TIMES = minutes(*range(FIRST, END, 3))


@cache
def small(sides: tuple[str, ...] = ()) -> tuple[Config, HybridModel]:
    """A run of every head whose model is quick, with some side inputs."""
    config = small_whole("linear", forming=True)
    given = {name: SideInputSpec(name=name) for name in sides}
    config = config.model_copy(update={"side_inputs": given})
    return config, whole_model(config)


@cache
def part() -> Mapping[Key, Candles]:
    """What arrives up to the end of the session, and forty minutes of history."""
    return market(small()[0], int(minutes(FIRST - 40)[0]), int(minutes(END)[0]))


def bare(config: Config) -> Config:
    """The run as if it had no side inputs: its model is told of none."""
    return config.model_copy(update={"side_inputs": {}})


def apart(said: list[dict[str, float]], expected: Predictions) -> float:
    """The largest difference of all columns."""
    assert all(list(one) == list(expected.arrays) for one in said)
    rows = np.array([list(one.values()) for one in said])
    return float(np.abs(rows - np.stack(list(expected.arrays.values()), axis=1)).max())


@pytest.mark.parametrize("encoder", ["dsc", "gru"])
@pytest.mark.parametrize("delay_ms", [0, 2_000, 150_000])
def test_batches_say_what_the_engine_says(encoder: str, delay_ms: int) -> None:
    config = small_whole(encoder, forming=True)
    model = whole_model(config)
    said = list(told(config, model, part(), TIMES, delay_ms))
    seen = as_decided(part(), delay_ms)
    assert apart(said, batch_predictions(config, model, seen, TIMES)) <= EQUAL


def test_a_late_candle_is_not_known_to_the_session_and_is_known_by_the_timetable() -> None:
    config, model = small()
    seen, plain = as_decided(part(), 0), on_time(part())
    times = minutes(*range(FIRST, END))
    said, assumed = (batch_predictions(config, model, some, times) for some in (seen, plain))
    one, other = (np.stack(list(some.arrays.values()), axis=1) for some in (said, assumed))
    differ = np.flatnonzero(np.abs(one - other).max(axis=1) > EQUAL) + FIRST
    # The candles of rows 300 and 305 come 2 and 9 minutes late.
    assert differ[0] == 300
    assert set(range(305, 314)) <= set(differ.tolist())


Late = list[tuple[Key, int, int]]
"""Key, slots before its last one, ms after its close."""
Gone = list[tuple[Key, int]]
AFTER_MS = [0, 1, 499, 500, 1_999, 2_000, 2_001, 2_500, 59_999, 62_000, 62_001, 400_000]
DISTURBED = {
    "late": st.lists(
        st.tuples(
            st.sampled_from([ETH, BTC, ("ETHUSDT", H1)]),
            st.integers(0, END - FIRST + 20),
            st.sampled_from(AFTER_MS),
        ),
        max_size=25,
    ),
    "gone": st.lists(st.tuples(st.sampled_from([ETH, BTC]), st.integers(0, 80)), max_size=10),
    "delay_ms": st.sampled_from([0, 500, 2_000]),
}


@settings(max_examples=8, deadline=None)
@fuzzed(**DISTURBED)
def test_whatever_comes_late_or_never_batches_say_what_the_engine_says(
    late: Late, gone: Gone, delay_ms: int
) -> None:
    check_disturbed(late, gone, delay_ms)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@fuzzed(**DISTURBED)
def test_of_150_disturbed_sessions_batches_say_what_the_engine_says(
    late: Late, gone: Gone, delay_ms: int
) -> None:
    check_disturbed(late, gone, delay_ms)


def check_disturbed(late: Late, gone: Gone, delay_ms: int) -> None:
    """Candles that come late or never: the engine beside the batches."""
    config, model = small()
    candles = dict(on_time(part()))
    for key, back in gone:
        candles[key] = without(candles[key], back)
    after = {key: np.zeros(len(one), np.int64) for key, one in candles.items()}
    for key, back, later_ms in late:
        after[key][max(len(after[key]) - 1 - back, 0)] = later_ms
    arrived = {key: arriving(one, after[key]) for key, one in candles.items()}
    said = list(told(config, model, arrived, TIMES, delay_ms))
    seen = as_decided(arrived, delay_ms)
    assert apart(said, batch_predictions(config, model, seen, TIMES)) <= EQUAL


def without(candles: Candles, back: int) -> Candles:
    """The candles without the one so many slots before the last; its slot stays."""
    valid, ohlcv = candles.valid.copy(), candles.ohlcv.copy()
    row = max(len(candles) - 1 - back, 1)
    valid[row], ohlcv[row] = False, np.nan
    return replace(candles, valid=valid, ohlcv=ohlcv)


def test_it_is_what_evaluation_says_of_the_same_candles() -> None:
    sides: dict[str, Any] = {"technical": {}, "market": {}, "position_state": {}}
    task = small_task(side_inputs=sides)
    task.model.eval()
    candles = {
        (one.spec.symbol, one.spec.timeframe): one.candles
        for one in task.world.streams.values()
        if one.spec.derived_from is None
    }
    (expected,) = predictions_of_part(task, "test")
    found = batch_predictions(task.config, task.model, candles, expected.times)
    labels = {name for name in expected.arrays if ".label_" in name}
    assert labels
    assert [*found.arrays] == [name for name in expected.arrays if name not in labels]
    for name, values in found.arrays.items():
        np.testing.assert_array_equal(values, expected.arrays[name], err_msg=name)


def test_side_inputs_of_streams_come_along_and_can_be_left_out() -> None:
    config, model = small(("technical", "position_state"))
    candles = on_time(part())

    def known(time_ms: int, streaming: object) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        del streaming
        batch = _sides_at(config, model, candles, time_ms)
        return {name: (values[0], valid[0]) for name, (values, valid) in batch.items()}

    whole = batch_predictions(config, model, candles, TIMES)
    said = list(told(config, model, candles, TIMES, 0, known))
    assert apart(said, whole) <= EQUAL
    without_any = list(told(config, model, candles, TIMES, 0))
    assert apart(without_any, batch_predictions(bare(config), model, candles, TIMES)) <= EQUAL
    assert apart(without_any, whole) > 1e-3


def _sides_at(
    config: Config, model: HybridModel, candles: Mapping[Key, Candles], time_ms: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What side inputs say at one time of candles that were known by then alone."""
    raw = {"1m": candles[ETH], "1h": candles["ETHUSDT", H1], "btc": candles[BTC]}
    world, at = whole_world(config, raw), np.array([time_ms], np.int64)
    moments = Moments(world, at, world.known(at))
    return {name: side.at(moments) for name, side in side_inputs(config).items()}


def test_side_inputs_that_read_files_are_missing(tmp_path: Any) -> None:
    config, _ = small()
    gone = str(tmp_path / "gone.parquet")
    specs = {
        "book": SideInputSpec(name="order_book", path=gone),  # type: ignore[call-arg]
        "market": SideInputSpec(name="market", funding=gone),  # type: ignore[call-arg]
        "technical": SideInputSpec(name="technical"),
    }
    config = config.model_copy(update={"side_inputs": specs})
    model = whole_model(config)
    assert list(side_inputs(config)) == ["technical"]
    found = batch_predictions(bare(config), model, part(), TIMES)
    assert apart(list(told(config, model, part(), TIMES, 0)), found) <= EQUAL


def test_a_stream_of_which_nothing_came_is_missing() -> None:
    config, model = small()
    candles = {**part(), BTC: Candles.empty(*BTC)}
    said = list(told(config, model, candles, TIMES, 0))
    assert apart(said, batch_predictions(config, model, candles, TIMES)) <= EQUAL
    nothing = {key: Candles.empty(*key) for key in candles}
    said = list(told(config, model, nothing, TIMES, 0))
    assert apart(said, batch_predictions(config, model, nothing, TIMES)) <= EQUAL


@pytest.mark.parametrize(("symbol", "row"), [("ETHUSDT", 0), ("SOLUSDT", 1), ("XRPUSDT", None)])
def test_a_panel_is_told_which_symbol_it_is_about(symbol: str, row: int | None) -> None:
    config = small_whole("linear")
    decisions = config.decisions.model_copy(update={"symbols": ["ETHUSDT", "SOLUSDT"]})
    config = config.model_copy(update={"decisions": decisions})
    model = whole_model(config)
    mine = {
        (symbol if key[0] == "ETHUSDT" else key[0], key[1]): replace(one, symbol=symbol)
        for key, one in part().items()
    }
    said = list(told(config, model, part(), TIMES[:5], 0, symbol=row))
    found = batch_predictions(config, model, mine, TIMES[:5], symbol)
    assert found.symbol == symbol
    assert apart(said, found) <= EQUAL


def test_what_a_session_asks_for_reaches_as_far_back_as_a_decision_looks() -> None:
    config, model = small()
    first_ms = START * MINUTE + 300 * MINUTE
    found = history_needed(config, model, first_ms)
    # To be warm, features need ten half-lives of volume: 600 candles. 12 candles of 5m that are
    # made of minutes look back further than the clock's labels (2,400 minutes) and its own 24
    # candles. The reference is known half a second after its close: its last one is one earlier.
    assert found == {
        ETH: first_ms - 5 * (12 + 600) * MINUTE,
        ("ETHUSDT", H1): first_ms - (6 + 600) * 60 * MINUTE,
        BTC: first_ms - (1 + 20 + 600) * MINUTE,
    }
    later = history_needed(config, model, first_ms + 60 * MINUTE)
    assert {key: later[key] - start for key, start in found.items()} == dict.fromkeys(
        found, 60 * MINUTE
    )


def test_side_inputs_ask_for_their_own_history() -> None:
    config, model = small(("market",))
    plain, beside = (history_needed(*run, START * MINUTE) for run in (small(), (config, model)))
    # 1,440 returns of the reference need 1,441 candles, instead of 20.
    assert plain[BTC] - beside[BTC] == (1_441 - 20) * MINUTE


def test_a_decision_is_said_quickly_and_by_the_names_of_predictions() -> None:
    config, model = small()
    (said,) = told(config, model, part(), TIMES[:1], 0)
    assert {"action.prob_buy", "next_candle.1m.close", "next_candle.btc.low"} <= said.keys()
    assert sum(said[f"action.prob_{side}"] for side in ("buy", "sell", "hold")) == pytest.approx(1)
    assert said_of({}, {}) == {}


def test_the_policy_makes_decisions_of_predictions() -> None:
    config, model = small()
    times = minutes(*range(FIRST, FIRST + 3))
    probs = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])
    arrays = {f"action.prob_{side}": probs[:, i] for i, side in enumerate(("buy", "sell", "hold"))}
    found = decisions_of(config, Predictions(times, "ETHUSDT", "live", arrays))
    assert [one.time_ms for one in found] == times.tolist()
    assert [one.weight for one in found] == [one.wanted for one in found] == [1.0, -1.0, 0.0]
    assert found[1].said == {
        "action.prob_buy": 0.2,
        "action.prob_sell": 0.7,
        "action.prob_hold": 0.1,
    }
    nothing = batch_predictions(config, model, part(), times[:0])
    assert decisions_of(config, nothing) == []


def test_mistakes_are_told() -> None:
    config, model = small()
    some = {key: one for key, one in part().items() if key != BTC}
    with pytest.raises(DataError, match="no candles of BTCUSDT 1m were given, but of ETHUSDT 1m"):
        batch_predictions(config, model, some, TIMES)
    training = whole_model(config).train()
    with pytest.raises(MtfError, match="found a model in training"):
        batch_predictions(config, training, part(), TIMES)


def test_many_decisions_are_the_same_as_few() -> None:
    config = small_whole("linear")
    model = whole_model(config)
    candles = by_key(
        config,
        {
            "1m": random_candles(1_300, 1, first_slot=START),
            "1h": random_candles(40, 2, "1h", first_slot=START // 60 - 15),
            "btc": random_candles(1_300, 3, symbol="BTCUSDT", first_slot=START),
        },
    )
    times = minutes(*range(50, 1_290))
    whole = batch_predictions(config, model, candles, times)
    assert len(whole) == 1_240  # two batches
    cut = batch_predictions(config, model, candles, times[1_000:1_100])
    for name, values in cut.arrays.items():
        np.testing.assert_allclose(values, whole.arrays[name][1_000:1_100], atol=1e-6)
