"""What is absent has no influence, whatever stands in its place; nor has the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import (
    HISTORY,
    MINUTE,
    SPECS,
    answers,
    features,
    gradients,
    make_batch,
    small_model,
)

from mtf.model.batch import Batch
from mtf.model.fusion import Attention, Latent
from mtf.model.pooled import Mean
from mtf.plugins.contracts import Fusion

TIMES = np.array([[200, 210], [215, 290]])
HIDDEN = [float("nan"), float("inf"), 1e4]


def some_absent() -> dict[str, np.ndarray]:
    return {
        "1m": np.array([True, False, False, False]),
        "5m": np.array([True, True, False, False]),
        "btc": np.zeros(4, bool),
    }


def spoil(batch: Batch, hidden: float) -> Batch:
    """Overwrite all that is absent: invalid slots, slots no decision sees, absent streams."""
    streams = {}
    for spec in SPECS:
        stream = batch.streams[spec.name]
        seen = torch.zeros_like(stream.valid)
        for d in torch.nonzero(stream.present).flatten().tolist():
            last = int(stream.last[d])
            seen[stream.block[d], max(last - spec.lookback - 29, 0) : last + 1] = True
        kept = seen & stream.valid
        streams[spec.name] = replace(
            stream,
            values=torch.where(kept.unsqueeze(-1), stream.values, hidden),
            valid=torch.where(seen, stream.valid, ~stream.valid),
            log_sigma=torch.where(stream.present, stream.log_sigma, hidden),
            age=torch.where(stream.present, stream.age, hidden),
        )
    return Batch(streams, {})


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("tokens", ["log", "all", "last"])
def test_what_is_absent_has_no_influence(once: bool, hidden: float, tokens: str) -> None:
    model = small_model(tokens=tokens)
    clean = make_batch(model, features(), TIMES, once=once, present=some_absent())
    dirty = spoil(clean, hidden)
    before, after = answers(model, clean), answers(model, dirty)
    for name, value in before.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, after[name]), name
    before, after = gradients(model, clean), gradients(model, dirty)
    for name, value in before.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, after[name]), name


def test_batch_norm_trains_on_valid_slots_only() -> None:
    model = small_model("dsc", {"norm": "batch"})
    model.fusion.eval()
    clean = make_batch(model, features(), TIMES, once=True, present=some_absent())
    model.encoders.train()
    before = answers(model, clean)
    model = small_model("dsc", {"norm": "batch"})
    model.encoders.train()
    after = answers(model, spoil(clean, float("nan")))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())


@pytest.mark.parametrize("fusion", [Attention, Latent, Mean])
def test_all_streams_absent_is_still_an_answer(fusion: type[Fusion]) -> None:
    model = small_model(fusion=fusion)
    nothing = {name: np.zeros(4, bool) for name in HISTORY}
    batch = spoil(make_batch(model, features(), TIMES, once=True, present=nothing), float("nan"))
    for value in answers(model, batch).values():
        assert torch.isfinite(value).all()
        assert torch.allclose(value, value[:1].expand_as(value), atol=1e-6)


def test_a_present_stream_without_a_valid_token_is_missing() -> None:
    model = small_model(tokens="last")
    history = features()
    batch = make_batch(model, history, TIMES, once=True)
    stream = batch.streams["1m"]
    stream.valid[stream.block, stream.last] = False
    absent = replace(stream, present=torch.zeros_like(stream.present))
    dropped = Batch({**batch.streams, "1m": absent}, {})
    before, after = answers(model, batch), answers(model, dropped)
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


@pytest.mark.parametrize("encoder", ["dsc", "conv", "linear", "shared_pattern"])
def test_nothing_comes_from_the_future(encoder: str) -> None:
    """Each timeframe's boundary, one candle around it: what closes after t moves nothing at t."""
    model = small_model(encoder)
    history = features()
    batch = make_batch(model, history, TIMES, once=True)
    before = answers(model, batch)
    times = TIMES.reshape(-1)
    for spec in SPECS:
        step = spec.timeframe.duration_ms // MINUTE
        stream = batch.streams[spec.name]
        group_end = TIMES.max(axis=1)[stream.block.numpy()] // step
        for offset in (0, 1, 2):
            slot = times // step - 1 + offset
            for d in range(len(times)):
                at = int(stream.last[d]) + offset
                if at >= stream.valid.shape[1] or slot[d] >= group_end[d]:
                    continue
                moved = changed(batch, spec.name, int(stream.block[d]), at)
                after = answers(model, moved)
                same = all(torch.equal(before[n][d], after[n][d]) for n in before)
                assert same == (offset > 0), (spec.name, offset)


def changed(batch: Batch, name: str, block: int, slot: int) -> Batch:
    stream = batch.streams[name]
    values, valid = stream.values.clone(), stream.valid.clone()
    values[block, slot] += 3.0
    valid[block, slot] = True
    return Batch({**batch.streams, name: replace(stream, values=values, valid=valid)}, {})
