"""How encoders start: what a candle says must show beside what is added to tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from mtf.encoders.conv import Conv
from mtf.encoders.dsc import DSC
from mtf.encoders.gru import GRU
from mtf.encoders.mlp import MLP
from mtf.encoders.patch_transformer import PatchTransformer
from mtf.plugins.contracts import Encoder


@pytest.mark.parametrize(
    "make",
    [
        *(partial(kind, num_blocks=blocks) for kind in (DSC, Conv) for blocks in (2, 4, 6)),
        GRU,
        MLP,
        PatchTransformer,
    ],
)
def test_a_fresh_encoder_passes_the_variance_of_its_input_on(
    make: Callable[[int, int], Encoder],
) -> None:
    torch.manual_seed(0)
    encoder = make(5, 64).eval()
    x = torch.randn(4, 400, 5)
    with torch.no_grad():
        encoded = encoder(x, torch.ones(4, 400, dtype=torch.bool))[:, 200:]
    moved = encoded.std(dim=(0, 1)).mean()  # over candles: constants do not count
    assert 0.3 < float(moved) < 3.0
