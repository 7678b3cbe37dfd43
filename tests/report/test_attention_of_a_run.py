"""What a run keeps of its attention: a table and a picture a layer, or nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tasks import SMALL, small_config, small_task
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf.config.load import parse_config
from mtf.evaluation.attention import as_csv
from mtf.learning.task import prepare
from mtf.report.attention import FILE, keep_attention
from mtf.report.tensorboard import TensorBoard
from mtf.train import train
from runs import quiet


def test_a_table_and_a_picture_a_layer(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path / "tensorboard")
    assert keep_attention(small_task(), tmp_path, log, 7)
    log.close()
    rows = list(csv.DictReader((tmp_path / FILE).read_text().splitlines()))
    assert len(rows) == 4 * 4
    state = [float(row["weight"]) for row in rows if row["asking"] == "state"]
    assert sum(state) == pytest.approx(1.0)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["images"] == ["attention/last layer"]
    (picture,) = events.Images("attention/last layer")
    assert picture.step == 7
    assert picture.encoded_image_string.startswith(b"\x89PNG")


def test_a_trained_run_keeps_it_and_tells_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(small_config(training={"epochs": 1}, evaluation={"baselines": []}), quiet())
    assert as_csv(run.attention()) == (run.path / FILE).read_text()


def test_without_attention_there_is_nothing_to_keep(tmp_path: Path) -> None:
    model = {**SMALL["model"], "fusion": {"name": "mean"}}
    log = TensorBoard(tmp_path / "tensorboard")
    assert not keep_attention(prepare(parse_config({**SMALL, "model": model})), tmp_path, log, 7)
    log.close()
    assert not (tmp_path / FILE).exists()
