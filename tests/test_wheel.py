"""The wheel is the tree: installed in an environment of its own, used from another folder."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

import pytest
from wheels import ROOT, run

FOLDERS = ("mtf", "benchmarks", "configs", "data_sources", "encoders", "heads")

pytestmark = pytest.mark.slow


def module_files() -> set[str]:
    """Paths inside the wheel that the tree asks for."""
    found = set()
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".yaml", ".json", ".typed") and "__pycache__" not in str(
                file
            ):
                inside = file.relative_to(ROOT)
                found.add(str(inside if folder == "mtf" else Path("mtf") / inside))
    return found


def test_wheel_and_tree_hold_the_same_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {name for name in names if ".dist-info/" not in name}
    assert files == module_files()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_everything_imports_from_another_folder(python: Path, tmp_path: Path) -> None:
    modules = sorted(
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for name in module_files()
        if name.endswith(".py") and not name.endswith("__main__.py")
    )
    code = (
        "import importlib, mtf\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(mtf.__file__)"
    )
    # The testing module needs hypothesis and pytest, which the path file brings.
    assert str(ROOT) not in run(python, "-c", code, folder=tmp_path)


def test_list_is_complete(python: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = run(python.parent / "mtf", "list", folder=tmp_path)
    assert "LOAD FAILED" not in said
    listed = {line.split()[1] for line in said.splitlines()}
    announced = {name for group in project["entry-points"].values() for name in group}
    assert listed == announced


def test_train_works_with_a_shipped_config(python: Path, tmp_path: Path) -> None:
    overrides = [
        "training.epochs=1",
        "training.sampling={groups: 2, decisions: 4, stride: 4, steps_per_epoch: 2}",
        'decisions={start: "2024-01-01", end: "2024-01-03"}',
        "streams.1s.lookback=60",
        "evaluation.bootstrap=10",
    ]
    said = run(python.parent / "mtf", "train", "dsc_mtf", *overrides, folder=tmp_path)
    (metrics,) = (tmp_path / "runs" / "dsc_mtf").glob("*/metrics.json")
    assert str(metrics.parent.relative_to(tmp_path)) in said.splitlines()[-1]


def test_starting_a_config_of_ones_own(python: Path, tmp_path: Path) -> None:
    run(python.parent / "mtf", "init", "my.yaml", folder=tmp_path)
    head = (tmp_path / "my.yaml").read_text().splitlines()[0]
    assert Path(head.partition("$schema=")[2]).is_file(), "editors find the schema"
