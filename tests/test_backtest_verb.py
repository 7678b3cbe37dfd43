"""A run traded by itself and again by the verb: files, words, and what the ledger knows of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tasks import small_config

from mtf import backtest
from mtf.cli import app
from mtf.errors import CheckpointError, ConfigError
from mtf.evaluation.ledger import FOLDER, Ledger
from mtf.run import RUNS, Run
from mtf.train import train
from runs import quiet


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def trained(home: Path) -> Run:
    """A small run that shows what it found."""
    evaluation = {"bootstrap": 50, "baselines": ["class_prior"], "report": True}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        return train(small_config(training={"epochs": 1}, evaluation=evaluation), quiet())


@pytest.fixture
def run(trained: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home)
    return trained


def verdict_of(run: Run) -> str:
    return str(json.loads((run.path / "backtest.json").read_text())["verdict"])


def test_a_training_trades_its_test_part_and_notes_the_trial(run: Run) -> None:
    assert "left after costs" in verdict_of(run)
    assert {"trades.parquet", "equity.parquet", "standing.json", "calibration.parquet"} <= {
        path.name for path in run.path.iterdir()
    }
    first = Ledger(RUNS / FOLDER).read().trials[0]
    assert (first.kind, first.part, first.symbols) == ("train", "test", ("ETHUSDT",))
    assert first.run == str(run.path)
    assert len(first.net_return) == 1  # a test part of less than a day
    assert verdict_of(run) in (run.path / "report.html").read_text()


def test_other_costs_are_another_trial_of_the_same_model(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Free trading earns more: the same decisions, nothing paid."""
    before = len(Ledger(RUNS / FOLDER).read().trials)
    always = ["--policy", "proportional", "backtest.policy.dead_band=0"]
    app(["backtest", "small", *always], standalone_mode=False)
    dear = equity(run)
    app(["backtest", "small", *always, "costs.commission=0"], standalone_mode=False)
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == str(run.path)
    assert any(line.startswith("trials: ") for line in out)
    assert any("buy and hold" in line for line in out)
    assert equity(run).iloc[-1] > dear.iloc[-1]
    trials = Ledger(RUNS / FOLDER).read().trials[before:]
    assert [one.kind for one in trials] == ["backtest", "backtest"]
    assert trials[0].trained == trials[1].trained
    assert trials[0].key != trials[1].key


def equity(run: Run) -> pd.Series:
    """The model's equity."""
    table = pd.read_parquet(run.path / "equity.parquet")
    return table[table["strategy"] == "strategy"]["equity"]


def test_another_part_is_asked_of_the_model(run: Run) -> None:
    backtest.main("small", part="validation")
    told = json.loads((run.path / "backtest.json").read_text())
    assert told["symbols"]["ETHUSDT"]["part"] == "validation"


def test_the_same_from_python(run: Run) -> None:
    (traded,) = run.backtest(["costs.commission=0", "backtest.policy.name=proportional"])
    assert traded.outcome.commission.sum() == 0
    assert traded.outcome.equity[-1] == equity(run).iloc[-1]


def test_what_was_learned_can_not_be_changed(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"model\.embed_dim=8.*can't be changed any more"):
        backtest.main("small", ["model.embed_dim=8"])
    with pytest.raises(ConfigError, match="found --symbol XRPUSDT"):
        backtest.main("small", symbol="XRPUSDT")


def test_every_look_at_the_test_part_is_counted(run: Run) -> None:
    before = [one for one in Ledger(RUNS / FOLDER).read().trials if one.part == "test"]
    run.evaluate()
    run.predict()
    run.evaluate("validation")
    after = [one for one in Ledger(RUNS / FOLDER).read().trials if one.part == "test"]
    assert len(after) - len(before) == 2


def test_a_policy_without_its_head_is_told_and_the_run_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = {"policy": {"name": "position"}}
    run = train(small_config(training={"epochs": 1}, backtest=policy))
    assert "no backtest:" in capsys.readouterr().out
    assert not (run.path / "backtest.json").exists()
    (trial,) = Ledger(RUNS / FOLDER).read().trials
    assert len(trial.days) == 0


def test_a_folder_that_can_not_be_written_is_a_message(run: Run) -> None:
    (run.path / "standing.json").unlink()
    (run.path / "standing.json").mkdir()  # stands for a disk that refuses
    with pytest.raises(CheckpointError, match="could not write the backtest in"):
        backtest.main("small")
    (run.path / "standing.json").rmdir()
    backtest.main("small")
