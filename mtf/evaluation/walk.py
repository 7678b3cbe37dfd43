"""A walk-forward on the disk: what is to be done, and what is done.

One folder a job, a training or the baselines of a fold; it appears when the job is whole. Knows
nothing of how a job is done (``fold``) and of figures (``out_of_sample``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtf.config.schema import Config
from mtf.errors import CheckpointError
from mtf.learning.disk import MAX_JSON, parse_json, read_bounded
from mtf.learning.folds import Fold, folds

ANSWERS, FACTS = "answers.safetensors", "fold.json"
"""Files of a job: what was said of the test block, and when and how."""
BEFORE = "calibration.safetensors"
"""File of a training of the first fold: what it says of its calibration part."""


@dataclass(frozen=True, order=True)
class Job:
    """One fold with one seed.

    Attributes:
        fold: counted from 1.
        seed: of the training; None = the baselines.
    """

    fold: int
    seed: int | None

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.fold}-baselines" if self.seed is None else f"{self.fold}-seed{self.seed}"

    def __str__(self) -> str:
        """In words."""
        return f"fold {self.fold}, " + ("baselines" if self.seed is None else f"seed {self.seed}")


@dataclass(frozen=True)
class Walk:
    """A walk-forward: its config and where it is kept.

    Attributes:
        config: of every training but for the seed.
        folder: holds a folder a job.
        fingerprint: of the candles; a process that finds others refuses them.
        ledger: folder of the trial ledger, which takes every training; None = none does.
    """

    config: Config
    folder: Path
    fingerprint: str
    ledger: Path | None = None

    def folds(self) -> list[Fold]:
        """The parts of every fold."""
        return folds_of(self.config)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the trainings of each fold."""
        first = self.config.seed
        return tuple(range(first, first + self.config.walk_forward.seeds))

    def jobs(self) -> list[Job]:
        """All that is to be done, fold by fold."""
        count = self.config.walk_forward.folds
        return [Job(fold, seed) for fold in range(1, count + 1) for seed in (None, *self.seeds)]

    def path(self, job: Job) -> Path:
        """The folder of a job, once it is done."""
        return self.folder / job.name

    def is_done(self, job: Job) -> bool:
        """Whether the job is whole."""
        return (self.path(job) / FACTS).is_file()

    def facts(self, job: Job) -> dict[str, Any]:
        """The content of a job's fold.json.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        path = self.path(job) / FACTS
        try:
            found = parse_json(read_bounded(path, MAX_JSON))
            if not isinstance(found, dict):
                raise ValueError("no JSON object")
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} can't be read: {error}",
                "a JSON file written by mtf",
                f"remove the folder {path.parent} and go on with --resume",
            ) from error
        return found


def folds_of(config: Config) -> list[Fold]:
    """The folds of a config."""
    span = config.decisions.start_ms, config.decisions.end_ms
    return folds(*span, config.walk_forward, config.decisions.clock)


__all__ = ["ANSWERS", "BEFORE", "FACTS", "Job", "Walk", "folds_of"]
