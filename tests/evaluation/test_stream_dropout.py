"""What stream dropout buys where streams are missing, and what measuring that costs."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import stats

from mtf.config.load import load_config, parse_config
from mtf.evaluation.cells import Cell, present_cell
from mtf.evaluation.degraded import Degraded, degraded, looks
from mtf.evaluation.shapley import members
from mtf.learning.sweep import ONCE_DECISIONS, sweep
from mtf.learning.task import prepare
from mtf.report.terminal import Terminal
from mtf.train import train

MARKET: dict[str, Any] = {
    "name": "five",
    "seed": 0,
    "data": {"name": "synthetic", "world": "market", "seed": 0},
    "decisions": {
        "clock": "1m",
        "start": "2024-01-01",
        "end": "2024-01-31",
        "symbols": ["ETHUSDT"],
    },
    "streams": {
        "1m": {"lookback": 64},
        "5m": {"lookback": 32},
        "15m": {"lookback": 32},
        "1h": {"lookback": 24},
        "btc": {"timeframe": "1m", "lookback": 64, "symbol": "BTCUSDT"},
    },
    "model": {
        "embed_dim": 16,
        "encoder": {"name": "dsc", "num_blocks": 2},
        "fusion": {"name": "attention", "num_layers": 1, "num_heads": 2, "feedforward_dim": 32},
    },
    "heads": {"action": {}, "next_candle": {"weight": 0.3}},
    "fabric": {"accelerator": "cpu", "threads": 1},
    "evaluation": {"bootstrap": 1000, "baselines": ["class_prior"]},
}
"""Thirty days of the made-up market, 4.5 of them to test on."""
TRAINING: dict[str, Any] = {
    "sampling": {"groups": 16, "decisions": 16, "stride": 4, "steps_per_epoch": 60},
    "epochs": 16,
    "optimizer": {"lr": 2e-3},
}


def trained(stream_dropout: float) -> Degraded:
    """A model trained in the current folder, measured with every set of streams."""
    training = {**TRAINING, "stream_dropout": stream_dropout}
    run = train(
        parse_config({**MARKET, "training": training}), Terminal(Console(file=io.StringIO()))
    )
    return degraded(run.task(), slots=())


@pytest.mark.long
def test_with_stream_dropout_missing_streams_cost_less_and_the_whole_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    having, lacking = trained(0.3), trained(0.0)
    assert len(having.cells) == 32
    for key in (("action", "action"), *(("next_candle", name) for name in having.streams)):
        gain = having.drawn[key] - lacking.drawn[key]  # in v, where higher is better
        by_cell, spread = gain[:, 0], gain[:, 1:].std(axis=1, ddof=1)
        assert by_cell.mean() > 0, key
        assert stats.ttest_1samp(by_cell, 0).pvalue < 0.05, key
        assert (by_cell > -2 * spread).all(), key
    prior, both = 1.0967, (having, lacking)  # the class prior's log loss on this test part
    full, without = (prior - one.value("action", "action", one.everything).value for one in both)
    assert abs(full / without - 1) < 0.005
    # with nothing there it falls back on how often each class came
    assert abs(having.value("action", "action", Cell("present", ())).value) < 0.002


@pytest.mark.parametrize(
    "decisions",
    [
        pytest.param(ONCE_DECISIONS, marks=pytest.mark.slow, id="1,024 of 10,240"),
        pytest.param(10 * ONCE_DECISIONS, marks=pytest.mark.long, id="10,240"),
    ],
)
def test_all_sets_of_five_streams_cost_less_than_so_many_evaluations(decisions: int) -> None:
    """The default model with fresh weights: what is learned costs the same."""
    changes = ["decisions.end=2024-01-12", "fabric.accelerator=cpu", "fabric.threads=1"]
    task = prepare(load_config("dsc_mtf", changes))
    model, part = task.model, task.parts["train"]
    times, names = part.times(task.world.clock)[:decisions], [one.name for one in model.streams]
    sets = [present_cell(model.streams, members(names, number)) for number in range(2**5)]
    sweep(model, task.builder, times[:64], part.end_ms)  # kernels are compiled before
    began = time.process_time()
    sweep(model, task.builder, times, part.end_ms)
    plain = time.process_time() - began
    calls: list[int] = []
    for encoder in set(model.encoders):
        encoder.register_forward_hook(lambda *_: calls.append(1))
    began, batches = time.process_time(), 0
    for _, look, _ in looks(model, task.builder, times, part.end_ms):
        batches += 1
        with torch.inference_mode():
            for cell in sets:
                assert np.isfinite(look.answer(cell)["action"]["probs"].numpy()).all()
    assert len(calls) == batches * len(names)  # every stream of every batch, once
    assert time.process_time() - began < 0.6 * len(sets) * plain
