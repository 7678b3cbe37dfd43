"""The contract of an encoder, tried out by itself; ``mtf.testing.in_model`` tries it in a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from mtf.market.finding import counted
from mtf.plugins.contracts import Encoder
from mtf.testing.contract import Check, require
from mtf.testing.in_model import InModel
from mtf.testing.probe import (
    check_deterministic,
    check_gradients,
    check_round_trip,
    count_parameters,
    defect,
    equal,
    largest_difference,
)
from mtf.testing.steps import check_step, check_stepper

MAX_FIELD = 512
"""Longer receptive fields are only tried up to here."""
PIECES_AGREE = 1e-4

Factory = Callable[[int, int], Encoder]


def check_encoder(factory: Factory, *, in_channels: int = 5, embed_dim: int = 16) -> None:
    """Try whether an encoder keeps its contract.

    Args:
        factory: the class, or anything that builds one from (in_channels, embed_dim).
        in_channels: to try it with.
        embed_dim: to try it with.

    Raises:
        ContractError: wrong shape; not finite; rows that mix; random in evaluation; looks ahead
            though ``causal``, or in a model whatever it declares; a receptive field larger than
            declared; steps that say anything else; a dead parameter; state that is not saved.
    """
    require(checks_of_encoder(factory, in_channels=in_channels, embed_dim=embed_dim))


def checks_of_encoder(
    factory: Factory, *, in_channels: int = 5, embed_dim: int = 16, seed: int = 0
) -> tuple[Check, ...]:
    """The promises of an encoder, one by one; arguments as of ``check_encoder``."""
    trial = EncoderTrial(factory, in_channels, embed_dim)
    model = InModel(factory, in_channels, embed_dim, seed)
    return (
        Check("build", trial.build, vital=True, seed=seed),
        Check("shape", trial.shape, seed=seed),
        Check("masks", trial.masks, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("rows", trial.rows, seed=seed),
        Check("causality", trial.causality, seed=seed),
        Check("gradient of the future", trial.gradient_reach, seed=seed),
        Check("receptive field", trial.receptive_field, seed=seed),
        Check("gradients", trial.gradients, seed=seed),
        Check("known at t", model.nothing_from_the_future, seed=seed),
        Check("known at t, gradient", model.no_gradient_from_the_future, seed=seed),
        Check("last candle", model.last_candle_is_seen, seed=seed),
        Check("two paths", model.paths_agree, seed=seed),
        Check("step", trial.step, seed=seed),
        Check("stepper", trial.stepper, seed=seed),
        Check("state", trial.state, seed=seed),
    )


class EncoderTrial:
    """An encoder, and three rows of candles with gaps to try it on.

    Args:
        factory: builds one.
        in_channels: to try it with.
        embed_dim: to try it with.
    """

    def __init__(self, factory: Factory, in_channels: int, embed_dim: int) -> None:
        self.factory, self.in_channels, self.embed_dim = factory, in_channels, embed_dim

    @cached_property
    def encoder(self) -> Encoder:
        """In evaluation."""
        return self.factory(self.in_channels, self.embed_dim).eval()

    @cached_property
    def candles(self) -> tuple[Tensor, Tensor]:
        """Values and validity, longer than the receptive field where that is finite."""
        time = min(self.encoder.receptive_field or 32, MAX_FIELD) + 8
        valid = torch.rand(3, time) > 0.1
        x = torch.randn(3, time, self.in_channels)
        return torch.where(valid.unsqueeze(-1), x, 0.0), valid

    def build(self) -> str:
        """It is an encoder, and what it declares makes sense."""
        built = self.factory(self.in_channels, self.embed_dim)
        if not isinstance(built, Encoder):
            raise defect(built, "is no Encoder", "a subclass of mtf.plugins.contracts.Encoder")
        field = self.encoder.receptive_field
        if field is not None and field < 1:
            raise defect(built, f"receptive_field is {field}", "at least 1, or None for no bound")
        causal = "causal" if self.encoder.causal else "not causal"
        reads = "" if field is None else f", reads {counted(field, 'candle')}"
        return f"{count_parameters(built):,} parameters, {causal}{reads}"

    def shape(self) -> str:
        """One vector a slot, however many slots there are."""
        x, valid = self.candles
        for length in (x.shape[1], 1):
            found = tuple(self.encoder(x[:, :length], valid[:, :length]).shape)
            wanted = (len(x), length, self.embed_dim)
            if found != wanted:
                raise defect(
                    self.encoder,
                    f"wrong shape: {found} from {tuple(x[:, :length].shape)}",
                    f"[batch, time, embed_dim] = {wanted}",
                )
        return f"{list(x.shape)} to {[*x.shape[:2], self.embed_dim]}"

    def masks(self) -> str:
        """Finite also where nothing is valid, and what was handed in is left as it was."""
        x, valid = self.candles
        for mask in (valid, torch.zeros_like(valid)):
            given, seen = torch.where(mask.unsqueeze(-1), x, 0.0), mask.clone()
            kept = given.clone()
            if not bool(torch.isfinite(self.encoder(given, seen)).all()):
                raise defect(
                    self.encoder,
                    "outputs are not finite" + ("" if mask.any() else " without any valid slot"),
                    "finite outputs, also for slots that are not valid",
                    "divide by max(count, 1); never take a softmax over nothing",
                )
            if not (torch.equal(given, kept) and torch.equal(seen, mask)):
                raise defect(
                    self.encoder,
                    "writes into its input: x or valid is another after forward()",
                    "inputs left as they are: others read them, too",
                    "no in-place operation on x or valid",
                )
        return ""

    def determinism(self) -> str:
        """The same twice in evaluation."""
        check_deterministic(self.encoder, lambda: [self.encoder(*self.candles)])
        return ""

    def rows(self) -> str:
        """Rows of a batch are different decisions: in evaluation they must not see each other."""
        x, valid = self.candles
        noise = torch.where(valid[1:].unsqueeze(-1), torch.randn_like(x[1:]), 0.0)
        other = torch.cat([x[:1], noise])
        if not equal([self.encoder(x, valid)[0]], [self.encoder(other, valid)[0]]):
            raise defect(
                self.encoder,
                "rows of a batch mix: a row's output depends on the other rows in evaluation",
                "each row by itself",
                "no mean or deviation over the batch but running statistics",
            )
        return ""

    def causality(self) -> str:
        """Position by position, bit for bit: where it is declared, nothing later moves a slot."""
        if not self.encoder.causal:
            return "not declared; 'known at t' tries it in a model"
        x, valid = self.candles
        time, y = x.shape[1], self.encoder(x, valid)
        for k in range(time - 1):
            later = torch.arange(time) > k
            noise = torch.where(valid.unsqueeze(-1), torch.randn_like(x), 0.0)
            changed = self.encoder(torch.where(later.unsqueeze(-1), noise, x), valid)
            gone = self.encoder(torch.where(later.unsqueeze(-1), 0.0, x), valid & ~later)
            if not equal([y[:, : k + 1]] * 2, [changed[:, : k + 1], gone[:, : k + 1]]):
                raise self._ahead(f"output {k} moves when slots after {k} change")
        return f"{time - 1} positions, bit for bit"

    def gradient_reach(self) -> str:
        """Gradients say the same."""
        if not self.encoder.causal:
            return "not declared; 'known at t, gradient' tries it in a model"
        values, valid = self.candles
        x = values.clone().requires_grad_()
        for k in range(x.shape[1] - 1):
            weights = torch.randn(self.embed_dim)
            said = (self.encoder(x, valid)[:, k] * weights).sum()
            (grad,) = torch.autograd.grad(said, x, allow_unused=True)
            if grad is not None and bool((grad[:, k + 1 :] != 0).any()):
                raise self._ahead(f"the gradient of output {k} reaches slots after {k}")
        return f"{x.shape[1] - 1} positions"

    def _ahead(self, found: str) -> Exception:
        return defect(
            self.encoder,
            f"looks ahead: {found}",
            "causal = True means that output k depends on slots up to k only",
            "pad on the left only, or declare causal = False",
        )

    def receptive_field(self) -> str:
        """What lies outside the declared field must not matter, nor where a block begins."""
        field = self.encoder.receptive_field
        if field is None or field > MAX_FIELD:
            return "no bound declared" if field is None else f"{field}: too long to try"
        x, valid = self.candles
        time = x.shape[1]
        k = time - 1 if self.encoder.causal else time // 2
        reach = torch.arange(time)
        outside = (reach <= k - field) | (reach >= k + field)
        noise = torch.where(valid.unsqueeze(-1), torch.randn_like(x), 0.0)
        changed = self.encoder(torch.where(outside.unsqueeze(-1), noise, x), valid)
        whole = self.encoder(x, valid)[:, k]
        if not equal([whole], [changed[:, k]]):
            raise self._field_error(f"output {k} moves when slots {field} away from it change")
        if not self.encoder.causal:
            return counted(field, "slot")
        piece = slice(k - field + 1, k + 1)
        difference = largest_difference(whole, self.encoder(x[:, piece], valid[:, piece])[:, -1])
        if difference > PIECES_AGREE:
            raise self._field_error("the last output depends on where its block begins")
        return f"{counted(field, 'slot')}; where a block begins changes {difference:.1e}"

    def _field_error(self, found: str) -> Exception:
        return defect(
            self.encoder,
            f"receptive field wrong: {found}",
            f"with receptive_field = {self.encoder.receptive_field}, an output depends on that "
            "many slots",
            "declare the true receptive_field, or None where there is no bound",
        )

    def step(self) -> str:
        """Where it steps: slot by slot what it says of the whole."""
        return check_step(self.encoder, *self.candles)

    def stepper(self) -> str:
        """Where it has one: the same as its steps."""
        return check_stepper(self.encoder, *self.candles)

    def gradients(self) -> str:
        """Every parameter has an influence."""
        return check_gradients(self.encoder, [self.encoder(*self.candles)])

    def state(self) -> str:
        """After a step of training, so that running statistics are no longer those of the start."""
        again = self.factory(self.in_channels, self.embed_dim)
        self.encoder.train()
        self.encoder(*self.candles)
        self.encoder.eval()
        return check_round_trip(self.encoder, again, lambda module: [module(*self.candles)])


__all__ = ["check_encoder", "checks_of_encoder"]
