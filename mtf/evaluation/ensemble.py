"""What several trainings of one model say together: the mean of their outputs.

The mean of probabilities is a forecast again, and so is that of next candles (low ≤ open, close ≤
high holds for means). Outputs that are a choice are made anew from the mean probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtf.learning.sweep import Sweep
from mtf.plugins.contracts import Arrays, Head


def ensemble(heads: Mapping[str, Head], sweeps: Sequence[Sweep]) -> Sweep:
    """The mean answer of several models about the same decisions.

    Args:
        heads: the heads by name.
        sweeps: what each model said; decisions and labels are the same in all.
    """
    if len(sweeps) == 1:
        return sweeps[0]
    outputs = {
        name: together(head, [sweep.outputs[name] for sweep in sweeps])
        for name, head in heads.items()
    }
    return Sweep(sweeps[0].times, outputs, sweeps[0].labels)


def together(head: Head, said: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """One head's mean outputs, in the type of the outputs.

    A head of task ``confidence`` judges the class of the largest mean probability.
    """
    mean = {
        name: np.mean([one[name] for one in said], axis=0, dtype=np.float64).astype(array.dtype)
        for name, array in said[0].items()
    }
    if head.task == "confidence" and mean.keys() >= {"probs", "chosen", "confidence"}:
        chosen = mean["probs"].argmax(axis=1, keepdims=True)
        mean["confidence"] = np.take_along_axis(mean["probs"], chosen, axis=1)
        mean["chosen"] = chosen.astype(mean["chosen"].dtype)
    return mean


__all__ = ["ensemble", "together"]
