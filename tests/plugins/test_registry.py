"""Names, duplicates, broken strangers, the decorator, plug-in files."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mtf
from mtf.errors import PluginError
from mtf.market.features import Ohlcv
from mtf.plugins import registry, source, static
from mtf.plugins.files import load_files


@pytest.fixture
def forget_mine() -> Iterator[None]:
    yield
    for kind in ("encoder", "feature", "loss"):
        for name in registry.names(kind):
            if name.startswith("mine"):
                registry.forget(kind, name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path into which strangers' distributions are put."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    monkeypatch.undo()
    _forget_caches()


def install(site: Path, name: str, entry_points: str, **modules: str) -> None:
    """What pip leaves behind of a package with entry points."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)
    _forget_caches()


def _forget_caches() -> None:
    registry._metadata.cache_clear()
    source.tree.cache_clear()


def test_the_built_ins_come_by_entry_points() -> None:
    assert set(registry.names("encoder")) >= {"conv", "dsc", "linear", "shared_pattern"}
    assert registry.find("encoder", "dsc").target == "mtf.encoders.dsc:DSC"
    assert registry.find("encoder", "dsc").origin.startswith("mtf ")


def test_every_built_in_loads_and_says_what_it_is() -> None:
    for kind in registry.GROUPS:
        for entry in registry.entries(kind):
            assert entry.problem() is None, entry
            assert entry.summary().endswith("."), entry
            assert callable(registry.load(kind, entry.name))


def test_kinds_in_singular_and_plural() -> None:
    assert registry.kind_of("data_sources") == registry.kind_of("data-source") == "data_source"
    with pytest.raises(PluginError, match="did you mean encoder"):
        registry.names("encodr")


def test_an_unknown_name_gives_the_nearest_and_how_to_add_one() -> None:
    with pytest.raises(PluginError, match="did you mean dsc"):
        registry.load("encoder", "dcs")
    with pytest.raises(PluginError, match=r"group 'mtf.encoders'.*@mtf.register\('encoder', 'zzz'"):
        registry.load("encoder", "zzz")


def test_a_decorated_class_is_found_and_defined_again_is_replaced(forget_mine: None) -> None:
    def define() -> type[Ohlcv]:
        @mtf.register("feature", "mine")
        class Mine(Ohlcv):
            """Like the others."""

        return Mine

    define()
    second = define()  # a notebook runs its cell again
    assert registry.load("feature", "mine") is second
    assert registry.find("feature", "mine").summary() == "Like the others."


def test_the_decorator_refuses_a_taken_name_with_both_places(forget_mine: None) -> None:
    with pytest.raises(PluginError) as caught:

        @mtf.register("encoder", "dsc")
        class Other:
            pass

    assert "mtf.encoders.dsc:DSC" in str(caught.value)
    assert "Other" in str(caught.value)
    assert __file__ in str(caught.value) or "test_registry" in str(caught.value)


def test_a_decorated_class_that_is_no_encoder_is_refused_when_used(forget_mine: None) -> None:
    @mtf.register("encoder", "mine_not")
    class NoEncoder:
        pass

    with pytest.raises(PluginError, match=r"derived from mtf.plugins.contracts.Encoder"):
        registry.load("encoder", "mine_not")


def test_two_distributions_with_one_name_are_both_named(site: Path) -> None:
    install(site, "acme", "[mtf.encoders]\ntwin = acme_a:A\n", acme_a="class A: pass")
    install(site, "bolt", "[mtf.encoders]\ntwin = bolt_b:B\n", bolt_b="class B: pass")
    with pytest.raises(PluginError) as caught:
        registry.load("encoder", "twin")
    for word in ("acme_a:A (acme 1.0)", "bolt_b:B (bolt 1.0)", "defined twice", "uninstall"):
        assert word in str(caught.value)
    (twin,) = [entry for entry in registry.entries("encoder") if entry.name == "twin"]
    assert "taken twice" in (twin.problem() or "")
    assert registry.load("encoder", "dsc")


def test_a_name_of_mtf_taken_by_a_stranger_is_refused_only_when_used(site: Path) -> None:
    install(site, "acme", "[mtf.encoders]\ndsc = acme_dsc:A\n", acme_dsc="class A: pass")
    with pytest.raises(PluginError, match="defined twice"):
        registry.load("encoder", "dsc")
    assert registry.load("encoder", "conv")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no module named 'acme_broken'"),
        ("class Other: pass", "has no 'Broken'"),
        ("class Broken(:", "SyntaxError"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason(
    site: Path, text: str | None, reason: str
) -> None:
    modules = {} if text is None else {"acme_broken": text}
    install(site, "acme", "[mtf.encoders]\nbroken = acme_broken:Broken\n", **modules)
    assert reason in (registry.find("encoder", "broken").problem() or "")
    assert registry.load("encoder", "dsc")
    with pytest.raises(PluginError, match=r"of acme 1.0 could not be loaded"):
        registry.load("encoder", "broken")


def test_a_plugin_that_fails_on_import_is_named_with_its_distribution_and_line(site: Path) -> None:
    text = "import json\n\nraise RuntimeError('no such device')\nclass Late: pass\n"
    install(site, "acme", "[mtf.encoders]\nlate = acme_late:Late\n", acme_late=text)
    with pytest.raises(PluginError) as caught:
        registry.load("encoder", "late")
    for word in ("acme 1.0", "RuntimeError: no such device", "acme_late.py, line 3"):
        assert word in str(caught.value)


def test_reading_what_there_is_runs_nothing(site: Path) -> None:
    text = (
        'raise SystemExit\nclass Loud:\n    """Shouts."""\n    def __init__(self, *, n: int = 1):'
    )
    text += "\n        pass\n"
    install(site, "acme", "[mtf.encoders]\nloud = acme_loud:Loud\n", acme_loud=text)
    entry = registry.find("encoder", "loud")
    assert (entry.summary(), entry.problem()) == ("Shouts.", None)
    assert static.read(entry.target) is not None
    assert "acme_loud" not in sys.modules


def test_a_plugin_file_registers_and_its_sha256_is_told(tmp_path: Path, forget_mine: None) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import mtf\nfrom mtf.market.features import Ohlcv\n\n"
        "@mtf.register('feature', 'mine_file')\nclass Mine(Ohlcv):\n    '''From a file.'''\n"
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_files([path]) == {str(path): digest}
    first = registry.load("feature", "mine_file")
    load_files([path])
    assert registry.load("feature", "mine_file") is first, "an unchanged file is not run again"
    path.write_text(path.read_text() + "\n")
    assert load_files([path])[str(path)] != digest
    assert registry.load("feature", "mine_file") is not first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = 1 / 0\n", ("ZeroDivisionError", "line 2")),
        ("def f(:\n", ("SyntaxError", "line 1")),
        ("import sys\nsys.exit(3)\n", ("SystemExit", "line 2")),
        ("import no_such_module_at_all\n", ("ModuleNotFoundError", "line 1")),
    ],
)
def test_a_plugin_file_that_fails_says_file_and_line(
    text: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(PluginError) as caught:
        load_files([path])
    for word in (str(path), *words):
        assert word in str(caught.value)
