"""The contract of an encoder, tried out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mtf.plugins.contracts import Encoder
from mtf.testing.probe import (
    check_deterministic,
    check_gradients,
    check_round_trip,
    defect,
    equal,
    seeded,
)

MAX_FIELD = 512
"""Longer receptive fields are only tried up to here."""
PIECES_AGREE = 1e-4


def check_encoder(
    factory: Callable[[int, int], Encoder], *, in_channels: int = 5, embed_dim: int = 16
) -> None:
    """Try whether an encoder keeps its contract.

    Args:
        factory: the class, or anything that builds one from (in_channels, embed_dim).
        in_channels: to try it with.
        embed_dim: to try it with.

    Raises:
        ContractError: wrong shape; not finite; rows that mix; random in evaluation; looks ahead
            though ``causal``; a receptive field larger than declared; a dead parameter; state
            that is not saved.
    """
    with seeded():
        encoder = factory(in_channels, embed_dim)
        if not isinstance(encoder, Encoder):
            raise defect(encoder, "is no Encoder", "a subclass of mtf.plugins.contracts.Encoder")
        x, valid = _candles(encoder, in_channels)
        encoder.eval()
        _check_shape(encoder, x, valid, embed_dim)
        check_deterministic(encoder, lambda: [encoder(x, valid)])
        _check_rows(encoder, x, valid)
        if encoder.causal:
            _check_causal(encoder, x, valid)
        if encoder.receptive_field is not None:
            _check_receptive_field(encoder, x, valid)
        check_gradients(encoder, [encoder(x, valid)])
        again = factory(in_channels, embed_dim)
        _use(encoder, x, valid)
        check_round_trip(encoder, again, lambda module: [module(x, valid)])


def _candles(encoder: Encoder, in_channels: int) -> tuple[Tensor, Tensor]:
    """Three rows of candles with gaps, longer than the receptive field where it is finite."""
    field = encoder.receptive_field
    if field is not None and field < 1:
        raise defect(encoder, f"receptive_field is {field}", "at least 1, or None for no bound")
    time = min(field or 32, MAX_FIELD) + 8
    valid = torch.rand(3, time) > 0.1
    return torch.where(valid.unsqueeze(-1), torch.randn(3, time, in_channels), 0.0), valid


def _use(encoder: Encoder, x: Tensor, valid: Tensor) -> None:
    """One step of training, so that running statistics are no longer those of the start."""
    encoder.train()
    encoder(x, valid)
    encoder.eval()


def _check_shape(encoder: Encoder, x: Tensor, valid: Tensor, embed_dim: int) -> None:
    for length in (x.shape[1], 1):
        y, wanted = encoder(x[:, :length], valid[:, :length]), (len(x), length, embed_dim)
        if tuple(y.shape) != wanted:
            raise defect(
                encoder,
                f"wrong shape: {tuple(y.shape)} from {tuple(x[:, :length].shape)}",
                f"[batch, time, embed_dim] = {wanted}",
            )
    for mask in (valid, torch.zeros_like(valid)):
        if not bool(torch.isfinite(encoder(torch.where(mask.unsqueeze(-1), x, 0.0), mask)).all()):
            raise defect(
                encoder,
                "outputs are not finite" + ("" if mask.any() else " without any valid slot"),
                "finite outputs, also for slots that are not valid",
                "divide by max(count, 1); never take a softmax over nothing",
            )


def _check_rows(encoder: Encoder, x: Tensor, valid: Tensor) -> None:
    """Rows of a batch are different decisions: in evaluation they must not see each other."""
    noise = torch.randn_like(x[1:])
    other = torch.cat([x[:1], torch.where(valid[1:].unsqueeze(-1), noise, 0.0)])
    if not equal([encoder(x, valid)[0]], [encoder(other, valid)[0]]):
        raise defect(
            encoder,
            "rows of a batch mix: a row's output depends on the other rows in evaluation",
            "each row by itself",
        )


def _check_causal(encoder: Encoder, x: Tensor, valid: Tensor) -> None:
    """Position by position: bit for bit, and by gradient."""
    time = x.shape[1]
    y = encoder(x, valid)
    for k in range(time - 1):
        later = torch.arange(time) > k
        noise = torch.where(valid.unsqueeze(-1), torch.randn_like(x), 0.0)
        changed = encoder(torch.where(later.unsqueeze(-1), noise, x), valid)
        flipped = encoder(torch.where(later.unsqueeze(-1), 0.0, x), valid & ~later)
        if not equal([y[:, : k + 1]] * 2, [changed[:, : k + 1], flipped[:, : k + 1]]):
            raise defect(
                encoder,
                f"looks ahead: output {k} moves when slots after {k} change",
                "causal = True means that output k depends on slots up to k only",
                "pad on the left only, or declare causal = False",
            )
    _check_gradient_reach(encoder, x, valid)


def _check_gradient_reach(encoder: Encoder, x: Tensor, valid: Tensor) -> None:
    x = x.clone().requires_grad_()
    for k in range(x.shape[1] - 1):
        (grad,) = torch.autograd.grad(encoder(x, valid)[:, k].sum(), x, allow_unused=True)
        if grad is not None and bool((grad[:, k + 1 :] != 0).any()):
            raise defect(
                encoder,
                f"looks ahead: the gradient of output {k} reaches slots after {k}",
                "causal = True means that output k depends on slots up to k only",
            )


def _check_receptive_field(encoder: Encoder, x: Tensor, valid: Tensor) -> None:
    """What lies outside the declared field must not matter, nor where a block begins."""
    field, time = encoder.receptive_field, x.shape[1]
    assert field is not None
    if field > MAX_FIELD:
        return
    k = time - 1 if encoder.causal else time // 2
    reach = torch.arange(time)
    outside = (reach <= k - field) | (reach >= k + field)
    noise = torch.where(valid.unsqueeze(-1), torch.randn_like(x), 0.0)
    changed = encoder(torch.where(outside.unsqueeze(-1), noise, x), valid)
    if not equal([encoder(x, valid)[:, k]], [changed[:, k]]):
        raise _field_error(encoder, f"output {k} moves when slots {field} away from it change")
    if encoder.causal:
        piece = slice(k - field + 1, k + 1)
        difference = encoder(x, valid)[:, k] - encoder(x[:, piece], valid[:, piece])[:, -1]
        if float(difference.detach().abs().max()) > PIECES_AGREE:
            raise _field_error(encoder, "the last output depends on where its block begins")


def _field_error(encoder: Encoder, found: str) -> Exception:
    return defect(
        encoder,
        f"receptive field wrong: {found}",
        f"with receptive_field = {encoder.receptive_field}, an output depends on that many slots",
        "declare the true receptive_field, or None where there is no bound",
    )


__all__ = ["check_encoder"]
