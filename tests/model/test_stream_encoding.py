"""Three ways to advance an encoder, and what each says of a slot is what ``forward`` says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_models import CHANNELS, DIM

from mtf.model.stream_encoding import Advancing, BlockByBlock, Compiled, StepByStep, advancing
from mtf.plugins import registry
from mtf.plugins.contracts import Encoder

ENCODERS: list[tuple[str, dict[str, Any]]] = [
    ("dsc", {"num_blocks": 2}),
    ("dsc", {"num_blocks": 2, "norm": "layer"}),
    ("conv", {"num_blocks": 2, "kernel_size": 2}),
    ("linear", {}),
    ("mlp", {}),
]


def encoder_of(name: str, options: dict[str, Any], dim: int = DIM) -> Encoder:
    torch.manual_seed(0)
    encoder: Encoder = registry.load("encoder", name)(CHANNELS, dim, **options)
    return encoder.eval()


def ways(encoder: Encoder) -> list[Advancing]:
    """Every way that the encoder offers."""
    assert encoder.receptive_field is not None
    context = encoder.receptive_field - 1
    found: list[Advancing] = [BlockByBlock(encoder, context, CHANNELS)]
    if encoder.steps:
        found.append(StepByStep(encoder, context))
        if (stepper := encoder.stepper()) is not None:
            found.append(Compiled(stepper, context))
    return found


def history(slots: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    valid = rng.random(slots) > 0.2
    x = np.where(valid[:, None], rng.normal(size=(slots, CHANNELS)), 0).astype(np.float32)
    return x, valid


def by_forward(encoder: Encoder, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """What ``forward`` says of the slots, after as many empty ones as it reads."""
    before = encoder.receptive_field or 1
    x = np.concatenate([np.zeros((before, CHANNELS), np.float32), x])
    valid = np.concatenate([np.zeros(before, np.bool_), valid])
    with torch.no_grad():
        said = encoder(torch.from_numpy(x)[None], torch.from_numpy(valid)[None])
    found: np.ndarray = said[0, before:].numpy()
    return found


@pytest.mark.parametrize(("name", "options"), ENCODERS, ids=str)
def test_all_ways_say_what_forward_says(name: str, options: dict[str, Any]) -> None:
    encoder = encoder_of(name, options)
    x, valid = history(40)
    expected = by_forward(encoder, x, valid)
    for way in ways(encoder):
        found = [way.advance(x[:25], valid[:25]).copy()]
        found += [way.advance(x[i : i + 1], valid[i : i + 1]).copy() for i in range(25, 40)]
        np.testing.assert_allclose(np.concatenate(found), expected, atol=2e-6, err_msg=way.name)


@pytest.mark.parametrize(("name", "options"), ENCODERS, ids=str)
def test_put_back_it_goes_on_as_it_did(name: str, options: dict[str, Any]) -> None:
    encoder = encoder_of(name, options)
    x, valid = history(40)
    for way in ways(encoder):
        first = way.advance(x, valid).copy()
        way.restart(x[20 - way.context : 20], valid[20 - way.context : 20])
        np.testing.assert_allclose(way.advance(x[20:], valid[20:]), first[20:], atol=2e-6)


@pytest.mark.parametrize(("name", "options"), ENCODERS, ids=str)
def test_its_state_carried_to_another_goes_on_bit_for_bit(
    name: str, options: dict[str, Any]
) -> None:
    encoder = encoder_of(name, options)
    x, valid = history(30)
    for way, other in zip(ways(encoder), ways(encoder), strict=True):
        way.advance(x[:20], valid[:20])
        kept = {part: array.copy() for part, array in way.state().items()}
        expected = way.advance(x[20:21], valid[20:21]).copy()
        for part, array in other.state().items():
            array[...] = kept[part]
        np.testing.assert_array_equal(other.advance(x[20:21], valid[20:21]), expected)


def test_the_fastest_way_is_taken() -> None:
    names = {type(advancing(encoder_of(*one), CHANNELS)) for one in ENCODERS}
    assert BlockByBlock not in names
    assert isinstance(advancing(encoder_of("dsc", {}, dim=64), CHANNELS), Compiled)


def test_an_encoder_without_a_step_reads_its_field_anew() -> None:
    class Blockwise(Encoder):
        """The last two slots added up."""

        causal, receptive_field = True, 2

        def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
            return x + torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1]

    way = advancing(Blockwise(), CHANNELS)
    assert isinstance(way, BlockByBlock)
    x, valid = history(5)
    for i in range(5):
        before = x[i - 1] if i else 0
        np.testing.assert_array_equal(way.advance(x[i : i + 1], valid[i : i + 1])[0], x[i] + before)
