"""What the class prior scores: the mark that training must fall below to have learned anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtf.evaluation.class_baselines import class_frequencies
from mtf.evaluation.metrics import log_loss, point_value
from mtf.market.labels import Label
from mtf.plugins.contracts import Head

Labels = Mapping[str, Mapping[str, Label]]


def prior_log_losses(
    heads: Mapping[str, Head], train: Labels, validation: Labels
) -> dict[str, float]:
    """Log loss of the training part's class frequencies on the validation part.

    Args:
        heads: the heads by name; those that do not classify are passed over.
        train: head name → target name → label.
        validation: the same of the part to score on.

    Returns:
        Nats a decision by figure name: ``<head>/log_loss``, or ``<head>/<target>/log_loss`` where
        a head has several targets.
    """
    scores = {}
    for name, head in heads.items():
        for target in head.targets if head.task == "classification" else ():
            score = _prior_log_loss(train[name][target], validation[name][target])
            prefix = name if len(head.targets) == 1 else f"{name}/{target}"
            if np.isfinite(score):
                scores[f"{prefix}/log_loss"] = score
    return scores


def _prior_log_loss(train: Label, validation: Label) -> float:
    frequencies = class_frequencies(train.values["class"][train.present])
    happened = validation.values["class"][validation.present]
    return point_value(log_loss(np.tile(frequencies, (len(happened), 1)), happened))
