"""Fitting what training may not touch: the heads that are calibrated on a part of their own."""

from __future__ import annotations

from mtf.learning.sweep import pooled, sweep
from mtf.learning.task import Task
from mtf.plugins.contracts import Head

PART = "calibration"


def calibrate(task: Task) -> bool:
    """Fit the buffers of every head that asks for it, on the calibration part alone.

    Neither training nor the choice of the best epoch has seen that part. A part without labels
    leaves a head as it is.

    Args:
        task: with the final weights in its model.

    Returns:
        Whether any head was fitted.
    """
    asking = {name: head for name, head in task.builder.heads.items() if _asks(head)}
    if not asking:
        return False
    part = task.parts[PART]
    times, builders = part.times(task.world.clock), task.panel.builders.values()
    found = pooled([sweep(task.model, builder, times, part.end_ms) for builder in builders])
    if not len(found.times):
        return False
    for name, head in asking.items():
        for target, label in found.labels[name].items():
            outputs = {key: value[label.present] for key, value in found.outputs[name].items()}
            head.calibrate(target, outputs, label.select(label.present))
    return True


def _asks(head: Head) -> bool:
    """Whether the head has a way of being calibrated."""
    return type(head).calibrate is not Head.calibrate


__all__ = ["calibrate"]
