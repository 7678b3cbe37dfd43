"""From candles to gradients: what is absent has no influence, whatever stands in its place.

Streams are absent for every reason there is: dropped, derived from a dropped one, stale, not yet
begun. Bit-equal, in training, with the same draws.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from small_models import answers, gradients
from whole import (
    Layout,
    changed,
    layout_of,
    minutes,
    raw_market,
    said,
    small_whole,
    whole_batch,
    whole_model,
    whole_world,
)

from mtf.market.world import World
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.model.tokens import TOKENS
from mtf.plugins import registry

CASES: list[dict[str, Any]] = [
    *(
        {"encoder": name, "weights": weights}
        for name in registry.names("encoder")
        for weights in ("shared", "per_stream")
    ),
    {"options": {"causal": False, "num_blocks": 2}},
    {"options": {"norm": "layer", "num_blocks": 2}},
    {"options": {"norm": "batch", "num_blocks": 2}},
    *({"fusion": name} for name in registry.names("fusion") if name != "attention"),
    *({"fusion": name, "tokens": "all"} for name in registry.names("fusion")),
    *({"tokens": name} for name in TOKENS if name not in ("log", "all")),
]
TIMES = np.stack([minutes(*range(at, at + 4)) for at in (150, 299, 398, 408, 594)])
"""Before the reference begins, around late candles, before and in a gap, where the hour turns."""
STREAMS = ("1m", "5m", "1h", "btc")
CONFIG = small_whole()
RAW = raw_market()


@cache
def world() -> World:
    return whole_world(CONFIG, RAW)


@cache
def clean(layout: Layout) -> Batch:
    """A batch whose decisions have lost some streams, the last two of the first group all."""
    dropped = np.random.default_rng(2).random((TIMES.size, len(STREAMS))) < 0.3
    dropped[2:4] = True
    return whole_batch(layout, world(), TIMES, dropped)


@cache
def spoilt(layout: Layout) -> Batch:
    """The same batch with NaN, inf and noise where anything is absent."""
    batch, need = clean(layout), {name: slots for name, slots, _ in layout}
    noise = torch.Generator().manual_seed(3)
    streams = {}
    for name, stream in batch.streams.items():
        seen = torch.zeros_like(stream.valid)
        for d in torch.nonzero(stream.present).flatten().tolist():
            last = int(stream.last[d])
            seen[stream.block[d], max(last - need[name] + 1, 0) : last + 1] = True
        kept = (seen & stream.valid).unsqueeze(-1)
        fill = [garbage(old, noise) for old in (stream.values, stream.log_sigma, stream.age)]
        streams[name] = replace(
            stream,
            values=torch.where(kept, stream.values, fill[0]),
            valid=torch.where(seen, stream.valid, ~stream.valid),
            log_sigma=torch.where(stream.present, stream.log_sigma, fill[1]),
            age=torch.where(stream.present, stream.age, fill[2]),
        )
    return Batch(streams, {})


def garbage(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """NaN, inf, -inf and large numbers, a quarter each."""
    number = 100 * torch.randn(like.shape, generator=generator)
    which = torch.randint(4, like.shape, generator=generator)
    for index, value in enumerate((float("nan"), float("inf"), -float("inf"))):
        number[which == index] = value
    return number


def test_streams_are_absent_for_every_reason() -> None:
    known = world().known(TIMES.reshape(-1))
    assert not known["btc"].present[:4].any()  # not begun
    assert not known["1m"].present[12:16].any()  # stale
    assert known["1m"].late.any()
    assert known["btc"].late.any()
    layout = layout_of(whole_model(CONFIG), once=True)
    for name, stream in clean(layout).streams.items():
        assert 4 <= int(stream.present.sum()) <= 16, name
        assert not spoilt(layout).streams[name].values.isfinite().all()


def trained(model: HybridModel, batch: Batch) -> dict[str, torch.Tensor]:
    """Outputs and gradients of one step of training, dropout and running statistics included."""
    model.train()
    torch.manual_seed(5)
    found = {f"gradient of {name}": value for name, value in gradients(model, batch).items()}
    torch.manual_seed(5)
    outputs = {name: value.detach() for name, value in answers(model, batch).items()}
    return found | outputs | {name: buffer.clone() for name, buffer in model.named_buffers()}


@pytest.mark.parametrize("once", [True, False], ids=["once", "window"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_absent_moves_neither_outputs_nor_gradients(
    case: dict[str, Any], once: bool
) -> None:
    config = small_whole(dropout=0.2, **case)
    model = whole_model(config)
    layout = layout_of(model, once=once)
    before = trained(deepcopy(model), clean(layout))
    after = trained(model, spoilt(layout))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(value, after[name]), name


@pytest.mark.parametrize("once", [True, False], ids=["once", "window"])
@pytest.mark.parametrize("encoder", registry.names("encoder"))
def test_a_dropped_stream_may_have_had_any_candles(encoder: str, once: bool) -> None:
    """Other candles and other gaps, from the first to the last: the model cannot tell."""
    model = whole_model(small_whole(encoder))
    layout = layout_of(model, once=once)
    for name, lost in {"1m": ["1m", "5m"], "1h": ["1h"], "btc": ["btc"]}.items():
        dropped = np.tile([stream == name for stream in STREAMS], (TIMES.size, 1))
        every = np.ones(len(RAW[name]), bool)
        flip = np.random.default_rng(4).random(len(every)) < 0.3
        other = whole_world(CONFIG, {**RAW, name: changed(RAW[name], every, flip, seed=4)})
        one = whole_batch(layout, world(), TIMES, dropped)
        two = whole_batch(layout, other, TIMES, dropped)
        assert not any(two.streams[gone].present.any() for gone in lost)
        before, after = said(model, one), said(model, two)
        assert all(torch.equal(before[key], after[key]) for key in before), name
