"""Encode once or window by window: one model, one result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_models import HISTORY, answers, features, gradients, make_batch, small_model

ENCODERS: list[tuple[str, dict[str, Any]]] = [
    ("dsc", {}),
    ("dsc", {"norm": "layer"}),
    ("dsc", {"norm": "batch"}),
    ("dsc", {"kernel_size": 5, "num_blocks": 2}),
    ("conv", {}),
    ("conv", {"norm": "layer", "kernel_size": 2}),
    ("linear", {}),
    ("shared_pattern", {"hidden": [12, 10]}),
]
TIMES = np.array([[15, 22, 29], [150, 151, 152], [300, 330, 360]])
"""Minutes. The first group reaches back before the history; the second lies in the long gap."""


def presence(seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(TIMES.size) > 0.3 for name in HISTORY}


@pytest.mark.parametrize(("encoder", "options"), ENCODERS)
@pytest.mark.parametrize("tokens", ["log", "mean", "last", "patch", "all"])
def test_outputs_agree(encoder: str, options: dict[str, Any], tokens: str) -> None:
    model = small_model(encoder, options, tokens)
    assert all(model.encode_once(name)[0] for name in HISTORY)
    train_statistics(model)
    once, windows = (
        answers(model, make_batch(model, features(), TIMES, once=once, present=presence()))
        for once in (True, False)
    )
    for name, value in once.items():
        assert float((value - windows[name]).detach().abs().max()) <= 1e-5, name


def relative_difference(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of all tensors together, in norms of the first."""
    difference = torch.stack([(left[name] - right[name]).norm() for name in left]).norm()
    size = torch.stack([tensor.norm() for tensor in left.values()]).norm()
    return float(difference / size.clamp(min=1e-6))


@pytest.mark.parametrize(
    ("encoder", "options"), [e for e in ENCODERS if e[1].get("norm") != "batch"]
)
@pytest.mark.parametrize("weights", ["shared", "per_stream"])
def test_gradients_agree(encoder: str, options: dict[str, Any], weights: str) -> None:
    model = small_model(encoder, options, weights=weights)
    once, windows = (
        gradients(model, make_batch(model, features(), TIMES, once=once, present=presence()))
        for once in (True, False)
    )
    assert once.keys() == windows.keys()
    assert relative_difference(once, windows) <= 1e-5
    for name, gradient in once.items():  # one tensor alone: float32 sums in another order
        assert relative_difference({"": gradient}, {"": windows[name]}) <= 3e-5, name


def train_statistics(model: torch.nn.Module) -> None:
    """Give batch norms running statistics that are not those of the start."""
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)


def test_a_window_encoder_sees_the_lookback_only() -> None:
    model = small_model("dsc", {"causal": False})
    assert model.encode_once("1m") == (
        False,
        "DSC is not causal: every window is encoded by itself",
    )
    assert model.required_slots("1m") == 20
    assert small_model("dsc").required_slots("1m") == 20 + 30


def test_a_window_encoder_sees_nothing_after_t() -> None:
    model = small_model("dsc", {"causal": False})
    history = features()
    before = answers(model, make_batch(model, history, TIMES, once=False))
    for values, valid in history.values():
        step = HISTORY["1m"] // len(valid)
        values[360 // step :] = np.nan
        valid[360 // step :] = ~valid[360 // step :]
    after = answers(model, make_batch(model, history, TIMES, once=False))
    assert all(torch.equal(before[name], after[name]) for name in before)
