"""The exported folder: read whole, or refused with what is wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mtf.edge import Runner, RunnerError
from mtf.learning.task import Task


@pytest.fixture
def folder(small_export: tuple[Path, Task], tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(small_export[0], tmp_path / "export"))


def test_a_file_that_changed_or_is_missing_is_named(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.is_dir() or name == "manifest.json":
            continue
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(RunnerError, match=f"has a {name} that does not match its sum"):
            Runner(folder)
        file.unlink()
        with pytest.raises(RunnerError, match=f"lacks {name}"):
            Runner(folder)
        file.write_bytes(data)
    Runner(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1}', '{"schema": 1, "files": 3}'])
def test_a_manifest_that_is_none_is_a_message(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(RunnerError, match=r"has no readable manifest\.json"):
        Runner(folder)


def test_another_folder_and_another_version_are_messages(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="is no exported model"):
        Runner(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 2}))
    with pytest.raises(RunnerError, match=r"written in schema 2\n  expected: schema 1"):
        Runner(folder)
    files = {"../secret": "0", **manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))
    with pytest.raises(RunnerError, match="lies outside of it"):
        Runner(folder)
