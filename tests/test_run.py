"""A run folder: made for one run alone, opened without running anything, refused when foreign."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from tasks import SMALL, small_config

from mtf.cli import main
from mtf.config.load import parse_config
from mtf.environment import check_data, environment
from mtf.errors import CheckpointError, ConfigError, MtfError, PluginError
from mtf.learning.task import prepare
from mtf.run import Run, create_run, load
from mtf.trust import trusted_plugins


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


PLUGIN = """\
import mtf
from mtf.encoders.linear import Linear

open("was_run", "w").close()

@mtf.register("encoder", "{name}")
class Mine(Linear):
    \"\"\"A linear map.\"\"\"
"""


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that brings an encoder by a file, opened from another folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    name = f"mine_{tmp_path.name.lower()[-30:].replace('-', '_')}"  # a name can be taken once
    Path("mine.py").write_text(PLUGIN.format(name=name))
    config = parse_config(
        {**SMALL, "plugins": ["mine.py"], "model": {**SMALL["model"], "encoder": {"name": name}}}
    )
    made = create_run(config, {"environment": environment(prepare(config))})
    monkeypatch.chdir(tmp_path / "away")
    return Run(tmp_path / "home" / made.path, made.config)


def test_a_run_finds_its_plugin_files_from_any_folder(brought: Run) -> None:
    found = load(brought.path, trust_plugins=True)
    assert found.config.plugins == [str(brought.path.parents[2] / "mine.py")]
    assert found.notes == ()
    assert "was_run" not in {path.name for path in Path().iterdir()}, "it was run once, before"


def test_a_run_that_was_moved_looks_in_the_working_directory(brought: Run, tmp_path: Path) -> None:
    brought.path.rename(tmp_path / "moved")
    (brought.path.parents[2] / "mine.py").rename("mine.py")
    # A process that has run the file at its old place would refuse the name a second time.
    assert trusted_plugins(tmp_path / "moved", True) == (["plugins=[mine.py]"], [])


def test_a_plugin_file_that_is_gone_is_named(brought: Run) -> None:
    (brought.path.parents[2] / "mine.py").unlink()
    with pytest.raises(PluginError, match=r"plug-in file mine\.py: No such file"):
        load(brought.path, trust_plugins=True)


def test_a_changed_plugin_file_is_named_with_both_sums(brought: Run) -> None:
    file = brought.path.parents[2] / "mine.py"
    then = digest(file)
    file.write_text("# nothing any more\n")
    words = (
        rf"mine\.py is not as when the run began: sha256 was {then}, now sha256 is {digest(file)}"
    )
    with pytest.raises(MtfError, match=words) as error:
        load(brought.path)
    assert "add --trust-plugins" in error.value.todo
    (note,) = load(brought.path, trust_plugins=True).notes
    assert re.search(words, note)


def test_a_plugin_file_that_was_added_later_is_named(brought: Run) -> None:
    config = brought.path / "config.yaml"
    (brought.path.parents[2] / "more.py").write_text("")
    config.write_text(config.read_text().replace("- mine.py", "- mine.py\n- more.py"))
    (note,) = load(brought.path, trust_plugins=True).notes
    assert "more.py is not as when the run began: it is not named in environment.json" in note


def test_changed_plugin_files_are_said_on_the_terminal(
    brought: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    file = brought.path.parents[2] / "mine.py"
    file.write_text(file.read_text() + "# harmless\n")
    for verb in (("train", "--resume"), ("evaluate",)):
        with pytest.raises(SystemExit) as ended:
            main([*verb, str(brought.path), "--trust-plugins"])
        assert ended.value.code == 0
        assert f"note: plug-in file {file} is not as when" in capsys.readouterr().out


def digest(file: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", ["{}", "[]", "{", None])
def test_a_damaged_environment_is_a_message(run: Run, content: str | None) -> None:
    file = run.path / "environment.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(CheckpointError, match=r"environment\.json"):
        check_data(run.path, prepare(run.config))


def test_changed_candles_are_refused_and_plugin_files_are_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.py").write_text("")
    task = prepare(small_config(plugins=["mine.py"]))
    kept = environment(task)
    assert list(kept["plugin_files"]) == ["mine.py"]
    assert len(kept["plugin_files"]["mine.py"]) == 64
    with pytest.raises(CheckpointError, match=r"candles of .* have changed"):
        check_data(run.path, task)
    (run.path / "environment.json").write_text(json.dumps(kept))
    check_data(run.path, task)


def test_a_place_that_can_not_be_written_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match=r"could not write a run folder in runs/small"):
        create_run(small_config(), {})
