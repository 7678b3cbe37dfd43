"""A run: one training and its folder, ``runs/<name>/<time>/``.

The folder holds config.yaml (resolved), environment.json, data.json, checkpoints/, tensorboard/,
metrics.json and predictions.parquet. Nothing in it executes when it is read.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtf.config.load import load_config, resolved
from mtf.config.schema import Config
from mtf.config.yaml_text import read_yaml
from mtf.errors import CheckpointError, MtfError
from mtf.plugins.files import load_files

if TYPE_CHECKING:
    from mtf.evaluation.part import Evaluated
    from mtf.evaluation.results import Results
    from mtf.learning.checkpoint import Checkpoint
    from mtf.learning.task import Task
    from mtf.predictions import Predictions

RUNS = Path("runs")
PACKAGES = ("torch", "numpy", "numba", "pyarrow", "lightning-fabric", "scikit-learn", "safetensors")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?")


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: the folder.
        config: as resolved when the run began.
    """

    path: Path
    config: Config

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard events."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json.

        Raises:
            CheckpointError: the run has not been evaluated.
        """
        return _read_json(self.path / "metrics.json")

    @property
    def training_speed(self) -> dict[str, float]:
        """Training samples a second by ``train``; empty where the run was never evaluated."""
        if not (self.path / "metrics.json").is_file():
            return {}
        return {"train": self.metrics["samples_per_second"]["train"]}

    def best(self) -> Checkpoint:
        """The newest sound checkpoint of the best weights, with those that were passed over.

        Raises:
            CheckpointError: there is none.
        """
        from mtf.learning.checkpoint import read_newest

        return read_newest(self.checkpoints, "best")

    def task(self) -> Task:
        """The run made ready again: candles loaded, the best weights in the model.

        Raises:
            MtfError: data or checkpoints that can't be used; candles that are not those of the run.
        """
        from mtf.learning.optimise import set_tensors
        from mtf.learning.task import prepare

        best = self.best()
        task = prepare(self.config)
        check_data(self, task)
        set_tensors(task.model, best.tensors["weights"])
        return task

    def predict(self, part: str = "test") -> Predictions:
        """Ask the model about every decision of a part that has a label."""
        from mtf.evaluation.part import predictions_of_part

        return predictions_of_part(self.task(), part)

    def evaluate(self, part: str = "test") -> Results:
        """Metrics of a part beside the baselines, with intervals."""
        from mtf.evaluation.part import evaluate_part_of

        return evaluate_part_of(self.task(), part).results


def fit(config: Config | str | Path, overrides: Sequence[str] = ()) -> Run:
    """Train and evaluate a config, as ``mtf train`` does.

    Args:
        config: a ``Config``, a file, or the name of a shipped config.
        overrides: of a file, such as ``training.epochs=2``.

    Raises:
        MtfError: config, data or disk can't be used.
    """
    from mtf.train import train

    return train(config if isinstance(config, Config) else load_config(config, overrides))


def create_run(config: Config, files: Mapping[str, Mapping[str, Any]]) -> Run:
    """Make a new run folder, with its config and some JSON files in it.

    Two runs started in the same second get two folders.

    Args:
        config: of the run.
        files: content of JSON files by stem.

    Raises:
        CheckpointError: the folder can't be written.
    """
    parent = RUNS / config.name
    try:
        path = _create_folder(parent)
        (path / "checkpoints").mkdir()
        write_text(path / "config.yaml", resolved(config))
        for stem, content in files.items():
            write_json(path / f"{stem}.json", content)
    except OSError as error:
        raise CheckpointError(
            f"could not write a run folder in {parent}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space, fix the permissions, or start from another folder",
        ) from error
    return Run(path, config)


def load(name: str | Path, *, trust_plugins: bool = False) -> Run:
    """The run that a folder, or a name (its latest), means.

    Args:
        name: a run folder, or the name of a config that was trained from this folder.
        trust_plugins: run the plug-in files that the run's config names.

    Raises:
        CheckpointError: there is none, with those that are there.
        ConfigError: its config can't be used (``plugins:`` without ``trust_plugins`` among it).
    """
    path = Path(name)
    if not (path / "config.yaml").is_file():
        path = _latest(str(name))
    if not trust_plugins:
        _check_harmless(path / "config.yaml")
    return Run(path, load_config(path / "config.yaml"))


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


def check_data(run: Run, task: Task) -> None:
    """Make sure that the candles are those the run was trained on.

    Raises:
        CheckpointError: they are not.
    """
    trained = _read_json(run.path / "environment.json").get("data_fingerprint")
    if not isinstance(trained, str):
        raise CheckpointError(
            f"{run.path / 'environment.json'} has no data_fingerprint",
            "the file exactly as mtf wrote it",
            "train again, or point to another run",
        )
    if trained != task.fingerprint:
        raise CheckpointError(
            f"the candles of {run.path} have changed: fingerprint {task.fingerprint[:12]}",
            f"{trained[:12]}, as in environment.json",
            "bring back the data it was trained on, or train again",
        )


def keep(run: Run, done: Evaluated) -> None:
    """Write what an evaluation found: predictions.parquet and metrics.json.

    Raises:
        CheckpointError: the folder can't be written; old files stay as they were.
    """
    try:
        done.predictions.save(run.path / "predictions.parquet")
        write_json(run.path / "metrics.json", done.results.as_dict())
    except OSError as error:
        raise CheckpointError(
            f"could not write predictions.parquet and metrics.json in {run.path}: "
            f"{error.strerror or error}",
            "a writable folder with room for them",
            f"free space or fix the permissions, then mtf evaluate {run.path}",
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: afterwards it is there in full, or as it was.

    Raises:
        OSError: the disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _create_folder(parent: Path) -> Path:
    """A folder named by the time, exclusively ours."""
    parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    for attempt in range(1, 1000):
        path = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, "too many runs in the same second", str(parent))


def _latest(name: str) -> Path:
    """The newest folder of a run name."""
    parent = RUNS / name
    found = [path for path in parent.glob("*Z*") if (path / "config.yaml").is_file()]
    found = [path for path in found if _TIME.fullmatch(path.name)]
    if found:
        return max(found, key=_age_key)
    there = sorted(path.parent.parent.name for path in RUNS.glob("*/*/config.yaml"))
    raise CheckpointError(
        f"no run {name!r}: it is neither a run folder (no config.yaml) nor a name in {RUNS}/",
        f"one of {', '.join(dict.fromkeys(there)) or 'no runs yet'}, or the folder of a run",
        "train one with mtf train CONFIG, or start from the folder that holds runs/",
    )


def _age_key(path: Path) -> tuple[str, int]:
    """Sort key of a run folder: its time, then its number within the second."""
    stamp, _, number = path.name.partition("Z")
    return stamp, int(number[1:] or 1)


def _check_harmless(config: Path) -> None:
    """Refuse to run a stranger's files by opening a run.

    A run's config is resolved: one that builds on another file was not written by mtf, and what it
    builds on may name plug-ins.
    """
    values = read_yaml(config).values
    asked = values if isinstance(values, dict) else {}
    for key in ("plugins", "base"):
        if asked.get(key):
            named = asked[key] if isinstance(asked[key], list) else [asked[key]]
            raise MtfError(
                f"{config} names files under {key}: {', '.join(map(str, named))}",
                "a run without them, or your word that they may run",
                "read them, then add --trust-plugins",
            )


def _plugin_origins(config: Config) -> dict[str, str]:
    """Kind and name of every plug-in of a config, and who brought it."""
    from mtf.plugins import registry

    used = [("data_source", config.data.name), ("encoder", config.model.encoder.name)]
    used += [("fusion", config.model.fusion.name)]
    used += [("head", head.name) for head in config.heads.values()]
    specs = [config.features, *(s.features for s in config.streams.values() if s.features)]
    used += [("feature", spec.name) for spec in specs]
    return {f"{kind} {name}": registry.find(kind, name).origin for kind, name in used}


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run."""
    try:
        content = json.loads(path.read_text())
        reason = "" if isinstance(content, dict) else "no JSON object"
    except OSError as error:
        reason = str(error.strerror)
    except ValueError as error:
        reason = str(error)
    if reason:
        todo = "evaluate the run again" if path.stem == "metrics" else "use another run"
        raise CheckpointError(f"{path} can't be read: {reason}", "a JSON file written by mtf", todo)
    found: dict[str, Any] = content
    return found
