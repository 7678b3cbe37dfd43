"""Tokens of side inputs: means over the steps that are there, and one for nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_models import DIM, SPECS, features, make_batch, small_model
from torch import Tensor, nn

from mtf.model.batch import Batch, SideBatch
from mtf.model.build import token_stream
from mtf.model.fusion import Attention, Full, Latent
from mtf.model.hybrid import HybridModel
from mtf.model.pooled import Concat, Mean
from mtf.model.side import SideToken
from mtf.model.tokens import token_spans
from mtf.model.two_stage import TwoStage
from mtf.plugins.contracts import Fusion


def token(seed: int = 0) -> SideToken:
    torch.manual_seed(seed)
    return SideToken(3, DIM)


def test_a_vector_is_read_with_its_mask() -> None:
    """The third element is not there: 0 beside a 0, whatever stands in it."""
    reader = token()
    values, valid = torch.tensor([[[1.0, 2.0, torch.nan]]]), torch.tensor([[[True, True, False]]])
    wanted = reader.read(torch.tensor([[[1.0, 2.0, 0.0, 1.0, 1.0, 0.0]]])) + reader.own
    torch.testing.assert_close(reader(values, valid), wanted)


def test_a_series_is_the_mean_of_its_steps_that_have_something() -> None:
    reader = token()
    values = torch.randn(2, 4, 3)
    valid = torch.ones(2, 4, 3, dtype=torch.bool)
    valid[1, [0, 2]] = False
    found = reader(values, valid)
    alone = [reader(values[1:, [i]], valid[1:, [i]]) for i in (1, 3)]
    torch.testing.assert_close(found[1:], (alone[0] + alone[1]) / 2)


def test_nothing_is_one_learned_vector() -> None:
    reader = token()
    values, valid = torch.full((3, 2, 3), torch.nan), torch.zeros(3, 2, 3, dtype=torch.bool)
    found = reader(values, valid)
    assert torch.equal(found, reader.absent(3))
    assert torch.equal(found[0, 0], reader.missing + reader.own)
    found.sum().backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in reader.parameters())
    assert reader.missing.grad is not None
    assert bool(reader.missing.grad.any())


def test_half_precision_is_kept() -> None:
    reader = token().to(torch.bfloat16)
    values = torch.randn(2, 1, 3, dtype=torch.bfloat16)
    assert reader(values, torch.ones(2, 1, 3, dtype=torch.bool)).dtype == torch.bfloat16


def with_sides(fusion: Callable[..., Fusion]) -> HybridModel:
    """The small model with a vector and a series beside its streams."""
    model = small_model()
    spans = [token_spans("log", spec.lookback, 4) for spec in SPECS]
    torch.manual_seed(1)
    model.sides = nn.ModuleDict({"vector": SideToken(3, DIM), "series": SideToken(2, DIM)})
    model.fusion = fusion(DIM, token_stream(spans, sides=2))
    return model.eval()


def batch_of(model: HybridModel) -> Batch:
    times = torch.arange(200, 208).reshape(2, 4).numpy()
    batch = make_batch(model, features(), times, once=True)
    generator = torch.Generator().manual_seed(3)
    for name, time, elements in (("vector", 1, 3), ("series", 5, 2)):
        values = torch.randn(8, time, elements, generator=generator)
        valid = torch.rand(8, time, elements, generator=generator) > 0.3
        valid[0] = False
        batch.side[name] = SideBatch(values, valid)
    return batch


def outputs(model: HybridModel, batch: Batch) -> Tensor:
    return torch.cat([x.flatten(1) for head in model(batch).values() for x in head.values()], dim=1)


@pytest.mark.parametrize("fusion", [Attention, Concat, Full, Latent, Mean, TwoStage])
def test_every_fusion_reads_side_inputs_and_heads_see_the_streams_alone(
    fusion: type[Fusion],
) -> None:
    model = with_sides(fusion)
    batch = batch_of(model)
    tokens, mask = model.tokens(batch, model.encode(batch))
    assert tokens.shape[1] == sum(len(token_spans("log", s.lookback, 4)) for s in SPECS) + 2
    assert mask[:, -2:].all()
    said = outputs(model, batch)
    for name, side in list(batch.side.items()):
        batch.side[name] = SideBatch(side.values + 1, side.valid)
        moved = (outputs(model, batch) != said).any(1)
        assert moved.tolist() == side.valid.any((1, 2)).tolist()
        batch.side[name] = SideBatch(torch.where(side.valid, side.values, torch.nan), side.valid)
        assert torch.equal(outputs(model, batch), said)
        batch.side[name] = side


def test_a_side_input_that_is_not_in_the_batch_counts_as_missing() -> None:
    model = with_sides(Attention)
    batch = batch_of(model)
    for side in batch.side.values():
        side.valid[:] = False
    said = outputs(model, batch)
    assert torch.equal(outputs(model, Batch(batch.streams, {})), said)


def test_gradients_reach_every_parameter() -> None:
    model = with_sides(Attention)
    batch = batch_of(model)
    outputs(model, batch).square().sum().backward()
    for name, parameter in model.sides.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
