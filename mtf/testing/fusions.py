"""The contract of a fusion, tried out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mtf.plugins.contracts import Fused, Fusion
from mtf.testing.probe import (
    check_deterministic,
    check_gradients,
    check_round_trip,
    defect,
    equal,
    seeded,
)

TOKEN_STREAM = (0, 0, 0, 1, 2, 2)
HIDDEN = (float("nan"), float("inf"), 1e6)
"""What may stand behind a mask."""


def check_fusion(
    factory: Callable[[int, tuple[int, ...]], Fusion], *, embed_dim: int = 16, batch: int = 5
) -> None:
    """Try whether a fusion keeps its contract.

    Args:
        factory: the class, or anything that builds one from (embed_dim, token_stream).
        embed_dim: to try it with.
        batch: decisions to try it with.

    Raises:
        ContractError: wrong shape; breaks on what stands behind a mask; decisions that mix;
            random in evaluation; a dead parameter; state that is not saved.
    """
    with seeded():
        fusion = factory(embed_dim, TOKEN_STREAM)
        if not isinstance(fusion, Fusion):
            raise defect(fusion, "is no Fusion", "a subclass of mtf.plugins.contracts.Fusion")
        fusion.eval()
        tokens, mask = torch.randn(batch, len(TOKEN_STREAM), embed_dim), _mask(batch)
        _check_shape(fusion, fusion(tokens, mask), batch, embed_dim)
        check_deterministic(fusion, lambda: _tensors(fusion(tokens, mask)))
        _check_masks(fusion, tokens, mask)
        _check_rows(fusion, tokens, mask)
        check_gradients(fusion, _tensors(fusion(tokens, mask)))
        again = factory(embed_dim, TOKEN_STREAM)
        check_round_trip(fusion, again, lambda module: _tensors(module(tokens, mask)))


def _mask(batch: int) -> Tensor:
    """Every stream has a token; the first of each is always there, as for absent streams."""
    mask = torch.rand(batch, len(TOKEN_STREAM)) > 0.5
    mask[:, [TOKEN_STREAM.index(stream) for stream in set(TOKEN_STREAM)]] = True
    mask[0, 1:3] = False
    return mask


def _tensors(fused: Fused) -> list[Tensor]:
    return [fused.state, fused.streams]


def _check_shape(fusion: Fusion, fused: Fused, batch: int, embed_dim: int) -> None:
    streams = max(TOKEN_STREAM) + 1
    wanted = [(batch, embed_dim), (batch, streams, embed_dim)]
    found = [tuple(tensor.shape) for tensor in _tensors(fused)]
    if found != wanted:
        raise defect(
            fusion,
            f"wrong shape: state {found[0]}, streams {found[1]}",
            f"[batch, dim] = {wanted[0]} and [batch, stream, dim] = {wanted[1]}",
        )


def _check_masks(fusion: Fusion, tokens: Tensor, mask: Tensor) -> None:
    outputs, gradients = _answer(fusion, tokens, mask)
    for hidden in HIDDEN:
        other = torch.where(mask.unsqueeze(-1), tokens, hidden)
        moved_outputs, moved_gradients = _answer(fusion, other, mask)
        if not equal(outputs, moved_outputs):
            raise _mask_error(fusion, f"outputs move when {hidden} stands in a masked token")
        if not equal(gradients, moved_gradients):
            raise _mask_error(fusion, f"gradients move when {hidden} stands in a masked token")


def _answer(fusion: Fusion, tokens: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    tokens = tokens.detach().clone().requires_grad_()
    outputs = _tensors(fusion(tokens, mask))
    inputs = [tokens, *fusion.parameters()]
    total = torch.stack([output.square().sum() for output in outputs]).sum()
    found = torch.autograd.grad(total, inputs, allow_unused=True)
    return outputs, [grad for grad in found if grad is not None]


def _mask_error(fusion: Fusion, found: str) -> Exception:
    return defect(
        fusion,
        f"breaks behind a mask: {found}",
        "masked tokens have no influence, whatever stands in them",
        "select with torch.where(mask, tokens, 0) before anything else; never multiply by 0",
    )


def _check_rows(fusion: Fusion, tokens: Tensor, mask: Tensor) -> None:
    other = torch.cat([tokens[:1], torch.randn_like(tokens[1:])])
    left, right = fusion(tokens, mask), fusion(other, mask)
    if not equal([left.state[0], left.streams[0]], [right.state[0], right.streams[0]]):
        raise defect(
            fusion,
            "decisions mix: one decision's result depends on the others in evaluation",
            "each decision by itself",
        )


__all__ = ["check_fusion"]
