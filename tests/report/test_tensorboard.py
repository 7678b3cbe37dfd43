"""The event file holds what was logged, and nothing else is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf.learning.log import Log
from mtf.report.tensorboard import TensorBoard


def events(folder: Path) -> EventAccumulator:
    """All events in the folder."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_scalars_come_back_under_their_names(tmp_path: Path) -> None:
    log: Log = TensorBoard(tmp_path)
    for step in range(3):
        log.scalar("train/loss", 1.0 - step / 10, step)
    log.scalar("validation/action/log_loss", 1.09, 2)
    log.scalar("validation/action/rank_ic", float("nan"), 2)
    log.close()
    found = events(tmp_path)
    assert set(found.Tags()["scalars"]) == {"train/loss", "validation/action/log_loss"}
    logged = found.Scalars("train/loss")
    assert [event.step for event in logged] == [0, 1, 2]
    assert [event.value for event in logged] == pytest.approx([1.0, 0.9, 0.8])


def test_settings_stand_beside_final_metrics_in_one_file(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path)
    config = {"name": "x", "seed": 0, "model": {"embed_dim": 64, "plugins": [1], "ema": None}}
    log.hparams(config, {"test/action/log_loss": 1.07})
    log.close()
    assert len(list(tmp_path.rglob("*tfevents*"))) == 1
    found = events(tmp_path)
    assert found.Scalars("final/test/action/log_loss")[0].value == pytest.approx(1.07)
    raw = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"model.embed_dim" in raw
    assert b"model.plugins" in raw


def test_nothing_is_said_and_no_warning_raised(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from mtf.report.tensorboard import TensorBoard\n"
        f"log = TensorBoard(Path({str(tmp_path)!r}))\n"
        "log.scalar('train/loss', 1.0, 1); log.hparams({'a': 1}, {'b': 2.0}); log.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
