"""``mtf check``: what it says and its exit code, for what is built in and a stranger's file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtf.cli import main
from mtf.plugins import registry

SOUND = '''
import mtf
from mtf.encoders.linear import Linear

@mtf.register("encoder", "mine")
class Mine(Linear):
    """Linear, and of my own."""
'''
LEAKS = '''
import mtf, torch
from mtf.encoders.linear import Linear

@mtf.register("encoder", "mine")
class Mine(Linear):
    """Looks ahead, and keeps a parameter for nothing."""

    def __init__(self, in_channels, embed_dim, *, ahead: int = 1):
        super().__init__(in_channels, embed_dim)
        self.ahead, self.idle = ahead, torch.nn.Parameter(torch.zeros(2))

    def forward(self, x, valid):
        return super().forward(x.roll(-self.ahead, 1), valid)
'''
RAISES = '''
import mtf
from mtf.market.features import Ohlcv

@mtf.register("feature", "mine")
class Mine(Ohlcv):
    """Has a bug."""

    def scan(self, ohlcv, valid, state):
        return super().scan(ohlcv, valid, state)[0] + None
'''


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "mine.py"
    for kind in ("encoder", "feature"):
        registry.forget(kind, "mine")


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return int(ended.value.code or 0), said.out, said.err


def test_what_is_built_in_passes_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = check(capsys, "encoder", "dsc", "num_blocks=1", "kernel_size=5")
    assert code == 0
    assert not err
    first, *lines, last = out.splitlines()
    assert first.startswith("mtf check encoder dsc: mtf.encoders.dsc:DSC (mtf ")
    assert last == f"{len(lines)} of {len(lines)} checks passed"
    assert all(line.startswith("  passed  ") for line in lines)
    said = {line[10:34].strip(): line[34:].strip() for line in lines}
    assert said["build"].endswith("parameters, causal, reads 5 candles")
    assert said["causality"] == "12 positions, bit for bit"
    assert said["known at t"] == "9 times × 4 streams, bit for bit"
    assert said["two paths"].startswith("largest difference ")
    assert said["speed"].count("× linear") == 2
    assert {"shape", "masks", "determinism", "gradients", "state", "last candle"} < set(said)


def test_an_encoder_that_is_not_causal_is_tried_in_a_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = check(capsys, "encoder", "conv", "num_blocks=1", "causal=false")
    assert code == 0
    assert "not declared; 'known at t' tries it in a model" in out
    assert "window path only: Conv is not causal" in out


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("fusion", "mean", ("masks ", "  rows", "decisions/s")),
        ("head", "action", ("label beyond reach", "label up to reach", "outputs without label")),
        ("feature", "ohlcv", ("200 positions, bit for bit", "candles/s", "× ohlcv")),
        ("data_source", "synthetic", ("earlier ends", "known at close", "1 pair")),
        ("loss", "cross_entropy", ("logits and classes",)),
        ("loss", "huber", ("prediction and target",)),
    ],
)
def test_every_kind(
    kind: str, name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = check(capsys, kind, name)
    assert code == 0, out
    for word in words:
        assert word in out


def test_a_strangers_file_passes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SOUND)
    code, out, _ = check(capsys, "encoder", "mine", "--plugins", str(file))
    assert code == 0, out
    assert out.startswith("mtf check encoder mine: mtf_plugin_mine_")


def test_all_defects_of_a_strangers_file_are_listed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(LEAKS)
    code, out, _ = check(capsys, "encoder", "mine", "ahead=2", "--plugins", str(file))
    assert code == 1
    failed = [line.split("  ")[2] for line in out.splitlines() if line.startswith("  FAILED")]
    assert {"causality", "gradient of the future", "known at t", "gradients"} <= set(failed)
    assert "Mine: looks ahead: output 0 moves when slots after 0 change" in out
    assert "Mine: looks ahead in a model: outputs at 1970-01-04 " in out
    assert "Mine: dead parameter 'idle': its gradient is 0" in out
    assert "to do: pad on the left only, or declare causal = False" in out
    assert "  passed  state" in out
    assert out.splitlines()[-1].endswith("checks passed")


def test_what_a_stranger_raises_is_a_defect_with_its_line(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(RAISES)
    code, out, _ = check(capsys, "feature", "mine", "--plugins", str(file))
    assert code == 1
    line = RAISES.splitlines().index(next(x for x in RAISES.splitlines() if "None" in x)) + 1
    assert "FAILED  shape" in out
    assert "raises TypeError: unsupported operand" in out
    assert f"({file}, line {line})" in out
    assert out.splitlines()[-1] == "1 of 2 checks passed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("encoder", "dcs"), ("unknown encoder 'dcs'", "did you mean dsc")),
        (("encodr", "dsc"), ("unknown kind of plug-in 'encodr'", "did you mean encoder")),
        (("policy", "armgax"), ("unknown policy 'armgax'", "did you mean argmax")),
        (("encoder", "dsc", "kernel_siz=3"), ("kernel_siz: no such option", "did you mean kernel")),
        (("encoder", "dsc", "kernel_size=x"), ("kernel_size: found 'x'", "a whole number")),
        (("encoder", "dsc", "kernel_size"), ("override 'kernel_size'", "key.path=value")),
        (("encoder", "dsc", "kernel_size=0"), ("kernel_size 0", "both at least 1")),
        (("data_source", "csv"), ("path: data_source 'csv' needs it", "add path=…")),
        (("data_source", "csv", "path=gone.csv"), ("no file or folder gone.csv", "--ask 'SYMBOL")),
        (
            ("data_source", "synthetic", "--ask", "ETHUSDT 1m"),
            ("found --ask 'ETHUSDT 1m'", "'ETHUSDT 1m 2024-01-01 2024-01-03'"),
        ),
        (("encoder", "mine", "--plugins", "gone.py"), ("plug-in file gone.py", "a Python file")),
    ],
)
def test_a_users_mistake_is_a_message_and_exit_code_2(
    arguments: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = check(capsys, *arguments)
    assert code == 2
    for word in words:
        assert word in err


def test_a_file_of_candles_is_asked_for_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ETHUSDT_1h.csv"
    rows = [f"{1_704_067_200 + 3_600 * i},1,2,0.5,1.5,{i}" for i in range(48)]
    file.write_text("\n".join(["open_time,open,high,low,close,volume", *rows]))
    asked = "ETHUSDT 1h 2024-01-01 2024-01-02"
    code, out, err = check(capsys, "data_source", "csv", f"path={file}", "--ask", asked)
    assert (code, err) == (0, "")
    assert "ETHUSDT 1h: 24 candles" in out


def test_as_a_module_and_without_torch_for_what_can_be_said_without() -> None:
    code = (
        "import sys\n"
        "from mtf.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: print(ended.code, 'torch' in sys.modules)\n"
    )
    for arguments, wanted in ((["--help"], "0 False"), (["check", "encoder", "dcs"], "2 False")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == wanted
    done = subprocess.run(
        [sys.executable, "-m", "mtf.check", "loss", "mse"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "5 of 5 checks passed"
