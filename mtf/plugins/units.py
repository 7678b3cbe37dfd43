"""What the outputs of heads are measured in, so that they can be told in natural units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from mtf.market.asof import Known


@dataclass(frozen=True)
class Units:
    """The scales of some decisions, as known at each of them.

    Attributes:
        label_volatility: s, in log return a clock step; NaN = not known.
        known: of every stream by name: sigma, mean volume and last close; NaN = not known.
    """

    label_volatility: Float64[np.ndarray, " decision"]
    known: Mapping[str, Known]


def as_array(output: Tensor) -> np.ndarray:
    """An output in float64, without gradients."""
    array: np.ndarray = output.numpy(force=True).astype(np.float64)
    return array


def as_output(values: np.ndarray, like: Tensor) -> Tensor:
    """Natural units as a float32 tensor beside the output that they tell; ``[batch, …]``."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    return (tensor.unsqueeze(1) if tensor.ndim == 1 else tensor).to(like.device)


__all__ = ["Units", "as_array", "as_output"]
