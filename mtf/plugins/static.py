"""A plug-in's config keys, read from its source text: mistakes in a config show before torch loads.

Reads what nearly every plug-in looks like: a constructor (its own or an inherited one) with literal
defaults and types made of builtins, ``typing`` and names assigned or imported beside it. For
anything else it gives up, and the caller imports the plug-in. Runs no code of the plug-in.
"""

from __future__ import annotations

import ast
import collections.abc
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtf.plugins import source

BUILTINS: dict[str, Any] = {t.__name__: t for t in (bool, dict, float, int, list, str, tuple)}


class _UnreadableError(Exception):
    """Something that only an import can tell."""


@dataclass(frozen=True)
class Parameter:
    """A keyword-only parameter; ``default`` means nothing where required."""

    name: str
    annotation: Any
    required: bool
    default: Any


@dataclass(frozen=True)
class Reading:
    """What the text says.

    Attributes:
        parameters: those after the ``*``.
        documents: docstrings of base classes, class and constructor, in this order.
    """

    parameters: tuple[Parameter, ...]
    documents: tuple[str, ...]


def read(target: str) -> Reading | None:
    """Read ``module:attribute``; None where only an import can tell."""
    module, _, attribute = target.partition(":")
    try:
        definition = _definition(module, attribute)
        chain = [definition]
        if isinstance(definition.node, ast.ClassDef):
            chain = list(_lineage(definition))
        owner, function = _constructor(chain)
        documents = [ast.get_docstring(one.node) or "" for one in reversed(chain)]
        documents.append(ast.get_docstring(function) or "")
        return Reading(tuple(_parameters(owner, function)), tuple(documents))
    except (
        _UnreadableError,
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        NameError,
        AttributeError,
        RecursionError,  # modules that import a name from each other, or from themselves
    ):
        return None


@dataclass(frozen=True)
class _Definition:
    """A class or function and the module it stands in."""

    module: str
    node: ast.ClassDef | ast.FunctionDef


def _definition(module: str, name: str) -> _Definition:
    found = _find(module, name)
    if isinstance(found[1], ast.ClassDef | ast.FunctionDef):
        return _Definition(found[0], found[1])
    raise _UnreadableError(name)


def _find(module: str, name: str) -> tuple[str, ast.AST]:
    """Where a name of a module is defined: the statement, or the value assigned."""
    tree = source.tree(module)
    for node in tree.body if tree else ():
        match node:
            case ast.ClassDef() | ast.FunctionDef() if node.name == name:
                return module, node
            case ast.Assign(targets=[ast.Name(id=bound)], value=value) if bound == name:
                return module, value
            case ast.AnnAssign(target=ast.Name(id=bound), value=ast.AST() as value):
                if bound == name:
                    return module, value
            case ast.ImportFrom(module=str(origin), level=0, names=aliases):
                for alias in aliases:
                    if (alias.asname or alias.name) == name:
                        return _find(origin, alias.name)
            case _:
                pass
    raise _UnreadableError(name)


def _lineage(definition: _Definition) -> Iterator[_Definition]:
    """A class and its first bases as far as they can be read."""
    while True:
        yield definition
        bases = definition.node.bases if isinstance(definition.node, ast.ClassDef) else []
        if definition.node.decorator_list or not bases or not isinstance(bases[0], ast.Name):
            return
        try:
            definition = _definition(definition.module, bases[0].id)
        except _UnreadableError:
            return


def _constructor(chain: list[_Definition]) -> tuple[_Definition, ast.FunctionDef]:
    for one in chain:
        if isinstance(one.node, ast.FunctionDef):
            return one, one.node
        if one.node.decorator_list:  # a dataclass writes its constructor itself
            raise _UnreadableError(one.node.name)
        for node in one.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                return one, node
    raise _UnreadableError("__init__")


def _parameters(owner: _Definition, function: ast.FunctionDef) -> Iterator[Parameter]:
    names = _Names(owner.module)
    if function.args.kwarg is not None or function.decorator_list:
        raise _UnreadableError(function.name)
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if argument.annotation is None:
            raise _UnreadableError(argument.arg)
        annotation = names.evaluate(argument.annotation)
        value = None if default is None else names.literal(default)
        yield Parameter(argument.arg, annotation, default is None, value)


class _Names(Mapping[str, Any]):
    """The names that an annotation may use, looked up in the text of its module."""

    def __init__(self, module: str) -> None:
        self.module = module

    def evaluate(self, node: ast.AST) -> Any:
        """The type that an expression stands for."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):  # a quoted annotation
            node = ast.parse(node.value, mode="eval").body
        if not isinstance(node, ast.expr):
            raise _UnreadableError(ast.dump(node))
        code = compile(ast.Expression(node), self.module, "eval")
        return eval(code, {"__builtins__": {}}, self)

    def literal(self, node: ast.AST) -> Any:
        """The value of a default: a literal, or the name of one."""
        if isinstance(node, ast.Name):
            module, node = _find(self.module, node.id)
            return _Names(module).literal(node)
        if not isinstance(node, ast.expr):
            raise _UnreadableError(ast.dump(node))
        return ast.literal_eval(node)

    def __getitem__(self, name: str) -> Any:
        if name in BUILTINS:
            return BUILTINS[name]
        for home in (collections.abc, typing):
            if name in home.__all__:
                return getattr(home, name)
        if name == "Field":
            from pydantic import Field

            return Field
        module, node = _find(self.module, name)
        return _Names(module).evaluate(node)

    def __iter__(self) -> Iterator[str]:
        return iter(BUILTINS)

    def __len__(self) -> int:
        return len(BUILTINS)
