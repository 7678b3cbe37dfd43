"""All mistakes of a config at once: where, what was found, what was expected, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mtf.config import keys
from mtf.config.yaml_text import Document, KeyPath
from mtf.errors import ConfigError, MtfError
from mtf.plugins.registry import did_you_mean

EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list, such as [a, b]",
    "tuple": "a list, such as [1, 2]",
    "dict": "a mapping, `key: value` on lines of their own",
    "model": "a mapping, `key: value` on lines of their own",
    "none": "null",
    "finite": "a finite number",
}
"""First word of pydantic's error type → what to say."""
SHOWN = 30
"""Mistakes that are told; of more, only how many."""


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        path: keys from the root.
        found: what is there.
        expected: what may be there.
        todo: what to do; empty where that is plain.
    """

    path: KeyPath
    found: str
    expected: str
    todo: str = ""

    def text(self, place: str) -> str:
        """At most six lines."""
        head = f"{place}: {dotted(self.path)}" if place else dotted(self.path)
        return str(MtfError(f"{head}: {self.found}", self.expected, self.todo))


class MistakesError(ConfigError):
    """Everything that is wrong with a config.

    Attributes:
        mistakes: one by one.
    """

    def __init__(self, mistakes: Sequence[Mistake], document: Document) -> None:
        """Compose the message; places come from the document."""
        texts = [one.text(document.place(one.path)) for one in mistakes[:SHOWN]]
        more = [f"… and {len(mistakes) - SHOWN} more"] if len(mistakes) > SHOWN else []
        head = [f"{len(mistakes)} mistakes in the config:"] if len(mistakes) > 1 else []
        super().__init__("\n".join([*head, *texts, *more]))
        self.mistakes, self._document = tuple(mistakes), document

    def __reduce__(self) -> tuple[type[MistakesError], tuple[Sequence[Mistake], Document]]:
        """Processes tell each other of mistakes."""
        return MistakesError, (self.mistakes, self._document)


def from_pydantic(error: ValidationError, values: Any) -> list[Mistake]:
    """Every mistake that pydantic collected, in words.

    Args:
        error: what it raised.
        values: the config as read.
    """
    return [_mistake(detail, values) for detail in error.errors(include_url=False)]


def dotted(path: Iterable[str | int]) -> str:
    """``model.encoder.kernel_size``; list positions as ``[0]``."""
    keys = (f"[{part}]" if isinstance(part, int) else f".{part or repr(part)}" for part in path)
    return "".join(keys).removeprefix(".") or "the config"


def _mistake(detail: ErrorDetails, values: Any) -> Mistake:
    path = _as_in_files(detail["loc"])
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "mtf":
        return Mistake(path, context["found"], context["expected"], context["todo"])
    if kind == "extra_forbidden":
        return _unknown_key(path, given, keys.allowed(path[:-1], values))
    if kind == "missing":
        what = keys.description(path) or "a value"
        return Mistake(path, "not given", what, f"add `{path[-1]}:` there")
    expected = _expected(kind, detail["msg"], context)
    return Mistake(path, f"found {_shown(given)}", expected, _hint(kind, given, context))


def _as_in_files(loc: tuple[str | int, ...]) -> KeyPath:
    """Pydantic's location without the ``options`` that files don't have, and without ``[key]``."""
    path: KeyPath = ()
    for part, before in zip(loc, (None, *loc), strict=False):
        if part == "options" != before and keys.spec_at(path) is not None:
            continue
        if part != "[key]":
            path = (*path, part)
    return path


def _unknown_key(path: KeyPath, given: Any, allowed: tuple[str, ...]) -> Mistake:
    return Mistake(
        path,
        f"found an unknown key (with {_shown(given)})",
        f"one of {', '.join(allowed)}" if allowed else "no key here",
        did_you_mean(str(path[-1]), allowed) or "remove it, or see `mtf describe` and `mtf schema`",
    )


def _expected(kind: str, message: str, context: dict[str, Any]) -> str:
    if kind in ("literal_error", "enum"):
        return f"one of {context['expected'].replace(' or ', ', ')}"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    if kind == "int_from_float":
        return EXPECTED["int"]
    if kind.endswith("_type") or kind == "finite_number":
        return EXPECTED.get(kind.partition("_")[0], message)
    text = message.removeprefix("Input should be ").removeprefix("Value should be ")
    return text[0].lower() + text[1:]


def _hint(kind: str, given: Any, context: dict[str, Any]) -> str:
    if kind == "literal_error":
        return did_you_mean(str(given), re.findall(r"'([^']*)'", context["expected"]))
    if isinstance(given, str) and kind in ("float_type", "int_type"):
        return _number_hint(given, kind)
    if isinstance(given, int | float) and kind == "string_type":
        return f'put it in quotes: "{given}"'
    return ""


def _number_hint(text: str, kind: str) -> str:
    """YAML reads ``1e-3`` as text: numbers with an exponent need a dot and a sign."""
    match = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", text)
    if re.fullmatch(r"[+-]?0+\d+", text):
        return "remove the leading zero"
    if match is None or kind == "int_type":
        return "remove the quotes" if re.fullmatch(r"[+-]?\d+(\.\d+)?", text) else ""
    number = f"{match[1]}{match[2] or '.0'}e{match[3] or '+'}{match[4]}"
    return f"write {number} (YAML reads {text} as text)"


def _shown(value: Any) -> str:
    """A value in a message, short."""
    if isinstance(value, dict):
        inside = ", ".join(str(key) for key in list(value)[:5])
        return f"a mapping with {inside}" if value else "an empty mapping"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
