"""Predicted beside true candles of every stream, in the units in which they were predicted.

A channel of a candle is a log ratio to the last close in units of the stream's volatility, so the
candles stand around 0. Decisions that share a next candle show once, the first one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64

from mtf.predictions import Predictions
from mtf.report.figures import Candles, Content, Line, Lines, Note, Panel, Section
from mtf.report.material import Material

CHANNELS = ("open", "high", "low", "close")
HEAD = "next_candle"
STRETCH = 60
"""Candles beside each other."""
DOTS = 1000
"""Points of a scatter, at most."""
UNIT = "log ratio / σ"


def candle_sections(material: Material) -> Iterator[Section]:
    """Predicted and true candles, a stretch and a scatter a stream."""
    content = [one for said in material.predictions for one in _content(said)]
    missing = Note("No predictions of next candles: the head next_candle is not part of this run.")
    yield Section("Predicted beside true candles", content or [missing])


def streams_of(said: Predictions) -> list[str]:
    """Streams whose next candles were predicted; a run of one stream does not name it."""
    ends = f".label_{CHANNELS[-1]}"
    names = [name for name in said.arrays if name.startswith(f"{HEAD}.") and name.endswith(ends)]
    return [name.removesuffix(ends).removeprefix(HEAD).removeprefix(".") for name in names]


def _content(said: Predictions) -> Iterator[Content]:
    for stream in streams_of(said):
        told, true = (ohlc(said, stream, kind) for kind in ("", "label_"))
        known = np.isfinite(told).all(axis=1) & np.isfinite(true).all(axis=1)
        rows = np.flatnonzero(known)
        rows = rows[distinct(true[rows])]
        if len(rows):
            name = f"{said.symbol} {stream}".strip()
            yield beside(name, said.times[rows], told[rows], true[rows])
            yield scatter(name, told[rows, 3], true[rows, 3])


def ohlc(said: Predictions, stream: str, kind: str) -> Float64[np.ndarray, "decision 4"]:
    """The four prices of predicted (no ``kind``) or true (``label_``) candles."""
    prefix = f"{HEAD}.{stream}" if stream else HEAD
    columns = [said.arrays[f"{prefix}.{kind}{channel}"] for channel in CHANNELS]
    return np.stack(columns, axis=1).astype(np.float64)


def distinct(true: Float64[np.ndarray, "decision 4"]) -> Int64[np.ndarray, " row"]:
    """First rows of runs of the same candle."""
    changed = np.ones(len(true), dtype=bool)
    changed[1:] = (true[1:] != true[:-1]).any(axis=1)
    return np.flatnonzero(changed)


def beside(
    name: str,
    times: Int64[np.ndarray, " candle"],
    told: Float64[np.ndarray, "candle 4"],
    true: Float64[np.ndarray, "candle 4"],
) -> Candles:
    """The last stretch: predicted above, true below, on the same scale."""
    panels = [Panel("predicted", told[-STRETCH:]), Panel("true", true[-STRETCH:])]
    first = np.round(times[-STRETCH:])
    note = "Each candle at the time of the decision that predicted it; 0 is the last close."
    return Candles(f"{name}: next candles", first, panels, y_label=UNIT, note=note)


def scatter(
    name: str, told: Float64[np.ndarray, " candle"], true: Float64[np.ndarray, " candle"]
) -> Lines:
    """Predicted against true closes with R², of all; a part of the points is drawn."""
    chosen = np.linspace(0, len(told) - 1, min(DOTS, len(told))).round().astype(np.int64)
    low, high = min(told.min(), true.min()), max(told.max(), true.max())
    ends = np.array([low, high])
    lines = [
        Line("as predicted", ends, ends, style="dashed", role="reference"),
        Line("closes", told[chosen], true[chosen], style="dots"),
    ]
    r2 = r_squared(told, true)
    drawn = "" if len(chosen) == len(told) else f"; {len(chosen):,} of them drawn"
    note = f"R² {r2:.4f} against predicting no change, {len(told):,} distinct candles{drawn}."
    title = f"{name}: predicted against true closes"
    return Lines(title, lines, f"predicted, {UNIT}", f"true, {UNIT}", note=note)


def r_squared(told: Float64[np.ndarray, " candle"], true: Float64[np.ndarray, " candle"]) -> float:
    """1 - Σ(true - predicted)² / Σ true²: 0 is as good as no change, which is 0 in these units."""
    total = float(np.square(true).sum())
    return 1.0 - float(np.square(true - told).sum()) / total if total else float("nan")


__all__ = ["beside", "candle_sections", "distinct", "r_squared", "scatter", "streams_of"]
