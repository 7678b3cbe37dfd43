"""Candles in, the same decisions out: the runner beside the model that was exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import EXPORTED, asked, disturbed, made_run, replayed, rows_of

from mtf.config.build import build
from mtf.edge import Runner, RunnerError
from mtf.export import exported, write_folder
from mtf.learning.task import Task

MINUTE = 60_000
Exported = tuple[Path, Task]


def check_decisions(folder: Path, task: Task) -> None:
    """With gaps, candles that come late, and a stream that falls silent."""
    builder = replace(task.builder, world=disturbed(task.world))
    times = np.arange(task.parts["validation"].start_ms, task.parts["test"].end_ms, MINUTE)
    known = builder.world.known(times)
    assert known["1m"].late.sum() > 30
    assert known["5m"].late.any()
    assert not known["btc"].present.all()

    said = asked(task, builder, times)
    found = replayed(folder, builder.world, times)

    assert [one.time_ms for one in found] == times.tolist()
    for name, column in said.arrays.items():
        mine = np.array([one.columns[name] for one in found])
        assert np.abs(mine - column).max() < 1e-5, name
    probs = np.stack([said.arrays[f"action.prob_{side}"] for side in ("buy", "sell", "hold")], 1)
    names = np.array(["BUY", "SELL", "HOLD"])[probs.argmax(1)]
    assert [one.action for one in found] == names.tolist()
    backtest = task.config.backtest
    assert backtest is not None
    targets = build("policy", backtest.policy).targets(said)
    weights = [one.target.weight for one in found if one.target is not None]
    assert np.abs(np.array(weights) - targets.weight).max() < 1e-4
    assert len(set(targets.weight.round(6))) > 10


def test_decisions_are_those_of_the_model(small_export: Exported) -> None:
    check_decisions(*small_export)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "reads_windows"),
    [
        ({"mirror": True, "tokens": {"forming": True}, "encoder": {"num_blocks": 1}}, False),
        ({"tokens": {"name": "all"}, "encoder": {"num_blocks": 1, "causal": False}}, True),
    ],
    ids=["both ways up", "by windows"],
)
def test_decisions_of_other_models_are_theirs(
    model: dict[str, Any], reads_windows: bool, tmp_path: Path
) -> None:
    run, task = made_run(tmp_path, **{**EXPORTED, "model": model})
    files, _ = exported(run)
    assert ("answer.onnx" not in files) == reads_windows
    write_folder(tmp_path / "export", files)
    check_decisions(tmp_path / "export", task)


def test_calibrated_weights_are_exported_and_not_those_before(small_export: Exported) -> None:
    folder, task = small_export
    times = task.parts["test"].times(task.world.clock)[:1]
    (decision,) = replayed(folder, task.world, times)
    logits = decision.outputs["action.logits"] / np.exp(0.4)
    calibrated = np.exp(logits) / np.exp(logits).sum()
    assert decision.outputs["confidence.probs"] == pytest.approx(calibrated, abs=1e-6)
    assert decision.target is not None
    assert decision.target.confidence == pytest.approx(float(calibrated.max()), abs=1e-6)


def test_a_candle_that_comes_late_counts_from_the_next_decision_on(small_export: Exported) -> None:
    folder, task = small_export
    times = task.parts["test"].times(task.world.clock)[:3]
    rows = rows_of(task.world)
    missing = next(i for i, (row, _) in enumerate(rows["btc"]) if row[0] == times[0] - 3 * MINUTE)
    whole, patchy = Runner(folder), Runner(folder)
    for name, of in rows.items():
        for i, (candle, _) in enumerate(of):
            if candle[0] >= times[2]:
                break
            whole.update(name, candle)
            if (name, i) != ("btc", missing):
                patchy.update(name, candle)
    first = [runner.decide(int(times[0])) for runner in (whole, patchy)]
    patchy.update("btc", rows["btc"][missing][0])
    second = [runner.decide(int(times[1])) for runner in (whole, patchy)]
    assert (
        np.abs(first[0].outputs["action.logits"] - first[1].outputs["action.logits"]).max() > 1e-4
    )
    assert second[0].outputs["action.logits"] == pytest.approx(second[1].outputs["action.logits"])


def test_times_and_candles_that_can_not_be_are_messages(small_export: Exported) -> None:
    runner = Runner(small_export[0])
    with pytest.raises(RunnerError, match="decision time 30000"):
        runner.decide(30_000)
    runner.decide(10 * MINUTE)
    with pytest.raises(RunnerError, match="don't go back"):
        runner.decide(9 * MINUTE)
    with pytest.raises(RunnerError, match="built from 1m"):
        runner.update("5m", (0, 1, 1, 1, 1, 0))
    with pytest.raises(RunnerError, match="side input 'book'"):
        runner.decide(10 * MINUTE, {"book": [1.0]})
    with pytest.raises(RunnerError, match="found a candle of stream '2m'"):
        runner.update("2m", (0, 1, 1, 1, 1, 0))


def test_without_any_candle_it_says_what_a_model_without_streams_says(
    small_export: Exported,
) -> None:
    decision = Runner(small_export[0]).decide(0)
    assert not any(decision.present.values())
    assert np.isfinite(list(decision.columns.values())).all()
