"""Fusions beyond their contract (which tests/testing tries)."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mtf.errors import ConfigError
from mtf.model.fusion import Attention, Full, Latent, Mean, StreamMean
from mtf.testing import check_fusion


@pytest.mark.parametrize("fusion", [Attention, Full, Latent])
def test_heads_must_divide_the_dimension(fusion: type[Attention | Latent]) -> None:
    with pytest.raises(ConfigError, match="found embed_dim 10 with num_heads 4"):
        fusion(10, (0, 1))


def test_latents_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match="num_latents"):
        Latent(8, (0, 1), num_latents=0)


def test_stream_means_by_hand() -> None:
    tokens = torch.tensor([[[1.0], [3.0], [5.0], [7.0]]])
    mask = torch.tensor([[True, True, False, True]])
    means = StreamMean((0, 0, 1, 1))(tokens, mask)
    assert means[0, :, 0].tolist() == [2.0, 7.0]


@pytest.mark.parametrize("fusion", [Attention, Full, Latent, Mean])
def test_the_state_reads_every_stream(fusion: type[Attention | Latent | Mean]) -> None:
    torch.manual_seed(0)
    module = fusion(8, (0, 0, 1, 2)).eval()
    tokens = torch.randn(3, 4, 8, requires_grad=True)
    state = module(tokens, torch.ones(3, 4, dtype=torch.bool)).state
    (grad,) = torch.autograd.grad((state * torch.randn_like(state)).sum(), tokens)
    assert bool((grad != 0).any(-1).all())


def test_dropout_draws_in_training_only() -> None:
    torch.manual_seed(0)
    module = Attention(8, (0, 1), dropout=0.5)
    tokens, mask = torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool)
    assert not torch.equal(module(tokens, mask).state, module(tokens, mask).state)
    module.eval()
    assert torch.equal(module(tokens, mask).state, module(tokens, mask).state)


def test_the_shortcut_keeps_the_contract() -> None:
    check_fusion(partial(Attention, shortcut=True))


def test_the_shortcut_adds_a_linear_map_of_the_unmasked_tokens() -> None:
    torch.manual_seed(0)
    module = Attention(8, (0, 1, 1), shortcut=True).eval()
    tokens = torch.randn(2, 3, 8)
    mask = torch.tensor([[True, True, True], [True, False, True]])
    whole = module(tokens, mask)
    shortcut, module.shortcut = module.shortcut, None
    plain = module(tokens, mask)
    assert shortcut is not None
    by_hand = torch.where(mask.unsqueeze(-1), tokens, 0.0).flatten(1) @ shortcut.weight.T
    torch.testing.assert_close(whole.state, plain.state + by_hand + shortcut.bias)
    assert torch.equal(whole.streams, plain.streams)
