"""Checkpoints: complete or not there, verified before anything is believed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mtf.errors import CheckpointError
from mtf.learning.checkpoint import read_checkpoint, read_newest, write_checkpoint

TENSORS = {"weights": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "last", 40, TENSORS, {"epoch": 3})
    found = read_newest(tmp_path, "last")
    assert found.path.name == "last-00000040"
    assert found.state == {"epoch": 3}
    assert torch.equal(found.tensors["weights"]["a"], TENSORS["weights"]["a"])


def test_the_newest_two_of_a_kind_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, "last", step, TENSORS, {})
    write_checkpoint(tmp_path, "best", 1, TENSORS, {})
    assert names(tmp_path) == ["best-00000001", "last-00000002", "last-00000003"]


def test_writing_a_step_again_overwrites_nothing(tmp_path: Path) -> None:
    # A kill between moving the old one away and the new one in would leave none at all.
    write_checkpoint(tmp_path, "last", 1, TENSORS, {"epoch": 0})
    write_checkpoint(tmp_path, "last", 1, TENSORS, {"epoch": 9})
    assert read_newest(tmp_path, "last").state == {"epoch": 9}
    assert names(tmp_path) == ["last-00000001", "last-00000001-2"]
    write_checkpoint(tmp_path, "last", 2, TENSORS, {})
    assert names(tmp_path) == ["last-00000001-2", "last-00000002"]


def test_a_run_that_fell_back_keeps_the_one_it_fell_back_to(tmp_path: Path) -> None:
    # Step 9 was damaged, and the run went on from step 6: at step 8 it has nothing of step 9.
    for step in (6, 9, 8):
        write_checkpoint(tmp_path, "last", step, TENSORS, {})
    assert names(tmp_path) == ["last-00000006", "last-00000008"]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Two checkpoints, so that there is one to fall back to."""
    write_checkpoint(tmp_path, "last", 1, TENSORS, {"step": 1})
    write_checkpoint(tmp_path, "last", 2, TENSORS, {"step": 2})
    return tmp_path


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "manifest.json"])
def test_every_flipped_bit_and_cut_is_noticed(pair: Path, name: str) -> None:
    file = pair / "last-00000002" / name
    sound = file.read_bytes()
    for position in range(0, len(sound), max(len(sound) // 24, 1)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << position % 8
        for content in (bytes(damaged), sound[:position]):
            file.write_bytes(content)
            found = read_newest(pair, "last")
            assert found.state == {"step": 1}
            assert "last-00000002" in found.rejected[0]


def test_a_missing_file_is_noticed(pair: Path) -> None:
    (pair / "last-00000002" / "weights.safetensors").unlink()
    assert read_newest(pair, "last").state == {"step": 1}


def test_all_damaged_is_an_error_that_names_them(pair: Path) -> None:
    for folder in pair.iterdir():
        (folder / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError) as error:
        read_newest(pair, "last")
    assert "last-00000001" in str(error.value)
    assert "last-00000002" in str(error.value)


def test_a_foreign_folder_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "last-00000001").mkdir()
    (tmp_path / "last-00000001" / "model.pt").write_bytes(b"\x80\x04")
    with pytest.raises(CheckpointError, match=r"no readable manifest\.json"):
        read_checkpoint(tmp_path / "last-00000001")


def test_a_manifest_can_not_point_outside(tmp_path: Path) -> None:
    import hashlib
    import json

    (tmp_path / "secret").write_bytes(b"{}")
    folder = tmp_path / "last-00000001"
    folder.mkdir()
    files = {"../secret": hashlib.sha256(b"{}").hexdigest()}
    body = json.dumps({"schema": 2, "name": folder.name, "files": files}, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    (folder / "manifest.json").write_text(
        json.dumps({"sha256": digest, "body": body}, sort_keys=True)
    )
    with pytest.raises(CheckpointError, match="outside"):
        read_checkpoint(folder)


def test_a_refusing_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, "last", 1, TENSORS, {})

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_checkpoint(tmp_path, "last", 2, TENSORS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["last-00000001"]


def test_an_unfinished_folder_is_not_looked_at(tmp_path: Path) -> None:
    done = write_checkpoint(tmp_path, "last", 1, TENSORS, {"step": 1})
    shutil.copytree(done, tmp_path / ".last-00000002.77.partial")
    assert read_newest(tmp_path, "last").state == {"step": 1}
