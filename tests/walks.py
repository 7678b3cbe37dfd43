"""Small walk-forwards in tests: two folds, two seeds, a day of minutes in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tasks import file_config

from mtf.config.schema import Config
from mtf.evaluation.answers import load_arrays, sweep_of
from mtf.learning.sweep import Sweep
from mtf.run import Run

MINUTES = 1_440
SMALL: dict[str, Any] = {
    "name": "walk",
    "walk_forward": {"folds": 2, "seeds": 2},
    "streams": {"5m": {"lookback": 16, "from": "1m"}},
    "training": {"epochs": 2},
    "backtest": None,
    "heads": {"action": None, "confidence": None, "next_candle": {"weight": 0.1}},
    "evaluation": {
        "bootstrap": 20,
        "permutations": 0,
        "baselines": ["class_prior", "momentum"],
    },
}


def walk_config(folder: Path, **changes: Any) -> Config:
    """A day of minutes: learned from noon on back, tested until the evening and until midnight."""
    return file_config(folder / "candles.csv", MINUTES, **{**SMALL, **changes})


def facts(run: Run, job: str) -> dict[str, Any]:
    """The fold.json of a job."""
    found: dict[str, Any] = json.loads((run.path / "folds" / job / "fold.json").read_text())
    return found


def said(run: Run, job: str, symbol: str = "ETHUSDT") -> Sweep:
    """What a training said of its test block."""
    return sweep_of(load_arrays(run.path / "folds" / job / "answers.safetensors")[symbol])


def whole(run: Run) -> dict[str, Any]:
    """All that trainings and evaluation leave, timings excluded."""
    metrics = run.metrics
    metrics.pop("samples_per_second")
    files = {path.name: path.read_bytes() for path in run.path.glob("predictions*.parquet")}
    jobs = {
        path.parent.name: (path.parent / "answers.safetensors").read_bytes()
        for path in run.path.glob("folds/*/fold.json")
    }
    weights = {job: facts(run, job).get("weights_sha256") for job in jobs}
    return {"metrics": json.dumps(metrics), **files, **jobs, "weights": weights}


def probabilities(sweep: Sweep) -> np.ndarray:
    """What the action head says."""
    return sweep.outputs["action"]["probs"]
