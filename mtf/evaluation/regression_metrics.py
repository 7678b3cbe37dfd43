"""Figures of a target that is one number a decision: error, skill against the constants, order."""

from __future__ import annotations

from collections.abc import Mapping

from mtf.evaluation import metrics as figures
from mtf.market.labels import Label
from mtf.plugins.contracts import Arrays, Metric

CONSTANTS = ("zero", "train_mean")


def regression_metrics(
    target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
) -> dict[str, Metric]:
    """MSE, rank IC, and skill against the better of zero and the training mean where given.

    Args:
        target: its name, which is that of the output ``[decision, 1]``.
        outputs: of the head or of a baseline.
        label: with value ``target``; every decision has one.
        references: outputs of baselines by name.
    """
    predicted, happened = outputs[target][:, 0], label.values["target"]
    others = {name: references[name][target][:, 0] for name in CONSTANTS if name in references}
    found = {"mse": figures.mse(predicted, happened)}
    if others:
        found["skill"] = figures.skill(predicted, happened, others)
    return found | {"rank_ic": figures.rank_ic(predicted, happened)}


__all__ = ["CONSTANTS", "regression_metrics"]
