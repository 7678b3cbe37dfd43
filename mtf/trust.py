"""A run's plug-in files: code that opening the run executes, so only on the user's word.

They are looked up where the run was started, which is the folder that holds ``runs/``, or else in
the working directory, and compared with what they were then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mtf.config.yaml_text import read_yaml
from mtf.errors import MtfError
from mtf.learning.json_files import read_json


@dataclass(frozen=True)
class PluginFile:
    """One file under ``plugins:`` of a run's config.

    Attributes:
        name: as the config has it.
        path: where it is now, or should be.
        then: its sha256 when the run began; None where that was not noted.
    """

    name: str
    path: Path
    then: str | None

    def change(self) -> str:
        """What has become of it since the run began; empty where it is the same."""
        try:
            now = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return ""  # loading it says so
        if now == self.then:
            return ""
        then = f"sha256 was {self.then}" if self.then else "it is not named in environment.json"
        return f"plug-in file {self.path} is not as when the run began: {then}, now sha256 is {now}"


def trusted_plugins(folder: Path, trusted: bool) -> tuple[list[str], list[str]]:
    """Overrides by which a run's plug-in files are found, and what has changed in them.

    A run's config is resolved: one that builds on another file was not written by mtf, and what it
    builds on may name plug-ins.

    Args:
        folder: of the run.
        trusted: whether the user said that the files may run, as they are now.

    Raises:
        MtfError: there are files that would run, and the user has not said so.
        CheckpointError: it is not known what they were.
    """
    config = folder / "config.yaml"
    values = read_yaml(config).values
    asked: dict[str, Any] = values if isinstance(values, dict) else {}
    named = {key: _list(asked.get(key)) for key in ("plugins", "base")}
    files = _plugin_files(folder, named["plugins"]) if named["plugins"] else []
    changes = [change for file in files if (change := file.change())]
    for key, names in named.items():
        if names and not trusted:
            raise MtfError(
                "\n".join([f"{config} names files under {key}: {', '.join(names)}", *changes]),
                "a run without them, or your word that they may run as they are now",
                "read them, then add --trust-plugins",
            )
    paths = [str(file.path) for file in files]
    return ([f"plugins={_flow(paths)}"] if paths else []), changes


def _list(value: Any) -> list[str]:
    """Names, however the file has them."""
    return [str(one) for one in (value if isinstance(value, list) else [value] if value else [])]


def _plugin_files(folder: Path, names: list[str]) -> list[PluginFile]:
    """The files that the names mean, with the sums that the run noted."""
    sums = read_json(folder / "environment.json").get("plugin_files")
    sums = sums if isinstance(sums, dict) else {}
    return [PluginFile(name, _find(folder, name), sums.get(name)) for name in names]


def _find(folder: Path, name: str) -> Path:
    """Where a plug-in file is: beside ``runs/``, or else in the working directory."""
    above = folder.resolve().parents
    started = above[2] / name if len(above) > 2 else Path(name)
    return started if started.is_file() else Path(name)


def _flow(paths: list[str]) -> str:
    """A YAML list on one line, whatever the names are."""
    return yaml.safe_dump(paths, default_flow_style=True, width=10**9).strip()
