"""Multiply-adds against what pencil and paper say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtf.encoders.conv import Conv
from mtf.encoders.dsc import DSC
from mtf.encoders.gru import GRU
from mtf.encoders.mlp import MLP
from mtf.model.arithmetic import multiply_adds
from mtf.model.attention import AttentionBlock
from mtf.model.fusion import Attention, Full, StreamMean
from mtf.plugins.contracts import Encoder

DIM, SLOTS, BLOCKS, LAYERS = 64, 50, 3, 4
BY_HAND = {
    MLP: 5 * 128 + 128 * DIM,
    GRU: 3 * (5 + DIM) * DIM,
    DSC: 5 * DIM + LAYERS * (3 * DIM + DIM * DIM) + LAYERS * DIM * DIM,
    Conv: 5 * DIM + LAYERS * 3 * DIM * DIM + LAYERS * DIM * DIM,
}
"""A slot: stem, blocks of three taps, skips."""


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("kind", BY_HAND)
def test_encoders(kind: type[Encoder], device: str) -> None:
    with torch.device(device):
        encoder = kind(5, DIM).eval()
        x, valid = torch.zeros(BLOCKS, SLOTS, 5), torch.ones(BLOCKS, SLOTS, dtype=torch.bool)
        found = multiply_adds(encoder, x, valid)
    assert found == BLOCKS * SLOTS * BY_HAND[kind]


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("kind", [Attention, Full])
def test_attention_counts_scores_and_sums(kind: type[Attention | Full], device: str) -> None:
    tokens, streams = 30, 2
    with torch.device(device):
        fusion = kind(DIM, (0,) * 10 + (1,) * 20, num_layers=2, feedforward_dim=256).eval()
        mask = torch.ones(1, tokens, dtype=torch.bool)
        found = multiply_adds(fusion, torch.zeros(1, tokens, DIM), mask)
    read = tokens + 1  # the token that reads out
    layer = read * (4 * DIM * DIM + 2 * DIM * 256) + 2 * read * read * DIM
    asking = 1 + streams
    last = asking * (2 * DIM * DIM + 2 * DIM * 256) + read * 2 * DIM * DIM + 2 * asking * read * DIM
    if kind is Attention:  # the state is handed on like a stream's mean
        assert found == layer + last + asking * read * DIM
    else:
        assert found == 2 * layer + streams * tokens * DIM


def test_cross_attention_reads_more_than_it_asks() -> None:
    with torch.device("meta"):
        block = AttentionBlock(DIM, 4, 0.0, cross=True)
        mask = torch.ones(1, 40, dtype=torch.bool)
        found = multiply_adds(block, torch.zeros(1, 3, DIM), mask, torch.zeros(1, 40, DIM))
    assert found == (2 * 3 + 2 * 40) * DIM * DIM + 2 * 3 * 40 * DIM


def test_a_module_that_tells_its_cost_is_asked_each_time_it_runs() -> None:
    class Kernel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def multiply_adds(self, out: torch.Tensor) -> int:
            return 7 * len(out)

    kernel = Kernel()
    twice = nn.Sequential(kernel, kernel)
    assert multiply_adds(twice, torch.zeros(3)) == 2 * 7 * 3
    assert not kernel._forward_hooks


def test_elementwise_work_is_not_counted() -> None:
    assert multiply_adds(nn.Sequential(nn.LayerNorm(8), nn.GELU()), torch.zeros(2, 8)) == 0
    mean = StreamMean((0, 1))
    given = torch.zeros(1, 2, 8), torch.ones(1, 2, dtype=torch.bool)
    assert multiply_adds(mean, *given) == 2 * 2 * 8, "a product of matrices is"
