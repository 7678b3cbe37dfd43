"""What is done once the loop has ended: the best weights, and the heads that are fitted on them."""

from __future__ import annotations

from pathlib import Path

from mtf.learning.calibrate import calibrate
from mtf.learning.checkpoint import CALIBRATED, Checkpoint, read_newest, write_checkpoint
from mtf.learning.optimise import named_tensors, set_tensors
from mtf.learning.task import Task


def take_best(task: Task, checkpoints: Path, step: int) -> Checkpoint:
    """Put the best weights into the model, calibrate the heads that ask for it and keep both.

    Args:
        task: that was trained.
        checkpoints: the folder of its checkpoints.
        step: of the training at its end.

    Returns:
        The checkpoint of the best weights, with those that were passed over.

    Raises:
        CheckpointError: there is no sound one, or the disk refuses.
    """
    best = read_newest(checkpoints, "best")
    set_tensors(task.model, best.tensors["weights"])
    if calibrate(task):
        write_checkpoint(checkpoints, CALIBRATED, step, {"weights": named_tensors(task.model)}, {})
    return best


__all__ = ["take_best"]
