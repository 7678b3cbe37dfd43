"""All that a report is made of, as plain values: what is missing is None, and told how to get.

``Material.of_folder`` reads it from the files of a run folder alone; whoever has more (the standing
in the trial ledger, walk-forward) puts it on top with ``dataclasses.replace``. Runs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mtf.errors import DataError
from mtf.learning.disk import read_bounded
from mtf.learning.json_files import read_json
from mtf.predictions import Predictions, load_all
from mtf.report.money import Money
from mtf.report.money_files import read_money

MAX_TEXT = 4_000_000
"""Bytes of a table as text; what mtf writes is far smaller."""
PARTS = ("test", "out_of_sample", "calibration", "validation", "train")
STANDING = "standing.json"

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Material:
    """What there is to show of a run.

    Attributes:
        name: of the run, such as dsc_mtf/2026-01-01T00-00-00Z.
        verdict: first sentence of the report: whether anything is left after costs.
        metrics: the content of metrics.json.
        predictions: of the evaluated part, one value a symbol.
        attention: rows of attention.csv: layer, asking, answering, weight, even.
        degraded: rows of degraded.csv.
        data: the content of data.json.
        config: the text of config.yaml.
        environment: the content of environment.json.
        money: what was traded, a value a symbol.
        standing: the run among all trials: what in words → figure or words.
        trials: rows of the trial ledger, as they shall be shown.
        notes: sentences to stand below the verdict.
        more: figures that others have drawn, a section each.
    """

    name: str
    verdict: str = ""
    metrics: Tree | None = None
    predictions: Sequence[Predictions] = ()
    attention: pd.DataFrame | None = None
    degraded: pd.DataFrame | None = None
    data: Tree | None = None
    config: str | None = None
    environment: Tree | None = None
    money: Sequence[Money] = ()
    standing: Mapping[str, str | float | int | None] | None = None
    trials: Sequence[Mapping[str, str | float | int | None]] = ()
    notes: Sequence[str] = ()
    more: Sequence[Any] = field(default_factory=tuple)

    @classmethod
    def of_folder(cls, folder: Path) -> Material:
        """Read what the files of a run folder tell.

        Raises:
            MtfError: one of them is damaged.
        """
        verdict, money = read_money(folder)
        predictions = folder / "predictions.parquet"
        standing = _json(folder / STANDING) or {}
        return cls(
            name="/".join(folder.absolute().parts[-2:]),
            verdict=verdict,
            metrics=_json(folder / "metrics.json"),
            predictions=load_all(predictions) if predictions.exists() else (),
            attention=_csv(folder / "attention.csv"),
            degraded=_csv(folder / "degraded.csv"),
            data=_json(folder / "data.json"),
            config=_text(folder / "config.yaml"),
            environment=_json(folder / "environment.json"),
            money=money,
            standing=standing.get("standing"),
            trials=standing.get("trials", ()),
        )

    @property
    def part(self) -> str:
        """The part of the data that was evaluated."""
        return next((part for part in PARTS if part in (self.metrics or {})), "test")


def _json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None


def _text(path: Path) -> str | None:
    try:
        return read_bounded(path, MAX_TEXT).decode() if path.exists() else None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _csv(path: Path) -> pd.DataFrame | None:
    """A table of a run; empty words stay empty."""
    if not path.exists():
        return None
    try:
        frame: pd.DataFrame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    words = [name for name in ("streams", "target", "same_as", "head") if name in frame]
    frame[words] = frame[words].astype(object).fillna("")
    return frame


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} can't be read: {error}", "a file written by mtf", "make it again")


__all__ = ["Material"]
