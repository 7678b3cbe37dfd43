"""Arrays as callers bring them, checked once at the border: numpy or torch, with their shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from mtf.errors import DataError
from mtf.market.rows import FAULTS, find_faults
from mtf.market.timeframe import Timeframe

CANDLES = "[batch, time, 5]: open, high, low, close, volume, the oldest candle first"
SHAPE_ADVICE = "bring that shape; a single decision has a batch of 1: array[None]"


def candles_of(
    name: str, value: object, timeframe: Timeframe
) -> Float64[np.ndarray, "batch time 5"]:
    """Raw candles as float64; NaN where there is none.

    Args:
        name: the keyword, for messages.
        value: numpy or torch, ``[batch, time, 5]``; a row of NaN is a missing candle.
        timeframe: of the candles.

    Raises:
        DataError: no such array, or rows that are no candles.
    """
    array = numbers(name, value, CANDLES).astype(np.float64)
    if array.ndim != 3 or array.shape[2] != 5:
        raise DataError(f"{name} has the shape {list(array.shape)}", CANDLES, SHAPE_ADVICE)
    _refuse_faults(name, array, timeframe)
    return array


def side_of(
    name: str, value: object, time: int, elements: int
) -> Float32[np.ndarray, "batch time element"]:
    """A side input as float32; NaN where an element is not known.

    Args:
        name: the keyword, for messages.
        value: numpy or torch, ``[batch, time, element]``; a vector may lack the axis of time.
        time: steps that the model reads; fewer are filled up with NaN before the first.
        elements: figures a step.

    Raises:
        DataError: no such array, or infinite figures.
    """
    steps = f"[batch, time, {elements}], time up to {time}"
    wanted = f"[batch, {elements}]" if time == 1 else steps
    given = numbers(name, value, wanted).astype(np.float32)
    array = given[:, None] if given.ndim == 2 and time == 1 else given
    if array.ndim != 3 or array.shape[2] != elements or array.shape[1] > time:
        raise DataError(f"{name} has the shape {list(given.shape)}", wanted, SHAPE_ADVICE)
    if np.isinf(array).any():
        raise DataError(f"{name} is infinite somewhere", "figures, or NaN", "mend those elements")
    missing = np.full((len(array), time - array.shape[1], elements), np.nan, np.float32)
    return np.concatenate([missing, array], axis=1)


def times_of(time_ms: object, batch: int) -> Int64[np.ndarray, " decision"]:
    """Decision times, one each or one for all.

    Raises:
        DataError: not whole milliseconds, one or as many as there are decisions.
    """
    wanted = f"milliseconds UTC as integers: one for all, or [{batch}], one a decision"
    times = numbers("time_ms", np.asarray(time_ms) if _is_number(time_ms) else time_ms, wanted)
    if times.dtype.kind not in "iu" or times.shape not in ((), (batch,)):
        found = f"time_ms is {times.dtype} of the shape {list(times.shape)}"
        raise DataError(found, wanted, "leave it out where only the candles matter")
    return np.broadcast_to(times, batch).astype(np.int64)


def batch_size(arrays: Mapping[str, np.ndarray], asked: int | None) -> int:
    """How many decisions are asked for; 1 where nothing says so.

    Args:
        arrays: by keyword.
        asked: as the caller says; None = as the arrays have it.

    Raises:
        DataError: inputs that differ, or are not what was asked for.
    """
    sizes = {f"in {name}": len(array) for name, array in arrays.items()}
    if asked is not None:
        sizes["as batch_size"] = asked
    if len(set(sizes.values())) > 1 or min(sizes.values(), default=1) < 1:
        found = ", ".join(f"{size} {where}" for where, size in sizes.items())
        raise DataError(
            f"found batches of different or no size: {found}",
            "the same number of decisions, at least 1, in every input",
            "cut them alike; where a decision lacks an input, fill its rows with NaN",
        )
    return next(iter(sizes.values()), 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def numbers(name: str, value: object, wanted: str) -> np.ndarray:
    """The array as numpy, whatever its type of number."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(
            f"{name} is of type {kind}", f"a numpy array or torch tensor, {wanted}",
            "convert it, such as by numpy.asarray(…, dtype=float)",
        )  # fmt: skip
    return value


def _refuse_faults(
    name: str, array: Float64[np.ndarray, "batch time 5"], timeframe: Timeframe
) -> None:
    """Rows that are neither candles nor missing are a mistake.

    Raises:
        DataError: how many of what, and the first of each.
    """
    batch, step = np.nonzero(~np.isnan(array).all(axis=2))
    on_grid = np.full(len(batch), timeframe.anchor_ms, np.int64)
    faults = find_faults(on_grid, array[batch, step], timeframe)
    if not faults:
        return
    told = []
    for fault, rows in faults.items():
        first = int(np.flatnonzero(rows)[0])
        where = f"first: batch {batch[first]}, time {step[first]}"
        told.append(f"{np.count_nonzero(rows)} {FAULTS[fault]} ({where})")
    raise DataError(
        f"{name}: rows that are no candles: {'; '.join(told)}",
        "finite prices above 0 with low <= open, close <= high, volume >= 0",
        "mend these rows, or make them NaN, all five: a missing candle",
    )


__all__ = ["batch_size", "candles_of", "numbers", "side_of", "times_of"]
