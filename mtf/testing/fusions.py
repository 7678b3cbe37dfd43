"""The contract of a fusion, tried out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from mtf.plugins.contracts import Fused, Fusion
from mtf.testing.contract import Check, require
from mtf.testing.probe import (
    check_deterministic,
    check_gradients,
    check_round_trip,
    count_parameters,
    defect,
    equal,
)

TOKEN_STREAM = (0, 0, 0, 1, 2, 2)
HIDDEN = (float("nan"), float("inf"), 1e6)
"""What may stand behind a mask."""


Factory = Callable[[int, tuple[int, ...]], Fusion]


def check_fusion(factory: Factory, *, embed_dim: int = 16, batch: int = 5) -> None:
    """Try whether a fusion keeps its contract.

    Args:
        factory: the class, or anything that builds one from (embed_dim, token_stream).
        embed_dim: to try it with.
        batch: decisions to try it with.

    Raises:
        ContractError: wrong shape; breaks on what stands behind a mask; decisions that mix;
            random in evaluation; a dead parameter; state that is not saved.
    """
    require(checks_of_fusion(factory, embed_dim=embed_dim, batch=batch))


def checks_of_fusion(
    factory: Factory, *, embed_dim: int = 16, batch: int = 5, seed: int = 0
) -> tuple[Check, ...]:
    """The promises of a fusion, one by one; arguments as of ``check_fusion``."""
    trial = FusionTrial(factory, embed_dim, batch)
    return (
        Check("build", trial.build, vital=True, seed=seed),
        Check("shape", trial.shape, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("masks", trial.masks, seed=seed),
        Check("rows", trial.rows, seed=seed),
        Check("gradients", trial.gradients, seed=seed),
        Check("state", trial.state, seed=seed),
    )


class FusionTrial:
    """A fusion, and tokens of three streams to try it on.

    Args:
        factory: builds one.
        embed_dim: to try it with.
        batch: decisions.
    """

    def __init__(self, factory: Factory, embed_dim: int, batch: int) -> None:
        self.factory, self.embed_dim, self.batch = factory, embed_dim, batch

    @cached_property
    def fusion(self) -> Fusion:
        """In evaluation."""
        return self.factory(self.embed_dim, TOKEN_STREAM).eval()

    @cached_property
    def tokens(self) -> tuple[Tensor, Tensor]:
        """Tokens and mask."""
        return torch.randn(self.batch, len(TOKEN_STREAM), self.embed_dim), _mask(self.batch)

    def build(self) -> str:
        """It is a fusion."""
        built = self.factory(self.embed_dim, TOKEN_STREAM)
        if not isinstance(built, Fusion):
            raise defect(built, "is no Fusion", "a subclass of mtf.plugins.contracts.Fusion")
        return f"{count_parameters(self.fusion):,} parameters"

    def shape(self) -> str:
        """One vector a decision, and one a stream."""
        streams = max(TOKEN_STREAM) + 1
        wanted = [(self.batch, self.embed_dim), (self.batch, streams, self.embed_dim)]
        found = [tuple(tensor.shape) for tensor in _tensors(self.fusion(*self.tokens))]
        if found != wanted:
            raise defect(
                self.fusion,
                f"wrong shape: state {found[0]}, streams {found[1]}",
                f"[batch, dim] = {wanted[0]} and [batch, stream, dim] = {wanted[1]}",
            )
        return f"state {list(found[0])}, streams {list(found[1])}"

    def determinism(self) -> str:
        """The same twice in evaluation."""
        check_deterministic(self.fusion, lambda: _tensors(self.fusion(*self.tokens)))
        return ""

    def masks(self) -> str:
        """Whatever stands in a masked token moves neither outputs nor gradients."""
        tokens, mask = self.tokens
        outputs, gradients = _answer(self.fusion, tokens, mask)
        for hidden in HIDDEN:
            other = torch.where(mask.unsqueeze(-1), tokens, hidden)
            moved_outputs, moved_gradients = _answer(self.fusion, other, mask)
            if not equal(outputs, moved_outputs):
                raise _mask_error(self.fusion, f"outputs move when {hidden}")
            if not equal(gradients, moved_gradients):
                raise _mask_error(self.fusion, f"gradients move when {hidden}")
        return f"{', '.join(str(hidden) for hidden in HIDDEN)} behind the mask"

    def rows(self) -> str:
        """Decisions do not see each other."""
        tokens, mask = self.tokens
        other = torch.cat([tokens[:1], torch.randn_like(tokens[1:])])
        left, right = self.fusion(tokens, mask), self.fusion(other, mask)
        if not equal([left.state[0], left.streams[0]], [right.state[0], right.streams[0]]):
            raise defect(
                self.fusion,
                "decisions mix: one decision's result depends on the others in evaluation",
                "each decision by itself",
            )
        return ""

    def gradients(self) -> str:
        """Every parameter has an influence."""
        return check_gradients(self.fusion, _tensors(self.fusion(*self.tokens)))

    def state(self) -> str:
        """What is saved is all that matters."""
        again = self.factory(self.embed_dim, TOKEN_STREAM)
        return check_round_trip(self.fusion, again, lambda module: _tensors(module(*self.tokens)))


def _mask(batch: int) -> Tensor:
    """Every stream has a token; the first of each is always there, as for absent streams."""
    mask = torch.rand(batch, len(TOKEN_STREAM)) > 0.5
    mask[:, [TOKEN_STREAM.index(stream) for stream in set(TOKEN_STREAM)]] = True
    mask[0, 1:3] = False
    return mask


def _tensors(fused: Fused) -> list[Tensor]:
    return [fused.state, fused.streams]


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
        f"breaks behind a mask: {found} stands in a masked token",
        "masked tokens have no influence, whatever stands in them",
        "select with torch.where(mask, tokens, 0) before anything else; never multiply by 0",
    )


__all__ = ["check_fusion", "checks_of_fusion"]
