"""The state of an engine on disk: it goes on bit for bit, and damage is told."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import Arrival, arrivals, flat, give, replay, streaming_of
from whole import minutes, raw_market, small_whole, whole_model

from mtf.config.schema import Config
from mtf.errors import CheckpointError
from mtf.learning.stream_file import restore_stream, save_stream
from mtf.model.hybrid import HybridModel
from mtf.model.stream_state import restore, state_of
from mtf.model.streaming import Streaming

BEGIN, HALF, END = (int(minutes(row)[0]) for row in (260, 304, 330))
TIMES = minutes(*range(304, 330, 2))


@cache
def whole(encoder: str, seed: int = 0) -> tuple[Config, HybridModel]:
    config = small_whole(encoder, forming=True)
    return config, whole_model(config, seed)


def engine(encoder: str = "dsc", seed: int = 0, **options: Any) -> Streaming:
    config, model = whole(encoder, seed)
    return streaming_of(config, model, compiled=False, **options)


@cache
def coming() -> tuple[list[Arrival], list[Arrival]]:
    """Candles before and after the save; one waits, and one comes late, at the time between."""
    every = [one for one in arrivals(raw_market()) if BEGIN < one.time_ms <= END]
    return [one for one in every if one.time_ms <= HALF], [o for o in every if o.time_ms > HALF]


def half_way(streaming: Streaming) -> Streaming:
    """Fed up to the middle, where it is asked once, and a candle waits."""
    for one in coming()[0]:
        give(streaming, one)
    streaming.decide(HALF)
    waits = np.array([100.0, 101.0, 99.0, 100.5, 3.0])
    streaming.update("btc", HALF, waits, HALF + 10 * 60_000)
    return streaming


@pytest.mark.parametrize("encoder", ["dsc", "conv", "linear", "gru"])
def test_it_goes_on_bit_for_bit(encoder: str, tmp_path: Path) -> None:
    first = half_way(engine(encoder))
    save_stream(first, tmp_path)
    second = engine(encoder)
    assert restore_stream(second, tmp_path) == ()
    assert second.counts == first.counts
    said, again = (replay(one, coming()[1], TIMES) for one in (first, second))
    for name, value in said.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    assert second.counts == first.counts
    assert second.counts["btc"]["taken"] > 0


def test_a_damaged_state_is_told_and_the_one_before_is_used(tmp_path: Path) -> None:
    streaming = half_way(engine())
    save_stream(streaming, tmp_path)
    before = flat(streaming.decide(HALF))
    for one in coming()[1]:
        give(streaming, one)
    streaming.decide(END)
    newest = save_stream(streaming, tmp_path) / "arrays.safetensors"
    data = bytearray(newest.read_bytes())
    data[-9] ^= 1
    newest.write_bytes(bytes(data))
    again = engine()
    (told,) = restore_stream(again, tmp_path)
    assert newest.parent.name in told
    np.testing.assert_array_equal(
        flat(again.decide(HALF))["action/logits"], before["action/logits"]
    )


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no 'stream' checkpoint"):
        restore_stream(engine(), tmp_path)
    save_stream(half_way(engine()), tmp_path)
    for other in (engine(seed=1), engine("conv"), engine(reach=512), engine(symbol=0)):
        with pytest.raises(CheckpointError, match="of another model, of other weights"):
            restore_stream(other, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", 99),
        ("time_ms", "soon"),
        ("streams", {}),
        ("streams", []),
        ("belongs_to", None),
    ],
)
def test_a_state_that_was_tampered_with_changes_nothing(key: str, value: Any) -> None:
    arrays, told = state_of(half_way(engine()))
    fresh = engine()
    with pytest.raises(CheckpointError, match="a state of streams can't be used"):
        restore(fresh, arrays, {**told, key: value})
    with pytest.raises(CheckpointError, match="a state of streams can't be used"):
        restore(fresh, {**arrays, "1m/ohlcv": np.zeros((2, 5))}, told)
    with pytest.raises(CheckpointError, match="a state of streams can't be used"):
        restore(fresh, {n: a for n, a in arrays.items() if n != "1m/ohlcv"}, told)
    assert fresh.flows["1m"].end == 0
    assert not fresh.flows["1m"].valid.any()


def test_a_state_is_a_copy() -> None:
    streaming = half_way(engine())
    arrays, _ = state_of(streaming)
    kept = arrays["1m/ohlcv"].copy()
    for one in coming()[1]:
        give(streaming, one)
    np.testing.assert_array_equal(arrays["1m/ohlcv"], kept)
