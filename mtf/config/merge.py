"""One config upon another: ``base: other.yaml`` and ``key.path=value`` on the command line.

Mappings merge key by key. A plug-in with another name replaces the old one: its options are left
behind, the keys that mtf itself defines (``weights``, ``weight``) stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtf.config import keys
from mtf.config.yaml_text import MAX_DEPTH, Document, KeyPath, parse_yaml
from mtf.errors import ConfigError


def merged(base: Document, upper: Document) -> Document:
    """The base with the upper document's keys on top."""
    values = _merged(base.values, upper.values, ())
    return Document(values, {**base.places, **upper.places})


def overridden(document: Document, overrides: Sequence[str]) -> Document:
    """The document with ``key.path=value`` overrides on top, names of plug-ins first.

    Raises:
        ConfigError: an override is not of that form, or its value is not YAML.
    """
    layers = [_layer(text) for text in overrides]
    for layer in sorted(layers, key=lambda layer: not _names_a_plugin(layer)):
        document = merged(document, layer)
    return document


def _merged(base: Any, upper: Any, path: KeyPath) -> Any:
    if not (isinstance(base, dict) and isinstance(upper, dict)):
        return upper
    base = _without_old_options(base, upper, path)
    result = dict(base)
    for key, value in upper.items():
        result[key] = _merged(base[key], value, (*path, key)) if key in base else value
    return result


def _without_old_options(base: dict[str, Any], upper: dict[str, Any], path: KeyPath) -> Any:
    spec = keys.spec_at(path)
    if spec is None or "name" not in upper:
        return base
    if upper["name"] == keys.plugin_name(spec, path[-1:], {path[-1]: base}):
        return base
    return {key: value for key, value in base.items() if key in spec.own_keys()}


def _layer(text: str) -> Document:
    """``a.b=1`` as the document ``{a: {b: 1}}``."""
    key, equals, value = text.partition("=")
    parts: KeyPath = tuple(key.strip().split("."))
    origin = f"override {text!r}"
    if not equals or not all(parts) or len(parts) > MAX_DEPTH or not key.isprintable():
        raise ConfigError(
            origin, "key.path=value, such as model.encoder.kernel_size=9", "mend the override"
        )
    if parts == ("base",):
        raise ConfigError(
            origin,
            "keys of the config itself: what it builds on is read before",
            "write a file of your own with `base:`",
        )
    inner = parse_yaml(value, origin)
    values: Any = inner.values
    for part in reversed(parts):
        values = {part: values}
    places = {parts[:depth]: origin for depth in range(1, len(parts) + 1)}
    places |= {(*parts, *path): origin for path in inner.places}
    return Document(values, places)


def _names_a_plugin(layer: Document) -> bool:
    path = max(layer.places, key=len)
    return path[-1] == "name" and keys.spec_at(path[:-1]) is not None
