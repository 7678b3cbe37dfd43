"""The recurrence steps from valid slot to valid slot and stands still between them."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mtf.encoders.gru import GRU
from mtf.testing import check_encoder

SLOTS = 12


def gapped() -> tuple[torch.Tensor, torch.Tensor]:
    """Three rows: gaps at the beginning, in the middle and at the end; no slot; every slot."""
    valid = torch.ones(3, SLOTS, dtype=torch.bool)
    valid[0, [0, 1, 4, 5, 9, 11]] = False
    valid[1] = False
    return torch.where(valid.unsqueeze(-1), torch.randn(3, SLOTS, 5), 0.0), valid


@pytest.mark.parametrize("num_layers", [1, 2])
def test_gaps_do_not_move_the_state(num_layers: int) -> None:
    torch.manual_seed(0)
    encoder = GRU(5, 8, num_layers=num_layers).eval()
    x, valid = gapped()
    y = encoder(x, valid)
    together, _ = encoder.gru(x[:1, valid[0]])
    torch.testing.assert_close(y[0, valid[0]], together[0])
    assert not y[0, :2].any(), "nothing seen, nothing said"
    assert not y[1].any()
    assert torch.equal(y[0, 4], y[0, 3])
    assert torch.equal(y[0, 5], y[0, 3])
    assert torch.equal(y[0, 11], y[0, 10])
    torch.testing.assert_close(y[2], encoder.gru(x[2:])[0][0])


def test_it_remembers_its_first_candle() -> None:
    torch.manual_seed(0)
    encoder = GRU(5, 8)
    x = torch.randn(1, 100, 5, requires_grad=True)
    last = encoder(x, torch.ones(1, 100, dtype=torch.bool))[:, -1].sum()
    (grad,) = torch.autograd.grad(last, x)
    assert bool(grad[0, 0].any())


@pytest.mark.parametrize("num_layers", [1, 3])
def test_it_keeps_its_contract_with_layers_and_dropout(num_layers: int) -> None:
    check_encoder(partial(GRU, num_layers=num_layers, dropout=0.2))


def test_dropout_draws_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = GRU(5, 8, dropout=0.5)
    x, valid = gapped()
    assert not torch.equal(encoder(x, valid), encoder(x, valid))
    encoder.eval()
    assert torch.equal(encoder(x, valid), encoder(x, valid))
