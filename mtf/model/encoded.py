"""What an encoder made of the blocks of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """The blocks of one stream, encoded.

    Attributes:
        values: one vector a slot.
        seen: slots that are valid and that some decision can see; other vectors mean nothing.
    """

    values: Float[Tensor, "block time dim"]
    seen: Bool[Tensor, "block time"]


__all__ = ["Encoded"]
