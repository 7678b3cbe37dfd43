"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from mtf.cli import app, main
from mtf.config.load import load_config, shipped_configs
from mtf.errors import MtfError

GOOD = """\
data: {name: synthetic}
decisions: {start: "2024-01-01", end: "2024-01-31", symbols: [ETHUSDT]}
streams: {1m: {}}
"""


def mtf(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mtf", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "my.yaml"), ("my.yaml:4: modle", "did you mean model")),
        (("train", "gone.yaml"), ("no config 'gone.yaml'", "mtf init")),
        (("train", "dsc_mtf", "seed=x"), ("override 'seed=x': seed", "a whole number")),
        (("train",), ("found neither CONFIG nor --resume",)),
        (("describe", "encoder", "dcs"), ("unknown encoder 'dcs'", "did you mean dsc")),
        (("list", "encodr"), ("no plug-in fits 'encodr'", "did you mean encoder")),
        (("init", "my.yaml"), ("my.yaml exists", "another name")),
    ],
)
def test_a_users_mistake_is_a_message_and_exit_code_2(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "my.yaml").write_text(GOOD + "modle: {}\n")
    done = mtf(*arguments, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["my.yaml"], "nothing is written"


def test_debug_shows_the_traceback_anywhere_on_the_line(tmp_path: Path) -> None:
    done = mtf("train", "gone.yaml", "--debug", folder=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_defect_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(pattern: str) -> None:
        raise KeyError("inner thing")

    monkeypatch.setattr("mtf.list.main", broken)
    with pytest.raises(SystemExit) as caught:
        main(["list"])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "KeyError: 'inner thing'" in said
    assert "--debug" in said
    assert "Traceback" not in said
    with pytest.raises(KeyError):
        main(["list", "--debug"])


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (("runs/a/b",), "is in runs/a/b\n  to do: go on with mtf train --resume runs/a/b"),
        ((), "interrupted before the first step\n  to do: start the run again"),
    ],
)
def test_ctrl_c_names_the_run_to_go_on_with(
    folder: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(config: object) -> None:
        raise KeyboardInterrupt(*folder)

    monkeypatch.setattr("mtf.train.train", interrupted)
    with pytest.raises(SystemExit) as caught:
        main(["train", "dsc_mtf"])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_inspect_saves_json_and_takes_the_timeframe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, saved = tmp_path / "x.csv", tmp_path / "x.json"
    file.write_text("t,o,h,l,c,v\n1640995200,1,1,1,1,1\n1640995320,1,1,1,1,1\n")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(file), "--timeframe", "1m", "--json", str(saved)])
    assert ended.value.code == 0
    assert "x 1m: 2 candles" in capsys.readouterr().out
    assert json.loads(saved.read_text())["candles"] == 2


def test_list_names_all_plugins_without_torch() -> None:
    code = (
        "import sys; from mtf.list import main; main();"
        "assert not {'torch', 'numba', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for word in ("encoder", "shared_pattern", "data_source", "parquet", "next_candle", "huber"):
        assert word in done.stdout
    assert "LOAD FAILED" not in done.stdout


@pytest.mark.parametrize(
    ("what", "seconds"),
    # Three times what is promised: the machine that runs the tests may be busy.
    [
        ("import mtf", 0.3),
        ("from mtf.cli import main; main(['--help'])", 0.9),
        ("from mtf.cli import main; main(['list'])", 1.5),
    ],
)
def test_start_up_is_quick(what: str, seconds: float) -> None:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", what], capture_output=True, check=True, timeout=60)
        return time.perf_counter() - start

    assert any(once() < seconds for _ in range(8))


def test_list_by_kind_and_by_glob(capsys: pytest.CaptureFixture[str]) -> None:
    from mtf import list as verb

    verb.main("encoders")
    kinds = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert kinds == {"encoder"}
    verb.main("*cand*")
    assert capsys.readouterr().out.split()[:2] == ["head", "next_candle"]
    verb.main("policies")
    assert capsys.readouterr().out.split()[:2] == ["policy", "argmax"]


def test_describe_ends_with_yaml_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    from mtf import describe as verb

    verb.main("encoder", "dsc")
    said = capsys.readouterr().out
    assert "kernel_size (int, default 3)\n      taps of" in said
    snippet = yaml.safe_load(said.partition("In a config:\n")[2])
    assert snippet["model"]["encoder"]["name"] == "dsc"
    verb.main("head", "action")
    snippet = yaml.safe_load(capsys.readouterr().out.partition("In a config:\n")[2])
    assert snippet["heads"]["action"]["horizon"] == 15
    verb.main("data_source", "csv")
    assert "path (str, required)" in capsys.readouterr().out


def test_init_writes_a_config_that_is_right_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtf import init as verb

    path = tmp_path / "mine.yaml"
    verb.main(str(path))
    assert "mtf train" in capsys.readouterr().out
    config = load_config(path)
    assert (config.name, config.data.name) == ("mine", "csv")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) <= 15
    with pytest.raises(MtfError, match="exists"):
        verb.main(str(path))
    with pytest.raises(MtfError, match="No such file"):
        verb.main(str(tmp_path / "no" / "folder.yaml"))


def test_every_verb_runs_as_a_module_too() -> None:
    verbs = [
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    ]
    assert {"train", "list", "describe", "schema", "init"} <= set(verbs)
    for verb in ("list", "describe", "schema", "init"):
        done = subprocess.run(
            [sys.executable, "-m", f"mtf.{verb}", "--help"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert f"mtf {verb}" in done.stdout


def test_completion_offers_configs_plugins_and_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtf import completion

    (tmp_path / "mine.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert completion.configs("") == sorted(["mine.yaml", *shipped_configs()])
    assert completion.kinds("en") == ["encoder"]
    assert completion.overrides("model.encoder.name=d") == ["model.encoder.name=dsc"]


def test_completion_of_a_shell() -> None:
    environment = {
        **os.environ,
        "_MTF_COMPLETE": "complete_bash",
        "COMP_WORDS": "mtf describe encoder sh",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mtf"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["shared_pattern"]


def test_the_first_line_of_train_comes_before_torch() -> None:
    code = (
        "import sys, mtf.cli as c\n"
        "try: c.main(['train', 'dsc_mtf', 'seed=x'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == ["mtf train dsc_mtf", "False"]


@pytest.mark.parametrize("verb", ["evaluate", "live", "replay"])
def test_a_verb_that_needs_torch_says_its_name_first(verb: str) -> None:
    code = (
        "import sys, mtf.cli as c\n"
        "sys.modules['torch'] = None\n"  # whoever imports it ends there
        f"c.main([{verb!r}, 'none'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines()[:1] == [f"mtf {verb} none"]
    assert done.returncode != 0


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mtf {version('mtf')}\n"
