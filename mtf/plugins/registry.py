"""Every plug-in by kind and name, whoever wrote it.

Three doors: entry points of installed packages (the built-ins come by it too), the decorator
``register`` in a script or notebook, and files that a config names under ``plugins:`` (they use the
decorator). Asking what there is reads metadata and source text only; a plug-in's code runs when it
is used. A plug-in that can't be loaded hurts nobody who does not use it.
"""

from __future__ import annotations

import difflib
import importlib
import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import metadata
from types import TracebackType
from typing import Any, TypeVar

from mtf.errors import MtfError, PluginError
from mtf.plugins.entry import Entry as Entry

GROUPS = {
    "data_source": "mtf.data_sources",
    "feature": "mtf.features",
    "side_input": "mtf.side_inputs",
    "encoder": "mtf.encoders",
    "fusion": "mtf.fusions",
    "head": "mtf.heads",
    "loss": "mtf.losses",
    "policy": "mtf.policies",
    "backtest": "mtf.backtests",
}
"""Kind → entry-point group."""

CONTRACTS = {
    "data_source": "mtf.plugins.contracts.DataSource",
    "feature": "mtf.plugins.contracts.FeatureSet",
    "side_input": "mtf.plugins.contracts.SideInput",
    "encoder": "mtf.plugins.contracts.Encoder",
    "fusion": "mtf.plugins.contracts.Fusion",
    "head": "mtf.plugins.contracts.Head",
    "policy": "mtf.trading.contracts.Policy",
    "backtest": "mtf.trading.contracts.Backtest",
}
"""Kind → the class it must derive from; the others are functions."""

Plugin = TypeVar("Plugin", bound=Callable[..., Any])


_decorated: dict[tuple[str, str], Entry] = {}


def kind_of(text: str) -> str:
    """Return the kind that ``text`` names in singular or plural.

    Raises:
        PluginError: there is no such kind.
    """
    plurals = {group.removeprefix("mtf."): kind for kind, group in GROUPS.items()}
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    if word in GROUPS:
        return word
    if word in plurals:
        return plurals[word]
    raise PluginError(
        f"unknown kind of plug-in {text!r}",
        f"one of {', '.join(GROUPS)}",
        did_you_mean(word, [*GROUPS, *plurals]) or "`mtf list` shows all kinds",
    )


def entries(kind: str) -> tuple[Entry, ...]:
    """All plug-ins of a kind by name, broken ones included."""
    kind = kind_of(kind)
    decorated = [entry for entry in _decorated.values() if entry.kind == kind]
    by_name: dict[str, list[Entry]] = {}
    for entry in (*_metadata()[kind], *decorated):
        same = by_name.setdefault(entry.name, [])
        if all(entry.target != other.target for other in same):
            same.append(entry)
    return tuple(_with_rivals(by_name[name]) for name in sorted(by_name))


def names(kind: str) -> tuple[str, ...]:
    """Names of all plug-ins of a kind, sorted."""
    return tuple(entry.name for entry in entries(kind))


def find(kind: str, name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        PluginError: unknown, with the nearest names and how to add one; or taken twice.
    """
    kind = kind_of(kind)
    for entry in entries(kind):
        if entry.name == name:
            return _unrivalled(entry)
    known = names(kind)
    raise PluginError(
        f"unknown {kind} {name!r}",
        f"one of {', '.join(known) or '(there is none yet)'}",
        did_you_mean(name, known)
        or f"to add one: an entry point in the group {GROUPS[kind]!r} of your package, or a file "
        f"with @mtf.register({kind!r}, {name!r}) listed under `plugins:` in the config",
    )


def load(kind: str, name: str) -> Any:
    """Return the class (of a loss: the function) that a name stands for.

    Raises:
        PluginError: unknown, taken twice, does not import, or is not of its kind.
    """
    entry = find(kind, name)
    found = entry.loaded if entry.loaded is not None else _import(entry)
    _check_contract(entry, found)
    return found


def register(kind: str, name: str) -> Callable[[Plugin], Plugin]:
    """Register the decorated class (or loss function) in this process, for scripts and notebooks.

    Running the same definition again replaces it, as notebooks do.

    Raises:
        PluginError: unknown kind, or the name is taken by something else.
    """
    kind = kind_of(kind)

    def enter(plugin: Plugin) -> Plugin:
        entry = _entry_of(kind, name, plugin)
        for other in entries(kind):
            if other.name == name and other.target != entry.target:
                raise _taken_twice(entry, (other,))
        _decorated[kind, name] = entry
        return plugin

    return enter


def forget(kind: str, name: str) -> None:
    """Take back what ``register`` entered; nothing happens when there is no such name."""
    _decorated.pop((kind_of(kind), name), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint with the nearest known names; empty where none is near."""
    near = difflib.get_close_matches(str(word), [str(name) for name in known], n=2, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""


@lru_cache(maxsize=1)
def _metadata() -> dict[str, tuple[Entry, ...]]:
    """Every entry point by kind; read once, since it takes longer than all that is done with it."""
    points: Any = metadata.entry_points()  # its type differs between Python 3.11 and 3.12
    return {
        kind: tuple(
            Entry(kind, point.name, point.value.replace(" ", ""), _distribution(point))
            for point in points.select(group=group)
        )
        for kind, group in GROUPS.items()
    }


def _distribution(point: metadata.EntryPoint) -> str:
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist is not None else "unknown distribution"


def _entry_of(kind: str, name: str, plugin: Callable[..., Any]) -> Entry:
    code = getattr(plugin, "__init__", plugin)
    file = getattr(getattr(code, "__code__", None), "co_filename", plugin.__module__)
    return Entry(kind, name, f"{plugin.__module__}:{plugin.__qualname__}", file, loaded=plugin)


def _with_rivals(same: list[Entry]) -> Entry:
    first, *others = same
    if not others:
        return first
    return Entry(
        first.kind, first.name, first.target, first.origin, first.loaded, rivals=tuple(others)
    )


def _unrivalled(entry: Entry) -> Entry:
    if entry.rivals:
        raise _taken_twice(entry, entry.rivals)
    return entry


def _taken_twice(entry: Entry, rivals: Iterable[Entry]) -> PluginError:
    places = " and ".join(one.place for one in (entry, *rivals))
    return PluginError(
        f"{entry.kind} {entry.name!r} is defined twice: {places}",
        "one definition of a name",
        "rename one, or uninstall the package that is not wanted",
    )


def _import(entry: Entry) -> Any:
    module, _, attribute = entry.target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except MtfError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        raise entry.broken("could not be loaded", error, f"{entry.target} to import") from error
    return found


def where(trace: TracebackType | None) -> str:
    """`` (file, line n)`` of the innermost frame that is not the import machinery itself."""
    frames = [f for f in traceback.extract_tb(trace) if "importlib" not in f.filename]
    own = [f for f in frames if f.filename != __file__]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _check_contract(entry: Entry, found: Any) -> None:
    wanted = CONTRACTS.get(entry.kind)
    if wanted is None:
        fits, expected = callable(found), "something that can be called"
    else:
        module, _, name = wanted.rpartition(".")  # imported here: most of it needs torch
        base: type = getattr(importlib.import_module(module), name)
        fits = isinstance(found, type) and (issubclass(found, base) or _has_methods(found, base))
        expected = f"a class derived from {wanted}"
    if not fits:
        raise PluginError(
            f"{entry.kind} {entry.name!r} of {entry.origin} is {found!r}",
            expected,
            f"mend {entry.target}",
        )


def _has_methods(found: type, base: type) -> bool:
    """Whether a class keeps a contract without deriving from it; modules of torch must derive."""
    if base.__mro__[1].__name__ == "Module":
        return False
    methods: frozenset[str] = getattr(base, "__abstractmethods__", frozenset())
    return all(callable(getattr(found, name, None)) for name in methods)
