"""Whose code an error was raised in, and what is said of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mtf
from mtf.config.build import build
from mtf.config.plugin_spec import FeatureSpec
from mtf.errors import PluginError
from mtf.market.features import Ohlcv
from mtf.plugins import registry, source
from mtf.plugins.blame import blame


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with an encoder, and a helper module that divides by zero."""
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mtf.encoders]\nsharp = acme.sharp:Sharp\n")
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text("")
    (tmp_path / "acme" / "helper.py").write_text("def cut():\n    return 1 / 0\n")
    (tmp_path / "acme" / "sharp.py").write_text("import json\n\ndef use():\n    json.loads('{')\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._metadata.cache_clear()
    yield
    monkeypatch.undo()
    registry._metadata.cache_clear()
    source.tree.cache_clear()


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("acme.helper", "cut", ("ZeroDivisionError: division by zero", "helper.py, line 2)")),
        ("acme.sharp", "use", ("JSONDecodeError", "sharp.py, line 4)")),
    ],
)
def test_an_error_in_a_strangers_package_names_plugin_package_and_its_own_line(
    acme: None, module: str, function: str, words: tuple[str, str]
) -> None:
    with pytest.raises(ValueError if function == "use" else ZeroDivisionError) as caught:
        getattr(importlib.import_module(module), function)()
    told = str(blame(caught.value))
    for word in ("encoder 'sharp' of acme 1.0 failed", "mend or update acme", *words):
        assert word in told


def test_an_error_of_mtf_is_nobody_elses(acme: None) -> None:
    with pytest.raises(TypeError) as caught:
        registry.did_you_mean("a", None)  # type: ignore[arg-type]
    assert blame(caught.value) is None


@pytest.fixture
def refusing() -> Iterator[None]:
    @mtf.register("feature", "mine_refuses")
    class Refuses(Ohlcv):
        """Can't be built."""

        def __init__(self) -> None:
            raise KeyError("no such device")

    yield
    registry.forget("feature", "mine_refuses")


def test_a_constructor_that_raises_is_named(refusing: None) -> None:
    with pytest.raises(PluginError) as caught:
        build("feature", FeatureSpec(name="mine_refuses"))
    for word in ("'mine_refuses' of", "could not be built: KeyError", "test_blame.py, line"):
        assert word in str(caught.value)
