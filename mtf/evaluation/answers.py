"""What was said of a block of decisions, in a file: nested arrays as they are, bit for bit.

A safetensors file; nothing executes when it is read. The name of an array is the path to it, as a
JSON list, so that heads, targets and symbols may have any name. ``predictions.parquet`` is what
people and money read; this keeps the shapes that a head's metrics ask for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mtf.errors import CheckpointError
from mtf.learning.disk import write_synced
from mtf.learning.sweep import Sweep
from mtf.market.labels import Label

Tree = Mapping[str, Any]
"""Arrays by name, in dictionaries as deep as need be."""


def save_arrays(tree: Tree, path: Path) -> None:
    """Write all arrays of a tree, and wait until they are on the disk.

    Raises:
        OSError: the disk refuses.
    """
    flat = {json.dumps(keys): np.ascontiguousarray(array) for keys, array in _leaves(tree, [])}
    write_synced(path, save(flat))


def load_arrays(path: Path) -> dict[str, Any]:
    """Read what ``save_arrays`` wrote; dictionaries that were empty are gone.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    tree: dict[str, Any] = {}
    try:
        for name, array in load_file(path).items():
            *above, last = json.loads(name)
            inner = tree
            for key in above:
                inner = inner.setdefault(key, {})
            inner[last] = array
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} can't be read: {error}",
            "arrays as mtf wrote them",
            f"remove the folder {path.parent} and go on with --resume",
        ) from error
    return tree


def tree_of(sweep: Sweep) -> dict[str, Any]:
    """A sweep as nested arrays."""
    labels = {
        head: {target: dict(vars(label)) for target, label in targets.items()}
        for head, targets in sweep.labels.items()
    }
    return {"times": sweep.times, "outputs": sweep.outputs, "labels": labels}


def sweep_of(tree: Tree) -> Sweep:
    """The sweep that ``tree_of`` made nested arrays of."""
    labels = {
        head: {target: Label(**label) for target, label in targets.items()}
        for head, targets in tree["labels"].items()
    }
    return Sweep(tree["times"], tree["outputs"], labels)


def _leaves(tree: Tree, above: Sequence[str]) -> Iterator[tuple[list[str], np.ndarray]]:
    """Every array with the path to it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, [*above, key])
        else:
            yield [*above, key], value


__all__ = ["load_arrays", "save_arrays", "sweep_of", "tree_of"]
