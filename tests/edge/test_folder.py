"""The exported folder: read whole, or refused with what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mtf.edge import Runner, RunnerError
from mtf.learning.task import Task

MANIFESTS = [
    *("", "[]", "{", "[" * 100_000),
    *('{"schema": 1}', '{"schema": 1, "files": 3}', '{"schema": 1, "files": [[3, "0"]]}'),
]


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


@pytest.mark.parametrize("text", MANIFESTS)
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


def forge(folder: Path, name: str, data: bytes) -> None:
    """Put something else in the place of a file, and its sum into the manifest."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("data", [b"[]", b"3", b"", b"{", b"[" * 100_000, b"\xff\xfe\xff"])
def test_a_model_json_that_is_none_is_a_message(folder: Path, data: bytes) -> None:
    forge(folder, "model.json", data)
    with pytest.raises(RunnerError, match=r"has no readable model\.json"):
        Runner(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"symbols": []},
        {"clock": {"nme": 1}},
        {"streams": [3]},
        {"streams": "1m"},
        {"outputs": [3]},
        {"outputs": None},
        {"side_inputs": {"a": 3}},
        {"policy": "argmax"},
    ],
)
def test_a_model_json_that_says_something_else_is_a_message(
    folder: Path, changes: dict[str, Any]
) -> None:
    about = json.loads((folder / "model.json").read_text())
    forge(folder, "model.json", json.dumps({**about, **changes}).encode())
    with pytest.raises(RunnerError, match=r"has a model\.json that can't be used: "):
        Runner(folder)


@pytest.mark.parametrize("key", ["symbols", "clock", "streams", "outputs", "action", "side_inputs"])
def test_a_model_json_without_a_key_is_a_message(folder: Path, key: str) -> None:
    about = json.loads((folder / "model.json").read_text())
    del about[key]
    forge(folder, "model.json", json.dumps(about).encode())
    with pytest.raises(RunnerError, match=rf"has a model\.json without '{key}'"):
        Runner(folder)


@pytest.mark.parametrize(("key", "value"), [("duration_ms", 0), ("lookback", -5), ("step", None)])
def test_a_stream_that_can_not_be_is_a_message(folder: Path, key: str, value: object) -> None:
    about = json.loads((folder / "model.json").read_text())
    about["streams"][0][key] = value
    if key == "step":  # not slot by slot: windows must be there, then
        (folder / "model.onnx").unlink()
    forge(folder, "model.json", json.dumps(about).encode())
    with pytest.raises(RunnerError, match=r"model\.json that can't be used|lacks model\.onnx"):
        Runner(folder)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x"])
def test_states_that_are_none_are_a_message(folder: Path, data: bytes) -> None:
    forge(folder, "states.npz", data)
    with pytest.raises(RunnerError, match=r"has no readable states\.npz"):
        Runner(folder)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_a_message(folder: Path, name: str) -> None:
    files = {name: "0"}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))
    with pytest.raises(RunnerError, match="which no file can be called") as caught:
        Runner(folder)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
