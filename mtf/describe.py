"""``mtf describe KIND NAME``: what a plug-in is, its config keys, and the YAML to copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtf.config.keys import NAMED_BY_KEY
from mtf.plugins import registry
from mtf.plugins.signature import REQUIRED, Option, options

PLACES = {
    "data_source": ("data",),
    "feature": ("features",),
    "encoder": ("model", "encoder"),
    "fusion": ("model", "fusion"),
    "head": ("heads",),
    "side_input": ("side_inputs",),
    "backtest": ("backtest",),
    "policy": ("backtest", "policy"),
}
"""Kind → where it stands in a config."""


def main(kind: str, name: str) -> None:
    """Print a plug-in's documentation, options and a snippet of YAML.

    Raises:
        PluginError: unknown or broken.
    """
    entry = registry.find(kind, name)
    keys = options(entry)
    print(f"{entry.kind} {entry.name}: {entry.place}\n")
    print(entry.documentation().partition("\nArgs:")[0].strip() or "(no documentation)")
    if entry.kind == "side_input":
        print("\n".join(_elements(entry.name)))
    print("\nOptions:" if keys else "\nNo options.")
    for option in keys:
        print(_line(option))
    if entry.kind in PLACES:
        print(f"\nIn a config:\n{snippet(entry.kind, name, keys)}")


def snippet(kind: str, name: str, keys: tuple[Option, ...]) -> str:
    """YAML with every option at its default; those that must be given are marked."""
    place = PLACES[kind]
    shown = ", ".join(f"{key.name}: {_yaml(key.default)}" for key in keys)
    inner = f"{name}: {{{shown}}}"
    if kind not in NAMED_BY_KEY:
        inner = f"{place[-1]}: {{{', '.join(part for part in (f'name: {name}', shown) if part)}}}"
        place = place[:-1]
    lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(place)]
    return "\n".join(f"  {line}" for line in [*lines, "  " * len(place) + inner])


def _elements(name: str) -> Iterator[str]:
    """Every element of a side input with its meaning; none where only an instance knows them."""
    elements = getattr(registry.load("side_input", name), "elements", None)
    if isinstance(elements, Mapping):
        yield f"\nElements ({len(elements)}):"
        width = max(map(len, elements), default=0)
        yield from (f"  {element:<{width}}  {said}" for element, said in elements.items())


def _line(option: Option) -> str:
    default = "required" if option.default is REQUIRED else f"default {_yaml(option.default)}"
    return f"  {option.name} ({option.type_text}, {default})\n      {option.description}".rstrip()


def _yaml(value: Any) -> str:
    import yaml

    if value is REQUIRED:
        return "…"
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["describe", *sys.argv[1:]])
