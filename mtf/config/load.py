"""From a file and overrides to a config: every mistake found before the first second of work."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mtf.config.checks import cross_checks
from mtf.config.merge import merged, overridden
from mtf.config.mistakes import MistakesError, from_pydantic
from mtf.config.schema import NAME_PATTERN, Config
from mtf.config.yaml_text import Document, read_yaml
from mtf.errors import ConfigError
from mtf.plugins.files import load_files
from mtf.plugins.registry import did_you_mean

NO_CONFIGS = ("sweep",)
"""Files beside the shipped configs that are none."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file.

    Plug-in files that it names under ``plugins:`` are run.

    Args:
        path: a YAML file, or the name of a config that comes with mtf, such as ``dsc_mtf``.
        overrides: ``key.path=value``, values as YAML.

    Raises:
        ConfigError: all mistakes at once, each with place, found, expected and what to do.
        PluginError: a plug-in file can't be run.
    """
    file = find_config(path)
    return _validated(overridden(_with_base(file, ()), overrides))


def parse_config(values: Mapping[str, Any]) -> Config:
    """Validate a config given as nested dictionaries, as a file would say it.

    Raises:
        ConfigError: all mistakes at once.
        PluginError: a plug-in file can't be run.
    """
    return _validated(Document(dict(values)))


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """A config with overrides on top, as on the command line.

    Raises:
        ConfigError: all mistakes at once.
    """
    values = config.model_dump(mode="json", by_alias=True)
    return _validated(overridden(Document(values), overrides))


def resolved(config: Config) -> str:
    """The config as YAML with every default written out; reading it gives an equal config."""
    values = config.model_dump(mode="json", by_alias=True)
    return yaml.safe_dump(values, sort_keys=False)  # ASCII: YAML reads \x85 and others as line ends


def find_config(path: str | Path) -> Path:
    """The file that ``path`` means: itself, or a config that comes with mtf.

    Raises:
        ConfigError: there is neither, with the nearest names.
    """
    file = Path(path)
    if os.path.isfile(file):  # unlike Path.is_file, it is quiet about impossible names
        return file
    shipped = shipped_configs()
    if file.name == str(path) and file.stem in shipped:
        return shipped[file.stem]
    raise ConfigError(
        f"no config {str(path)!r}" if not os.path.isdir(file) else f"{path} is a folder",
        f"a YAML file, or one that comes with mtf: {', '.join(shipped)}",
        did_you_mean(file.stem, shipped) or "`mtf init my.yaml` writes one to start from",
    )


def shipped_configs() -> dict[str, Path]:
    """Configs that come with mtf, by name."""
    spec = util.find_spec("mtf.configs")
    folders = (spec.submodule_search_locations if spec else None) or []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.yaml"))]
    return {file.stem: file for file in files if file.stem not in NO_CONFIGS}


def _with_base(file: Path, above: tuple[Path, ...]) -> Document:
    """Read a file and what it builds on; ``above`` are the files that led here."""
    document = _named(read_yaml(file), file)
    if not isinstance(document.values, dict) or "base" not in document.values:
        return document
    chain = (*above, file.resolve())
    base = _base_file(file, document)
    if base.resolve() in chain:
        names = " → ".join(one.name for one in (*chain, base))
        raise ConfigError(
            f"{document.place(('base',))}: configs that build on each other in a circle: {names}",
            "a base that does not lead back",
            "remove one `base:`",
        )
    upper = {key: value for key, value in document.values.items() if key != "base"}
    return merged(_with_base(base, chain), Document(upper, document.places))


def _named(document: Document, file: Path) -> Document:
    """A config without a name has that of its file, also where its base has one."""
    values = {} if document.values is None else document.values
    if isinstance(values, dict) and re.match(NAME_PATTERN, file.stem.lower()):
        values = {"name": file.stem.lower(), **values}
    return Document(values, document.places)


def _base_file(file: Path, document: Document) -> Path:
    name = document.values["base"]
    if isinstance(name, str) and os.path.isfile(file.parent / name):
        return file.parent / name
    try:
        return find_config(Path(name).name if isinstance(name, str) else "")
    except ConfigError as error:
        raise ConfigError(
            f"{document.place(('base',))}: base: found {name!r}, no such file",
            "a config file, relative to the folder of this one, or the name of a shipped one",
            error.todo,
        ) from None


def _validated(document: Document) -> Config:
    values = document.values
    if not isinstance(values, dict):
        raise ConfigError(
            f"{document.place(())}: found {type(values).__name__}, not keys and values",
            "a mapping with at least data, decisions and streams",
            "`mtf init my.yaml` writes a config to start from",
        )
    plugins = values.get("plugins")
    if isinstance(plugins, list):
        load_files(path for path in plugins if isinstance(path, str))
    try:
        # By way of JSON: its strict rules are those of YAML.
        config = Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise MistakesError(from_pydantic(error, values), document) from None
    mistakes = cross_checks(config)
    if mistakes:
        raise MistakesError(mistakes, document)
    return config
