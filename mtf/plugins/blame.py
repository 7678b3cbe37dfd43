"""Whose fault it is: finds the stranger's plug-in in whose code an error was raised."""

from __future__ import annotations

import traceback

from mtf.errors import PluginError
from mtf.plugins.entry import Entry, module_of, package_of
from mtf.plugins.registry import GROUPS, entries


def blame(error: BaseException) -> PluginError | None:
    """The error that names a plug-in that did not come with mtf; None where none was running.

    Nothing is loaded to find out.
    """
    running = [module_of(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    foreign = [entry for kind in GROUPS for entry in entries(kind) if entry.foreign]
    for module in reversed(running):
        entry = _owner(module, foreign)
        if entry is not None:
            return entry.broken("failed", error)
    return None


def _owner(module: str, foreign: list[Entry]) -> Entry | None:
    """The plug-in that a module defines; of a package's other modules, its first plug-in."""
    exact = [entry for entry in foreign if entry.target.partition(":")[0] == module]
    near = [entry for entry in foreign if package_of(entry.target) == package_of(module)]
    return next(iter([*exact, *near]), None)


__all__ = ["blame"]
