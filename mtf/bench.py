"""``mtf bench NAME``: one benchmark, as a table and JSON. Lists them without importing any.

A benchmark is a module of the folder ``benchmarks/`` with a function ``run``, whose parameters are
its options and which returns a ``Measured``, or a ``SideBySide`` with variants in columns.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from mtf.errors import MtfError, PluginError
from mtf.plugins import source
from mtf.plugins.registry import did_you_mean

if TYPE_CHECKING:
    from mtf.report.measure import Measured
    from mtf.report.side_by_side import SideBySide

FOLDER = "mtf.benchmarks"


def main(name: str, options: Sequence[str] = (), json: str | Path | None = None) -> None:
    """Run a benchmark and print what it found; without a name, list all of them.

    Args:
        name: of the benchmark; empty = list them.
        options: its command line.
        json: where to save the figures, too.

    Raises:
        MtfError: no such benchmark, or nothing it can measure.
    """
    if not name or name.startswith("-"):
        print("mtf bench NAME [OPTIONS] [--json FILE]; `mtf bench NAME --help` tells the options\n")
        print(*lines(), sep="\n")
        return
    if name not in names():
        raise PluginError(
            f"unknown benchmark {name!r}",
            f"one of {', '.join(names())}",
            did_you_mean(name, names()) or "`mtf bench` lists them",
        )
    found = measured(name, options)
    if found is None:  # it was asked for its options
        return
    found.show(name)
    if json is not None:
        _save(found, name, Path(json))


def names() -> list[str]:
    """Names of all benchmarks, sorted."""
    spec = util.find_spec(FOLDER)
    folders = (spec.submodule_search_locations if spec else None) or []
    return sorted(module.name for module in iter_modules(folders))


def lines() -> list[str]:
    """Every benchmark with the first line of its documentation, read without importing it."""
    width = max(map(len, names()))
    return [f"benchmark  {name:<{width}}  {_summary(name)}" for name in names()]


def measured(name: str, options: Sequence[str] = ()) -> Measured | SideBySide | None:
    """What a benchmark found with these options; None where it was only asked for its help."""
    import typer

    module = importlib.import_module(f"{FOLDER}.{name}")
    command = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    command.command()(module.run)
    found = command(list(options), prog_name=f"mtf bench {name}", standalone_mode=False)
    return None if isinstance(found, int) else found


def _summary(name: str) -> str:
    """The first line of a benchmark's documentation."""
    parsed = source.tree(f"{FOLDER}.{name}")
    text = ast.get_docstring(parsed) if parsed else None
    return (text or "").partition("\n")[0]


def _save(found: Measured | SideBySide, name: str, path: Path) -> None:
    """The figures as JSON, whole or not at all."""
    from mtf.learning.json_files import write_json

    try:
        write_json(path, found.as_dict(name))
    except OSError as error:
        raise MtfError(
            f"can't write {path}: {error.strerror or error}",
            "a place to write",
            "choose another place for the JSON",
        ) from None


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["bench", *sys.argv[1:]])
