"""The probe of a run: every pattern, beside random weights and the candle alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tasks import small_task

from mtf.benchmarks import probe
from mtf.errors import ConfigError, DataError
from mtf.learning.task import Task

PATTERNS = ["doji", "hammer", "engulfing", "breakout", "volume spike"]


@pytest.fixture(scope="module")
def task() -> Task:
    return small_task(decisions={"end": "2024-01-04"}, data={"seed": 3})


def test_every_pattern_has_areas_where_enough_candles_show_it(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(path=Path("runs/small"), task=lambda: task)
    monkeypatch.setattr(probe, "load", lambda *_, **__: run)
    found = probe.run("small", slots=2_000)
    lines = {line.name: line.values for line in found.lines}
    named = [name.removeprefix("1m: ").partition(",")[0] for name in lines if name[:2] == "1m"]
    assert named == PATTERNS
    assert list(found.variants) == ["trained", "random weights", "the candle alone"]
    (engulfing,) = (values for name, values in lines.items() if "engulfing" in name)
    for who in found.variants:
        area, low, high = engulfing[who]
        assert 0 <= low <= area <= high <= 1
    assert any(engulfing[who][1] > 0.5 for who in found.variants)


def test_equal_weights_add_nothing_to_each_other(task: Task) -> None:
    lines = list(probe.probed(task, task, "1m", 1_000))
    above = [line.values for line in lines if line.name.strip() == "above random"]
    assert above
    assert all(values == {"trained": (0.0, 0.0, 0.0)} for values in above)


def test_fresh_weights_are_those_of_another_seed(task: Task) -> None:
    fresh = probe.with_fresh_weights(task)
    own, other = (next(one.model.encoders.parameters()) for one in (task, fresh))
    assert own.shape == other.shape
    assert not torch.equal(own, other)


def test_mistakes_are_told(task: Task) -> None:
    with pytest.raises(ConfigError, match=r"no stream '1s'\n.*one of 1m, 5m, btc"):
        list(probe.probed(task, task, "1s", 1_000))
    short = small_task(decisions={"end": "2024-01-01T03:00"}, split={
        "train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2})  # fmt: skip
    with pytest.raises(DataError, match=r"5m has \d+ candles in the train part and \d in the"):
        list(probe.probed(short, short, "5m", 1_000))
