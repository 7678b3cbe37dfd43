"""A stranger's parts are asked once when the model is built, and named where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tasks import SMALL
from torch import Tensor, nn

import mtf
from mtf.config.load import parse_config
from mtf.errors import PluginError
from mtf.model.build import build_model
from mtf.model.hybrid import HybridModel
from mtf.plugins import registry
from mtf.plugins.contracts import Encoder, Fused, Fusion, Head

NAMES = {"encoder": "mine", "fusion": "mine", "head": "mine"}


@pytest.fixture(autouse=True)
def forget_mine() -> Iterator[None]:
    yield
    for kind, name in NAMES.items():
        registry.forget(kind, name)


def built(heads: dict[str, Any] | None = None, **model: Any) -> HybridModel:
    """The small model with some of its parts exchanged."""
    parts = {**SMALL["model"], "encoder": {"name": "linear"}, **model}
    config = parse_config({**SMALL, "model": parts, "heads": heads or {"action": {}}})
    specs = config.stream_specs()
    return build_model(config, specs, {spec.name: 5 for spec in specs}, config.decisions.clock)


def register_encoder(answer: Any) -> None:
    @mtf.register("encoder", "mine")
    class Mine(Encoder):
        """Answers as it is told."""

        causal, receptive_field = True, 1

        def __init__(self, in_channels: int, embed_dim: int) -> None:
            super().__init__()
            self.mix = nn.Linear(in_channels, embed_dim)

        def forward(self, x: Tensor, valid: Tensor) -> Tensor:
            found: Tensor = answer(self, self.mix(x))
            return found


MINE = {"name": "mine"}


def test_an_encoder_in_the_wrong_shape_is_named_with_both_shapes() -> None:
    register_encoder(lambda _, y: y[:, -1])
    with pytest.raises(PluginError) as caught:
        built(encoder=MINE)
    told = str(caught.value)
    assert "encoder 'mine' of" in told
    assert "answers in the wrong shape: [2, 16]" in told
    assert "expected: [2, 32, 16]" in told  # the lookback of 32, 16 dimensions


def test_an_encoder_that_fails_is_named_with_its_line() -> None:
    register_encoder(lambda _, y: y @ y)
    with pytest.raises(PluginError, match=r"'mine' of .* failed at a first try: RuntimeError"):
        built(encoder=MINE)


def test_the_first_question_leaves_no_trace() -> None:
    def noisy(module: nn.Module, y: Tensor) -> Tensor:
        assert not module.training
        return y + torch.rand(()).to(y.dtype)

    register_encoder(noisy)
    torch.manual_seed(0)
    model = built(encoder=MINE)
    after = torch.rand(3)
    assert all(module.training for module in model.modules())
    register_encoder(lambda _, y: y)
    torch.manual_seed(0)
    built(encoder=MINE)
    assert torch.equal(torch.rand(3), after)


def test_a_fusion_and_a_head_in_the_wrong_shape_are_named() -> None:
    @mtf.register("fusion", "mine")
    class Mine(Fusion):
        """Forgets the streams."""

        def __init__(self, embed_dim: int, token_stream: tuple[int, ...]) -> None:
            super().__init__()

        def forward(self, tokens: Tensor, mask: Tensor) -> Fused:
            return Fused(tokens.mean(1), tokens)

    with pytest.raises(PluginError, match=r"fusion 'mine' of .* wrong shape: \[2, 16\], \[2, "):
        built(fusion=MINE)

    class Flat(registry.load("head", "action")):  # type: ignore[misc]
        """Answers for all decisions at once."""

        def forward(self, fused: Fused) -> dict[str, Tensor]:
            return {"logits": super().forward(fused)["logits"].flatten()}

    mtf.register("head", "mine")(Flat)
    assert issubclass(Flat, Head)
    with pytest.raises(PluginError, match=r"head 'mine' of .* wrong shape: \[6\]"):
        built({"mine": {}})
