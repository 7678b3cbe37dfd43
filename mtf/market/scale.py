"""The scale of a stream after every slot: sigma, mean volume, last candle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int32

from mtf.market import kernels, mapped
from mtf.market.candles import Candles

SAVE_EVERY = 1024
"""Rows between saved states: a late candle costs a rescan from the nearest one before it."""


@dataclass(frozen=True)
class Scale:
    """What of its past a stream is measured in. Row ``i`` includes slot ``i``.

    Attributes:
        sigma: root of the bias-corrected exponentially weighted mean of squared log returns
            (floor 1e-5); NaN until ``half_life`` returns were observed. The first candle after a
            gap brings no return.
        volume_mean: bias-corrected exponentially weighted mean of the volume; NaN before the first.
        last_valid: row of the last candle at or before this slot; -1 before the first.
        half_life: of sigma, in observed returns.
        volume_half_life: of the mean volume, in candles.
        states: state of the scan before row 0, ``SAVE_EVERY``, 2 x ``SAVE_EVERY``, …
    """

    sigma: Float64[np.ndarray, " slot"]
    volume_mean: Float64[np.ndarray, " slot"]
    last_valid: Int32[np.ndarray, " slot"]
    half_life: int = 60
    volume_half_life: int = 60
    states: Float64[np.ndarray, "piece state"] | None = field(
        default=None, compare=False, repr=False
    )


def scale_state() -> Float64[np.ndarray, " state"]:
    """The state of a scale before the first candle."""
    state = np.zeros(kernels.SCALE_STATE)
    state[kernels.LAST_CLOSE] = np.nan
    state[kernels.LAST_ROW] = -1
    return state


def decay_of(half_life: int) -> float:
    """The weight that an observation keeps from one to the next."""
    return float(0.5 ** (1.0 / half_life))


def compute_scale(candles: Candles, half_life: int = 60, volume_half_life: int = 60) -> Scale:
    """The scale of a history after every slot; an absent slot leaves it as it was.

    Args:
        candles: any number of slots.
        half_life: of sigma, in observed returns; also how many of them it takes to be known.
        volume_half_life: of the mean volume, in candles.
    """
    return scan_scale(candles.ohlcv, candles.valid, scale_state(), 0, half_life, volume_half_life)


def scan_scale(
    ohlcv: Float64[np.ndarray, "slot 5"],
    valid: Bool[np.ndarray, " slot"],
    state: Float64[np.ndarray, " state"],
    first_row: int,
    half_life: int = 60,
    volume_half_life: int = 60,
) -> Scale:
    """The scale after each of some consecutive slots; carries ``state`` on in place."""
    rows = len(valid)
    decays = decay_of(half_life), decay_of(volume_half_life)
    sigma, volume_mean = mapped.empty(rows), mapped.empty(rows)
    last_valid = mapped.empty(rows, np.int32)
    states = mapped.empty((-(-rows // SAVE_EVERY), len(state)))
    for cut in mapped.pieces(rows):
        out = sigma[cut], volume_mean[cut], last_valid[cut]
        kernels.scan_scale(
            ohlcv[cut], valid[cut], state, first_row + cut.start, half_life, *decays,
            SAVE_EVERY, states[cut.start // SAVE_EVERY :], out,
        )  # fmt: skip
        mapped.release(*out, ohlcv[cut], valid[cut])
    mapped.release(states)
    return Scale(sigma, volume_mean, last_valid, half_life, volume_half_life, states)
