"""The weights that attention tells of are those it reads by."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from einops import rearrange
from torch import Tensor
from torch.testing import assert_close

from mtf.model.attention import STATE, AttentionBlock, Reads
from mtf.model.fusion import Attention, Full, Latent
from mtf.model.pooled import Concat, Mean
from mtf.model.two_stage import TwoStage
from mtf.plugins.contracts import Fusion

TOKEN_STREAM = (0, 0, 0, 1, 2, 2)


def block_and_source(cross: bool) -> tuple[AttentionBlock, Tensor, Tensor | None, Tensor]:
    torch.manual_seed(0)
    block = AttentionBlock(8, 2, 0.1, cross=cross).eval()
    x, source = torch.randn(3, 5, 8), torch.randn(3, 7, 8) if cross else None
    mask = torch.rand(3, 7 if cross else 5) < 0.6
    mask[:, 0] = True
    return block, x, source, mask


@pytest.mark.parametrize("cross", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_weights_times_values_are_what_the_block_reads(cross: bool, masked: bool) -> None:
    block, x, source, there = block_and_source(cross)
    mask = there if masked else None
    weights = block.weights(x, mask, source)
    assert_close(weights.sum(-1), torch.ones(3, 2, 5))
    if masked:
        assert (weights * ~there[:, None, None]).sum() == 0
    _, _, values = block._project(block.norm(x), source)
    read = rearrange(weights @ values, "batch head query dim -> batch query (head dim)")
    assert_close(x + block.out(read), block(x, mask, source))


@pytest.mark.parametrize("fusion", [Attention, Full, Latent, TwoStage])
def test_a_reading_names_the_member_of_every_query_and_key(
    fusion: Callable[[int, tuple[int, ...]], Fusion],
) -> None:
    module = fusion(8, TOKEN_STREAM).eval()
    assert isinstance(module, Reads)
    readings = module.readings()
    assert readings
    shapes = []
    for reading in readings:
        reading.block.register_forward_pre_hook(
            lambda block, given: shapes.append(block.weights(*given).shape[2:])
        )
    module(torch.randn(2, 6, 8), torch.ones(2, 6, dtype=torch.bool))
    assert shapes == [(len(one.asking), len(one.answering)) for one in readings]


def test_the_last_layer_of_attention_is_asked_by_the_state_and_each_stream() -> None:
    *_, last = Attention(8, TOKEN_STREAM).readings()
    assert last.asking == (STATE, 0, 1, 2)
    assert last.answering == (STATE, *TOKEN_STREAM)


@pytest.mark.parametrize("fusion", [Mean, Concat])
def test_a_fusion_without_attention_tells_of_none(
    fusion: Callable[[int, tuple[int, ...]], Fusion],
) -> None:
    assert not isinstance(fusion(8, TOKEN_STREAM), Reads)
