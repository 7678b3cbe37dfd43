"""Training targets as callers give them: the next candle of each stream, the action's class."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from mtf.calling.arrays import candles_of, numbers
from mtf.errors import DataError
from mtf.market.asof import Known
from mtf.market.channels import encode
from mtf.market.timeframe import Timeframe
from mtf.model.batch import TargetBatch

CandleUnits = Literal["prices", "channels"]


def candle_target(
    name: str, value: object, timeframe: Timeframe, known: Known, units: CandleUnits
) -> TargetBatch:
    """The next candle of a stream as a target; absent where it or its scale is not known.

    Args:
        name: the key, for messages.
        value: numpy or torch, ``[batch, 5]``; NaN = no target.
        timeframe: of the stream.
        known: its scale at each decision.
        units: of ``value``: prices and volume, or channels of the stream.

    Raises:
        DataError: no such array, or rows that are no candles.
    """
    wanted = f"[{len(known.sigma)}, 5]: the next candle of each decision, open to volume"
    array = numbers(name, value, wanted)
    if array.shape != (len(known.sigma), 5):
        raise DataError(
            f"{name} has the shape {list(array.shape)}", wanted, "cut it like the input"
        )
    if units == "prices":
        candle = encode(candles_of(name, array[:, None], timeframe)[:, 0], known)
    else:
        candle = array.astype(np.float64)
    return _where_known("candle", candle, np.isfinite(candle).all(axis=1), torch.float32)


def class_target(name: str, value: object, batch: int, classes: int) -> TargetBatch:
    """Classes as a target; a negative number = no target.

    Args:
        name: the key, for messages.
        value: integers, numpy or torch, ``[batch]``.
        batch: number of decisions.
        classes: how many there are.

    Raises:
        DataError: no such array, or a class that there is not.
    """
    wanted = f"[{batch}], integers from 0 to {classes - 1}, or below 0 for none"
    array = numbers(name, value, wanted)
    if array.shape != (batch,) or array.dtype.kind not in "iu":
        found = f"{name} is {array.dtype} of the shape {list(array.shape)}"
        raise DataError(found, wanted, "one class a decision")
    if (array >= classes).any():
        raise DataError(f"{name} has the class {array.max()}", wanted, "0 BUY, 1 SELL, 2 HOLD")
    return _where_known("class", array, array >= 0, torch.int64)


def _where_known(
    name: str, values: np.ndarray, present: np.ndarray, dtype: torch.dtype
) -> TargetBatch:
    """A target with zeros where it is absent."""
    there = present.reshape(-1, *[1] * (values.ndim - 1))
    tensor = torch.from_numpy(np.where(there, values, 0)).to(dtype)
    return TargetBatch({name: tensor}, torch.from_numpy(present))


__all__ = ["CandleUnits", "candle_target", "class_target"]
