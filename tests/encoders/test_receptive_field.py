"""The receptive field is exactly what is declared, and causal means causal."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtf.errors import ConfigError
from mtf.plugins import registry

STACKS = [
    (name, {"num_blocks": blocks, "kernel_size": kernel, **options})
    for name in ("dsc", "conv")
    for blocks, kernel in ((1, 3), (3, 3), (2, 5), (4, 2))
    for options in ({}, {"norm": "layer"}, {"causal": False})
]


@pytest.mark.parametrize(
    ("name", "options"), [*STACKS, ("linear", {}), ("mlp", {}), ("shared_pattern", {})]
)
def test_slots_that_move_an_output(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    encoder = registry.load("encoder", name)(5, 16, **options).double().eval()
    field = encoder.receptive_field
    time, k = 3 * field, 2 * field - 1
    x = torch.randn(32, time, 5, dtype=torch.float64, requires_grad=True)
    y = encoder(x, torch.ones(32, time, dtype=torch.bool))
    weights = torch.randn(16, dtype=torch.float64)
    (grad,) = torch.autograd.grad((y[:, k] * weights).sum(), x)
    moved = grad.abs().sum((0, 2)).nonzero().flatten()  # a ReLU may be shut in some rows
    assert int(moved[-1] - moved[0]) + 1 == field
    assert int(moved[-1]) == k if encoder.causal else int(moved[-1]) > k


@pytest.mark.parametrize("name", ["dsc", "conv"])
def test_the_formula(name: str) -> None:
    plugin = registry.load("encoder", name)
    assert plugin(5, 8, num_blocks=4, kernel_size=3).receptive_field == 31
    assert plugin(5, 8, num_blocks=6, kernel_size=3).receptive_field == 127
    assert plugin(5, 8, num_blocks=4, kernel_size=9).receptive_field == 121


@pytest.mark.parametrize("name", ["dsc", "conv"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_dsc_and_conv_keep_their_contract_with_every_option(
    name: str, causal: bool, norm: str
) -> None:
    from mtf.testing import check_encoder

    plugin = registry.load("encoder", name)

    def factory(in_channels: int, embed_dim: int) -> Any:
        return plugin(in_channels, embed_dim, num_blocks=3, causal=causal, norm=norm, dropout=0.1)

    check_encoder(factory)


def test_shared_pattern_at_full_size_has_the_published_number_of_weights() -> None:
    """5 → 256 → 512 → 1024 with biases is 656 K weights in its three matrices."""
    encoder = registry.load("encoder", "shared_pattern")(5, 1024)
    matrices = sum(p.numel() for p in encoder.parameters() if p.ndim == 2)
    assert matrices == 5 * 256 + 256 * 512 + 512 * 1024 == 656_640


def test_nothing_to_stack() -> None:
    with pytest.raises(ConfigError, match="both at least 1"):
        registry.load("encoder", "dsc")(5, 8, num_blocks=0)


def test_pieces_do_not_change_the_result() -> None:
    """Long batches are encoded piece by piece."""
    torch.manual_seed(0)
    encoder = registry.load("encoder", "dsc")(5, 64).eval()
    x, valid = torch.randn(5, 3000, 5), torch.ones(5, 3000, dtype=torch.bool)
    whole = encoder(x, valid)
    for row in range(5):
        alone = encoder(x[row : row + 1], valid[row : row + 1])[0]
        torch.testing.assert_close(whole[row], alone, rtol=1e-5, atol=1e-5)
