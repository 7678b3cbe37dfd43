"""YAML read safely, and remembering the line of every key.

The values are those of ``yaml.safe_load``, except that keys are always text and dates stay as
written. Refused: Python tags, duplicate keys, more than 1 MB, more than 50 levels, aliases that
grow beyond 20,000 values. Knows nothing of what the keys mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtf.errors import ConfigError

MAX_BYTES, MAX_DEPTH, MAX_VALUES = 1_000_000, 50, 20_000

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the root."""

PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
TIME_TAG = "tag:yaml.org,2002:timestamp"
MAP_TAG, LIST_TAG = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


@dataclass
class Document:
    """Values of a YAML text and where each stands.

    Attributes:
        values: dictionaries, lists and plain values.
        places: ``file:line`` (or the override) of each key path.
    """

    values: Any
    places: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where a key stands, or else the nearest of its parents."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "")


def read_yaml(path: Path) -> Document:
    """Read a file.

    Raises:
        ConfigError: it can't be read, or is not such YAML; with file and line.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        return parse_yaml(text.decode("utf-8-sig"), str(path))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", "a YAML file", "check the path of the config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not text in UTF-8 (byte {error.start})", "a YAML file", "save it as UTF-8"
        ) from error


def parse_yaml(text: str, origin: str) -> Document:
    """Read a text; ``origin`` names it in places and messages.

    Raises:
        ConfigError: not such YAML; with line.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"{origin}: more than 1 MB", "a config of at most 1 MB", "is it a config?"
        )
    try:
        _check_depth(text, origin)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{origin}{line}: {error.problem or error.context}",
            "valid YAML",
            "check quotes, colons and indentation (spaces, no tabs) at and before this line",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{origin}: {str(error).splitlines()[0]}", "valid YAML", "is it a text file?"
        ) from error
    document = Document(None, {(): origin})
    if node is not None:
        document.values = _Reader(origin, document).value(node, ())
    return document


def _check_depth(text: str, origin: str) -> None:
    """Look at the events first: composing would recurse as deep as the text says."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError(
                f"{origin}:{_line(event)}: more than {MAX_DEPTH} levels of nesting",
                f"at most {MAX_DEPTH} levels",
                "is it a config?",
            )


def _line(item: yaml.Node | yaml.Event) -> int:
    mark = item.start_mark
    return mark.line + 1 if mark else 0


class _Reader:
    """Turns nodes into values, noting places."""

    def __init__(self, origin: str, document: Document) -> None:
        self.origin = origin
        self.places = document.places
        self.count = 0
        self.constructor = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.places.setdefault(path, self._place(node))
        self.count += 1
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            raise self._error(node, "aliases that grow without bound", "write the values out")
        if isinstance(node, yaml.MappingNode) and node.tag == MAP_TAG:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == LIST_TAG:
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._refuse_duplicates(node, path)
        try:
            self.constructor.flatten_mapping(node)  # resolves `<<`
        except yaml.YAMLError as error:
            raise self._error(node, str(error).splitlines()[0], "write the keys out") from error
        values = {}
        for key, item in node.value:
            name = str(key.value)
            self.places[(*path, name)] = self._place(key)
            values[name] = self.value(item, (*path, name))
        return values

    def _refuse_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key that is a list or mapping", "use a plain word as key")
            line = _line(key)
            if key.value in lines and key.value != "<<":
                dotted = ".".join(str(part) for part in (*path, key.value))
                raise self._error(
                    key, f"{dotted} is given twice, first in line {lines[key.value]}", "remove one"
                )
            lines[key.value] = line

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag == TIME_TAG:
            return node.value
        if node.tag not in PLAIN_TAGS:
            raise self._error(node, f"the tag {node.tag}", "remove the tag")
        try:
            value = self.constructor.construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError) as error:
            raise self._error(node, f"{node.value[:40]!r}: {error}", "mend the value") from error
        if isinstance(value, int) and abs(value) >= 2**63:
            raise self._error(node, "a number of more than 63 bits", "mend the value")
        return value

    def _place(self, node: yaml.Node) -> str:
        return f"{self.origin}:{_line(node)}"

    def _error(self, node: yaml.Node, found: str, todo: str) -> ConfigError:
        return ConfigError(f"{self._place(node)}: {found}", "plain YAML", todo)
