"""Reads what a plug-in says of itself from its source text, without running any of it.

So ``mtf list`` needs no torch, and a plug-in that would crash on import can still be listed. Knows
nothing about kinds and names; sees only what stands in the file (no compiled modules).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path


def documentation(target: str) -> str:
    """The docstring of ``module:attribute``; empty where it can't be read."""
    module, _, attribute = target.partition(":")
    try:
        parsed = tree(module)
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in parsed.body if parsed else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return ast.get_docstring(node) or ""
    return ""


def problem(target: str) -> str | None:
    """Why ``module:attribute`` can't be imported, as far as the text shows; None = nothing seen."""
    module, _, attribute = target.partition(":")
    try:
        parsed = tree(module)
    except SyntaxError as error:
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    if parsed is None:
        return None if _spec(module) else f"no module named {module!r}"
    bound = set(_bound(parsed.body))
    if attribute.partition(".")[0] in bound or bound & {"*", "__getattr__"}:
        return None
    return f"module {module!r} has no {attribute!r}"


@lru_cache(maxsize=256)
def tree(module: str) -> ast.Module | None:
    """The parsed source of a module; None where there is none to read.

    Raises:
        SyntaxError, OSError, ValueError: the source can't be parsed or read.
    """
    spec = _spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return ast.parse(Path(spec.origin).read_bytes(), filename=spec.origin)


def _spec(module: str) -> ModuleSpec | None:
    """Like ``importlib.util.find_spec``, but without importing the parent packages."""
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _ask_finders(".".join(parts[:depth]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations or ()
    return spec


def _ask_finders(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, path) if find else None
        if spec is not None:
            return spec
    return None


def _bound(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that the statements of a module bind at its top level, inside if and try too."""
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case ast.Assign() | ast.AnnAssign():
                yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
            case ast.If() | ast.Try() | ast.With():
                yield from _bound([n for n in ast.walk(node) if isinstance(n, ast.stmt)][1:])
            case _:
                pass
