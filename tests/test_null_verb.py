"""``mtf null``: from a config to a table and null.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from noise_worlds import noise_config

from mtf.config.load import load_config, resolved
from mtf.null import main


def test_a_config_becomes_a_folder_with_its_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("noise.yaml").write_text(resolved(noise_config()))
    path = main("noise.yaml", ["decisions.end=2024-01-03"], worlds=1, steps=2)
    tree = json.loads((path / "null.json").read_text())
    assert set(tree["nulls"]) == {"shuffled", "bootstrapped", "random_walk"}
    assert {kind["action"]["p"] for kind in tree["nulls"].values()} <= {0.5, 1.0}
    assert load_config(path / "config.yaml").decisions.end == "2024-01-03"
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(path)
    assert any(line.startswith("  planted, momentum: gain ") for line in said)
