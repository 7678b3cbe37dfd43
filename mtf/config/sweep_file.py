"""From a sweep file and overrides to a plan: every mistake told before the first trial.

Ends and choices of every searched key are tried in the base config, one by one, so that its schema
judges them. Which combinations fit together is not known before they are drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mtf.config.load import changed, find_config, load_config
from mtf.config.merge import overridden
from mtf.config.mistakes import Mistake, MistakesError, from_pydantic
from mtf.config.schema import Config
from mtf.config.sweep_schema import SearchConfig, SweepConfig
from mtf.config.yaml_text import Document, read_yaml
from mtf.errors import ConfigError
from mtf.plugins.registry import did_you_mean

PARTS = "trials are compared on one and the same validation part, and none may see the test part"
UNUSED = "nothing that a validation depends on"
FIXED = {
    "name": "it names the folder of all trials",
    "plugins": "files are run once for all trials",
    "data": PARTS,
    "decisions": PARTS,
    "split": PARTS,
    "walk_forward": PARTS,
    "evaluation": UNUSED,
    "backtest": UNUSED,
}
"""Sections that can't be searched, and why."""
MEASURES = ("heads", "costs")
"""Sections that change what a loss measures."""


@dataclass(frozen=True)
class Dimension:
    """The values of one searched key.

    Attributes:
        key: dotted, of the config.
        search: range or choices.
        whole: whether values of the range are whole numbers.
    """

    key: str
    search: SearchConfig
    whole: bool = False


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that can begin.

    Attributes:
        sweep: the file's keys.
        base: the config that is varied, its overrides applied.
        space: the searched keys in order.
    """

    sweep: SweepConfig
    base: Config
    space: tuple[Dimension, ...]

    def candidate(self, params: Mapping[str, Any]) -> Config:
        """The base config with values of the searched keys.

        Raises:
            ConfigError: values that don't fit together.
        """
        return changed(self.base, [override(key, value) for key, value in params.items()])

    def incomparable(self) -> list[str]:
        """Searched keys by which two trials may differ in what their loss is a sum of."""
        by_loss = self.sweep.metric == "loss"
        return [one.key for one in self.space if by_loss and one.key.split(".")[0] in MEASURES]


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepPlan:
    """Read a sweep file and the config that it varies.

    Args:
        path: a YAML file, or ``sweep``, the one that comes with mtf.
        overrides: ``key=value``; keys of the sweep file are its own, all others are the config's.

    Raises:
        ConfigError: all mistakes at once, each with place, found, expected and what to do.
        PluginError: a plug-in file can't be run.
    """
    file = _find(path)
    own = [text for text in overrides if _is_own(text)]
    document = overridden(read_yaml(file), own)
    sweep = _validated(document)
    base_overrides = [*sweep.overrides, *(text for text in overrides if text not in own)]
    base = load_config(_base_of(sweep, file, document), base_overrides)
    space = tuple(_dimension(base, key, search) for key, search in sweep.search.items())
    mistakes = [*_cross_checks(sweep, space), *(_of_keys(base, space))]
    if mistakes:
        raise MistakesError(mistakes, document)
    return SweepPlan(sweep, base, space)


def override(key: str, value: Any) -> str:
    """``key=value`` that reads back as the same value; JSON's 1e-05 would be text to YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return f"{key}={text.removesuffix('...' + chr(10)).strip()}"


def _find(path: str | Path) -> Path:
    """The sweep file that is meant: itself, or one that comes with mtf."""
    file = Path(path)
    if os.path.isfile(file):
        return file
    spec = util.find_spec("mtf.configs")
    folders = (spec.submodule_search_locations if spec else None) or []
    shipped = [Path(folder) / "sweep.yaml" for folder in folders]
    if str(path) == "sweep" and shipped and shipped[0].is_file():
        return shipped[0]
    raise ConfigError(
        f"no sweep file {str(path)!r}" if not os.path.isdir(file) else f"{path} is a folder",
        "a YAML file with `base:` and `search:`",
        "copy configs/sweep.yaml, or `mtf sweep sweep` for the one that comes with mtf",
    )


def _is_own(text: str) -> bool:
    """Whether an override is about a key of the sweep file."""
    return text.partition("=")[0].strip().split(".")[0] in SweepConfig.model_fields


def _validated(document: Document) -> SweepConfig:
    values = document.values
    if not isinstance(values, dict):
        raise ConfigError(
            f"{document.place(())}: found {type(values).__name__}, not keys and values",
            "a mapping with at least base and search",
            "see configs/sweep.yaml",
        )
    try:
        return SweepConfig.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise MistakesError(list(_mistakes(error, values)), document) from None


def _mistakes(error: ValidationError, values: dict[str, Any]) -> Iterator[Mistake]:
    """What pydantic collected; which keys there are is told from the sweep's schema."""
    details = error.errors(include_url=False)
    for detail, one in zip(details, from_pydantic(error, values), strict=True):
        if detail["loc"][-1] == "int":  # told once, as no number of any kind
            continue
        path = tuple(part for part in detail["loc"] if part != "float")
        inner = len(path) > 2 and path[0] == "search"
        known = tuple((SearchConfig if inner else SweepConfig).model_fields)
        if detail["type"] == "extra_forbidden":
            near = did_you_mean(str(path[-1]), known) or "remove it; keys of the config are dotted"
            yield Mistake(path, "found an unknown key", f"one of {', '.join(known)}", near)
        elif detail["type"] == "missing":
            what = SweepConfig.model_fields[str(path[-1])].description or "a value"
            yield Mistake(path, "not given", what, f"add `{path[-1]}:`, see configs/sweep.yaml")
        else:
            yield Mistake(path, one.found, one.expected, one.todo)


def _base_of(sweep: SweepConfig, file: Path, document: Document) -> Path:
    """The file of the base config."""
    beside = file.parent / sweep.base
    if os.path.isfile(beside):
        return beside
    try:
        return find_config(sweep.base)
    except ConfigError as error:
        place = document.place(("base",))
        raise ConfigError(f"{place}: base: {error.found}", error.expected, error.todo) from None


def _cross_checks(sweep: SweepConfig, space: Sequence[Dimension]) -> Iterator[Mistake]:
    """What does not go together within the sweep file."""
    if sweep.pruner is not None and sweep.walk_forward:
        yield Mistake(
            ("pruner",),
            f"found {sweep.pruner} with walk_forward: true",
            "a pruner only where a trial is one training",
            "remove one of the two",
        )
    if sweep.gpus and sweep.workers == 1 and sweep.address is None:
        yield Mistake(
            ("gpus",),
            f"found {sweep.gpus} with workers: 1, which works in this process",
            "gpus only over Ray; one process takes what fabric.accelerator says",
            "remove it, or raise workers",
        )
    for one in space if sweep.sampler == "grid" else ():
        if one.search.choices is None and not one.whole and one.search.step is None:
            yield Mistake(
                ("search", one.key),
                "found a range of fractions without a step, and sampler: grid",
                "finitely many values",
                "add `step:`, or write the values as `choices:`",
            )


def _of_keys(base: Config, space: Sequence[Dimension]) -> Iterator[Mistake]:
    """What the config's schema says of every searched key and its ends."""
    values = base.model_dump(mode="json", by_alias=True)
    for one in space:
        fixed = FIXED.get(one.key.split(".")[0])
        if fixed is not None:
            yield Mistake(
                ("search", one.key), "found a key that can't be searched", "another key", fixed
            )
            continue
        others = {other.key for other in space} - {one.key}
        refused = list(_refused(base, one, others))
        yield from refused
        if not refused and not _is_there(values, one.key.split(".")):
            yield Mistake(
                ("search", one.key),
                "found a key that the base config does not have",
                "one that stands in it, written out or as a default",
                "add it to the base config first, by `overrides:` or in its file",
            )


def _refused(base: Config, dimension: Dimension, others: set[str]) -> Iterator[Mistake]:
    """Mistakes of the values of one key in the base config, each said once.

    A complaint about another key that is searched, too, may be met by a value of that.
    """
    told = set()
    for value in dimension.search.ends:
        for path, found, expected, todo in _complaints(base, dimension.key, value):
            if path not in others and (path, expected) not in told:
                told.add((path, expected))
                said = found if path == dimension.key else f"{path}: {found}"
                yield Mistake(("search", dimension.key), said, expected, todo)


def _complaints(base: Config, key: str, value: Any) -> list[tuple[str, str, str, str]]:
    """Key, found, expected and what to do, of a value that the config refuses."""
    try:
        changed(base, [override(key, value)])
    except MistakesError as error:
        dotted = [".".join(map(str, one.path)) for one in error.mistakes]
        return [
            (path, one.found, one.expected, one.todo)
            for path, one in zip(dotted, error.mistakes, strict=True)
        ]
    except ConfigError as error:
        return [(key, error.found, error.expected, error.todo)]
    return []


def _is_there(values: Any, parts: Sequence[str]) -> bool:
    """Whether nested mappings have a key."""
    for part in parts:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _dimension(base: Config, key: str, search: SearchConfig) -> Dimension:
    """A key with its values: whole numbers where both ends are, and the config takes no others."""
    numbers = (*search.ends, 1 if search.step is None else search.step)
    if search.choices is not None or not all(isinstance(one, int) for one in numbers):
        return Dimension(key, search)
    between = sum(search.ends) / 2 + 0.25  # a fraction, as both ends are whole
    return Dimension(key, search, whole=bool(_complaints(base, key, between)))


__all__ = ["Dimension", "SweepPlan", "load_sweep", "override"]
