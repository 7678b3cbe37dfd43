"""The null suite in words and as JSON."""

from __future__ import annotations

import json
import math

from mtf.evaluation.nulls import Nulls, Score
from mtf.report.nulls import null_json, null_lines


def found() -> Nulls:
    """Two targets, three worlds of one null, one signal."""
    nothing = Score(math.nan, math.nan)
    worlds = [{"action": Score(gain, 0.4), "confidence": nothing} for gain in (0.001, -0.002, 0.0)]
    real = {"action": Score(0.0123, 0.001), "confidence": nothing}
    signal = {"action": Score(0.03, 0.001, 0.05), "confidence": nothing}
    return Nulls(real, {"random_walk": tuple(worlds)}, {"momentum": signal}, 150)


def test_lines() -> None:
    assert list(null_lines(found()))[1:] == [
        "action: gain 0.0123, permutation p=0.001",
        "  random walks: p=0.25 (largest gain 0.0010)",
        "  planted, momentum: gain 0.0300, 60% of the best player's, p=0.25, permutation p=0.001",
        "confidence: nothing to compare with",
    ]


def test_json_has_no_nan() -> None:
    tree = null_json(found())
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["nulls"]["random_walk"]["action"]["p"] == 0.25
    assert [one["gain"] for one in tree["nulls"]["random_walk"]["action"]["worlds"]] == [
        0.001,
        -0.002,
        0.0,
    ]
    assert tree["planted"]["momentum"]["action"]["share_of_best"] == 0.6
    assert tree["real"]["confidence"] == {"gain": None, "permutation_p": None}
