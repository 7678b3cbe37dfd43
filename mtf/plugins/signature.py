"""A plug-in's constructor, read as the manual and the validation of its config keys.

The rule (see ``contracts``): parameters before the ``*`` are handed in by mtf, those after it are
config keys. There is no second description of them anywhere.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model

from mtf.errors import PluginError
from mtf.plugins import registry, static

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""


@dataclass(frozen=True)
class Option:
    """One config key of a plug-in.

    Attributes:
        name: the key.
        annotation: its type, with constraints where the author wrote ``Annotated[...]``.
        default: ``REQUIRED`` where it must be given.
        description: from the ``Args:`` of the docstring.
    """

    name: str
    annotation: Any
    default: Any
    description: str

    @property
    def type_text(self) -> str:
        """The type as written in a signature."""
        text = inspect.formatannotation(_bare(self.annotation))
        return text.replace("NoneType", "None").replace("typing.", "")


def options(entry: registry.Entry) -> tuple[Option, ...]:
    """The config keys of a plug-in, in the order of its signature.

    Read from its source where that is enough, else from the imported class.

    Raises:
        PluginError: it can't be imported, an annotation can't be evaluated or is missing.
    """
    reading = static.read(entry.target) if entry.loaded is None and not entry.rivals else None
    if reading is not None:
        described = descriptions(reading.documents)
        return tuple(
            Option(p.name, p.annotation, REQUIRED if p.required else p.default, said)
            for p in reading.parameters
            for said in [described.get(p.name, "")]
        )
    return options_of(entry.loaded or registry.load(entry.kind, entry.name))


@lru_cache(maxsize=256)
def options_of(plugin: Callable[..., Any]) -> tuple[Option, ...]:
    """The config keys of a class or function that is there.

    Raises:
        PluginError: an annotation can't be evaluated, or a config key is not annotated.
    """
    function = inspect.unwrap(_constructor(plugin))
    hints = _hints(plugin, function)
    described = descriptions(_documents(plugin))
    return tuple(
        Option(name, _hint(plugin, name, hints), parameter.default, described.get(name, ""))
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )


def options_model(entry: registry.Entry) -> type[BaseModel]:
    """The pydantic model that checks a plug-in's options: unknown keys, types, required ones.

    Raises:
        PluginError: as ``options``.
    """
    fields: dict[str, Any] = {
        option.name: (
            option.annotation,
            Field(
                default=... if option.default is REQUIRED else option.default,
                description=option.description or None,
            ),
        )
        for option in options(entry)
    }
    # `model_`-names belong to plug-in authors here: nothing of pydantic is called on the instance.
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())
    try:
        return create_model(entry.name, __config__=config, **fields)
    except (PydanticUserError, NameError) as error:
        reason = str(error).partition("\n")[0]
        raise PluginError(
            f"{entry.kind} {entry.name!r} of {entry.origin} has config keys that no config can "
            f"hold: {reason}",
            "plain types such as int, float, str, bool, lists of them, Literal",
            f"mend the annotations of {entry.target}",
        ) from error


def descriptions(documents: Iterable[str]) -> dict[str, str]:
    """What the ``Args:`` sections of docstrings say of each parameter, on one line; later win."""
    found: dict[str, str] = {}
    for document in documents:
        found.update(_args_section(inspect.cleandoc(document)))
    return found


def _documents(plugin: Callable[..., Any]) -> list[str]:
    if not isinstance(plugin, type):
        return [plugin.__doc__ or ""]
    own = [base.__doc__ or "" for base in reversed(plugin.__mro__)]
    return [*own, _constructor(plugin).__doc__ or ""]


def _constructor(plugin: Callable[..., Any]) -> Callable[..., Any]:
    """What is called with the options."""
    if not isinstance(plugin, type):
        return plugin
    constructor: Callable[..., Any] = getattr(plugin, "__init__")  # noqa: B009 (mypy's wish)
    return constructor


def _args_section(text: str) -> dict[str, str]:
    match = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    if match is None:
        return {}
    lines = inspect.cleandoc("\n" + match[1]).splitlines()
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        head = re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", line)
        if head:
            name = head[1]
            entries[name] = head[2]
        elif name and line.strip():
            entries[name] += " " + line.strip()
    return entries


def _hints(plugin: Callable[..., Any], function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # evaluating a stranger's annotations may raise anything
        raise PluginError(
            f"the annotations of {plugin.__module__}:{plugin.__qualname__} can't be evaluated: "
            f"{type(error).__name__}: {error}",
            "types that can be imported at run time (not under `if TYPE_CHECKING`)",
            "mend the annotations of its constructor",
        ) from error


def _hint(plugin: Callable[..., Any], name: str, hints: dict[str, Any]) -> Any:
    if name not in hints:
        raise PluginError(
            f"{plugin.__module__}:{plugin.__qualname__} has the config key {name!r} without a type",
            "an annotation for every parameter after the `*`",
            f"annotate it, such as `{name}: float = 0.0`",
        )
    return hints[name]


def _bare(annotation: Any) -> Any:
    """The type without the constraints of ``Annotated``."""
    return typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
