"""What a run was made with: versions, plug-ins, the candles' fingerprint; kept beside it."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtf.config.schema import Config
from mtf.errors import CheckpointError
from mtf.learning.json_files import read_json
from mtf.plugins.files import load_files

if TYPE_CHECKING:
    from mtf.learning.task import Task

PACKAGES = ("torch", "numpy", "numba", "pyarrow", "lightning-fabric", "scikit-learn", "safetensors")


def environment(task: Task) -> dict[str, Any]:
    """Versions, plug-ins, sha256 of plug-in files, and the data's fingerprint."""
    return {
        "schema": 1,
        "mtf": metadata.version("mtf"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": str(task.fabric.device),
        "data_fingerprint": task.fingerprint,
        "plugins": _plugin_origins(task.config),
        "plugin_files": load_files(task.config.plugins),
        "paths": task.paths,
        "parameters": sum(p.numel() for p in task.model.parameters()),
    }


def check_data(folder: Path, task: Task) -> None:
    """Make sure that the candles are those that the run in ``folder`` was trained on.

    Raises:
        CheckpointError: they are not.
    """
    trained = read_json(folder / "environment.json").get("data_fingerprint")
    if not isinstance(trained, str):
        raise CheckpointError(
            f"{folder / 'environment.json'} has no data_fingerprint",
            "the file exactly as mtf wrote it",
            "train again, or point to another run",
        )
    if trained != task.fingerprint:
        raise CheckpointError(
            f"the candles of {folder} have changed: fingerprint {task.fingerprint[:12]}",
            f"{trained[:12]}, as in environment.json",
            "bring back the data it was trained on, or train again",
        )


def _plugin_origins(config: Config) -> dict[str, str]:
    """Kind and name of every plug-in of a config, and who brought it."""
    from mtf.plugins import registry

    used = [("data_source", config.data.name), ("encoder", config.model.encoder.name)]
    used += [("fusion", config.model.fusion.name)]
    used += [("head", head.name) for head in config.heads.values()]
    specs = [config.features, *(s.features for s in config.streams.values() if s.features)]
    used += [("feature", spec.name) for spec in specs]
    used += [("side_input", side.name) for side in config.side_inputs.values()]
    return {f"{kind} {name}": registry.find(kind, name).origin for kind, name in used}
