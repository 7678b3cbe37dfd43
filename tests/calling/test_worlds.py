"""Arrays cut from a market say what the market's own batches say, of the same decisions."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from whole import (
    FORMING,
    layout_of,
    minutes,
    raw_market,
    said,
    small_whole,
    whole_batch,
    whole_model,
    whole_world,
)
from worlds import random_candles

from mtf.calling.answer import Answer
from mtf.calling.model import KeywordModel
from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.learning.batches import BatchBuilder
from mtf.market.candles import Candles
from mtf.market.side_input import Moments
from mtf.market.world import World
from mtf.model.build import build_side_inputs

TIMES = minutes(350, 355, 356, 640, 704, 899)
"""On the hour and off it, behind a gap, at the very end."""
HISTORY = {"1m": 400, "1h": 55, "btc": 260}
"""At least 20 half-lives before the first slot that is read: what was before hardly weighs."""


@cache
def config(forming: bool) -> Config:
    whole = small_whole("dsc", tokens="log", forming=forming)
    features = {"name": "ohlcv", "volatility_half_life": 2, "volume_half_life": 2}
    return whole.model_copy(update={"features": type(whole.features).model_validate(features)})


@cache
def market() -> dict[str, Candles]:
    """Without late candles, which no array can tell of."""
    return {name: replace(candles, available_at=None) for name, candles in raw_market().items()}


def cut(candles: Candles, end_slot: int, length: int) -> np.ndarray:
    """The ``length`` rows before a slot, NaN where there are none."""
    rows = np.full((length, 5), np.nan)
    first = end_slot - length
    low, high = max(first, candles.first_slot), min(end_slot, candles.end_slot)
    if low < high:
        own = slice(low - candles.first_slot, high - candles.first_slot)
        rows[low - first : high - first] = candles.ohlcv[own]
    return rows


def arrays(world: World, lengths: dict[str, int], times: np.ndarray = TIMES) -> dict[str, Any]:
    """What is known at each time of every delivered stream."""
    found: dict[str, Any] = {}
    for name, length in lengths.items():
        stream = world.streams[name]
        ends = stream.spec.timeframe.last_slot(times, stream.spec.latency_ms) + 1
        found[name] = np.stack([cut(stream.candles, int(end), length) for end in ends])
    return found


def answered(answer: Answer) -> dict[str, torch.Tensor]:
    return {f"{h}/{o}": value for h, out in answer.outputs.items() for o, value in out.items()}


def check_same(answer: Answer, wanted: dict[str, torch.Tensor], tolerance: float) -> None:
    found = answered(answer)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("forming", [False, True])
def test_a_whole_history_answers_like_the_batches_of_training(forming: bool) -> None:
    """Encoded once in blocks there, window by window here."""
    model, world = whole_model(config(forming)), whole_world(config(forming), market())
    batch = whole_batch(layout_of(model, once=True), world, TIMES[None])
    if not forming:
        for name in FORMING:
            assert model.forming_streams == ()
            batch.streams[name] = replace(batch.streams[name], forming=None, forming_there=None)
    everything = dict.fromkeys(HISTORY, 1000)
    with torch.no_grad():
        answer = KeywordModel(config(forming), model)(arrays(world, everything), time_ms=TIMES)
    check_same(answer, said(model, batch), 1e-5)
    assert answer.units.label_volatility == pytest.approx(world.label_volatility(TIMES), rel=1e-9)
    for name, known in world.known(TIMES).items():
        assert (answer.units.known[name].present == known.present).all()
        assert answer.units.known[name].sigma == pytest.approx(known.sigma, rel=1e-9, nan_ok=True)


def test_a_window_with_enough_before_it_answers_like_the_whole_history() -> None:
    model, world = whole_model(config(False)), whole_world(config(False), market())
    batch = whole_batch(layout_of(model, once=True), world, TIMES[None])
    with torch.no_grad():
        answer = KeywordModel(config(False), model)(arrays(world, HISTORY), time_ms=TIMES)
    check_same(answer, said(model, batch), 1e-5)


def test_side_inputs_of_the_market_by_keyword_answer_like_those_of_the_batch() -> None:
    """In a gap the primary is stale: the batch masks what is computed from it, and so does this."""
    times = np.concatenate([TIMES, minutes(408)])
    text = config(False).model_dump(mode="json", by_alias=True)
    sided = parse_config({**text, "side_inputs": {"technical": {}, "market": {}}})
    model, world = whole_model(sided), whole_world(sided, market())
    sides = build_side_inputs(sided, model.streams, world.clock)
    need = {name: slots for name, slots, _ in layout_of(model, once=False)}
    builder = BatchBuilder(world, {}, need, dict.fromkeys(need, False), (), sides)
    given: dict[str, Any] = {}
    for name, side in sides.items():
        values, valid = side.at(Moments(world, times, world.known(times)))
        given[name] = np.where(valid, values, np.nan)[:, 0]
        assert valid.any()
    given |= arrays(world, dict.fromkeys(HISTORY, 1_000), times)
    assert world.known(times)["1m"].present.tolist() == [True] * len(TIMES) + [False]
    keywords = {"technical": "tech_data", "market": "market_data", "1m": "price_data", "1h": "1h",
                "btc": "btc_data_1m"}  # fmt: skip
    with torch.no_grad():
        by_keyword = {keywords[name]: array for name, array in given.items()}
        answer = KeywordModel(sided, model)(by_keyword, time_ms=times)
    check_same(answer, said(model, builder.build(times[None], None)), 1e-5)


def test_what_lies_before_the_warm_up_is_masked_and_shorter_arrays_are_taken() -> None:
    """Three candles know two returns: sigma from the last one on, so that the fourth is used."""
    caller = KeywordModel(config(False), whole_model(config(False)))
    world = whole_world(config(False), market())
    short = arrays(world, {"1m": 4})
    streams, _ = caller.reader.read(short, TIMES)
    assert streams["1m"].valid[0].nonzero().max() == streams["1m"].last[0]
    assert int(streams["1m"].valid[0].sum()) == 1
    assert not streams["1h"].present.any()
    assert not caller.reader.read(arrays(world, {"1m": 3}), TIMES)[0]["1m"].present.any()


def test_a_stream_that_is_derived_comes_with_its_source_or_is_given_itself() -> None:
    caller = KeywordModel(config(False), whole_model(config(False)))
    world = whole_world(config(False), market())
    source, hours = arrays(world, {"1m": 400}), arrays(world, {"1h": 60})
    own = arrays(world, {"5m": 70})
    assert caller.reader.read(source, TIMES)[0]["5m"].present.all()
    assert not caller.reader.read(hours, TIMES)[0]["5m"].present.any()
    given, _ = caller.reader.read({**own, **hours}, TIMES)
    assert given["5m"].present.all(), "delivered, it needs no source"
    assert not given["1m"].present.any()


def test_nan_rows_at_the_end_are_the_age_of_a_stream_and_make_it_stale() -> None:
    caller = KeywordModel(config(False), whole_model(config(False)))
    candles = arrays(whole_world(config(False), market()), {"1m": 300})["1m"][:1]
    ages, present = [], []
    for missing in (0, 1, 3, 4):
        torn = candles.copy()
        torn[:, 300 - missing :] = np.nan
        stream = caller.reader.read({"1m": torn}, TIMES[:1])[0]["1m"]
        ages.append(float(stream.age[0]))
        present.append(bool(stream.present[0]))
    assert ages == pytest.approx(np.log1p([0, 1, 3, 4]))
    assert present == [True, True, True, False], "max_age is 3 candles"


def test_a_decision_does_not_read_the_arrays_of_another() -> None:
    caller = KeywordModel(config(False), whole_model(config(False)))
    both = arrays(whole_world(config(False), market()), {"1m": 300, "btc": 300})
    mixed = {name: array.copy() for name, array in both.items()}
    mixed["1m"][1:] = random_candles(300, seed=9).ohlcv
    with torch.no_grad():
        first, second = caller(both, time_ms=TIMES), caller(mixed, time_ms=TIMES)
    for value, again in zip(answered(first).values(), answered(second).values(), strict=True):
        assert torch.equal(value[0], again[0])
    assert not torch.equal(first["action_logits"][1:], second["action_logits"][1:])
