"""The config of this package, shortened, from candles to figures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import mtf

SHORT = (
    'decisions={start: "2024-01-01", end: "2024-01-03", symbols: [ETHUSDT]}',
    "training.epochs=1",
    "training.sampling={groups: 4, decisions: 4, steps_per_epoch: 5}",
    "evaluation.bootstrap=10",
)


def test_it_trains_and_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Path(__file__).resolve().parents[1] / "ranges.yaml"
    run = mtf.fit(str(config), SHORT)
    assert math.isfinite(run.metrics["test"]["range"]["nll"]["value"])
    paths = run.task().paths
    assert all("reads 64 candles" in reason for reason in paths.values()), paths
    assert {"range.log_range", "range.std"} <= set(run.predict("test").frame().columns)
