"""The promises of an encoder that steps: slot by slot it says what it says of a whole history."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mtf.market.finding import counted
from mtf.plugins.contracts import Encoder, State
from mtf.testing.probe import defect, equal

STEPS_AGREE = 1e-5
"""Largest difference, as a share of the largest output."""


@torch.no_grad()
def check_step(encoder: Encoder, x: Tensor, valid: Tensor) -> str:
    """Raise where ``step`` says anything else than ``forward``, or writes into the state.

    Args:
        encoder: in evaluation.
        x: histories with gaps, ``[batch, time, channel]``.
        valid: their slots with candles, ``[batch, time]``.

    Raises:
        ContractError: it does.
    """
    if not encoder.steps:
        return "not given; its receptive field is encoded anew"
    field = encoder.receptive_field
    if not encoder.causal or field is None:
        raise defect(
            encoder,
            "steps, but is not causal or has no finite receptive field",
            "step only where slots before the field and later ones do not matter",
            "declare causal and receptive_field, or leave step out",
        )
    wanted = _with_empty_past(encoder, x, valid, field)
    state, found = encoder.initial_state(len(x)), []
    _check_rows(encoder, state, len(x))
    for k in range(x.shape[1]):
        kept = tuple(part.clone() for part in state)
        said, following = encoder.step(x[:, k], valid[:, k], state)
        if not equal(state, kept):
            raise defect(
                encoder,
                "step writes into the state that it is given",
                "a new state is returned, and the old one left as it was",
                "no in-place operation on the state",
            )
        _check_rows(encoder, following, len(x))
        found.append(said)
        state = following
    apart = _apart(wanted, torch.stack(found, 1))
    if not apart <= STEPS_AGREE:
        raise defect(
            encoder,
            f"step differs from forward by {apart:.1e} of the largest output",
            "slot by slot the same, after endless slots without a candle",
            "initial_state is what the encoder carries after slots with x = 0 and valid = False; "
            "that is not padding inside the encoder",
        )
    carried = sum(part[0].numel() for part in state)
    return f"{counted(x.shape[1], 'slot')}, difference {apart:.1e}, {carried:,} numbers carried"


@torch.no_grad()
def check_stepper(encoder: Encoder, x: Tensor, valid: Tensor) -> str:
    """Raise where ``stepper`` differs from ``step``, or its state cannot be saved and restored.

    Arguments as of ``check_step``; the first row is tried.

    Raises:
        ContractError: it does.
    """
    stepper = encoder.stepper()
    if stepper is None:
        return "not given; step is taken"
    again, time = encoder.stepper(), x.shape[1]
    assert again is not None
    state, wanted, found = encoder.initial_state(1), [], []
    for k in range(time):
        if k == time // 2:
            for name, values in stepper.state.items():
                again.state[name][...] = values.copy()
            stepper = again
        found.append(stepper.step(x[0, k].numpy(), bool(valid[0, k])).copy())
        said, state = encoder.step(x[:1, k], valid[:1, k], state)
        wanted.append(said[0])
    apart = _apart(torch.stack(wanted), torch.from_numpy(np.stack(found)))
    if not apart <= STEPS_AGREE:
        raise defect(
            encoder,
            f"stepper differs from step by {apart:.1e} of the largest output",
            "the same, also where its state was saved and restored half-way",
            "all that it carries is in its state, by name, and changed in place",
        )
    return f"{counted(time, 'slot')}, restored half-way, difference {apart:.1e}"


def _with_empty_past(encoder: Encoder, x: Tensor, valid: Tensor, field: int) -> Tensor:
    """What ``forward`` says after as many empty slots as the encoder can see."""
    empty = x.new_zeros(len(x), field - 1, x.shape[2])
    nothing = valid.new_zeros(len(x), field - 1)
    said: Tensor = encoder(torch.cat([empty, x], 1), torch.cat([nothing, valid], 1))
    return said[:, field - 1 :]


def _check_rows(encoder: Encoder, state: State, batch: int) -> None:
    """One row a history."""
    for part in state:
        if part.ndim < 1 or len(part) != batch:
            raise defect(
                encoder,
                f"a state of shape {list(part.shape)} for {batch} histories",
                "tensors with one row a history",
            )


def _apart(wanted: Tensor, found: Tensor) -> float:
    """Largest difference, as a share of the largest output; NaN where there is one."""
    return float((wanted - found).abs().max() / wanted.abs().max().clamp(min=1e-6))


__all__ = ["check_step", "check_stepper"]
