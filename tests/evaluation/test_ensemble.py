"""Several trainings asked together: the mean of what each says."""

from __future__ import annotations

import numpy as np
from fakes_of_evaluation import Direction

from mtf.evaluation.ensemble import ensemble, together
from mtf.learning.sweep import Sweep

ONE = np.array([[0.6, 0.4, 0.0]], np.float32)
OTHER = np.array([[0.0, 0.8, 0.2]], np.float32)


def sweep(probs: np.ndarray) -> Sweep:
    return Sweep(np.array([60_000]), {"way": {"probs": probs}}, {"way": {}})


def test_probabilities_are_averaged() -> None:
    found = ensemble({"way": Direction()}, [sweep(ONE), sweep(OTHER)]).outputs["way"]["probs"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.3, 0.6, 0.1]], rtol=1e-6)


def test_one_alone_says_what_it_says() -> None:
    only = sweep(ONE)
    assert ensemble({"way": Direction()}, [only]) is only


def test_a_choice_is_made_anew_from_the_mean() -> None:
    """The first would buy (0.6 sure), the second sell; together they sell, 0.6 sure."""
    head = Direction()
    head.task = "confidence"
    said = [
        {
            "probs": probs,
            "chosen": np.array([[chosen]], np.float32),
            "confidence": probs[:, [chosen]],
        }
        for probs, chosen in ((ONE, 0), (OTHER, 1))
    ]
    found = together(head, said)
    assert found["chosen"].tolist() == [[1.0]]
    np.testing.assert_allclose(found["confidence"], [[0.6]], rtol=1e-6)
