"""What README and CONTRIBUTING show is run as it stands there, against the built wheel."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from wheels import ROOT, run

from mtf.cli import app
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import SyntheticMarket

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

NOT_RUN = {
    "make train": "minutes, and an environment of its own; that the target exists is tested below",
    "make test": "would run this test",
    "pip install .": "the environment of these tests has the wheel already",
    "tensorboard --logdir runs": "a server, which does not end",
    "mtf sandbox --speed 60 --port 8090": "alike; another one stands in for it, at a free port",
}


def blocks(text: str, language: str = r"\w+") -> list[tuple[str, str]]:
    """Language and content of the code blocks, in order."""
    return re.findall(rf"^```({language})\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def only(text: str, language: str, word: str = "") -> str:
    """The one block of a language with a word in it."""
    (found,) = [content for _, content in blocks(text, language) if word in content]
    return found


def write_candles(folder: Path) -> None:
    """The two files that README speaks of: its own first lines, then a random walk."""
    lines = only(README, "text").splitlines()
    start, close, draw = (
        int(lines[0].split("|")[0]),
        float(lines[-1].split("|")[4]),
        random.Random(0),
    )
    for minute in range(len(lines), 1000):
        opened, close = close, round(close * (1 + draw.gauss(0, 5e-4)), 1)
        high, low = max(opened, close) + 5, min(opened, close) - 5
        volume = round(draw.uniform(5, 50), 3)
        lines.append(f"{start + 60 * minute}|{opened}|{high}|{low}|{close}|{volume}")
    (folder / "btc.csv").write_text("\n".join(lines) + "\n")
    rows = [line.split("|", 1) for line in lines]
    table = ["Date,Open,High,Low,Close,Volume"]
    table += [f"{datetime.fromtimestamp(int(t), UTC):%F %T},{r.replace('|', ',')}" for t, r in rows]
    (folder / "candles.csv").write_text("\n".join(table) + "\n")


def run_block(language: str, content: str, python: Path, folder: Path) -> None:
    """Run commands and Python; a block that starts with a file's name is written there first."""
    named = re.match(r"# (\w+\.(yaml|py))\n", content)
    if named:
        (folder / named[1]).write_text(content)
    if language == "sh":
        lines = [line for line in content.splitlines() if line not in NOT_RUN]
        path = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        run("bash", "-euc", "\n".join(lines), folder=folder, extra=path)
    elif language == "python":
        run(python, "-c", content, folder=folder)


@pytest.mark.slow
def test_the_readme_runs_from_top_to_bottom(python: Path, tmp_path: Path) -> None:
    write_candles(tmp_path)
    with Sandbox(SyntheticMarket(), speed=60.0) as sandbox:
        for language, content in blocks(README):
            here = content.replace("http://127.0.0.1:8090", sandbox.url)
            run_block(language, here, python, tmp_path)
    files = README.partition("| file | what it is |")[2].partition("\n\n")[0]
    promised = set(re.findall(r"^\| `([\w.]+)/?`", files, re.MULTILINE))
    assert len(promised) == 16
    (walk,) = (tmp_path / "runs").glob("fast-walk-forward/*")
    assert {"folds", "report.html", "backtest.json"} <= {path.name for path in walk.iterdir()}
    folders = sorted(path.parent for path in (tmp_path / "runs").glob("*/*/config.yaml"))
    folders.remove(walk)
    (rehearsal,) = (path for path in folders if path.parent.name == "live_rehearsal")
    folders.remove(rehearsal)
    (session,) = (rehearsal / "live").glob("*/journal.jsonl")
    assert session.read_text().count('"kind": "decision"') >= 25
    assert len(folders) == 5, "trained twice from btc.yaml, three times from fast.yaml"
    found = [{path.name for path in folder.iterdir()} for folder in folders]
    assert all(names | {"degraded.csv"} == promised for names in found)
    assert sum("degraded.csv" in names for names in found) == 1, "the one that was asked for it"
    (made,) = [path for path in folders if _plugin_files(path)]
    digest = hashlib.sha256((tmp_path / "differences.py").read_bytes()).hexdigest()
    assert _plugin_files(made) == {"differences.py": digest}


def _plugin_files(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "environment.json").read_text())["plugin_files"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "name"), [(README, "differences"), (CONTRIBUTING, "averages")], ids=["readme", "guide"]
)
def test_one_entry_point_line_is_enough(text: str, name: str, python: Path, tmp_path: Path) -> None:
    points = tomllib.loads(only(text, "toml"))["project"]["entry-points"]["mtf.encoders"]
    module, _, attribute = points[name].partition(":")
    file = tmp_path / Path(*module.split(".")).with_suffix(".py")
    file.parent.mkdir()
    file.write_text(re.sub(r"@mtf.register.*\n", "", only(text, "python", f"class {attribute}")))
    metadata = tmp_path / "my_package-1.dist-info"  # what installing a package leaves behind
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[mtf.encoders]\n{name} = {points[name]}\n")
    here = {"PYTHONPATH": str(tmp_path)}
    assert name in run(python, "-m", "mtf", "list", "encoder", folder=tmp_path, extra=here)
    check = (
        "import mtf.plugins.registry as registry, mtf.testing as testing\n"
        f"testing.check_encoder(registry.load('encoder', {name!r}))"
    )
    run(python, "-c", check, folder=tmp_path, extra=here)


def test_what_is_not_run_is_shown_and_exists() -> None:
    shown = "\n".join(content for _, content in blocks(README, "sh")).splitlines()
    assert set(NOT_RUN) <= set(shown)
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    text = README + CONTRIBUTING
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert {"train", "test"} <= targets


def test_commands_files_and_folders_that_are_named_exist() -> None:
    text = README + CONTRIBUTING
    verbs = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    verbs = {verb.rstrip("_") for verb in verbs}
    assert set(re.findall(r"(?:^|`)mtf ([a-z]+)", text, re.MULTILINE)) <= verbs | {"trains"}
    for name in re.findall(r"\b(?:configs|mtf|tests|market)/[\w/]+\.(?:yaml|py|json)\b", text):
        assert (ROOT / name).is_file() or (ROOT / "mtf" / name).is_file(), name
    for name in re.findall(r"\]\(([\w./]+)\)", text):
        assert (ROOT / name).is_file(), name


def test_the_examples_are_as_short_as_they_are_said_to_be() -> None:
    assert len(only(README, "yaml", "btc.csv").splitlines()) <= 15
    code = only(README, "python", "class Differences").splitlines()
    lines = [line for line in code if line and not re.match(r"#|import |from ", line)]
    assert len(lines) <= 10
