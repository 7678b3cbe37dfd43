"""Attention between streams as a run keeps it: attention.csv, and a picture a layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtf.errors import ConfigError
from mtf.evaluation.attention import as_csv, readings_of_model, stream_attention
from mtf.learning.disk import replace_synced
from mtf.learning.task import Task
from mtf.report.heat_map import heat_map
from mtf.report.tensorboard import TensorBoard

FILE = "attention.csv"


def keep_attention(task: Task, folder: Path, log: TensorBoard, step: int) -> bool:
    """Write who listens to whom on the validation part, and draw it; nothing without attention.

    Args:
        task: with the final weights in its model.
        folder: of the run.
        log: that takes the pictures, ``attention/<layer>``.
        step: that they stand at.

    Returns:
        Whether the fusion has attention between streams.

    Raises:
        OSError: the disk refuses.
    """
    try:
        readings_of_model(task.model)
    except ConfigError:
        return False
    found = stream_attention(task)
    replace_synced(folder / FILE, as_csv(found).encode())
    for one in found:
        table = np.vstack([one.weights, one.even])
        picture = heat_map(table, [*one.asking, "(even)"], one.answering)
        log.image(f"attention/{one.layer}", picture, step)
    return True


__all__ = ["keep_attention"]
