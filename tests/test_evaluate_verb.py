"""A run evaluated again: the same figures, from the best weights that are sound."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from tasks import small_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf import evaluate
from mtf.cli import app
from mtf.errors import CheckpointError
from mtf.realtime.degraded_table import DegradedTable
from mtf.report.terminal import Terminal
from mtf.run import Run
from mtf.train import train


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A small run whose folder is the only one."""
    monkeypatch.chdir(tmp_path)
    silent = Terminal(Console(file=io.StringIO()))
    return train(small_config(training={"epochs": 1}), silent)


def test_the_figures_are_those_of_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before, predictions = run.metrics, (run.path / "predictions.parquet").read_bytes()
    (run.path / "metrics.json").unlink()
    evaluate.main("small")
    after = run.metrics
    assert after["test"] == before["test"]
    assert after["baselines"] == before["baselines"]
    assert (run.path / "predictions.parquet").read_bytes() == predictions
    assert capsys.readouterr().out.splitlines()[-1] == str(run.path)


def test_figures_of_another_part_stand_under_its_name(run: Run) -> None:
    results = run.evaluate("validation")
    tree = results.as_dict()
    assert "test" not in tree
    assert set(tree["validation"]) == set(run.metrics["test"])
    assert {name.split("/")[0] for name in results.headline()} == {"validation"}


def test_damaged_best_weights_are_named_or_refused(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (best,) = run.checkpoints.glob("best-*")
    newer = best.with_name("best-99999999")
    newer.mkdir()
    evaluate.main(str(run.path))
    assert "passed over: checkpoint" in capsys.readouterr().out
    with (best / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors that does not match its sum"):
        evaluate.main(str(run.path))


def test_a_folder_that_can_not_be_written_is_a_message(run: Run) -> None:
    (run.path / "predictions.parquet").unlink()
    (run.path / "predictions.parquet").mkdir()  # stands for a disk that refuses
    with pytest.raises(CheckpointError, match=r"could not write predictions\.parquet"):
        evaluate.main(str(run.path))


def test_missing_streams_are_measured_into_a_table_a_file_and_pictures(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run.path / "metrics.json").read_bytes()
    app(["evaluate", "small", "--degraded"], standalone_mode=False)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "mtf evaluate small"
    assert len(out) <= 25
    assert any(line.startswith("action, v = log loss of the class prior") for line in out)
    assert out[-1] == str(run.path / "degraded.csv")
    rows = (run.path / "degraded.csv").read_text().splitlines()
    assert rows[0].startswith("kind,streams,slots,head,target,value,se")
    best = run.best().path.name
    assert rows[0].endswith(",measure,weights")
    assert all(row.endswith(f",{best}") for row in rows[1:])
    table = DegradedTable.read(run.path, run.config.stream_specs(), "action")
    assert table is not None
    assert table.weights == best
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    assert {"degraded/action/sets", "degraded/action/streams"} <= set(events.Tags()["images"])
    assert (run.path / "metrics.json").read_bytes() == before


def test_a_file_of_missing_streams_that_can_not_be_written_is_a_message(run: Run) -> None:
    (run.path / "degraded.csv").mkdir()
    with pytest.raises(CheckpointError, match=r"could not write .*degraded\.csv: "):
        evaluate.main("small", missing=True)
