"""Arrows go down: reads the imports of every file and says which one points up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From bottom to top; names in one row may not import each other.
LAYERS = (
    ("mtf.errors", "mtf.compiled", "mtf.edge"),
    ("mtf.market",),
    ("mtf.trading",),
    ("mtf.plugins",),
    ("mtf.config",),
    ("mtf.model",),
    ("mtf.learning",),
    ("mtf.evaluation",),
    ("mtf.report", "mtf.realtime"),
    ("verbs", "mtf.testing"),
)
FOLDERS = {
    "mtf.benchmarks": "benchmarks",
    "mtf.data_sources": "data_sources",
    "mtf.encoders": "encoders",
    "mtf.heads": "heads",
}
# mtf itself is lazy; the seam between model and money stands beside the layers, above market.
LEVEL_OF = {"mtf": 0, "mtf.predictions": 1}
LIGHT = (
    "mtf",
    "mtf.errors",
    "mtf.bench",
    "mtf.cli",
    "mtf.completion",
    "mtf.list",
    "mtf.describe",
    "mtf.init",
)
LIGHT_FOLDERS = ("mtf.commands", "mtf.config")


def modules() -> Iterator[tuple[str, Path]]:
    for file in sorted((ROOT / "mtf").rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), file


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Modules of mtf that a file imports, wherever in it, except for the type checker alone."""
    tree = ast.parse(file.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: import from mtf, not relatively"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def level(module: str) -> int:
    for special, height in LEVEL_OF.items():
        if module == special or (special != "mtf" and module.startswith(f"{special}.")):
            return height
    for height, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return height
    return len(LAYERS) - 1


def own(module: str) -> str:
    """The part of mtf that a module belongs to."""
    return ".".join(module.split(".")[:2])


def wrong_arrows(module: str, file: Path) -> Iterator[str]:
    for target, line in imports(file):
        if not target.startswith("mtf.") or own(target) == own(module):
            continue
        if own(target) in FOLDERS:
            yield f"{file}:{line}: the core ({module}) imports the plug-in folder {own(target)}"
        elif level(target) > level(module):
            yield f"{file}:{line}: {module} imports {own(target)}, which stands above it"


def test_arrows_go_down_and_never_to_a_plugin_folder() -> None:
    wrong = [arrow for module, file in modules() for arrow in wrong_arrows(module, file)]
    assert not wrong, "\n".join(wrong)


def test_this_test_sees_a_wrong_arrow(tmp_path: Path) -> None:
    file = tmp_path / "low.py"
    file.write_text("import os\nfrom mtf.model.hybrid import X\nfrom mtf.encoders.dsc import DSC\n")
    first, second = wrong_arrows("mtf.market.low", file)
    assert "low.py:2: mtf.market.low imports mtf.model, which stands above it" in first
    assert "low.py:3: the core (mtf.market.low) imports the plug-in folder mtf.encoders" in second


def test_plugin_folders_are_imported_by_their_installed_names() -> None:
    for folder in FOLDERS.values():
        for file in (ROOT / folder).rglob("*.py"):
            for target, line in imports(file):
                assert target.split(".")[0] not in FOLDERS.values(), f"{file}:{line}: {target}"


@pytest.mark.parametrize("heavy", ["torch", "numba", "pandas", "sklearn", "lightning"])
def test_what_must_start_quickly_imports_nothing_heavy(heavy: str) -> None:
    for module, file in modules():
        if module in LIGHT or own(module) in LIGHT_FOLDERS:
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    assert heavy not in ast.unparse(node).replace(".", " ").split(), file
