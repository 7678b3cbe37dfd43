"""The contract of a loss, tried out: a function that gives every decision a value of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from mtf.testing.contract import Check, require
from mtf.testing.probe import defect, equal

BATCH, CHANNELS = 7, 3

Loss = Callable[[Tensor, Tensor], Tensor]


def check_loss(loss: Loss) -> None:
    """Try whether a loss keeps its contract.

    Args:
        loss: ``(logits [batch, class], classes [batch])`` or ``(prediction [batch, channel],
            target [batch, channel])`` to one value a decision.

    Raises:
        ContractError: it takes neither; not one value a decision; not finite; decisions that mix;
            no gradient; random.
    """
    require(checks_of_loss(loss))


def checks_of_loss(loss: Loss, *, seed: int = 0) -> tuple[Check, ...]:
    """The promises of a loss, one by one."""
    trial = LossTrial(loss)
    return (
        Check("arguments", trial.arguments, vital=True, seed=seed),
        Check("finite", trial.finite, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("rows", trial.rows, seed=seed),
        Check("gradients", trial.gradients, seed=seed),
    )


class LossTrial:
    """A loss, and predictions with what happened.

    Args:
        loss: the function.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    @cached_property
    def tried(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Both forms that a loss may have."""
        prediction = torch.randn(BATCH, CHANNELS)
        return {
            "logits and classes": (prediction, torch.randint(0, CHANNELS, (BATCH,))),
            "prediction and target": (prediction, torch.randn(BATCH, CHANNELS)),
        }

    @cached_property
    def form(self) -> str:
        """The form that this one takes: the first that gives one value a decision."""
        said = []
        for form, given in self.tried.items():
            try:
                found = self.loss(*given)
            except Exception as error:  # whatever a stranger's function says to the other form
                said.append(f"{form}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
                continue
            if tuple(found.shape) == (BATCH,):
                return form
            said.append(f"{form}: shape {tuple(found.shape)}")
        raise defect(
            self.loss,
            f"wrong shape: no value of its own for each of {BATCH} decisions ({'; '.join(said)})",
            f"({BATCH},) from [batch, class] and [batch], or from two of [batch, channel]",
            "reduce over channels only (reduction='none' in torch), never over the batch",
        )

    @property
    def given(self) -> tuple[Tensor, Tensor]:
        """What it is tried on."""
        return self.tried[self.form]

    def arguments(self) -> str:
        """One of both forms."""
        return self.form

    def finite(self) -> str:
        """Also far off."""
        prediction, target = self.given
        for scale in (1.0, 0.0, 1e3):
            if not bool(torch.isfinite(self.loss(scale * prediction, target)).all()):
                raise defect(
                    self.loss, f"is not finite for predictions × {scale:g}", "finite losses"
                )
        return ""

    def determinism(self) -> str:
        """The same twice."""
        if not equal([self.loss(*self.given)], [self.loss(*self.given)]):
            raise defect(self.loss, "is random: two calls differ", "the same for the same input")
        return ""

    def rows(self) -> str:
        """A decision's loss does not depend on the others."""
        prediction, target = self.given
        whole = self.loss(prediction, target)
        for i in range(BATCH):
            alone = self.loss(prediction[i : i + 1], target[i : i + 1])[0]
            if not torch.allclose(alone, whole[i], rtol=1e-5, atol=1e-6):
                raise defect(
                    self.loss,
                    f"decisions mix: the loss of decision {i} is {float(alone):.6g} alone and "
                    f"{float(whole[i]):.6g} among others",
                    "each decision by itself",
                    "no mean, rank or deviation over the batch",
                )
        return ""

    def gradients(self) -> str:
        """Finite, and every decision's prediction has one."""
        prediction, target = self.given
        prediction = prediction.clone().requires_grad_()
        (grad,) = torch.autograd.grad(self.loss(prediction, target).sum(), prediction)
        if not bool(torch.isfinite(grad).all()) or not bool(grad.any()):
            raise defect(
                self.loss, "has no gradient, or one that is not finite", "a finite gradient"
            )
        return ""


__all__ = ["check_loss", "checks_of_loss"]
