"""Goals and outcomes: when a training is behind, and what is kept of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mtf.errors import CheckpointError
from mtf.searching.job import RESULT, Goal, Outcome, outcome_of

NAN = math.nan


@pytest.mark.parametrize(
    ("values", "behind"),
    [
        ([], False),
        ([1.1], True),
        ([1.0], False),
        ([1.1, 0.5], False),
        ([0.6, 0.9], True),
        ([0.5, 9.0], False),
        ([1.1, 0.5, 9.0], False),
        ([NAN], False),
        ([NAN, 0.6], True),
    ],
)
def test_behind_is_whose_best_is_worse_than_the_bar(values: list[float], behind: bool) -> None:
    assert Goal("loss", True, (1.0, 0.5)).behind(values) is behind
    assert Goal("skill", False, (-1.0, -0.5)).behind([-one for one in values]) is behind
    assert not Goal("loss", True).behind(values)


def test_an_outcome_survives_writing(tmp_path: Path) -> None:
    assert outcome_of(tmp_path) is None
    whole = Outcome([1.0, NAN, 0.5], 2, False, 3, 40, 1.5, {"run": "x"})
    whole.save(tmp_path)
    found = outcome_of(tmp_path)
    assert found is not None
    assert math.isnan(found.values.pop(1))
    whole.values.pop(1)
    assert found == whole


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[]", "{", '{"schema": 1, "values": [], "x": 2}'),
        *('{"schema": 1, "values": ["a"]}', f'{{"schema": 1, "values": [1{"0" * 400}]}}'),
    ],
)
def test_a_damaged_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(CheckpointError, match=r"result\.json"):
        outcome_of(tmp_path)
