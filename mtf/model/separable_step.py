"""A stack of separable convolutions one slot at a time, in compiled code: for streaming."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from mtf.model import separable_kernels as kernels
from mtf.model.separable import Weights
from mtf.plugins.contracts import State, Stepper


class SeparableStepper(Stepper):
    """Rings of what each block was fed: a slot costs one row of every product.

    Args:
        weights: with norms folded in.
        state: what each block was fed in the slots before the first, as ``Encoder.initial_state``
            has it; of one history.
    """

    def __init__(self, weights: Weights, state: State) -> None:
        on_cpu = (part.detach().cpu().float().contiguous().numpy() for part in weights)
        self._weights = tuple(on_cpu)
        self._reach = np.array([part.shape[1] for part in state], np.int64)
        rings = [part[0].detach().cpu().float().numpy() for part in state]
        self.state = {"rings": np.concatenate(rings), "seen": np.zeros(1, np.int64)}
        self._rows = np.empty((2, 1, weights.taps.shape[2]), np.float32)
        self._out = np.empty((1, len(weights.skip_bias)), np.float32)
        self._given = self._reach, *self.state.values(), self._rows, self._out

    def step(self, x: Float32[np.ndarray, " channel"], valid: bool) -> Float32[np.ndarray, " dim"]:
        """Encode one more slot; ``valid`` matters to norms that learn alone."""
        kernels.step_once(x.reshape(1, -1), *self._weights, *self._given)
        said: np.ndarray = self._out[0]
        return said


__all__ = ["SeparableStepper"]
