"""One training of a sweep: a trial, or a fold of one; where it is kept and what comes of it.

A trial's folder, ``trials/0003/``, is a run's: config.yaml, environment.json, checkpoints/. Beside
them ``progress.json`` says how far it is, ``result.json`` that it is done and what came of it. Of a
trial with folds each fold has such a folder, ``trials/0003/fold1/``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mtf.config.schema import Config
from mtf.errors import CheckpointError
from mtf.learning.json_files import read_json, write_json

PROGRESS, RESULT = "progress.json", "result.json"


@dataclass(frozen=True)
class Goal:
    """What trials are compared by.

    Attributes:
        metric: ``loss``, or the name of a figure of the validation.
        minimize: whether less is better.
        bar: an epoch's value after which a trial ends whose best so far is worse; empty: never.
    """

    metric: str
    minimize: bool
    bar: tuple[float, ...] = ()

    def behind(self, values: list[float]) -> bool:
        """Whether the best value so far is worse than the bar of the epoch that it has reached."""
        known = [one for one in values if math.isfinite(one)]
        if not known or len(values) > len(self.bar):
            return False
        bar = self.bar[len(values) - 1]
        return min(known) > bar if self.minimize else max(known) < bar


@dataclass(frozen=True)
class Job:
    """What a worker is handed.

    Attributes:
        number: of the trial.
        fold: counted from 1; None = the parts that the config's split says.
        home: the working directory, to which ``folder`` and paths of the config are relative.
        folder: of this training.
        config: of the trial.
        goal: what is measured.
    """

    number: int
    fold: int | None
    home: Path
    folder: Path
    config: Config
    goal: Goal

    def __str__(self) -> str:
        """In words."""
        return f"trial {self.number}" + ("" if self.fold is None else f", fold {self.fold}")


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Attributes:
        values: the metric after every epoch; NaN where it is undefined.
        kept: index of the epoch whose weights were kept.
        pruned: it was ended because others were better.
        starts: how often it was started, the last time included.
        resumed: optimiser step from which it was gone on with at the last start; 0 = the beginning.
        seconds: of the last start.
        record: for the trial ledger; empty where ``wrong``.
        wrong: why there is no value; empty where there is one.
    """

    values: list[float] = field(default_factory=list)
    kept: int = -1
    pruned: bool = False
    starts: int = 1
    resumed: int = 0
    seconds: float = 0.0
    record: dict[str, Any] = field(default_factory=dict)
    wrong: str = ""

    @property
    def value(self) -> float:
        """The metric of the kept weights."""
        return self.values[self.kept] if self.values else math.nan

    def save(self, folder: Path) -> None:
        """Write result.json: from here on the training is done.

        Raises:
            OSError: the disk refuses.
        """
        content = {"schema": 1, **asdict(self), "values": as_json(self.values)}
        write_json(folder / RESULT, content)


def outcome_of(folder: Path) -> Outcome | None:
    """What a folder's result.json says; None where the training is not done.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        content.pop("schema")
        return Outcome(**{**content, "values": from_json(content["values"])})
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} can't be used: {error!r}",
            "the file exactly as mtf wrote it",
            f"remove {folder}: the trial is trained again",
        ) from error


def as_json(values: list[float]) -> list[float | None]:
    """Numbers as JSON has them."""
    return [one if math.isfinite(one) else None for one in values]


def from_json(values: list[float | None]) -> list[float]:
    """Numbers that ``as_json`` wrote."""
    return [math.nan if one is None else float(one) for one in values]


__all__ = ["PROGRESS", "RESULT", "Goal", "Job", "Outcome", "as_json", "from_json", "outcome_of"]
