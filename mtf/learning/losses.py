"""Losses as plain functions: one value a decision, so that those without a label can drop out."""

from __future__ import annotations

import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float, Int64
from torch import Tensor


def cross_entropy(
    logits: Float[Tensor, "batch class"],
    classes: Int64[Tensor, " batch"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Tensor, " batch"]:
    """Cross-entropy in nats.

    Args:
        logits: of every class.
        classes: the true ones.
        label_smoothing: share of the mass that is spread evenly over all classes.
    """
    return F.cross_entropy(logits, classes, label_smoothing=label_smoothing, reduction="none")


def mse(
    prediction: Float[Tensor, "batch *channel"], target: Float[Tensor, "batch *channel"]
) -> Float[Tensor, " batch"]:
    """Squared error, mean over the channels."""
    return reduce((prediction - target).square(), "batch ... -> batch", "mean")


def huber(
    prediction: Float[Tensor, "batch *channel"],
    target: Float[Tensor, "batch *channel"],
    *,
    delta: float = 1.0,
) -> Float[Tensor, " batch"]:
    """Half the squared error up to ``delta``, linear beyond; mean over the channels.

    Args:
        prediction: of every channel.
        target: the truth, in the same units.
        delta: the error from which on it is linear.
    """
    error = F.huber_loss(prediction, target, reduction="none", delta=delta)
    return reduce(error, "batch ... -> batch", "mean")


def asymmetric_pnl(
    prediction: Float[Tensor, "batch *channel"],
    target: Float[Tensor, "batch *channel"],
    *,
    gain: float = 0.05,
) -> Float[Tensor, " batch"]:
    """The asymmetric P&L loss as published: ``gain · pnl`` above zero, ``pnl²`` below, 0 at zero.

    ``pnl = prediction · target``: the prediction is the position, the target what one unit of it
    earns. Minimised as it stands it punishes profit: both branches rise from 0, so that the best
    position is none. A negative ``gain`` rewards profit instead, which is what an objective wants:
    ``gain=-0.05``. Mean over the channels.

    Args:
        prediction: positions, in any unit.
        target: what happened, such as the log return, in units in which its square is of order 1.
        gain: weight of a profit.
    """
    pnl = prediction * target
    return reduce(F.relu(pnl) * gain + F.relu(-pnl).square(), "batch ... -> batch", "mean")


def neural_trader(
    prediction: Float[Tensor, "batch *channel"], target: Float[Tensor, "batch *channel"]
) -> Float[Tensor, " batch"]:
    """Minus the profit and loss: its mean falls as the mean return rises.

    ``pnl = prediction · target``: the prediction is the position, the target what one unit of it
    earns. What trading costs comes off before: the head ``position`` hands in its net return as
    the prediction and 1 as the target. Mean over the channels.

    Args:
        prediction: positions, in any unit.
        target: what one unit earns.
    """
    return reduce(-prediction * target, "batch ... -> batch", "mean")


__all__ = ["asymmetric_pnl", "cross_entropy", "huber", "mse", "neural_trader"]
