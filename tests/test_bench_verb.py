"""``mtf bench``: what it lists, prints and saves, and that it compares equal things only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tasks import SMALL
from torch import nn

from mtf.benchmarks import data, sweep, train
from mtf.cli import main
from mtf.config.load import load_config
from mtf.errors import MtfError
from mtf.evaluation.part import predict_part
from mtf.learning.task import prepare
from mtf.report.measure import in_a_process

TINY: dict[str, Any] = {
    "streams": {"1m": {"lookback": 8}},
    "model": {
        "embed_dim": 8,
        "encoder": {"name": "linear"},
        "tokens": {"name": "mean"},
        "fusion": {"name": "mean"},
    },
}
"""What makes a sweep quick."""


@pytest.fixture
def small(tmp_path: Path) -> str:
    """The small config as a file."""
    return saved(tmp_path / "small.yaml", SMALL)


def saved(path: Path, values: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(values))
    return str(path)


def bench(*arguments: str) -> int:
    """The exit code of ``mtf bench``."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    return int(ended.value.code or 0)


def test_they_are_listed_with_what_they_say_of_themselves_and_without_torch() -> None:
    code = (
        "import sys; from mtf import bench, list; bench.main(''); list.main('benchmark');"
        "assert not {'torch', 'numba', 'pandas', 'mtf.benchmarks'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("benchmark")]
    names = "backtest data dsc encoders latency probe quick scale sweep train transfer weights"
    assert [line.split()[1] for line in lines] == names.split() * 2
    assert "Training samples a second: windows with" in lines[9]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("trian",),
            (
                "unknown benchmark 'trian'",
                "one of backtest, data, dsc, encoders, latency, probe, quick, scale, sweep, train",
                "mean train",
            ),
        ),
        (("train", "gone"), ("no config 'gone'",)),
        (("train", "dsc_mtf", "--sampling", "8"), ("found '8'", "such as 8x32")),
        (("sweep", "dsc_mtf", "--repeats", "0"), ("--repeats", "equal to 1")),
        (("data", "--rows", "many"), ("--rows", "integer")),
    ],
)
def test_a_users_mistake_is_a_message_and_exit_code_2(
    arguments: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    for word in words:
        assert word in said


def test_help_tells_the_options_of_the_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("train", "--help") == 0
    assert "--sampling" in capsys.readouterr().out
    assert bench("--help") == 0
    assert "mtf bench NAME [OPTIONS] [--json FILE]" in capsys.readouterr().out


def test_train_prints_a_table_and_saves_the_same_as_json(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("training.sampling.groups=2", "--sampling", "1x8", "--windows", "4", "--repeats", "2")
    file = tmp_path / "figures.json"
    assert bench("train", small, *given, "--json", str(file)) == 0
    said, found = capsys.readouterr().out, json.loads(file.read_text())
    assert found["name"] == "train"
    names = [row["variant"] for row in found["rows"]]
    assert names == ["windows, nn.Conv1d", "windows, dsc", "once, 2 × 4 × 2", "once, 1 × 8 × 2"]
    assert all(name in said for name in names)
    first, _, shipped, long = found["rows"]
    assert (first["ratio"], first["rounds"]) == (1.0, 2)
    assert first["min"] <= first["median"] <= first["max"]
    # 1m and btc: 32 + 6 slots a window, 5m: 16 + 6.
    assert first["slots/sample"] == 38 + 38 + 22
    # Eight decisions, two minutes apart, of one group: 14 minutes and 2 or 3 five minutes more.
    assert 2 * (38 + 14) + 22 + 2 <= 8 * long["slots/sample"] <= 2 * (38 + 14) + 22 + 3
    assert shipped["bound"] == pytest.approx(first["slots/sample"] / shipped["slots/sample"])
    assert shipped["of bound"] == pytest.approx(shipped["ratio"] / shipped["bound"])
    assert found["settings"]["threads"] == found["settings"]["repeats"] - 1 == 1
    assert "outputs of all variants agree to" in found["notes"][0]
    assert found["machine"]["cores"] >= 1


def test_variants_that_differ_are_not_compared(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true = train.conv1d

    def biased(linear: nn.Linear) -> nn.Conv1d:
        conv = true(linear)
        with torch.no_grad():
            conv.weight.mul_(1.01)
        return conv

    monkeypatch.setattr(train, "conv1d", biased)
    with pytest.raises(MtfError, match=r"dsc and nn.Conv1d differ by .*\n.*up to 1e-05"):
        train.run(small)


@pytest.mark.parametrize("change", ["name: linear", "name: dsc, norm: layer", "causal: false"])
def test_what_nn_conv1d_here_can_not_be_is_a_message(small: str, change: str) -> None:
    with pytest.raises(MtfError, match=r"the encoder is [^$]* norm none and dropout 0"):
        train.run(small, [f"model.encoder={{{change}}}"])


def test_a_sweep_is_timed_in_three_ways_beside_its_bound(small: str) -> None:
    task = prepare(load_config(small))
    found = sweep.speeds(task, windows=4, decisions=8, repeats=2)
    assert list(found) == ["windows, nn.Conv1d", "windows, dsc", "once", "fusion alone"]
    assert all(len(values) == 2 and min(values) > 0 for values in found.values())


def test_a_sweep_tells_how_much_of_its_bound_it_reaches() -> None:
    speeds = {"windows, nn.Conv1d": [1.0, 2.0, 4.0], "once": [60.0, 90.0, 300.0]}
    rows = sweep.with_bound({**speeds, "fusion alone": [100.0, 100.0, 400.0]})
    assert [row.ratio for row in rows] == [1.0, 60.0, 100.0]
    assert [dict(row.more) for row in rows] == [{}, {"of bound": 0.75}, {}]


def test_the_bound_is_the_fusion_on_batches_as_a_sweep_takes_them(
    small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "ONCE_DECISIONS", 8)
    task = prepare(load_config(small))
    task.model.train()
    work, count = sweep.fused(task, 20)
    sizes: list[int] = []
    task.model.fusion.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    work()
    assert sizes == [8, 8, 4]
    assert count == 20
    assert task.model.training


def test_windows_are_the_same_in_every_way_and_checked(tmp_path: Path) -> None:
    found = data.windows_a_second(tmp_path, 400, 1, 1)
    assert [row.unit for row in found] == ["windows/s"] * 5
    one = np.zeros((2, 3, 5), np.float32)
    with pytest.raises(MtfError, match="a and b differ by 1 in the windows"):
        data.check_equal({"a": lambda: iter([one]), "b": lambda: iter([one + 1])})


@pytest.mark.slow
@pytest.mark.alone
def test_data_are_read_in_linear_time_and_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    given = ("--rows", "250000", "--rows", "1000000", "--windows", "10000", "--repeats", "3")
    assert bench("data", *given, "--json", str(file)) == 0
    rows = {row["variant"]: row for row in json.loads(file.read_text())["rows"]}
    long = rows["disk to first batch, 1,000,000 × 2"]
    assert long["ratio"] <= 4.5
    assert long["+bytes/row"] <= 150
    # 300 on a quiet machine; fresh pages cost some virtual machines six times that
    assert rows["mtf, windows"]["ratio"] >= 25


@pytest.mark.slow
@pytest.mark.alone
def test_the_memory_of_a_long_sweep_is_flat_where_it_is_saved_and_paid_once_where_it_is_kept(
    tmp_path: Path,
) -> None:
    year = {"decisions": {**SMALL["decisions"], "end": "2024-12-31"}}
    config = saved(tmp_path / "tiny.yaml", {**SMALL, **TINY, **year})
    peaks = {
        (how, length): in_a_process(sweep.peak_of_sweep, config, [], length, how)[0]
        for how in ("saved", "kept")
        for length in (100_000, 500_000)
    }
    task = prepare(load_config(config, ["decisions.end=2024-01-04"]))
    found, _ = predict_part(task, "train")
    each = sum(array.nbytes for array in found.arrays()) / len(found.times)
    print({key: f"{peak / 2**20:.1f} MiB" for key, peak in peaks.items()}, f"{each:.0f} bytes each")
    grown = {
        how: (peaks[how, 500_000] - peaks[how, 100_000]) / 400_000 for how in ("saved", "kept")
    }
    times = 2 * 8  # bytes a decision: the list of them, and once more while it is made
    assert grown["saved"] <= times + 8
    assert each * 0.9 <= grown["kept"] <= each * 1.1 + times + 8, "kept once, not twice"


@pytest.mark.parametrize(
    ("name", "options", "columns", "figure"),
    [
        (
            "encoders",
            ("--taps", "3", "--decisions", "8", "--repeats", "1"),
            ["conv, 3 taps", "dsc, 3 taps"],
            "model: samples/s, training",
        ),
        (
            "weights",
            ("--decisions", "8", "--repeats", "1"),
            [
                "shared weights",
                "weights per stream",
                "a model per timeframe",
                "all in one vector",
            ],
            "log loss, test without btc",
        ),
        (
            "transfer",
            ("--target", "5m"),
            ["trained there", "of 1m, frozen", "of 1m, trained on", "random, frozen"],
            "rank IC, test",
        ),
    ],
)
def test_variants_stand_side_by_side_on_the_screen_and_in_json(
    name: str,
    options: tuple[str, ...],
    columns: list[str],
    figure: str,
    small: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "figures.json"
    more = ("--steps", "1", "--seeds", "1", "--every", "4")
    assert bench(name, small, *options, *more, "--json", str(file)) == 0
    said, found = capsys.readouterr().out, json.loads(file.read_text())
    assert found["variants"] == columns
    assert all(column in said for column in columns)
    assert set(found["figures"][figure]) == set(columns)
    assert "after 1 step (16 samples), mean over 1 seed" in said
    assert (found["settings"]["steps"], found["settings"]["seeds"]) == (1, 1)
