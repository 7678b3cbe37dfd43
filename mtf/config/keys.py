"""Which keys may stand where in a config, and what they mean: for messages and completion."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from types import UnionType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mtf.config.plugin_spec import PluginSpec
from mtf.config.schema import Config
from mtf.config.yaml_text import KeyPath
from mtf.errors import MtfError
from mtf.plugins import registry
from mtf.plugins.signature import options

NAMED_BY_KEY = {"head": "heads", "side_input": "side_inputs"}
"""Kind → where a config has several of it, each under its name unless it says another one."""


def allowed(path: KeyPath, values: Any) -> tuple[str, ...]:
    """The keys that may stand in the mapping at ``path``; empty where any may, or none.

    Args:
        path: keys from the root.
        values: the config as read, which tells the plug-ins' names.
    """
    model = _model_at(path)
    if model is None:
        return ()
    if not issubclass(model, PluginSpec):
        keys = tuple(field.alias or name for name, field in model.model_fields.items())
        return ("base", *keys) if model is Config else keys
    return (*model.own_keys(), *_option_names(model, path, values))


def description(path: KeyPath) -> str:
    """What the schema says of the key at ``path``; empty for plug-ins' options."""
    model = _model_at(path[:-1])
    field = _field(model, str(path[-1])) if model and path else None
    return (field.description or "") if field else ""


def plugin_name(spec: type[PluginSpec], path: KeyPath, values: Any) -> str:
    """The name of the plug-in whose mapping stands at ``path``."""
    by_key = spec.kind in NAMED_BY_KEY
    default = str(path[-1]) if by_key else spec.model_fields["name"].default
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return str(values.get("name", default) if isinstance(values, dict) else default)


def spec_at(path: KeyPath) -> type[PluginSpec] | None:
    """The kind of plug-in that stands at ``path``; None elsewhere."""
    model = _model_at(path)
    return model if model is not None and issubclass(model, PluginSpec) else None


def _option_names(spec: type[PluginSpec], path: KeyPath, values: Any) -> tuple[str, ...]:
    try:
        entry = registry.find(spec.kind, plugin_name(spec, path, values))
        return tuple(option.name for option in options(entry))
    except MtfError:  # told where the name stands
        return ()


def _model_at(path: Sequence[str | int]) -> type[BaseModel] | None:
    node: Any = Config
    for part in path:
        if isinstance(node, type) and issubclass(node, BaseModel):
            field = _field(node, str(part))
            node = _plain(field.annotation) if field else None
        elif typing.get_origin(node) is dict:
            node = _plain(typing.get_args(node)[1])
        else:
            return None
    return node if isinstance(node, type) and issubclass(node, BaseModel) else None


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    by_key = {field.alias or name: field for name, field in model.model_fields.items()}
    return None if issubclass(model, PluginSpec) and key == "options" else by_key.get(key)


def _plain(annotation: Any) -> Any:
    """The type without ``| None``."""
    if isinstance(annotation, UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(one for one in typing.get_args(annotation) if one is not type(None))
    return annotation
