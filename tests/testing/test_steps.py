"""An encoder whose steps say anything else than its whole is caught, with what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mtf.encoders.dsc import DSC
from mtf.errors import ContractError
from mtf.plugins.contracts import State, Stepper
from mtf.testing.steps import check_step, check_stepper


class Pads(DSC):
    """Takes what was before its history for padding: 0, where the stem would have said its bias."""

    def initial_state(self, batch: int) -> State:
        return tuple(torch.zeros_like(part) for part in super().initial_state(batch))


class Overwrites(DSC):
    """Saves a copy, at the cost of whoever kept the state."""

    def step(self, x: Tensor, valid: Tensor, state: State) -> tuple[Tensor, State]:
        said, following = super().step(x, valid, state)
        for old, new in zip(state, following, strict=True):
            old.copy_(new)
        return said, state


class ForgetsRows(DSC):
    """One state for all histories."""

    def initial_state(self, batch: int) -> State:
        return super().initial_state(1)


class StepsBackwards(DSC):
    """Claims to step though it looks ahead."""

    @property
    def steps(self) -> bool:
        return True


class Forgets(Stepper):
    """Carries what is not in its state."""

    def __init__(self, inner: Stepper) -> None:
        self.inner = inner
        self.state = {}

    def step(self, x: np.ndarray, valid: bool) -> np.ndarray:
        return self.inner.step(x, valid)


class Forgetful(DSC):
    def stepper(self) -> Stepper | None:
        inner = super().stepper()
        return None if inner is None else Forgets(inner)


def encoder(build: type[DSC], **options: object) -> DSC:
    torch.manual_seed(0)
    built = build(5, 16, num_blocks=2, **options).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        built.stem.bias.add_(0.5)
    return built


def candles() -> tuple[Tensor, Tensor]:
    valid = torch.rand(3, 20) > 0.2
    return torch.where(valid.unsqueeze(-1), torch.randn(3, 20, 5), 0.0), valid


def test_what_is_sound_says_what_it_carries() -> None:
    """Two blocks of 3 taps: 2 and 4 slots of 16 channels."""
    said = check_step(encoder(DSC), *candles())
    assert said.startswith("20 slots, difference ")
    assert said.endswith(", 96 numbers carried")
    assert check_stepper(encoder(DSC), *candles()).startswith("20 slots, restored half-way")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (Pads, "step differs from forward"),
        (Overwrites, "writes into the state"),
        (ForgetsRows, "for 3 histories"),
    ],
)
def test_caught(build: type[DSC], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        check_step(encoder(build), *candles())


def test_one_that_looks_ahead_may_not_step() -> None:
    with pytest.raises(ContractError, match="not causal"):
        check_step(encoder(StepsBackwards, causal=False), *candles())


def test_a_stepper_whose_state_is_not_all_it_carries() -> None:
    with pytest.raises(ContractError, match="stepper differs from step"):
        check_stepper(encoder(Forgetful), *candles())
