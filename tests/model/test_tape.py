"""A tape says what torch says, of every fusion and head; what it can't do is left to torch."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from whole import small_whole, whole_model

from mtf.model.answer import ByTape, ByTorch, answer_of, largest_difference
from mtf.model.hybrid import HybridModel
from mtf.model.tape import Tape
from mtf.model.tape_operations import FAST
from mtf.plugins import registry
from mtf.plugins.contracts import Fused, Fusion


def memory(model: HybridModel, views: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where the tokens of decisions stand, and their mask."""
    spans = sum(len(model.spans(i)) for i in range(len(model.streams)))
    count = spans + len(model.forming_streams)
    dim = model.embeddings.missing.shape[0]
    return np.zeros((views, count, dim), np.float32), np.ones(count, np.bool_)


@pytest.mark.parametrize("fusion", registry.names("fusion"))
def test_it_says_what_torch_says(fusion: str) -> None:
    model = whole_model(small_whole("linear", fusion=fusion, forming=True))
    given = memory(model)
    tape, by_torch = ByTape(model, *given), ByTorch(model, *given)
    assert largest_difference(tape, by_torch, model, *given) <= 1e-6
    assert answer_of(model, *given).name == "tape"


def test_it_says_what_torch_says_both_ways_up() -> None:
    config = small_whole("linear")
    heads = {name: config.heads[name] for name in ("action", "price", "confidence")}
    changed = config.model.model_copy(update={"mirror": True})
    model = whole_model(config.model_copy(update={"model": changed, "heads": heads}))
    given = memory(model, views=2)
    assert largest_difference(ByTape(model, *given), ByTorch(model, *given), model, *given) <= 1e-6


def test_the_operations_of_wide_models_are_fast_ones() -> None:
    config = small_whole("linear")
    wide = config.model.model_copy(update={"embed_dim": 64})
    heads = {name: config.heads[name] for name in ("action", "next_candle")}
    model = whole_model(config.model_copy(update={"model": wide, "heads": heads}))
    given = memory(model)
    tape = ByTape(model, *given)
    assert largest_difference(tape, ByTorch(model, *given), model, *given) <= 1e-6
    assert not set(tape.tape.torch_calls) & FAST.keys()


class Strange(nn.Module):
    """Operations of which none is among the fast ones, and some that are in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(x.cumsum(0)) + mask.sum()
        best, which = y.topk(2, dim=1)
        return y.sort(dim=1).values, best, which, y.t().clamp(max=0.3), torch.add(y, x, alpha=2.0)


def test_what_has_no_fast_way_is_done_by_torch() -> None:
    torch.manual_seed(0)
    module, x = Strange().eval(), torch.randn(4, 8)
    mask = torch.tensor([True, False])
    tape = Tape(module, (x, mask), fixed=1)
    for seed in range(3):
        x.copy_(torch.randn(4, 8, generator=torch.Generator().manual_seed(seed)))
        mask[1] = bool(seed % 2)
        tape.run()
        for found, expected in zip(tape.outputs, module(x, mask), strict=True):
            np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-6)
    assert {"cumsum", "topk", "sort"} <= set(tape.torch_calls)


class Deciding(Fusion):
    """Does one thing or another, by what it reads."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Fused:
        mean = tokens.mean(1)
        mean = mean * 2 if bool(mask.all()) else mean
        return Fused(mean, mean.unsqueeze(1).expand(-1, 4, -1))


def test_what_can_not_be_traced_is_answered_by_torch_and_says_so() -> None:
    model = whole_model(small_whole("linear"))
    model.fusion = Deciding()
    given, before = memory(model), logging.root.manager.disable
    found = answer_of(model, *given)
    assert found.name == "torch"
    assert found.note.startswith("no tape: ")
    assert logging.root.manager.disable == before
    assert found()["action"]["probs"].shape == (1, 3)


def test_a_tape_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = whole_model(small_whole("linear"))
    monkeypatch.setattr("mtf.model.answer.largest_difference", lambda *_: 1e-3)
    assert answer_of(model, *memory(model)).note == "no tape: it differs from torch by 1.0e-03"
