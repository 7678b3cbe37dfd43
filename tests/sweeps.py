"""Small sweeps in tests: a config of a few steps, and what varies it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml
from tasks import small_config

from mtf.config.load import resolved
from mtf.config.sweep_file import SweepPlan, load_sweep

SEARCH = {
    "training.optimizer.lr": {"low": 1.0e-4, "high": 1.0e-1, "log": True},
    "model.encoder.kernel_size": {"choices": [3, 5]},
}


def write_sweep(folder: Path, training: dict[str, Any] | None = None, **keys: Any) -> Path:
    """A base config and a sweep file in a folder; the sweep file."""
    base = small_config(training=training or {}, backtest=None)
    (folder / "small.yaml").write_text(resolved(base))
    file = folder / "sweep.yaml"
    values = {"base": "small.yaml", "search": SEARCH, **keys}
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


def small_sweep(folder: Path, training: dict[str, Any] | None = None, **keys: Any) -> SweepPlan:
    """A sweep of the small config."""
    return load_sweep(write_sweep(folder, training, **keys))


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of a sweep's trials.csv."""
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def told(folder: Path) -> dict[str, Any]:
    """The content of a sweep's sweep.json."""
    found: dict[str, Any] = json.loads((folder / "sweep.json").read_text())
    return found
