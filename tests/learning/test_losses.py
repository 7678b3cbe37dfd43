"""Losses give one value a decision."""

from __future__ import annotations

import math

import pytest
import torch

from mtf.learning.losses import asymmetric_pnl, cross_entropy, huber, mse


def test_cross_entropy() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    loss = cross_entropy(logits, torch.tensor([0, 2]))
    assert loss.tolist() == pytest.approx([-math.log(0.5), -math.log(0.8)])
    smoothed = cross_entropy(logits[:1], torch.tensor([0]), label_smoothing=0.3)
    wanted = -(0.8 * math.log(0.5) + 0.2 * math.log(0.25))
    assert smoothed.tolist() == pytest.approx([wanted])


def test_mse_and_huber() -> None:
    prediction = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    target = torch.zeros(2, 2)
    assert mse(prediction, target).tolist() == [0.0, 5.0]
    assert huber(prediction, target).tolist() == [0.0, (2.5 + 0.5) / 2]
    assert mse(prediction[:, 0], target[:, 0]).tolist() == [0.0, 9.0]


def test_asymmetric_pnl_as_published_punishes_profit_and_with_a_negative_gain_rewards_it() -> None:
    position = torch.tensor([[2.0], [2.0], [0.0], [-1.0]], requires_grad=True)
    earns = torch.tensor([[3.0], [-1.5], [5.0], [-2.0]])  # pnl 6, -3, 0, 2
    published = asymmetric_pnl(position, earns)
    assert published.tolist() == pytest.approx([0.3, 9.0, 0.0, 0.1])
    assert asymmetric_pnl(position, earns, gain=-0.05).tolist() == pytest.approx([-0.3, 9, 0, -0.1])
    (slope,) = torch.autograd.grad(published.sum(), position)
    assert slope[0, 0] > 0, "descent makes the winning long position smaller"
    two = asymmetric_pnl(torch.ones(1, 2), torch.tensor([[4.0, -2.0]]))
    assert two.tolist() == pytest.approx([(0.2 + 4.0) / 2]), "channel by channel"
