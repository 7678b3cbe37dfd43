"""What CONTRIBUTING shows works as it stands there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mtf.config.load import load_config
from mtf.plugins import registry
from mtf.testing import check_encoder

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.fixture
def averages(tmp_path: Path) -> Iterator[Path]:
    """The example as a plug-in file."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(code.splitlines()) <= 40
    marked = code.replace("class Ave", '@mtf.register("encoder", "averages")\nclass Ave')
    path = tmp_path / "averages.py"
    path.write_text(marked.replace("import torch\n", "import torch\n\nimport mtf\n", 1))
    yield path
    registry.forget("encoder", "averages")


def test_the_encoder_of_40_lines_is_sound_and_takes_options_from_a_config(averages: Path) -> None:
    config = load_config(
        "dsc_mtf",
        [f"plugins=[{averages}]", "model.encoder.name=averages", "model.encoder.num_scales=3"],
    )
    assert config.model.encoder.options == {"num_scales": 3}
    check_encoder(registry.load("encoder", "averages"))


def requirements() -> list[str]:
    """Everything that `make train` installs: dev and the extras that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (named,) = [text for text in extras["dev"] if text.startswith("mtf[")]
    parts = [extras[name] for name in named[len("mtf[") : -1].split(",")]
    others = [text for text in extras["dev"] if text != named]
    return [*project["dependencies"], *others, *(text for part in parts for text in part)]


def test_every_dependency_says_what_it_is_for() -> None:
    wanted = requirements()
    names = {re.split(r"[<>=\[]", requirement)[0].lower() for requirement in wanted}
    table = TEXT.partition("| package | why |")[2].partition("\n\n")[0].lower()
    assert not [name for name in names if name not in table]
    assert all(">=" in requirement and "<" in requirement for requirement in wanted)


def test_the_tested_versions_are_within_the_bounds_and_complete() -> None:
    pinned = dict(
        line.lower().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    for text in requirements():
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), text
