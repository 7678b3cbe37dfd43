"""How encoders start: what a candle says must show beside what is added to tokens."""

from __future__ import annotations

import pytest
import torch

from mtf.encoders.conv import Conv
from mtf.encoders.dsc import DSC
from mtf.plugins.contracts import Encoder


@pytest.mark.parametrize("kind", [DSC, Conv])
@pytest.mark.parametrize("num_blocks", [2, 4, 6])
def test_a_fresh_encoder_passes_the_variance_of_its_input_on(
    kind: type[DSC], num_blocks: int
) -> None:
    torch.manual_seed(0)
    encoder: Encoder = kind(5, 64, num_blocks=num_blocks)
    x = torch.randn(4, 400, 5)
    with torch.no_grad():
        encoded = encoder(x, torch.ones(4, 400, dtype=torch.bool))[:, 200:]
    moved = encoded.std(dim=(0, 1)).mean()  # over candles: constants do not count
    assert 0.3 < float(moved) < 3.0
