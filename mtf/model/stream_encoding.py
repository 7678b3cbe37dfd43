"""The encoder of a stream, advanced slot by slot: compiled, by torch's step, or block by block.

Whichever it is, what it says of a slot is what ``forward`` says of it within a block. All start
from endless slots without a candle, and can be put back to any slot whose field is still there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Float32

from mtf.plugins.contracts import Encoder, State, Stepper

Features = Float32[np.ndarray, "slot channel"]
Usable = Bool[np.ndarray, " slot"]


class Advancing(ABC):
    """Encodes consecutive slots of one history.

    Attributes:
        context: slots before its own that an output reads.
        name: how it does it.
    """

    context: int
    name: str

    @abstractmethod
    def advance(self, x: Features, valid: Usable) -> Float32[np.ndarray, "slot dim"]:
        """Encode the next slots; what is returned may be overwritten by the next call."""

    @abstractmethod
    def restart(self, x: Features, valid: Usable) -> None:
        """Go to where these ``context`` slots have just passed."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """What is carried from slot to slot, by name; filled in place when it is restored."""


class Compiled(Advancing):
    """By the encoder's own compiled step."""

    name = "compiled step"

    def __init__(self, stepper: Stepper, context: int) -> None:
        self.stepper, self.context = stepper, context
        self.fresh = {name: array.copy() for name, array in stepper.state.items()}

    def advance(self, x: Features, valid: Usable) -> Float32[np.ndarray, "slot dim"]:
        """Encode the next slots."""
        if len(x) == 1:
            return self.stepper.step(x[0], bool(valid[0]))[None]
        steps = zip(x, valid.tolist(), strict=True)
        return np.stack([self.stepper.step(*step).copy() for step in steps])

    def restart(self, x: Features, valid: Usable) -> None:
        """Step over the context from the start."""
        for name, array in self.stepper.state.items():
            array[...] = self.fresh[name]
        for step in zip(x, valid.tolist(), strict=True):
            self.stepper.step(*step)

    def state(self) -> dict[str, np.ndarray]:
        """That of the compiled step."""
        return self.stepper.state


class StepByStep(Advancing):
    """By the encoder's step in torch."""

    name = "step"

    def __init__(self, encoder: Encoder, context: int) -> None:
        self.encoder, self.context = encoder, context
        with torch.no_grad():
            self.carried = encoder.initial_state(1)
        self.fresh: State = tuple(tensor.clone() for tensor in self.carried)

    @torch.inference_mode()
    def advance(self, x: Features, valid: Usable) -> Float32[np.ndarray, "slot dim"]:
        """Encode the next slots."""
        said, rows, there = [], torch.from_numpy(x), torch.from_numpy(valid)
        for i in range(len(x)):
            one, self.carried = self.encoder.step(rows[i : i + 1], there[i : i + 1], self.carried)
            said.append(one)
        return torch.cat(said).numpy()

    def restart(self, x: Features, valid: Usable) -> None:
        """Step over the context from the start."""
        self.carried = tuple(tensor.clone() for tensor in self.fresh)
        if len(x):
            self.advance(x, valid)

    def state(self) -> dict[str, np.ndarray]:
        """The state as arrays of their own memory."""
        self.carried = tuple(tensor.clone() for tensor in self.carried)
        return {str(i): tensor.numpy() for i, tensor in enumerate(self.carried)}


class BlockByBlock(Advancing):
    """By encoding the receptive field anew."""

    name = "receptive field"

    def __init__(self, encoder: Encoder, context: int, channels: int) -> None:
        self.encoder, self.context = encoder, context
        self.x = np.zeros((context, channels), np.float32)
        self.valid = np.zeros(context, np.bool_)

    @torch.inference_mode()
    def advance(self, x: Features, valid: Usable) -> Float32[np.ndarray, "slot dim"]:
        """Encode the next slots behind their context."""
        both, there = np.concatenate([self.x, x]), np.concatenate([self.valid, valid])
        said = self.encoder(torch.from_numpy(both)[None], torch.from_numpy(there)[None])
        self._keep(both, there)
        encoded: np.ndarray = said[0, self.context :].numpy()
        return encoded

    def restart(self, x: Features, valid: Usable) -> None:
        """Keep the context."""
        self._keep(x, valid)

    def state(self) -> dict[str, np.ndarray]:
        """The slots of the context."""
        return {"x": self.x, "valid": self.valid}

    def _keep(self, x: Features, valid: Usable) -> None:
        kept = len(x) - self.context
        self.x[...], self.valid[...] = x[kept:], valid[kept:]


def advancing(encoder: Encoder, channels: int) -> Advancing:
    """The fastest way to advance an encoder that is causal and has a finite receptive field."""
    assert encoder.receptive_field is not None
    context = encoder.receptive_field - 1
    stepper = encoder.stepper() if encoder.steps else None
    if stepper is not None:
        return Compiled(stepper, context)
    if encoder.steps:
        return StepByStep(encoder, context)
    return BlockByBlock(encoder, context, channels)


__all__ = ["Advancing", "advancing"]
