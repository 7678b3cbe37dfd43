"""From candles to gradients on two paths: encoded once a group, or window by window.

The market has gaps, streams that are stale, dropped or not yet begun, candles that come late, and
decisions before the history is as long as the lookback.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from small_models import gradients
from tasks import Silent, small_task
from whole import (
    Layout,
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

OPTIONS: list[tuple[str, dict[str, Any] | None]] = [
    *((name, None) for name in registry.names("encoder")),
    *(("dsc", {"num_blocks": 3, "norm": norm}) for norm in ("layer", "batch")),
    ("dsc", {"num_blocks": 2, "kernel_size": 5}),
    ("conv", {"num_blocks": 2, "norm": "layer"}),
]
CASES: list[dict[str, Any]] = [
    *({"encoder": name, "options": options} for name, options in OPTIONS),
    *({"encoder": name, "weights": "per_stream"} for name in registry.names("encoder")),
    *({"fusion": name} for name in registry.names("fusion")),
    {"forming": True},
    {"forming": True, "tokens": "all"},
    *({"tokens": name} for name in TOKENS),
]
FINITE = [
    case
    for case in CASES
    if all(able for *_, able in layout_of(whole_model(small_whole(**case)), once=True))
]
SAME_STATISTICS = [case for case in FINITE if (case.get("options") or {}).get("norm") != "batch"]
"""Batch norm takes its training statistics over a block's candles, which are not the windows'."""
ROWS = ((8, 1), (205, 2), (298, 1), (396, 3), (500, 7), (594, 1))
"""First row and stride: ragged starts, late candles, a gap, a wide group, the hour's turn."""
TIMES = np.stack([minutes(*range(at, at + 8 * stride, stride)) for at, stride in ROWS])


@cache
def world() -> World:
    return whole_world(small_whole(), raw_market())


@cache
def batch(layout: Layout) -> Batch:
    dropped = np.random.default_rng(1).random((TIMES.size, 4)) < 0.15
    return whole_batch(layout, world(), TIMES, dropped)


def both(model: HybridModel) -> list[Batch]:
    """The batch of both paths."""
    return [batch(layout_of(model, once=once)) for once in (True, False)]


def test_the_market_has_it_all() -> None:
    once, windows = both(whole_model(small_whole()))
    known = world().known(TIMES.reshape(-1))
    for name in ("1m", "5m", "btc"):
        assert known[name].late.any(), name
        assert len(once.streams[name].values) < len(windows.streams[name].values), name
        assert not known[name].present.all(), name
    assert all(stream.present.any() for stream in once.streams.values())
    first = world().streams["1m"].candles.first_slot
    assert (known["1m"].last_slot - first < 24).any()


@pytest.mark.parametrize("case", FINITE, ids=str)
def test_outputs_agree(case: dict[str, Any]) -> None:
    model = whole_model(small_whole(**case))
    once, windows = (said(model, one) for one in both(model))
    for name, value in once.items():
        assert float((value - windows[name]).abs().max()) <= 1e-5, name


@pytest.mark.parametrize("case", SAME_STATISTICS, ids=str)
def test_gradients_agree_in_training_without_dropout(case: dict[str, Any]) -> None:
    model = whole_model(small_whole(**case))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    once, windows = (gradients(model.train(), one) for one in both(model))
    assert once.keys() == windows.keys()
    scale = max(float(gradient.abs().max()) for gradient in once.values())
    for name, gradient in once.items():
        size = max(float(gradient.abs().max()), 1e-3 * scale)
        assert float((gradient - windows[name]).abs().max()) <= 1e-5 * size, name


def samples_per_second(encoder: str, path: str) -> float:
    """Speed of ten training steps of four groups of sixteen decisions, labels and all."""
    sampling = {"path": path, "groups": 4, "decisions": 16, "stride": 4, "steps_per_epoch": 12}
    streams = {name: {"lookback": 240} for name in ("1m", "btc")}
    run = small_task(
        decisions={"end": "2024-01-04"},
        streams=streams,
        model={"embed_dim": 32, "encoder": {"name": encoder, "num_blocks": 4}},
        training={"epochs": 1, "sampling": sampling},
    ).fitting(Silent(), Silent(), None)
    for _ in range(2):
        run._step()  # compiles, allocates
    run.state.samples, run.state.seconds = 0, 0.0
    for _ in range(10):
        run._step()
    return run.state.samples / run.state.seconds


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("encoder", ["dsc", "conv"])
def test_encoding_once_trains_faster(encoder: str) -> None:
    once, window = (samples_per_second(encoder, path) for path in ("encode_once", "window"))
    print(f"\n{encoder}: once {once:.0f}, window {window:.0f} samples/s, ratio {once / window:.1f}")
    assert once > window
