"""A table of figures as a picture: names beside it, a colour and the figure in every cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

CELL_WIDTH, CELL_HEIGHT, MARGIN, FONT_SIZE = 64, 32, 8, 13
LOW, HIGH = np.array([255.0, 255.0, 255.0]), np.array([8.0, 64.0, 129.0])
UNDEFINED = (200, 200, 200)


def heat_map(
    values: Float[np.ndarray, "row column"], rows: Sequence[str], columns: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the table; the largest figure is darkest, the smallest white, an undefined one grey.

    Args:
        values: the figures; NaN where undefined.
        rows: names at the left.
        columns: names above.
    """
    font = ImageFont.load_default(FONT_SIZE)
    left = int(max(font.getlength(name) for name in rows)) + 2 * MARGIN
    cell = max(CELL_WIDTH, int(max(font.getlength(name) for name in columns)) + MARGIN)
    size = left + cell * len(columns) + MARGIN, CELL_HEIGHT * (len(rows) + 1) + MARGIN
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for j, name in enumerate(columns):
        centre = left + cell * (j + 0.5), CELL_HEIGHT / 2
        draw.text(centre, name, "black", font, anchor="mm")
    shares = shares_of(values)
    for i, name in enumerate(rows):
        top = CELL_HEIGHT * (i + 1)
        draw.text((left - MARGIN, top + CELL_HEIGHT / 2), name, "black", font, anchor="rm")
        for j in range(len(columns)):
            corner = left + cell * j, top
            box = (*corner, corner[0] + cell - 2, top + CELL_HEIGHT - 2)
            draw.rectangle(box, fill=colour(shares[i, j]))
            centre = corner[0] + cell / 2, top + CELL_HEIGHT / 2
            ink = "white" if shares[i, j] > 0.5 else "black"
            draw.text(centre, f"{values[i, j]:.3g}", ink, font, anchor="mm")
    return np.asarray(image)


def shares_of(values: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    """Where each figure lies between the smallest (0) and the largest (1); 0 where all are one."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    return (values - low) / (high - low if high > low else 1.0)


def colour(share: float) -> tuple[int, int, int]:
    """Between white and dark blue."""
    if not np.isfinite(share):
        return UNDEFINED
    red, green, blue = (LOW + (HIGH - LOW) * share).round().astype(int)
    return int(red), int(green), int(blue)


__all__ = ["heat_map"]
