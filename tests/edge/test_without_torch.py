"""The exported folder alone, in a process that finds numpy and onnxruntime and nothing else."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from exports import asked, disturbed, rows_of

import mtf.edge
from mtf.learning.task import Task

MINUTE = 60_000
ALLOWED = ("mtf.edge", "numpy", "onnxruntime")
START = """
import sys
sys.path[:0] = [{packages!r}, {folder!r}]
for name in ("torch", "numba", "mtf", "jaxtyping"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{{name}} can be imported")
from mtf_runner.__main__ import main
status = main({arguments!r})
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_the_runner_imports_numpy_onnxruntime_and_the_standard_library_alone() -> None:
    for file in Path(mtf.edge.__path__[0]).glob("*.py"):
        for name in imports(file):
            outside = name.split(".")[0] not in sys.stdlib_module_names
            assert not outside or name.startswith(ALLOWED), f"{file.name} imports {name}"


def linked(folder: Path, *wanted: str) -> Path:
    """A folder with links to the files of packages and of what they depend on, nothing else."""
    left, done = list(wanted), set[str]()
    while left:
        name = left.pop()
        if name in done:
            continue
        done.add(name)
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(str(distribution.locate_file(top)))
        needed = [one for one in distribution.requires or () if "extra ==" not in one]
        left += [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in needed]
    return folder


def write_candles(folder: Path, task: Task) -> list[str]:
    arguments = []
    for name, rows in rows_of(task.world).items():
        path = folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["open_time", "open", "high", "low", "close", "volume", "available_at"])
            lines.writerows((*candle, late or "") for candle, late in rows)
        arguments.append(f"{name}={path}")
    return arguments


def ran(packages: Path, folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The runner's command line, where the linked packages and the folder alone are found."""
    code = START.format(packages=str(packages), folder=str(folder), arguments=arguments)
    command = [sys.executable, "-S", "-I", "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linked(tmp_path_factory.mktemp("packages"), "numpy", "onnxruntime")


def test_candles_in_the_same_decisions_out_where_there_is_no_torch(
    small_export: tuple[Path, Task], packages: Path, tmp_path: Path
) -> None:
    folder, task = small_export
    builder = replace(task.builder, world=disturbed(task.world, seed=1))
    task = replace(task, panel=replace(task.panel, builders={task.config.symbol: builder}))
    times = np.arange(task.parts["test"].start_ms, task.parts["test"].end_ms, MINUTE)
    out = tmp_path / "decisions.csv"
    given = [*write_candles(tmp_path, task), "--from", str(times[0]), "--to", str(times[-1])]

    done = ran(packages, folder, [*given, "--out", str(out)])

    assert done.returncode == 0, done.stderr
    assert f"{len(times)} decisions" in done.stderr
    modules = done.stderr.splitlines()[-1].split()
    assert not {"torch", "numba", "mtf", "scipy", "pandas"} & {m.split(".")[0] for m in modules}
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["time_ms"]) for row in rows] == times.tolist()
    said = asked(task, builder, times)
    for name, column in said.arrays.items():
        assert np.abs(np.array([float(row[name]) for row in rows]) - column).max() < 1e-5, name
    probs = np.stack([said.arrays[f"action.prob_{side}"] for side in ("buy", "sell", "hold")], 1)
    names = np.array(["BUY", "SELL", "HOLD"])[probs.argmax(1)]
    assert [row["action"] for row in rows] == names.tolist()


def test_a_mistake_on_the_command_line_is_a_message(
    small_export: tuple[Path, Task], packages: Path
) -> None:
    done = ran(packages, small_export[0], ["5m=none.csv"])
    assert done.returncode == 2
    assert "found '5m=none.csv'\n  expected: 1m=FILE.csv btc=FILE.csv" in done.stderr
    assert "Traceback" not in done.stderr
