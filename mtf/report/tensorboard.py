"""The run's TensorBoard page: every scalar under its own name, settings beside final metrics.

Names are paths and TensorBoard groups them by the first word: ``train/loss``,
``validation/action/log_loss``, ``lr``, ``grad_norm``, ``samples_per_second``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summary

from mtf.errors import CheckpointError


class TensorBoard:
    """A ``mtf.learning.log.Log`` that writes TensorBoard events.

    Args:
        folder: where the event file goes; made if absent. A resumed run adds a file of its own.
        done: steps that a resumed run goes on from; what was written of later ones is not shown.
    """

    def __init__(self, folder: Path, done: int | None = None) -> None:
        """Open an event file in ``folder``."""
        purge = None if done is None else done + 1
        try:
            self._writer = SummaryWriter(str(folder), purge_step=purge, flush_secs=10)
        except OSError as error:
            raise CheckpointError(
                f"could not write TensorBoard events in {folder}: {error.strerror or error}",
                "a writable folder with room for them",
                "free space or fix the permissions, then go on with mtf train --resume",
            ) from error

    def scalar(self, name: str, value: float, step: int) -> None:
        """One figure after a training step; one that is undefined (NaN) is left out."""
        if not math.isnan(value):
            self._writer.add_scalar(name, value, step)

    def image(self, name: str, pixels: UInt8[np.ndarray, "height width 3"], step: int) -> None:
        """One picture after a training step."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def hparams(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The settings, keys dotted, beside the final metrics, and these as scalars too.

        Written into the same event file: one run stays one line of the page.
        """
        settings = dict(flattened(config))
        final = {f"final/{name}": value for name, value in metrics.items()}
        for summary in hparams_summary(settings, final):
            self._writer._get_file_writer().add_summary(summary)
        for name, value in final.items():
            self.scalar(name, value, 0)
        self._writer.flush()

    def flush(self) -> None:
        """Write out what was logged so far, so that a kill does not lose it."""
        self._writer.flush()

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with values that TensorBoard can show: numbers, truth values, text."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{name}.")
        elif isinstance(value, bool | int | float | str):
            yield name, value
        else:
            yield name, "" if value is None else str(value)
