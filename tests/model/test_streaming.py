"""Candle by candle, the engine says what batches say: gaps, late candles, streams that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from streams import Arrival, apart, arrivals, flat, give, in_batches, replay, streaming_of
from whole import START, minutes, raw_market, small_whole, whole_model, whole_world
from worlds import MINUTE

from mtf.config.plugin_spec import SideInputSpec
from mtf.errors import DataError, MtfError
from mtf.market.candles import Candles
from mtf.market.flow import Outcome
from mtf.market.world import World
from mtf.model.build import build_side_inputs
from mtf.model.hybrid import HybridModel
from mtf.model.streaming import Streaming
from mtf.model.tokens import TOKENS
from mtf.plugins import registry
from mtf.report.measure import peak_bytes

EQUAL = 1e-6
SIDES = {"position_state": SideInputSpec(name="position_state")}
CASES: list[dict[str, Any]] = [
    *({"encoder": name} for name in registry.names("encoder")),
    {"encoder": "dsc", "options": {"num_blocks": 3, "norm": "layer"}},
    {"encoder": "dsc", "options": {"num_blocks": 2, "norm": "batch"}},
    {"encoder": "dsc", "options": {"num_blocks": 2, "causal": False}},
    {"encoder": "dsc", "weights": "per_stream", "options": {"num_blocks": 2, "kernel_size": 5}},
    *({"fusion": name} for name in registry.names("fusion")),
    *({"tokens": name, "forming": True} for name in TOKENS),
]
PART = slice(285, 460)
"""Rows of the primary's minutes with late candles and a gap that makes streams stale."""
TIMES = minutes(*range(PART.start, PART.stop, 4))
ALL_TIMES = np.concatenate([minutes(*range(0, 60, 7)), minutes(*range(100, 899, 3))])
"""From the first minute on, over every gap and late candle of the market."""


@cache
def part_of_market() -> Mapping[str, Candles]:
    """What of the market comes up to the end of the part, and forty minutes of history."""
    start, end = (int(minutes(row)[0]) for row in (PART.start - 40, PART.stop))
    return {
        name: candles.slice(0 if name == "1h" else start, end)
        for name, candles in raw_market().items()
    }


@cache
def world(whole: bool) -> World:
    return whole_world(small_whole(), raw_market() if whole else part_of_market())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_says_what_batches_say(case: dict[str, Any]) -> None:
    config = small_whole(**case)
    model = whole_model(config)
    streaming = streaming_of(config, model, compiled=False)
    said = replay(streaming, arrivals(part_of_market()), TIMES)
    assert apart(said, in_batches(model, world(False), TIMES)) <= EQUAL
    assert streaming.flows["1m"].counts["late"] == 2


def test_the_part_has_it_all() -> None:
    known = world(False).known(TIMES)
    assert known["1m"].late.any()
    assert known["5m"].late.any()
    for name in ("1m", "5m"):
        assert 0 < known[name].present.mean() < 1, name


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [{"encoder": "gru"}, {"forming": True}, {"fusion": "full"}], ids=str
)
def test_it_says_what_batches_say_of_the_whole_market(case: dict[str, Any]) -> None:
    config = small_whole(**case)
    model = whole_model(config)
    said = replay(streaming_of(config, model), arrivals(raw_market()), ALL_TIMES)
    assert apart(said, in_batches(model, world(True), ALL_TIMES)) <= EQUAL


@cache
def small() -> tuple[Any, HybridModel]:
    config = small_whole("linear", forming=True)
    return config, whole_model(config)


def engine(**options: Any) -> Streaming:
    config, model = small()
    return streaming_of(config, model, **{"compiled": False, **options})


def test_candles_that_say_when_they_may_be_known_can_be_given_at_once() -> None:
    streaming, waiting = engine(), 0
    for name, candles in part_of_market().items():
        known = candles.available_at
        for row in np.flatnonzero(candles.valid):
            opened = int(candles.open_time()[row])
            at = None if known is None else int(known[row])
            waiting += streaming.update(name, opened, candles.ohlcv[row], at) is Outcome.WAITING
    assert waiting == 2
    said = replay(streaming, [], TIMES)
    assert apart(said, replay(engine(), arrivals(part_of_market()), TIMES)) <= EQUAL


def test_nothing_shows_before_it_may() -> None:
    time = int(minutes(300)[0])
    early, later = engine(), engine()
    coming = arrivals(part_of_market())
    for one in coming:
        if one.time_ms <= time:
            give(early, one)
            give(later, one)
    for name, candles in part_of_market().items():
        spec = early.flows[name].spec
        for row in np.flatnonzero(candles.valid):
            opened = int(candles.open_time()[row])
            if opened + spec.timeframe.duration_ms + spec.latency_ms > time:
                later.update(name, opened, candles.ohlcv[row] * 3)
    assert later.flows["1m"].end > early.flows["1m"].end
    assert apart(flat(early.decide(time)), flat(later.decide(time))) == 0.0


def test_a_candle_is_not_seen_before_the_latency_of_its_stream() -> None:
    streaming, time = engine(), int(minutes(300)[0])
    for one in arrivals(part_of_market()):
        if one.time_ms <= time:
            give(streaming, one)
    streaming.decide(time)
    assert int(streaming.known["btc"].last_slot[0]) == START + 299
    assert int(streaming.known["1m"].last_slot[0]) == START + 300
    streaming.decide(time + 500)
    assert int(streaming.known["btc"].last_slot[0]) == START + 300


def test_a_candle_given_before_its_time_may_be_known_is_not_seen_till_then() -> None:
    coming = [one for one in arrivals(part_of_market()) if one.time_ms <= int(minutes(301)[0])]
    *before, last = [one for one in coming if one.stream == "1m"]
    plain, told = engine(), engine()
    for one in before:
        give(plain, one)
        give(told, one)
    known_ms = last.time_ms + 3 * MINUTE
    given = (last.stream, last.open_time_ms, np.array(last.candle), known_ms)
    assert told.update(*given) is Outcome.WAITING
    assert told.update(*given) is Outcome.REPEATED
    wrong = (*given[:2], given[2] * 2, known_ms)
    assert told.update(*wrong) is Outcome.CONFLICTING
    for time in (known_ms - 1, known_ms):
        if time == known_ms:
            give(plain, last)
        assert apart(flat(plain.decide(time)), flat(told.decide(time))) == 0.0
    assert told.counts["1m"] == {"repeated": 1, "conflicting": 1, "taken": len(coming_1m(coming))}


def coming_1m(coming: list[Arrival]) -> list[Arrival]:
    return [one for one in coming if one.stream == "1m"]


def test_history_in_one_go_is_the_same_as_candle_by_candle() -> None:
    cut = int(minutes(PART.start)[0])
    raw = {name: replace(one, available_at=None) for name, one in part_of_market().items()}
    at_once = engine()
    for name, candles in raw.items():
        half = candles.slice(0, cut - 25 * MINUTE)
        at_once.extend(name, half)
        at_once.extend(
            name, candles.slice(cut - 25 * MINUTE, cut - candles.timeframe.duration_ms + 1)
        )
    coming = arrivals(raw)
    said = replay(at_once, [one for one in coming if one.time_ms > cut], TIMES[1:])
    assert apart(said, replay(engine(), coming, TIMES[1:])) <= EQUAL


def test_a_late_candle_changes_what_is_said_and_a_refused_one_does_not() -> None:
    coming = [one for one in arrivals(part_of_market()) if one.time_ms <= int(minutes(330)[0])]
    late = next(one for one in coming if one.stream == "1m" and one.time_ms > int(minutes(310)[0]))
    without, time = engine(reach=40), int(minutes(330)[0])
    for one in coming:
        if one is not late:
            give(without, one)
    first = flat(without.decide(time))
    assert give(without, late) == Outcome.LATE
    second = flat(without.decide(time))
    assert apart(first, second) > 1e-4
    other = replace(late, candle=tuple(2 * price for price in late.candle))
    assert give(without, other) == Outcome.CONFLICTING
    assert give(without, coming_1m(coming)[0]) == Outcome.TOO_LATE
    assert apart(second, flat(without.decide(time))) == 0.0


def test_a_stream_that_did_not_move_is_not_pooled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_whole(encoder="gru")
    streaming = streaming_of(config, whole_model(config), compiled=False)
    for one in arrivals(part_of_market()):
        if one.time_ms <= int(minutes(305)[0]):
            give(streaming, one)
    asked: list[int] = []
    for index, encoder in enumerate(streaming.model.encoders):
        encoder.register_forward_hook(lambda *_, index=index: asked.append(index))
    streaming.decide(int(minutes(305)[0]))
    assert sorted(asked) == [0, 1, 2, 3]
    asked.clear()
    streaming.decide(int(minutes(306)[0]))
    assert sorted(asked) == [0, 3], "5m and 1h have no new slot"


def test_side_inputs_are_given_or_absent() -> None:
    config = small_whole(forming=True).model_copy(update={"side_inputs": SIDES})
    model = whole_model(config)
    sides = build_side_inputs(config, config.stream_specs(), config.decisions.clock)
    values = np.linspace(-1, 1, 5, dtype=np.float32)[None]
    valid = np.array([[True, False, True, True, True]])
    for given in ({}, {"position_state": (values, valid)}):
        streaming, coming = streaming_of(config, model, compiled=False), arrivals(part_of_market())
        for one in coming:
            if one.time_ms <= int(TIMES[10]):
                give(streaming, one)
        said = flat(streaming.decide(int(TIMES[10]), given))
        told = given or {"position_state": (values, np.zeros_like(valid))}
        expected = in_batches(model, world(False), TIMES[10:11], sides=sides, given=told)
        assert apart(said, expected) <= EQUAL
    with pytest.raises(DataError, match="found side input 'book'"):
        streaming.decide(int(TIMES[11]), {"book": (values, valid)})
    with pytest.raises(DataError, match=r"\[time, element\] = \[steps, 5\] of both"):
        streaming.decide(int(TIMES[11]), {"position_state": (values[:, :4], valid[:, :4])})


@pytest.mark.parametrize("symbol", [1, None])
def test_a_panel_is_told_the_symbol(symbol: int | None) -> None:
    config = small_whole()
    decisions = config.decisions.model_copy(update={"symbols": ["ETHUSDT", "SOLUSDT"]})
    config = config.model_copy(update={"decisions": decisions})
    model = whole_model(config)
    engine = streaming_of(config, model, compiled=False, symbol=symbol)
    said = replay(engine, arrivals(part_of_market()), TIMES[:5])
    assert apart(said, in_batches(model, world(False), TIMES[:5], symbol=symbol)) <= EQUAL
    other = in_batches(model, world(False), TIMES[:5], symbol=0)
    assert apart(said, other) > EQUAL


def test_mistakes_are_told() -> None:
    streaming, candle = engine(reach=50), np.array([1.0, 2.0, 0.5, 1.5, 0.0])
    opened = START * MINUTE
    with pytest.raises(DataError, match="stream '5m', which is built from 1m"):
        streaming.update("5m", opened, candle)
    with pytest.raises(DataError, match="a delivered stream: 1m, 1h, btc"):
        streaming.update("2m", opened, candle)
    with pytest.raises(DataError, match="the open of a 1m candle"):
        streaming.update("1m", opened + 1, candle)
    with pytest.raises(DataError, match="finite prices above 0"):
        streaming.update("1m", opened, -candle)
    with pytest.raises(DataError, match="stream 1m is 1m, its history 1h"):
        streaming.extend("1m", part_of_market()["1h"])
    streaming.decide(opened)
    with pytest.raises(DataError, match="decision times that do not go back"):
        streaming.decide(opened - 1)
    for slot in range(1, 60):
        streaming.update("1m", opened + slot * MINUTE, candle)
    with pytest.raises(DataError, match="at most 50 slots before a stream's newest candle"):
        streaming.decide(opened + MINUTE)
    config, _ = small()
    with pytest.raises(MtfError, match="found a model in training"):
        streaming_of(config, whole_model(config).train())


def test_more_candles_than_can_wait_are_told_and_not_dropped() -> None:
    streaming, candle = engine(reach=50), np.array([1.0, 2.0, 0.5, 1.5, 0.0])
    opened, size = START * MINUTE, streaming.flows["1m"].size
    for slot in range(size):
        streaming.update("1m", opened + slot * MINUTE, candle, opened + (slot + 2) * MINUTE)
    with pytest.raises(DataError, match="give the history by extend"):
        streaming.update("1m", opened + size * MINUTE, candle, opened + (size + 2) * MINUTE)
    streaming.decide(opened + size * MINUTE)
    again = streaming.update("1m", opened + size * MINUTE, candle, opened + (size + 2) * MINUTE)
    assert again == Outcome.WAITING


def test_numbers_of_numpy_are_kept_as_such_that_a_file_can_hold() -> None:
    streaming, candle = engine(), np.array([1.0, 2.0, 0.5, 1.5, 0.0])
    opened = np.int64(START * MINUTE)
    streaming.update("1m", opened, candle, opened + 5 * MINUTE)
    streaming.decide(opened + MINUTE)
    assert type(streaming.time_ms) is int
    assert [type(when) for when, *_ in streaming.waiting["1m"]] == [int]


def test_before_any_candle_every_stream_is_missing() -> None:
    streaming = engine()
    said = flat(streaming.decide(int(minutes(0)[0])))
    assert all(np.isfinite(value).all() for value in said.values())
    assert not streaming.table.present().any()


def test_weights_that_are_shared_are_taken_once_for_each_history() -> None:
    streaming = engine()
    states = [track.encoding[0].state() for track in streaming.tracks]
    memory = [array.ctypes.data for state in states for array in state.values()]
    assert len(set(memory)) == len(memory)


def test_both_ways_up() -> None:
    config, _ = small()
    turned = config.model_copy(update={"model": config.model.model_copy(update={"mirror": True})})
    kept = {name: config.heads[name] for name in ("action", "price", "next_candle", "confidence")}
    turned = turned.model_copy(update={"heads": kept})
    model = whole_model(turned)
    assert model.mirror is not None
    said = replay(streaming_of(turned, model), arrivals(part_of_market()), TIMES[::4])
    expected = in_batches(model, world(False), TIMES[::4])
    assert apart(said, expected) <= EQUAL


def test_memory_is_constant() -> None:
    streaming = engine(reach=30)
    sizes = {name: array.nbytes for name, array in holdings(streaming)}
    candle = np.array([100.0, 101.0, 99.0, 100.5, 3.0])
    streaming.decide(START * MINUTE)
    for slot in range(1_000):
        streaming.update("1m", (START + slot) * MINUTE, candle, (START + slot + 3) * MINUTE)
        if slot % 20 == 0:
            streaming.decide((START + slot + 1) * MINUTE)
    assert len(streaming.flows["1m"].valid) < 200
    assert sizes == {name: array.nbytes for name, array in holdings(streaming)}
    assert max(len(waiting) for waiting in streaming.waiting.values()) <= 30


@pytest.mark.long
def test_memory_is_constant_over_a_million_candles() -> None:
    streaming, candle = engine(), np.array([100.0, 101.0, 99.0, 100.5, 3.0])
    seen = []
    for slot in range(1_000_000):
        streaming.update("1m", (START + slot) * MINUTE, candle)
        if slot % 10 == 0:
            streaming.decide((START + slot + 1) * MINUTE)
        if slot % 200_000 == 199_999:
            seen.append(peak_bytes())
    print([f"{peak / 2**20:.1f} MiB" for peak in seen])
    assert seen[-1] - seen[0] < 4 * 2**20


def holdings(streaming: Streaming) -> list[tuple[str, np.ndarray]]:
    from mtf.model.stream_state import arrays_of

    tables = [item for item in vars(streaming.table).items() if isinstance(item[1], np.ndarray)]
    return [*arrays_of(streaming), *tables]


def test_an_engine_says_how_it_answers() -> None:
    assert engine().answer.name == "torch"
    assert engine().answer.note == "a tape was not asked for"
