"""``mtf export``: a folder written whole or not at all, with everything a runner must know."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from pathlib import Path

import pytest
from exports import small_export, within
from tasks import small_config

from mtf import export
from mtf.config.schema import Config
from mtf.errors import CheckpointError, ConfigError
from mtf.export import exported, main, write_folder
from mtf.exported import weights_fingerprint
from mtf.market.features import Ohlcv
from mtf.model import graph_check
from mtf.plugins import registry
from mtf.run import Run

MANIFEST = {
    "schema": 1,
    "files": {"model.json": "", "model.onnx": "", "mtf_runner/__init__.py": ""},
}
FILES = {
    "model.json": b"{}",
    "model.onnx": b"one",
    "mtf_runner/__init__.py": b"",
    "manifest.json": json.dumps(MANIFEST).encode(),
}


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*.*") if file.is_file() and file.suffix != ".pyc")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_the_folder_holds_the_graphs_the_runner_and_the_sums_of_all(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run, folder, _ = small_export(tmp_path_factory)
    files = content(folder)
    manifest = json.loads(files.pop("manifest.json"))
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert manifest == {"schema": 1, "files": sums}
    assert {"model.onnx", "answer.onnx", "states.npz", "mtf_runner/__main__.py"} <= files.keys()
    assert [name for name in files if name.startswith("step_")] == ["step_0.onnx"]  # shared
    assert not any(b"mtf.edge" in data for name, data in files.items() if name.endswith(".py"))
    about = json.loads(files["model.json"])
    assert about["checkpoint"] == "calibrated-00000002"
    assert about["weights_sha256"] == weights_fingerprint(run.best())
    assert about["run"] == f"small/{run.path.name}"
    assert about["policy"]["name"] == "proportional"
    assert about["policy"]["settings"]["gain"] == 5.0
    five = next(one for one in about["streams"] if one["name"] == "5m")
    assert (five["from"], five["latency_ms"], five["forming"]) == ("1m", 2_000, ["1m"])
    assert five["features"]["settings"] == {
        "volatility_half_life": 20, "volume_half_life": 30, "clip": 8.0,
    }  # fmt: skip


def test_the_verb_says_where_the_folder_is_and_how_near_the_model(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, folder, _ = small_export(tmp_path_factory)
    files = content(folder)
    monkeypatch.setattr(export, "exported", lambda found: (files, 3e-7))
    main(str(run.path))
    said = capsys.readouterr().out
    assert "the graphs differ from the model by at most 3.0e-07" in said
    assert said.splitlines()[-1] == str(run.path / "export")
    assert content(run.path / "export") == files


def test_an_export_is_replaced_whole_and_nothing_else_is(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    files = {**MANIFEST["files"], "old/old.onnx": ""}  # type: ignore[dict-item]
    manifest = json.dumps({"schema": 0, "files": files}).encode()
    write_folder(folder, {**FILES, "old/old.onnx": b"old", "manifest.json": manifest})
    (folder / "mtf_runner" / "__pycache__").mkdir()
    (folder / "mtf_runner" / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")
    write_folder(folder, FILES)
    assert content(folder) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(CheckpointError, match="is there and is no export"):
        write_folder(other, FILES)


@pytest.mark.parametrize(
    "manifest",
    [
        '{"name": "my app"}',
        '{"files": {"index.html": ""}}',
        '{"files": 3}',
        "[]",
        "",
        "[" * 100_000,
    ],
)
def test_a_folder_with_a_manifest_of_something_else_is_left_alone(
    tmp_path: Path, manifest: str
) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(CheckpointError, match="is there and is no export"):
        write_folder(tmp_path, FILES)
    assert (tmp_path / "index.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("decisions.csv", "decisions.csv"),
        (".notes", ".notes"),
        ("mtf_runner/own.py", "mtf_runner/own.py"),
        ("candles/eth.csv", "candles"),
    ],
)
def test_an_export_that_something_was_put_into_is_left_alone(
    tmp_path: Path, name: str, told: str
) -> None:
    folder = tmp_path / "export"
    write_folder(folder, FILES)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    with pytest.raises(CheckpointError, match=f"export holds {re.escape(told)}, which") as caught:
        write_folder(folder, {**FILES, "model.onnx": b"two"})
    assert "to do: move it" in str(caught.value)
    assert (folder / name).read_text() == "mine"
    assert (folder / "model.onnx").read_bytes() == b"one"


def test_an_export_is_replaced_from_within(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_folder(folder, FILES)
    with within(folder):
        write_folder(Path(), {**FILES, "model.onnx": b"two"})
    assert content(folder) == {**FILES, "model.onnx": b"two"}


@pytest.mark.parametrize("survives", ["one", "two"])
def test_an_export_survives_a_stop_between_the_two_renames_and_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: str
) -> None:
    folder, rename = tmp_path / "export", os.rename
    write_folder(folder, FILES)

    def stopped(source: Path, target: Path) -> None:
        if source.suffix == ".new" and survives == "one":
            raise KeyboardInterrupt
        rename(source, target)
        if source.suffix == ".new":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {**FILES, "model.onnx": b"two"})
    assert content(folder) == {**FILES, "model.onnx": survives.encode()}
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_place_that_is_taken_is_told_before_anything_is_traced(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, _ = small_export(tmp_path_factory)
    monkeypatch.setattr(export, "exported", lambda found: pytest.fail("a graph was made"))
    with pytest.raises(CheckpointError, match="is there and is no export"):
        main(str(run.path), str(tmp_path))


def test_a_graph_that_says_nan_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, _ = small_export(tmp_path_factory)
    model, apart = run.model(), iter([1e-7, math.nan])
    monkeypatch.setattr(export, "_session", lambda data: None)
    monkeypatch.setattr(graph_check, "difference", lambda *given: next(apart))
    streams = dict.fromkeys(spec.name for spec in model.hybrid.streams)
    with pytest.raises(ConfigError, match="differs from the model by nan"):
        export._checked(model, {"model.onnx": b"", "answer.onnx": b""}, streams)


def test_what_can_not_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "export"
    write_folder(folder, FILES)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_synced", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_folder(folder, {**FILES, "model.onnx": b"two"})
    assert content(folder) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


class Own(Ohlcv):
    """Features that nobody else has."""


def test_features_of_a_stranger_are_refused_before_anything_is_traced(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("feature", "own")(Own)
    try:
        run, _, _ = small_export(tmp_path_factory)
        config: Config = small_config(features={"name": "own"}, heads={"action": {}})
        monkeypatch.setattr(Run, "model", lambda self: pytest.fail("a model was built"))
        with pytest.raises(ConfigError, match="features 'own', which the runner can't compute"):
            exported(Run(run.path, config))
    finally:
        registry.forget("feature", "own")
