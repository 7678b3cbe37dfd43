"""The state of a stream engine on disk: complete or not there, verified when read."""

from __future__ import annotations

from pathlib import Path

import torch

from mtf.errors import CheckpointError
from mtf.learning.checkpoint import read_newest, write_checkpoint
from mtf.model.stream_state import restore, state_of
from mtf.model.streaming import Streaming

KIND, TENSORS = "stream", "arrays"


def save_stream(streaming: Streaming, folder: Path) -> Path:
    """Write the state into a folder of its own below ``folder``; it and the one before it stay.

    Raises:
        CheckpointError: the disk refuses; nothing half-written stays.
    """
    arrays, told = state_of(streaming)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    folder.mkdir(parents=True, exist_ok=True)
    return write_checkpoint(
        folder, KIND, max(streaming.time_ms // 1000, 0), {TENSORS: tensors}, told
    )


def restore_stream(streaming: Streaming, folder: Path) -> tuple[str, ...]:
    """Go on from the newest sound state below ``folder``.

    Args:
        streaming: a fresh one, of the same model.
        folder: where ``save_stream`` wrote.

    Returns:
        What was wrong with newer states that were damaged.

    Raises:
        CheckpointError: there is none, all are damaged, or it is of another model.
    """
    found = read_newest(folder, KIND)
    tensors = found.tensors.get(TENSORS)
    if tensors is None:
        raise CheckpointError(
            f"{found.path} holds no state of streams", f"{TENSORS}.safetensors in it"
        )
    restore(streaming, {name: tensor.numpy() for name, tensor in tensors.items()}, found.state)
    return found.rejected


__all__ = ["restore_stream", "save_stream"]
