"""YAML read safely, and remembering the line of every key.

The values are those of ``yaml.safe_load``, except that keys are always text and dates stay as
written. Refused: tags, duplicate keys, more than 100 kB, more than 50 levels, more than 5,000
values, aliases and merges (``<<``) that grow beyond these. Knows nothing of what the keys mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtf.errors import ConfigError

MAX_BYTES, MAX_DEPTH, MAX_VALUES = 100_000, 50, 5_000
"""Ten times what a large config has, and still read in a fraction of a second."""
MAX_DIGITS = 400
"""More digits than any number has that fits 64 bits: reading them would take long."""

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the root."""

PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
NUMBER_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float")}
TIME_TAG, MERGE_TAG = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"
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
            f"{origin}: more than {MAX_BYTES // 1000} kB",
            f"a config of at most {MAX_BYTES // 1000} kB",
            "is it a config?",
        )
    try:
        _check_size(text, origin)
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


def _check_size(text: str, origin: str) -> None:
    """Look at the events first: composing would recurse as deep as the text says."""
    depth, count = 0, 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        count += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH or count > 2 * MAX_VALUES:  # a key and a value are two
            most = f"{MAX_DEPTH} levels of nesting" if depth > MAX_DEPTH else f"{MAX_VALUES} values"
            raise ConfigError(
                f"{origin}:{_line(event)}: more than {most}", f"at most {most}", "is it a config?"
            )


def _line(item: yaml.Node | yaml.Event) -> int:
    mark = item.start_mark
    return mark.line + 1 if mark else 0


class _Reader:
    """Turns nodes into values, noting places."""

    def __init__(self, origin: str, document: Document) -> None:
        self.origin = origin
        self.places = document.places
        self.count, self.length = 0, 0
        self.constructor = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.places.setdefault(path, self._place(node))
        self._count(node, path)
        if isinstance(node, yaml.MappingNode) and node.tag == MAP_TAG:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == LIST_TAG:
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _count(self, node: yaml.Node, path: KeyPath, depth: int = 0) -> None:
        """Stop where aliases make more of the text than it says."""
        self.count += 1
        self.length += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        grown = self.count > MAX_VALUES or self.length > MAX_BYTES
        if grown or len(path) + depth > MAX_DEPTH:
            found = "aliases that grow without bound"
            raise self._error(node, path, found, "write the values out")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._refuse_duplicates(node, path)
        values = {}
        for name, (key, item) in self._pairs(node, path, 0).items():
            self._refuse_broken_text(key, path)
            self.places[(*path, name)] = self._place(key)
            values[name] = self.value(item, (*path, name))
        return values

    def _pairs(
        self, node: yaml.MappingNode, path: KeyPath, depth: int
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key and value nodes by name: those that ``<<`` brings, and over them the mapping's own.

        Where several mappings are merged, the first that has a key wins.
        """
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        own = {}
        for key, item in node.value:
            self._count(key, path, depth)
            if key.tag != MERGE_TAG:
                own[str(key.value)] = (key, item)
                continue
            for source in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                if not isinstance(source, yaml.MappingNode):
                    found = f"`<<` with {str(source.value)[:40]!r}, no mapping"
                    raise self._error(source, path, found, "write the keys out")
                merged = {**self._pairs(source, path, depth + 1), **merged}
        return {**merged, **own}

    def _refuse_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                found = "a key that is a list or mapping"
                raise self._error(key, path, found, "use a plain word as key")
            line = _line(key)
            if key.value in lines:
                dotted = ".".join(str(part) for part in (*path, key.value))
                found = f"{dotted} is given twice, first in line {lines[key.value]}"
                raise self._error(key, (), found, "remove one")
            lines[key.value] = line

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        self._refuse_broken_text(node, path)
        if node.tag == TIME_TAG:
            return node.value
        if node.tag not in PLAIN_TAGS:
            raise self._error(node, path, f"the tag {node.tag}", "remove the tag")
        if node.tag in NUMBER_TAGS and len(node.value) > MAX_DIGITS:
            raise self._error(node, path, "a number of more than 63 bits", "mend the value")
        try:
            value = self.constructor.construct_object(node)
        except (ValueError, KeyError, OverflowError, yaml.YAMLError) as error:
            found = f"{node.value[:40]!r}: {error}"
            raise self._error(node, path, found, "mend the value") from error
        if isinstance(value, int) and abs(value) >= 2**63:
            raise self._error(node, path, "a number of more than 63 bits", "mend the value")
        return value

    def _refuse_broken_text(self, node: yaml.Node, path: KeyPath) -> None:
        """Half of a character, written as an escape, can be neither stored nor printed."""
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            found = f"{text[:40]!a}, which has half of a character"
            raise self._error(node, path, found, "write the character itself")

    def _place(self, node: yaml.Node) -> str:
        return f"{self.origin}:{_line(node)}"

    def _error(self, node: yaml.Node, path: KeyPath, found: str, todo: str) -> ConfigError:
        at = f"{'.'.join(map(str, path[:10]))}: " if path else ""
        return ConfigError(f"{self._place(node)}: {at}{found}", "plain YAML", todo)
