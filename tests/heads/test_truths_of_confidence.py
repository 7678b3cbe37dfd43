"""Confidence fitted on the calibration part alone and scored on 32,000 test labels of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from truths import MINUTE, MOMENTUM, SEED, Learned, learned, reached, squares

from mtf.evaluation.calibration import equal_mass_calibration_error
from mtf.evaluation.metrics import point_value
from mtf.evaluation.oracle import three_ways
from mtf.heads.action import Action

SPLIT = {"train": 0.35, "validation": 0.05, "calibration": 0.25, "test": 0.35}
DAYS = 64
slow, long = pytest.mark.slow, pytest.mark.long
CASES = [
    pytest.param("temperature", 0.5, SEED, marks=slow),
    pytest.param("isotonic", 0.7, SEED, marks=slow),
    *(
        pytest.param(method, rho, seed, marks=long)
        for method in ("temperature", "isotonic")
        for rho in (0.3, 0.5, 0.7)
        for seed in (2, 3)
    ),
]


def heads(method: str, horizon: int) -> dict[str, Any]:
    """Action with the label smoothing of the default config, which biases what it says."""
    return {
        "action": {"horizon": horizon, "label_smoothing": 0.1},
        "confidence": {"method": method},
    }


def said_of(done: Learned) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, whether the chosen action was right, and which was chosen."""
    said = done.said("confidence", "confidence")
    chosen = said["chosen"][:, 0].astype(np.int64)
    right = chosen == done.label("confidence", "confidence").values["class"]
    return said["confidence"][:, 0].astype(np.float64), right, chosen


def best_of(done: Learned, chosen: np.ndarray) -> np.ndarray:
    """The true chance of the chosen action, given the state of the world."""
    forecast = done.task.source.best_forecast("ETHUSDT", done.test.times, MINUTE)
    head = done.task.model.heads_by_name["action"]
    assert forecast is not None
    assert isinstance(head, Action)
    assert head.threshold is not None
    threshold = head.threshold(done.task.world.label_volatility(done.test.times))
    return np.asarray(three_ways(*forecast, threshold)[np.arange(len(chosen)), chosen])


def before_of(done: Learned) -> np.ndarray:
    """The probability that the action gave to what it chose, before calibration."""
    return np.asarray(done.said("action", "action")["probs"].max(axis=1), np.float64)


def error_of(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over 15 bins of equal mass."""
    return point_value(equal_mass_calibration_error(confidence, right))


@pytest.mark.parametrize(("method", "rho", "seed"), CASES)
def test_confidence_of_ar1_over_one_minute(method: str, rho: float, seed: int) -> None:
    """64 days, horizon 1: every decision has a minute of its own, none overlaps another."""
    data = MOMENTUM | {"rho": rho, "seed": seed}
    done = learned(heads(method, 1), data, days=DAYS, split=SPLIT)
    confidence, right, chosen = said_of(done)
    group = done.label("confidence", "confidence").group
    assert len(np.unique(group)) == len(group) >= 30_000
    every = (confidence, right.mean(), best_of(done, chosen))
    found = reached((squares(one, right) for one in every), group)
    error = error_of(confidence, right)
    print(f"\n{method}, rho {rho}, seed {seed}: {found}")
    print(f"calibration error {error:.4f}, before {error_of(before_of(done), right):.4f}")
    assert error <= 0.02
    assert found.model > 0
    assert found.p < 0.05
    assert found.share >= 0.7


@long
def test_what_it_is_worth_on_a_year_of_real_minutes(real_data: Path) -> None:
    """ETHUSDT 2023, fitted on 18 days and scored on the 55 after; pytest -s shows the figures.

    What the best would be nobody knows; asserted is that calibration makes it better.
    """
    done = learned(
        heads("temperature", 15),
        {"name": "parquet", "path": str(real_data / "candles")},
        decisions={"start": "2023-01-01", "end": "2024-01-01"},
        streams={"1m": {"lookback": 60}},
        model={"embed_dim": 32, "encoder": {"name": "dsc"}, "tokens": {"name": "log"}},
        training={
            "sampling": {"groups": 16, "decisions": 16, "stride": 16, "steps_per_epoch": 50},
            "optimizer": {"lr": 1e-3},
        },
    )
    confidence, right, _ = said_of(done)
    constant, group = squares(right.mean(), right), done.label("action", "action").group
    errors, scores = {}, {}
    for name, said in (("calibrated", confidence), ("before", before_of(done))):
        errors[name], scores[name] = error_of(said, right), squares(said, right)
        found = reached((scores[name], constant, constant), group)
        print(f"\n{name}: calibration error {errors[name]:.4f}, Brier skill {found.model:.4f}")
    assert errors["calibrated"] < errors["before"]
    assert scores["calibrated"].mean() < min(scores["before"].mean(), constant.mean())
