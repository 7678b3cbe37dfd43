"""A run folder: made for one run alone, opened without running anything, refused when foreign."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tasks import small_config

from mtf.errors import CheckpointError, ConfigError, MtfError
from mtf.learning.task import prepare
from mtf.run import Run, check_data, create_run, environment, load


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """An empty run, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return create_run(small_config(), {"environment": {"data_fingerprint": "abc"}})


def test_two_runs_of_the_same_second_get_two_folders_and_a_name_is_the_latest(run: Run) -> None:
    second = create_run(small_config(), {})
    assert second.path != run.path
    assert load("small").path == second.path
    assert load(run.path).path == run.path
    assert load("small").config == small_config()


def test_an_unknown_name_is_told_the_names_there_are(run: Run) -> None:
    with pytest.raises(CheckpointError, match=r"no run 'smal'[\s\S]*one of small, or the folder"):
        load("smal")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("foo: bar\n", ConfigError, "unknown key"),
        (": : [", ConfigError, "config.yaml"),
        ("just text", ConfigError, "found str"),
        ("plugins: [mine.py]\n", MtfError, "names files under plugins: mine.py"),
        ("base: other.yaml\n", MtfError, "names files under base: other.yaml"),
    ],
)
def test_a_foreign_folder_is_a_message(
    run: Run, text: str, error: type[MtfError], words: str
) -> None:
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(error, match=words):
        load(run.path)


def test_opening_a_run_executes_nothing(run: Run) -> None:
    # Neither by `plugins:` nor by a base that has them.
    Path("mine.py").write_text("open('was_run', 'w').close()\n")
    (run.path / "other.yaml").write_text("plugins: [mine.py]\n")
    config = run.path / "config.yaml"
    resolved = config.read_text()
    config.write_text(resolved.replace("plugins: []", "base: other.yaml"))
    with pytest.raises(MtfError, match="--trust-plugins"):
        load(run.path)
    assert not Path("was_run").exists()
    load(run.path, trust_plugins=True)
    assert Path("was_run").exists()


@pytest.mark.parametrize("content", ["{}", "[]", "{", None])
def test_a_damaged_environment_is_a_message(run: Run, content: str | None) -> None:
    file = run.path / "environment.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(CheckpointError, match=r"environment\.json"):
        check_data(run, prepare(run.config))


def test_changed_candles_are_refused_and_plugin_files_are_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.py").write_text("")
    task = prepare(small_config(plugins=["mine.py"]))
    kept = environment(task)
    assert list(kept["plugin_files"]) == ["mine.py"]
    assert len(kept["plugin_files"]["mine.py"]) == 64
    with pytest.raises(CheckpointError, match=r"candles of .* have changed"):
        check_data(run, task)
    (run.path / "environment.json").write_text(json.dumps(kept))
    check_data(run, task)


def test_a_place_that_can_not_be_written_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match=r"could not write a run folder in runs/small"):
        create_run(small_config(), {})
