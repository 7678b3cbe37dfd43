"""What the training loop tells the outside: a small protocol that the report layer implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Log(Protocol):
    """Takes scalars as they come."""

    def scalar(self, name: str, value: float, step: int) -> None:
        """One figure after a training step."""

    def hparams(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The run's settings beside its final metrics."""

    def flush(self) -> None:
        """Write out what was logged so far: a checkpoint is about to be written."""

    def close(self) -> None:
        """Write out what is left."""


@runtime_checkable
class Progress(Protocol):
    """Shows how far the run is."""

    def update(self, step: int, samples: int, figures: Mapping[str, float]) -> None:
        """After each step: steps done so far, samples of this step, the latest figures."""

    def epoch(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """After each validation."""

    def close(self) -> None:
        """The run is over, or interrupted."""


class Quiet(Log, Progress):
    """Takes figures and says nothing: for runs of which only the model is wanted."""

    def scalar(self, name: str, value: float, step: int) -> None:
        """Nothing."""

    def hparams(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def update(self, step: int, samples: int, figures: Mapping[str, float]) -> None:
        """Nothing."""

    def epoch(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
