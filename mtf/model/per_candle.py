"""Encoders that read every candle by itself."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from mtf.plugins.contracts import Encoder, State


class PerCandle(Encoder):
    """Its receptive field is one candle, so one more slot is all there is to a step."""

    causal = True
    receptive_field = 1

    def initial_state(self, batch: int) -> State:
        """Nothing is carried from slot to slot."""
        return ()

    def step(
        self, x: Float[Tensor, "batch channel"], valid: Bool[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch dim"], State]:
        """Encode one more slot."""
        return self(x.unsqueeze(1), valid.unsqueeze(1)).squeeze(1), state


__all__ = ["PerCandle"]
