"""One plug-in as announced, and what to say when it fails."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from mtf.errors import PluginError
from mtf.plugins import source


@dataclass(frozen=True)
class Entry:
    """One plug-in as announced, not loaded.

    Attributes:
        kind: a key of ``GROUPS``.
        name: what configs call it.
        target: ``module:attribute``.
        origin: who brought it: distribution and version, or the file of a decorated class.
        loaded: the object itself where the decorator handed it over.
        rivals: other entries of the same kind and name; such a name can't be used.
    """

    kind: str
    name: str
    target: str
    origin: str
    loaded: Any = field(default=None, compare=False)
    rivals: tuple[Entry, ...] = ()

    @property
    def place(self) -> str:
        """Where it comes from, for messages."""
        return f"{self.target} ({self.origin})"

    @property
    def foreign(self) -> bool:
        """Whether it did not come with mtf."""
        return not self.origin.startswith("mtf ")

    def documentation(self) -> str:
        """The docstring, read from the source without importing it."""
        if self.loaded is not None:
            return inspect.cleandoc(self.loaded.__doc__ or "")
        return source.documentation(self.target)

    def summary(self) -> str:
        """The docstring's first line."""
        return self.documentation().partition("\n")[0]

    def problem(self) -> str | None:
        """Why it can't be loaded, as far as that shows without importing; None = nothing seen."""
        if self.rivals:
            places = ", ".join(entry.place for entry in self.rivals)
            return f"the name is taken twice: {self.place}, {places}"
        return None if self.loaded is not None else source.problem(self.target)

    def broken(self, doing: str, error: BaseException, expected: str = "") -> PluginError:
        """The error that says which plug-in, of whom, raised what and where.

        Args:
            doing: what it did not manage, such as ``could not be built``.
            error: what was raised.
            expected: what should have been; the default is that its code runs.
        """
        brought_by = self.origin if self.loaded is not None else self.origin.split(" ")[0]
        return PluginError(
            f"{self.kind} {self.name!r} of {self.origin} {doing}: "
            f"{type(error).__name__}: {error}{self._line(error)}",
            expected or f"{self.target} to run",
            f"mend or update {brought_by}, or use another {self.kind}",
        )

    def _line(self, error: BaseException) -> str:
        """`` (file, line n)`` of the innermost frame in its own package; empty if there is none."""
        own = [
            f" ({frame.f_code.co_filename}, line {line})"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if package_of(module_of(frame)) == package_of(self.target)
        ]
        return own[-1] if own else ""


def module_of(frame: FrameType) -> str:
    """Name of the module whose code a frame runs."""
    return str(frame.f_globals.get("__name__", ""))


def package_of(target: str) -> str:
    """The outermost package of a module or a ``module:attribute``."""
    return target.partition(":")[0].partition(".")[0]


__all__ = ["Entry", "module_of", "package_of"]
