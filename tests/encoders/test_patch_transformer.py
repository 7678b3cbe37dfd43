"""Patches end with the window, whatever its length; what is not there is not read."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from mtf.encoders.patch_transformer import PatchTransformer, places
from mtf.errors import ConfigError
from mtf.testing import check_encoder


def window(slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, slots, 5), torch.ones(2, slots, dtype=torch.bool)


def encoder(**options: Any) -> PatchTransformer:
    torch.manual_seed(0)
    return PatchTransformer(5, 16, **{"patch": 8, **options}).eval()


@pytest.mark.parametrize("slots", [1, 7, 8, 9, 16, 19])
@pytest.mark.parametrize("more", [3, 8, 21])
def test_slots_that_are_not_valid_before_the_window_change_nothing(slots: int, more: int) -> None:
    x, valid = window(slots)
    longer = torch.cat([torch.zeros(2, more, 5), x], dim=1)
    mask = torch.cat([torch.zeros(2, more, dtype=torch.bool), valid], dim=1)
    module = encoder()
    torch.testing.assert_close(module(longer, mask)[:, more:], module(x, valid))


def test_a_slot_says_its_own_candle_and_what_its_patch_read() -> None:
    x, valid = window(16)
    y = encoder()(x, valid)
    assert y.shape == (2, 16, 16)
    module = encoder()
    read = y - module.candle(x)
    torch.testing.assert_close(read[:, :8], read[:, :1].expand(-1, 8, -1))
    assert not torch.allclose(read[:, 0], read[:, 8])


def test_every_candle_of_the_window_is_read_by_every_slot() -> None:
    x, valid = window(20)
    y = encoder()(x.requires_grad_(), valid)
    (grad,) = torch.autograd.grad((y[:, 0] * torch.randn(16)).sum(), x)
    assert bool((grad != 0).any(-1).all())


def test_the_order_of_patches_matters() -> None:
    x, valid = window(24)
    turned = torch.cat([x[:, 8:16], x[:, :8], x[:, 16:]], dim=1)
    module = encoder()
    difference = module(x, valid)[:, -1] - module(turned, valid)[:, -1]
    assert float(difference.detach().abs().max()) > 1e-4


def test_a_missing_candle_is_not_a_flat_one() -> None:
    x, valid = window(8)
    x[:, 3] = 0.0
    gone = valid.clone()
    gone[:, 3] = False
    assert not torch.allclose(encoder()(x, valid)[:, -1], encoder()(x, gone)[:, -1])


@pytest.mark.parametrize(
    "options", [{"patch": 1}, {"patch": 5, "num_layers": 1}, {"num_heads": 8, "dropout": 0.0}]
)
def test_it_keeps_its_contract_with_other_options(options: dict[str, Any]) -> None:
    check_encoder(partial(PatchTransformer, **options))


def test_places_are_counted_from_the_newest_patch() -> None:
    like = torch.zeros(1)
    long, short = places(6, 7, like), places(2, 7, like)
    assert long.shape == (6, 7)
    assert torch.equal(long[-2:], short)
    assert short[-1].tolist() == [0.0, 1.0] * 3 + [0.0]


def test_options_that_can_not_be() -> None:
    with pytest.raises(ConfigError, match=r"found patch 0\n.*at least 1 candle"):
        PatchTransformer(5, 16, patch=0)
    with pytest.raises(ConfigError, match="found embed_dim 16 with num_heads 3"):
        PatchTransformer(5, 16, num_heads=3)
