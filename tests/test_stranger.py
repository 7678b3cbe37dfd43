"""A package of someone else: built, installed beside mtf, used by name, and broken on purpose."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import wheels
from wheels import ROOT, attempt, run

EXAMPLES = ROOT / "examples"
PACKAGE = "candle-scales 0.1.0"
LINEAR = "model.encoder={name: linear}"
SHORT = (
    'decisions={start: "2024-01-01", end: "2024-01-03", symbols: [ETHUSDT]}',
    "training.epochs=1",
    "training.sampling={groups: 4, decisions: 4, steps_per_epoch: 2}",
    "evaluation.bootstrap=10",
)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Stranger:
    """An environment with mtf's wheel and a stranger's, and a folder to work in."""

    python: Path
    folder: Path

    @property
    def site(self) -> Path:
        """Where packages are installed."""
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return Path(run(self.python, "-c", code, folder=self.folder).strip())

    def mtf(self, *words: str | Path) -> str:
        """What a command prints that must succeed."""
        return run(self.python.parent / "mtf", *words, folder=self.folder)

    def fails(self, *words: str | Path) -> str:
        """The message of a command that a user's mistake ends."""
        done: CompletedProcess[str] = attempt(
            self.python.parent / "mtf", *words, folder=self.folder
        )
        assert done.returncode == 2, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
        return done.stderr

    def install(self, wheel: Path) -> None:
        """Install a wheel; nothing is fetched."""
        pip = (self.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel)
        run(*pip, folder=self.folder)


def build(example: Path, into: Path) -> Path:
    """The wheel of a copy of an example, so that nothing is left behind in the tree."""
    copy = into / "source"
    shutil.copytree(example, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    words = ("-m", "build", "--wheel", "--no-isolation", "--outdir", into)
    run(sys.executable, *words, copy, folder=into)
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def stranger(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    folder = tmp_path_factory.mktemp("its own place, naïve")
    made = Stranger(wheels.install(wheel, tmp_path_factory.mktemp("stranger")), folder)
    made.install(build(EXAMPLES / "plugin", tmp_path_factory.mktemp("plugin")))
    shutil.copy(EXAMPLES / "plugin" / "ranges.yaml", folder)
    return made


def test_it_is_listed_with_its_origin_and_described(stranger: Stranger) -> None:
    said = [line.split() for line in stranger.mtf("list").splitlines() if PACKAGE in line]
    assert [words[:2] for words in said] == [["encoder", "haar"], ["head", "range"]]
    assert "levels (int, default 6)" in stranger.mtf("describe", "encoder", "haar")


def test_it_is_trained_by_name_from_another_folder_and_evaluated(stranger: Stranger) -> None:
    said = stranger.mtf("train", "ranges.yaml", *SHORT)
    assert "Haar is causal and reads 64 candles at a time" in said
    assert "range: nll" in stranger.mtf("evaluate", said.splitlines()[-1])
    environment = (stranger.folder / said.splitlines()[-1] / "environment.json").read_text()
    assert "candle-scales 0.1.0" in environment


def test_its_own_tests_pass_where_it_is_installed(stranger: Stranger, tmp_path: Path) -> None:
    copy = tmp_path / "plugin"
    hidden = shutil.ignore_patterns("src", "__pycache__")  # what is installed is tested
    shutil.copytree(EXAMPLES / "plugin", copy, ignore=hidden)
    assert " passed" in run(stranger.python, "-m", "pytest", "-q", folder=copy)


def test_a_library_s_encoder_in_a_wrapper(stranger: Stranger, tmp_path: Path) -> None:
    if util.find_spec("transformers") is None:
        pytest.skip("Hugging Face's transformers is not installed")
    stranger.install(build(EXAMPLES / "time_series_transformer", tmp_path))
    shutil.rmtree(tmp_path / "source" / "src")
    assert " passed" in run(stranger.python, "-m", "pytest", "-q", folder=tmp_path / "source")


@dataclass(frozen=True)
class Bug:
    """A piece of a file in site-packages, what takes its place, and words of the message."""

    file: str
    piece: str
    instead: str
    words: tuple[str, ...]


HAAR = "candle_scales/haar.py"
BUGS = {
    "import": Bug(
        HAAR,
        "import torch\n",
        "import torch\nimport no_such_module\n",
        ("could not be loaded", "No module named 'no_such_module'", "haar.py, line 11"),
    ),
    "syntax": Bug(
        HAAR, "class Haar(Encoder):", "class Haar(Encoder:", ("SyntaxError", "haar.py, line")
    ),
    "constructor raises": Bug(
        HAAR,
        "        super().__init__()\n",
        "        super().__init__()\n        raise RuntimeError('no such device')\n",
        ("could not be built", "RuntimeError: no such device", "haar.py, line"),
    ),
    "constructor takes too little": Bug(
        HAAR,
        "        embed_dim: int,\n",
        "",
        ("could not be built", "TypeError", "takes 2 arguments before the `*`"),
    ),
    "forward takes too little": Bug(
        HAAR,
        "def forward(self, x: Tensor, valid: Tensor)",
        "def forward(self, x: Tensor)",
        ("failed at a first try", "TypeError", "candle_scales.haar:Haar to run"),
    ),
    "shape": Bug(
        HAAR,
        "return self.mix(haar(x, valid, self.levels))",
        "return self.mix(haar(x, valid, self.levels))[..., :-1]",
        ("answers in the wrong shape: [2, 303, 31]", "expected: [2, 303, 32]", "check_encoder"),
    ),
    "in the middle of training": Bug(
        HAAR,
        "return self.mix(",
        "if self.training:\n            _ = 1 / 0\n        return self.mix(",
        ("failed: ZeroDivisionError", "haar.py, line"),
    ),
    "annotation": Bug(
        HAAR, "levels: int = 6", "levels: nn.Module = 6", ("no config can hold", "plain types")
    ),
    "entry point": Bug(
        "candle_scales-0.1.0.dist-info/entry_points.txt",
        "candle_scales.haar:Haar",
        "candle_scales.hair:Haar",
        ("could not be loaded", "candle_scales.hair"),
    ),
}
SEEN_WITHOUT_IMPORT = {
    "syntax": "LOAD FAILED: SyntaxError",
    "entry point": "LOAD FAILED: no module named 'candle_scales.hair'",
}


@pytest.fixture(params=BUGS)
def planted(request: pytest.FixtureRequest, stranger: Stranger) -> Iterator[str]:
    """The name of a bug that is there while a test runs."""
    bug = BUGS[request.param]
    path = stranger.site / bug.file
    sound = path.read_text()
    assert bug.piece in sound
    path.write_text(sound.replace(bug.piece, bug.instead, 1))
    yield request.param
    path.write_text(sound)


def test_only_those_who_name_a_broken_plugin_see_it(planted: str, stranger: Stranger) -> None:
    told = stranger.fails("train", "ranges.yaml", *SHORT)
    for word in ("haar", PACKAGE, *BUGS[planted].words):
        assert word in told, told
    listed = stranger.mtf("list")
    assert {"conv", "dsc", "haar", "linear"} <= {line.split()[1] for line in listed.splitlines()}
    assert SEEN_WITHOUT_IMPORT.get(planted, "haar") in listed
    assert ("LOAD FAILED" in listed) == (planted in SEEN_WITHOUT_IMPORT)
    # The head comes from the same package, and is sound.
    assert "range: nll" in stranger.mtf("train", "ranges.yaml", LINEAR, *SHORT)


def test_every_other_verb_goes_on(planted: str, stranger: Stranger, tmp_path: Path) -> None:
    assert "kernel_size" in stranger.mtf("describe", "encoder", "dsc")
    assert '"dsc"' in stranger.mtf("schema")
    stranger.mtf("init", tmp_path / "mine.yaml")
    rows = [f"{1_704_067_200 + 60 * i},1,2,1,2,5\n" for i in range(30)]
    (tmp_path / "ETHUSDT_1m.csv").write_text("".join(rows))
    assert "30 candles" in stranger.mtf("inspect", tmp_path / "ETHUSDT_1m.csv")
    assert "mtf" in stranger.mtf("--help")


def test_two_packages_with_one_name_are_both_named(stranger: Stranger, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(EXAMPLES / "plugin", other, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "src" / "candle_scales").rename(other / "src" / "other_scales")
    project = (other / "pyproject.toml").read_text()
    project = project.replace("candle_scales", "other_scales").replace("candle-", "other-")
    project = project.replace('range = "other_scales.price_range:PriceRange"', "")
    (other / "pyproject.toml").write_text(project)
    stranger.install(build(other, tmp_path))
    try:
        told = stranger.fails("train", "ranges.yaml", *SHORT)
        for word in (f"candle_scales.haar:Haar ({PACKAGE})", "other_scales.haar:Haar (other-scale"):
            assert word in told
        assert "the name is taken twice" in stranger.mtf("list", "haar")
        assert "range: nll" in stranger.mtf("train", "ranges.yaml", LINEAR, *SHORT)
    finally:
        pip = (stranger.python, "-m", "pip", "uninstall", "-q", "-y", "other-scales")
        run(*pip, folder=tmp_path)


ENCODER = '''
import torch
from torch import nn

import mtf
from mtf.plugins.contracts import Encoder


@mtf.register("encoder", "differences")
class Differences(Encoder):
    """Every candle beside the one before it, mixed linearly."""

    causal, receptive_field = True, 2

    def __init__(self, in_channels, embed_dim, *, bias: bool = True):
        super().__init__()
        self.mix = nn.Linear(2 * in_channels, embed_dim, bias=bias)

    def forward(self, x, valid):
        return self.mix(torch.cat([x, nn.functional.pad(x, (0, 0, 1, 0))[:, :-1]], dim=-1))
'''
BY_NAME = "model.encoder={name: differences, bias: false}"


def test_a_script_registers_by_decorator_and_trains(stranger: Stranger) -> None:
    script = stranger.folder / "script.py"
    call = f"mtf.fit('ranges.yaml', {[BY_NAME, *SHORT]!r})"
    text = f'{ENCODER}\n\nif __name__ == "__main__":\n    print({call}.metrics["test"].keys())\n'
    script.write_text(text)
    assert "dict_keys(['range'])" in run(stranger.python, "script.py", folder=stranger.folder)


def test_a_config_names_a_plugin_file(stranger: Stranger) -> None:
    (stranger.folder / "differences.py").write_text(ENCODER)
    config = "base: ranges.yaml\nplugins: [differences.py]\n"
    config += "model: {encoder: {name: differences, bias: false}}\n"
    (stranger.folder / "mine.yaml").write_text(config)
    said = stranger.mtf("train", "mine.yaml", *SHORT)
    assert "Differences is causal and reads 2 candles at a time" in said
    assert "range: nll" in stranger.mtf("evaluate", said.splitlines()[-1], "--trust-plugins")
    # Another file that breaks is named with its line, and only by those who name it.
    broken = ENCODER.replace("        return", "        x = x / torch.zeros(3)\n        return")
    (stranger.folder / "differences.py").write_text(broken)
    told = stranger.fails("train", "mine.yaml", *SHORT)
    assert "encoder 'differences' of differences.py failed" in told
    assert "differences.py, line 20" in told
    assert "range: nll" in stranger.mtf("train", "ranges.yaml", *SHORT)
