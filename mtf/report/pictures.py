"""The figures of report.html on the run's TensorBoard page, under ``report/<section>/<title>``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from mtf.report.html import slug
from mtf.report.material import Material
from mtf.report.raster import pixels
from mtf.report.sections import sections
from mtf.report.tensorboard import TensorBoard


def log_pictures(material: Material, log: TensorBoard, step: int) -> None:
    """Draw every figure of the report and log it.

    Args:
        material: of the run.
        log: that takes the pictures.
        step: that they stand at.
    """
    for name, picture in pictures(material):
        log.image(name, picture, step)


def pictures(material: Material) -> Iterator[tuple[str, UInt8[np.ndarray, "height width 3"]]]:
    """Name and pixels of every figure, one at a time; names differ."""
    seen: dict[str, int] = {}
    for section in sections(material):
        for chart in section.charts():
            name = f"report/{slug(section.title)}/{slug(chart.title)}"
            seen[name] = seen.get(name, 0) + 1
            yield name if seen[name] == 1 else f"{name}-{seen[name]}", pixels(chart)


__all__ = ["log_pictures", "pictures"]
