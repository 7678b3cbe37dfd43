"""Constructors as the schema of config keys: from the source text, and from the class itself."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from mtf.errors import PluginError
from mtf.plugins import registry, signature, static
from mtf.plugins.registry import Entry


class Base:
    """A base.

    Args:
        width: of it, in metres
            and more.
        height: as the base says.
    """

    def __init__(
        self,
        context: object,
        *,
        width: Annotated[int, Field(ge=1)],
        height: float = 2.0,
        kind: Literal["a", "b"] = "a",
    ) -> None:
        pass


class Child(Base):
    """Inherits its constructor.

    Args:
        height: as the child says.
    """


def untyped(x: object, *, factor=1) -> object:  # type: ignore[no-untyped-def]
    """Has a key without a type."""
    return x


def entry_of(target: object) -> Entry:
    return Entry("encoder", "x", "nowhere:X", "here", loaded=target)


def test_keys_are_what_stands_after_the_star() -> None:
    keys = signature.options(entry_of(Child))
    assert [key.name for key in keys] == ["width", "height", "kind"]
    assert keys[0].default is signature.REQUIRED
    assert keys[0].description == "of it, in metres and more."
    assert keys[1].description == "as the child says."
    assert [key.type_text for key in keys] == ["int", "float", "Literal['a', 'b']"]


def test_constraints_in_annotations_are_checked() -> None:
    model = signature.options_model(entry_of(Child))
    assert model.model_validate({"width": 1}).model_dump() == {
        "width": 1,
        "height": 2.0,
        "kind": "a",
    }
    for wrong in (
        {},
        {"width": 0},
        {"width": "1"},
        {"width": 1, "kind": "c"},
        {"width": 1, "z": 1},
    ):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)


def test_a_key_without_a_type_is_the_authors_mistake() -> None:
    with pytest.raises(PluginError, match="'factor' without a type"):
        signature.options(entry_of(untyped))


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in registry.GROUPS for name in registry.names(kind)]
)
def test_source_text_and_class_say_the_same(kind: str, name: str) -> None:
    """The quick reading must never differ from the true one."""
    entry = registry.find(kind, name)
    reading = static.read(entry.target)
    assert reading is not None, "built-ins can be read without importing them"
    true = signature.options_of(registry.load(kind, name))
    quick = signature.options(entry)
    assert [(k.name, k.default, k.description) for k in quick] == [
        (k.name, k.default, k.description) for k in true
    ]
    assert [k.annotation for k in quick] == [k.annotation for k in true]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in registry.GROUPS for name in registry.names(kind)]
)
def test_every_key_of_a_built_in_is_described(kind: str, name: str) -> None:
    for option in signature.options(registry.find(kind, name)):
        assert option.description, f"{kind} {name}: {option.name}"
