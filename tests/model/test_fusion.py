"""Fusions beyond their contract (which tests/testing tries)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import pytest
import torch
from torch.testing import assert_close

from mtf.errors import ConfigError
from mtf.model.fusion import Attention, Full, Latent, StreamMean
from mtf.model.pooled import Concat, Mean, StreamLast
from mtf.model.two_stage import PositionMean, TwoStage
from mtf.plugins.contracts import Fusion
from mtf.testing import check_fusion


@pytest.mark.parametrize("fusion", [Attention, Full, Latent, TwoStage])
def test_heads_must_divide_the_dimension(fusion: type[Attention | Latent | TwoStage]) -> None:
    with pytest.raises(ConfigError, match="found embed_dim 10 with num_heads 4"):
        fusion(10, (0, 1))


def test_latents_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match="num_latents"):
        Latent(8, (0, 1), num_latents=0)


@pytest.mark.parametrize("num_layers", [0, -1])
def test_attention_has_a_layer(num_layers: int) -> None:
    with pytest.raises(ConfigError, match=f"found num_layers {num_layers}"):
        Attention(8, (0, 1), num_layers=num_layers)


def test_one_layer_of_attention_reads_tokens_that_did_not_read_each_other() -> None:
    torch.manual_seed(0)
    module = Attention(8, (0, 0, 1), num_layers=1).eval()
    tokens, mask = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    found = module(tokens, mask)
    by_hand = torch.cat(
        [module.summary[None, None], tokens[:, :2].mean(1)[:, None], tokens[:, 2:]], 1
    )
    source = torch.cat([module.summary[None, None], tokens], 1)
    by_hand = module.norm(module.widen(module.read(by_hand, None, source)))
    assert_close(found.state, by_hand[:, 0])
    assert_close(found.streams, by_hand[:, 1:])


def test_stream_means_by_hand() -> None:
    tokens = torch.tensor([[[1.0], [3.0], [5.0], [7.0]]])
    mask = torch.tensor([[True, True, False, True]])
    means = StreamMean((0, 0, 1, 1))(tokens, mask)
    assert means[0, :, 0].tolist() == [2.0, 7.0]


@pytest.mark.parametrize("fusion", [Attention, Concat, Full, Latent, Mean, TwoStage])
def test_the_state_reads_every_stream(fusion: Callable[[int, tuple[int, ...]], Fusion]) -> None:
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


def test_the_newest_unmasked_tokens_by_hand() -> None:
    tokens = torch.tensor([[[1.0], [3.0], [5.0], [7.0], [9.0]]])
    mask = torch.tensor([[True, True, False, True, False]])
    newest = StreamLast((0, 0, 0, 1, 1))(tokens, mask)
    assert newest[0, :, 0].tolist() == [3.0, 7.0]


def test_concat_gives_every_stream_a_place_of_its_own() -> None:
    torch.manual_seed(0)
    module = Concat(8, (0, 1)).eval()
    tokens, mask = torch.randn(1, 2, 8), torch.ones(1, 2, dtype=torch.bool)
    there, turned = module(tokens, mask), module(tokens.flip(1), mask)
    assert not torch.allclose(there.state, turned.state)
    torch.testing.assert_close(there.streams, turned.streams.flip(1))
    by_hand = module.perceptron(tokens.flatten(1))
    torch.testing.assert_close(there.state, by_hand)


@pytest.mark.parametrize("pool", ["mean", "last"])
def test_concat_keeps_its_contract(pool: Literal["mean", "last"]) -> None:
    check_fusion(partial(Concat, pool=pool))


def test_concat_of_last_tokens_hears_nothing_else() -> None:
    torch.manual_seed(0)
    module = Concat(8, (0, 0, 1), pool="last").eval()
    tokens, mask = torch.randn(1, 3, 8, requires_grad=True), torch.ones(1, 3, dtype=torch.bool)
    (grad,) = torch.autograd.grad(module(tokens, mask).state.sum(), tokens)
    assert (grad != 0).any(-1).tolist() == [[False, True, True]]


def test_means_by_position_count_from_the_newest_token() -> None:
    """Three tokens, one, two: the lone one is as new as the last of the others."""
    tokens = torch.tensor([[[1.0], [2.0], [3.0], [5.0], [20.0], [40.0]]])
    mask = torch.tensor([[True, True, True, True, True, False]])
    means, there = PositionMean((0, 0, 0, 1, 2, 2))(tokens, mask)
    assert means[0, :, 0].tolist() == [1.0, 11.0, 4.0]
    assert there.all()
    mask[0, 0] = False
    tokens[0, 0] = float("nan")
    means, there = PositionMean((0, 0, 0, 1, 2, 2))(tokens, mask)
    assert (means[0, 0].item(), there.tolist()) == (0.0, [[False, True, True]])


def test_equal_lookbacks_are_averaged_slot_by_slot() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(2, 3 * 4, 8)
    means, _ = PositionMean((0,) * 4 + (1,) * 4 + (2,) * 4)(
        tokens, torch.ones(2, 12, dtype=torch.bool)
    )
    torch.testing.assert_close(means, tokens.unflatten(1, (3, 4)).mean(1))


def test_two_stages_read_out_at_the_last_position() -> None:
    torch.manual_seed(0)
    module = TwoStage(8, (0, 0, 1, 1), cross_layers=1, main_layers=0).eval()
    tokens = torch.randn(2, 4, 8)
    mask = torch.ones(2, 4, dtype=torch.bool)
    crossed = module.cross[0](tokens, mask)
    expected = module.norm((crossed[:, 1] + crossed[:, 3]) / 2)
    torch.testing.assert_close(module(tokens, mask).state, expected)


def test_two_stages_say_something_where_the_newest_candles_are_missing() -> None:
    torch.manual_seed(0)
    module = TwoStage(8, (0, 0, 1, 1)).eval()
    tokens = torch.randn(1, 4, 8, requires_grad=True)
    mask = torch.tensor([[True, False, True, False]])
    state = module(tokens, mask).state
    assert bool(torch.isfinite(state).all())
    (grad,) = torch.autograd.grad((state * torch.randn(8)).sum(), tokens)
    assert (grad != 0).any(-1).tolist() == mask.tolist()


def test_dropout_of_attention_weights_draws_in_training_only() -> None:
    torch.manual_seed(0)
    module = TwoStage(8, (0, 0, 1, 1), dropout=0.0, attention_dropout=0.5)
    tokens, mask = torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)
    assert not torch.equal(module(tokens, mask).state, module(tokens, mask).state)
    module.eval()
    assert torch.equal(module(tokens, mask).state, module(tokens, mask).state)
    check_fusion(partial(TwoStage, attention_dropout=0.5, cross_layers=1, main_layers=3))
