"""Whatever happens to a run's checkpoints is noticed, said, and mended by the one before."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tasks import small_config

from mtf.cli import main
from mtf.errors import CheckpointError
from mtf.learning.checkpoint import MANIFEST, read_checkpoint, read_newest, write_checkpoint
from mtf.run import Run, load
from mtf.train import train
from runs import quiet

CUTS, FLIPS = 64, 256


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run with two checkpoints of either kind, for all tests of this file."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("trained"))
    try:
        run = train(small_config(training={"epochs": 2, "checkpoint_every": 3}), quiet())
        best = read_newest(run.checkpoints, "best")
        for name in ("best-00000001", "best-00000002"):  # the second epoch may not have been better
            write_checkpoint(run.checkpoints, "best", int(name[5:]), best.tensors, {})
        yield Run(run.path.resolve(), run.config)
    finally:
        os.chdir(before)


@pytest.fixture
def run(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run that a test may damage."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.path, tmp_path / "run")
    return load("run")


def newest(run: Run, kind: str = "last") -> tuple[Path, Path]:
    """The newest checkpoint of a kind, and the one before."""
    second, first = sorted(run.checkpoints.glob(f"{kind}-*"))[-2:]
    return first, second


def files_of(folder: Path) -> list[Path]:
    """The files of a checkpoint, in the same order everywhere."""
    return sorted(folder.iterdir())


def falls_back(run: Run, kind: str = "last") -> str:
    """The one before is used; what is said of the newest."""
    first, second = newest(run, kind)
    found = read_newest(run.checkpoints, kind)
    assert found.path == second
    (reason,) = found.rejected
    assert str(first) in reason
    return reason


@pytest.mark.parametrize("kind", ["last", "best"])
def test_cuts_at_64_points_are_all_noticed(run: Run, kind: str) -> None:
    files, draw = files_of(newest(run, kind)[0]), random.Random(1)
    for number in range(CUTS):
        file = files[number % len(files)]
        sound = file.read_bytes()
        file.write_bytes(sound[: draw.randrange(len(sound))])
        assert file.name in falls_back(run, kind)
        file.write_bytes(sound)
    assert read_newest(run.checkpoints, kind).rejected == ()


@pytest.mark.parametrize("kind", ["last", "best"])
def test_256_flipped_bits_are_all_noticed(run: Run, kind: str) -> None:
    # The manifest's own among them; a flip at every place of a file is as likely as at any other.
    files, draw = files_of(newest(run, kind)[0]), random.Random(2)
    for number in range(FLIPS):
        file = files[number % len(files)]
        sound = file.read_bytes()
        damaged = bytearray(sound)
        damaged[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        assert file.name in falls_back(run, kind)
        file.write_bytes(sound)
    assert read_newest(run.checkpoints, kind).rejected == ()


def emptied(file: Path, before: Path) -> None:
    file.write_bytes(b"")


def missing(file: Path, before: Path) -> None:
    file.unlink()


def swapped(file: Path, before: Path) -> None:
    other, content = before / file.name, file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(content)


def a_folder(file: Path, before: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path, before: Path) -> None:
    file.unlink()
    os.mkfifo(file)  # opening it for reading would wait for ever


def a_link(file: Path, before: Path) -> None:
    content = file.with_name("content")
    file.rename(content)
    content.rename(before.parent / "content")
    file.symlink_to(before.parent / "content")


@pytest.mark.parametrize("harm", [emptied, missing, a_folder, a_pipe, a_link])
@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", MANIFEST])
def test_a_file_that_is_no_longer_what_it_was_is_noticed(
    run: Run, harm: Callable[[Path, Path], None], name: str
) -> None:
    first, second = newest(run)
    harm(first / name, second)
    assert name in falls_back(run)


@pytest.mark.parametrize("name", ["optimizer.safetensors", "state.json", MANIFEST])
def test_files_swapped_between_checkpoints_are_noticed_in_both(run: Run, name: str) -> None:
    swapped(newest(run)[0] / name, newest(run)[1])
    with pytest.raises(CheckpointError) as error:
        read_newest(run.checkpoints, "last")
    assert all(path.name in str(error.value) for path in newest(run))


def test_swapped_folders_are_noticed(run: Run) -> None:
    # Every file fits its manifest; only the names say that the older one is not the newest.
    first, second = newest(run)
    first.rename(first.with_name("kept"))
    second.rename(first)
    (first.with_name("kept")).rename(second)
    with pytest.raises(CheckpointError, match=rf"{first.name} was written as {second.name}"):
        read_newest(run.checkpoints, "last")


def test_an_extra_file_an_empty_folder_and_a_file_instead_are_noticed(run: Run) -> None:
    first, _ = newest(run)
    (first / "model.pt").write_bytes(b"")
    assert "has 'model.pt', which mtf did not write" in falls_back(run)
    shutil.rmtree(first)
    first.mkdir()
    assert "has no readable manifest.json (No such file" in falls_back(run)
    first.rmdir()
    first.write_text("a file")
    assert "has no readable manifest.json (Not a directory" in falls_back(run)


def sealed(folder: Path, **changes: object) -> None:
    """Write a manifest that fits the files that are there, by one who knows how."""
    sums = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files_of(folder)
        if file.name != MANIFEST
    }
    told = {"schema": 2, "name": folder.name, "files": sums, **changes}
    body = json.dumps(told, sort_keys=True)
    seal = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}
    (folder / MANIFEST).write_text(json.dumps(seal, sort_keys=True))


def test_another_schema_is_named(run: Run) -> None:
    sealed(newest(run)[0], schema=3)
    assert "has schema 3; this version of mtf reads schema 2" in falls_back(run)


class Canary:
    """Unpickling it would make a file."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch canary",)


def a_header(length: int, text: bytes = b"") -> bytes:
    """The start of a safetensors file whose header is said to be so long."""
    return struct.pack("<Q", length) + text


def a_tensor(shape: list[int], end: int) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return a_header(len(header), header) + bytes(8)


PICKLE = pickle.dumps(Canary())
HOSTILE = {
    "pickled weights": ("weights.safetensors", PICKLE),
    "pickled state": ("state.json", PICKLE),
    "a header of 2^63 bytes": ("weights.safetensors", a_header(2**63, b"{}")),
    "a header of 40 MB": ("weights.safetensors", a_header(40_000_000) + bytes(40_000_000)),
    "a tensor beyond the file": ("weights.safetensors", a_tensor([2**40], 2**42)),
    "a negative shape": ("weights.safetensors", a_tensor([-1], 8)),
    "deep JSON": ("state.json", b"[" * 1_000_000 + b"]" * 1_000_000),
    "a deep header": ("weights.safetensors", a_header(200_000, b"[" * 200_000)),
    "huge JSON": ("state.json", b'"' + b"x" * 60_000_000 + b'"'),
    "no object": ("state.json", b"[]"),
    "no text": ("state.json", b"\xff\xfe\x00"),
    "long numbers": ("state.json", b'{"step": ' + b"9" * 10_000 + b"}"),
    "another state": ("state.json", b'{"step": "4"}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_under_a_fitting_manifest_is_refused_and_never_run(
    run: Run, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, content = HOSTILE[name]
    for folder in newest(run):
        (folder / file).write_bytes(content)
        sealed(folder)
    tracemalloc.start()
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", "run"])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "checkpoint" in said
    assert "Traceback" not in said
    assert not Path("canary").exists()
    assert most < 50_000_000  # of the larger ones only what a file of tensors may have


@pytest.mark.parametrize("name", ["../../secret.json", "/etc/passwd", "..", "", "a/b.safetensors"])
def test_a_manifest_that_points_elsewhere_is_refused(run: Run, name: str) -> None:
    first, _ = newest(run)
    (run.path / "secret.json").write_text("{}")
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files_of(first)}
    del files[MANIFEST]
    sealed(first, files={**files, name: hashlib.sha256(b"{}").hexdigest()})
    assert "lies outside of it or is no part of one" in falls_back(run)


def test_pickles_beside_the_checkpoints_are_never_opened(run: Run) -> None:
    for folder in (run.path, run.checkpoints, newest(run)[1]):
        for name in ("model.pt", "data.pkl"):
            (folder / name).write_bytes(PICKLE)
    with (run.checkpoints / "last-99999999").open("wb") as file:
        torch.save({"canary": torch.zeros(1)}, file)
    assert "last-99999999" in read_newest(run.checkpoints, "last").rejected[0]
    main_ends_well("evaluate", "run")
    assert not Path("canary").exists()


def main_ends_well(*arguments: str) -> None:
    """The command line, which ends by itself."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def test_resuming_says_what_it_passed_over(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (first, second), (best, _) = newest(run), newest(run, "best")
    emptied(first / "state.json", second)
    missing(best / "weights.safetensors", second)
    main_ends_well("train", "--resume", "run")
    said = capsys.readouterr().out
    assert f"passed over: checkpoint {first} has a state.json that does not match" in said
    assert f"going on from {second} " in said
    assert f"passed over: checkpoint {best} lacks weights.safetensors" in said


def test_evaluating_says_what_it_passed_over(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    best, before = newest(run, "best")
    swapped(best / "weights.safetensors", newest(run)[0])
    (run.path / "metrics.json").write_text("damaged, too")
    main_ends_well("evaluate", "run")
    said = capsys.readouterr().out
    assert f"passed over: checkpoint {best} has a weights.safetensors that does not" in said
    assert str(before) not in said
    assert run.metrics["test"]


@pytest.mark.parametrize(
    ("kind", "verb"), [("last", ("train", "--resume")), ("best", ("evaluate",))]
)
def test_all_damaged_names_them_and_nothing_starts_anew(
    run: Run, kind: str, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in run.checkpoints.glob(f"{kind}-*"):
        missing(folder / MANIFEST, folder)
    with pytest.raises(SystemExit) as ended:
        main([*verb, "run"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    for folder in newest(run, kind):
        assert f"checkpoint {folder} has no readable manifest.json" in said.err
    assert "expected: a sound folder named" in said.err
    assert "step 0" not in said.out


@pytest.mark.parametrize("left", ["best", "metrics", "junk"])
def test_checkpoints_that_are_gone_are_no_fresh_start(
    run: Run, left: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in run.checkpoints.glob("*" if left != "best" else "last-*"):
        shutil.rmtree(folder)
    if left == "junk":
        (run.path / "metrics.json").unlink()
        (run.checkpoints / "model.pt").write_bytes(PICKLE)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", "run"])
    assert ended.value.code == 2
    assert "no 'last' checkpoint in run/checkpoints" in capsys.readouterr().err


def test_a_foreign_checkpoint_is_refused_by_what_does_not_fit(run: Run) -> None:
    found = read_checkpoint(newest(run)[0])
    changed = {**found.tensors, "optimizer": {"0.exp_avg": torch.zeros(1, 2, 3, 4)}}
    write_checkpoint(run.checkpoints, "last", 99, changed, found.state)
    refused(run, "an optimiser's '0.exp_avg' that no parameter has")
    without = {key: value for key, value in found.tensors.items() if key != "random"}
    write_checkpoint(run.checkpoints, "last", 100, without, found.state)
    refused(run, "files of optimizer, weights, not optimizer, random, weights")
    changed = {**found.tensors, "random": {"torch": torch.zeros(3)}}
    write_checkpoint(run.checkpoints, "last", 101, changed, found.state)
    refused(run, "a random state that torch can't use")
    write_checkpoint(run.checkpoints, "last", 102, found.tensors, {**found.state, "epoch": "x"})
    refused(run, "an unusable or unknown 'epoch'")


def refused(run: Run, words: str) -> None:
    """Going on with the run ends with a message."""
    from mtf.train import go_on

    with pytest.raises(CheckpointError, match=words):
        go_on(run, quiet())


@pytest.mark.parametrize("content", [b"[" * 2_000_000, b'"' + b"x" * 9_000_000, PICKLE, b"[]"])
@pytest.mark.parametrize("name", ["environment.json", "metrics.json"])
def test_a_hostile_json_file_of_a_run_is_a_message(run: Run, name: str, content: bytes) -> None:
    (run.path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} can't be read: "):
        _ = run.metrics if name == "metrics.json" else run.task()
    assert not Path("canary").exists()
