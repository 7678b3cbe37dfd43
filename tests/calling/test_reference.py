"""Every input and every output of the reference, by name and shape; any of the inputs may miss."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from callers import TIME, full_model, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.calling.answer import Answer

INPUTS: dict[str, tuple[int, ...]] = {
    "price_data_1s": (TIME, 5),
    "price_data_1m": (TIME, 5),
    "price_data_1h": (TIME, 5),
    "price_data_1d": (TIME, 5),
    "btc_data_1m": (TIME, 5),
    "cob_data": (20, 100),
    "tech_data": (40,),
    "market_data": (30,),
    "position_state": (5,),
}
"""Shape of one decision."""

STREAMS = ("1s", "1m", "1h", "1d", "btc")
ANALYSIS = {"direction_logits": (3,), "slope": (1,)}
PIVOT = dict.fromkeys(("reached_logit", "high_logit", "distance", "log_time"), (1,))
OUTPUTS: dict[str, Any] = {
    "action_logits": (3,),
    "action_probs": (3,),
    "confidence": (1,),
    "next_candles": dict.fromkeys(STREAMS, (5,)),
    "btc_next_candle": (5,),
    "price_prediction": (1,),
    "volatility_prediction": (1,),
    "trend_strength_prediction": (1,),
    "trend_analysis": dict.fromkeys(STREAMS, ANALYSIS),
    "trend_agreement": (1,),
    "next_pivots": {f"L{level}": PIVOT for level in range(1, 6)},
    "position_weight": (1,),
}
"""Shape of one decision."""

NATURAL: dict[str, Any] = {
    "next_candle_ohlcv": dict.fromkeys(STREAMS, (5,)),
    "btc_next_candle_ohlcv": (5,),
    "price_log_return": (1,),
    "volatility_realised": (1,),
    "trend_analysis": {name: {"log_return_per_candle": (1,)} for name in STREAMS},
    "next_pivots": {
        f"L{level}": {"log_return": (1,), "clock_steps": (1,)} for level in range(1, 6)
    },
}
"""The same in natural units, where there is a scale."""


def flat(shapes: dict[str, Any], path: str = "") -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if isinstance(shape, dict):
            found |= flat(shape, f"{path}{name}.")
        else:
            found[path + name] = tuple(shape)
    return found


def look(answer: Answer, path: str) -> torch.Tensor:
    value: Any = answer
    for name in path.split("."):
        value = value[name]
    assert isinstance(value, torch.Tensor)
    return value


def inputs(names: Collection[str], batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        name: walk(batch, seed=i) if shape[-1:] == (5,) and len(shape) == 2
        else rng.normal(size=(batch, *shape)).astype(np.float32)
        for i, (name, shape) in enumerate(INPUTS.items())
        if name in names
    }  # fmt: skip


def test_every_input_and_output_of_the_reference_is_there() -> None:
    given = inputs(INPUTS.keys(), batch=2)
    with torch.no_grad():
        answer = full_model()(**given)
    for path, shape in (flat(OUTPUTS) | flat(NATURAL)).items():
        output = look(answer, path)
        assert tuple(output.shape) == (2, *shape), path
        assert torch.isfinite(output).all(), path
    others = {"confidence_probs", "confidence_chosen"}
    assert set(answer) == {*OUTPUTS, *NATURAL, *others}, "nothing that this table does not list"


@pytest.mark.parametrize("name", list(INPUTS))
def test_every_input_matters(name: str) -> None:
    """Another array in its place moves the answer: none is taken and not read."""
    given = inputs(INPUTS.keys(), batch=1)
    other = {**given, name: inputs({name}, batch=2)[name][1:]}
    with torch.no_grad():
        before, after = full_model()(**given), full_model()(**other)
    assert not torch.equal(before["action_logits"], after["action_logits"])


@settings(max_examples=25, deadline=None)
@given(names=st.frozensets(st.sampled_from(list(INPUTS))), batch=st.integers(1, 3))
def test_any_subset_of_the_inputs_is_an_answer(names: frozenset[str], batch: int) -> None:
    with torch.no_grad():
        answer = full_model()(batch_size=batch, **inputs(names, batch))
    for path, shape in flat(OUTPUTS).items():
        output = look(answer, path)
        assert tuple(output.shape) == (batch, *shape), path
        assert torch.isfinite(output).all(), f"{path} without {set(INPUTS) - names}"
    scaled = {name: keyword in names for name, keyword in zip(STREAMS, INPUTS, strict=False)}
    for name, known in scaled.items():
        decoded = look(answer, f"next_candle_ohlcv.{name}")
        assert bool(torch.isfinite(decoded).all()) == known, "prices where there is a scale"
    assert bool(torch.isfinite(answer["price_log_return"]).all()) == scaled["1m"]


def test_the_single_price_data_counts_as_1m() -> None:
    candles = walk(2)
    with torch.no_grad():
        single, by_name = full_model()(price_data=candles), full_model()({"1m": candles})
        full = full_model()(price_data_1m=candles, price_data_1s=None)
    for path in flat(OUTPUTS):
        assert torch.equal(look(single, path), look(full, path)), path
        assert torch.equal(look(by_name, path), look(full, path)), path


def test_nothing_at_all_is_one_decision_without_anything() -> None:
    with torch.no_grad():
        nothing, blank = full_model()(), full_model()(price_data=np.full((1, 9, 5), np.nan))
        torn = full_model()(price_data_1h=np.empty((1, 0, 5)))
    for path, shape in flat(OUTPUTS).items():
        assert tuple(look(nothing, path).shape) == (1, *shape), path
        assert torch.equal(look(nothing, path), look(blank, path)), path
        assert torch.equal(look(nothing, path), look(torn, path)), path
