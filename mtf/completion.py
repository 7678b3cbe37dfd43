"""What the shell offers after Tab: configs, kinds, plug-ins, overrides. Imports no plug-in."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import typer

from mtf.plugins.registry import GROUPS, names

NAMED = {
    "data.name": "data_source",
    "features.name": "feature",
    "model.encoder.name": "encoder",
    "model.fusion.name": "fusion",
    "backtest.name": "backtest",
    "backtest.policy.name": "policy",
}
"""Overrides whose value is the name of a plug-in, by kind."""


def configs(incomplete: str) -> list[str]:
    """Config files here and in configs/, and those that come with mtf by name."""
    spec = util.find_spec("mtf.configs")
    folders = (spec.submodule_search_locations if spec else None) or []
    shipped = [file.stem for folder in folders for file in Path(folder).glob("*.yaml")]
    words = {*shipped, *_yaml_files()} - {"sweep"}
    return sorted(word for word in words if word.startswith(incomplete))


def sweeps(incomplete: str) -> list[str]:
    """YAML files here and in configs/, and the sweep file that comes with mtf by name."""
    return sorted(word for word in {"sweep", *_yaml_files()} if word.startswith(incomplete))


def _yaml_files() -> list[str]:
    return [str(file) for folder in (".", "configs") for file in Path(folder).glob("*.yaml")]


def kinds(incomplete: str) -> list[str]:
    """Kinds of plug-ins."""
    return [kind for kind in GROUPS if kind.startswith(incomplete)]


def plugins(context: typer.Context, incomplete: str) -> list[str]:
    """Plug-ins of the kind that was typed before."""
    kind = context.params.get("kind")
    found = names(kind) if kind in GROUPS else ()
    return [name for name in found if name.startswith(incomplete)]


def benchmarks(incomplete: str) -> list[str]:
    """Names of the benchmarks."""
    from mtf.bench import names as known

    return [name for name in known() if name.startswith(incomplete)]


def overrides(incomplete: str) -> list[str]:
    """``model.encoder.name=dsc`` and its like."""
    words = [f"{key}={name}" for key, kind in NAMED.items() for name in names(kind)]
    return [word for word in words if word.startswith(incomplete)]
