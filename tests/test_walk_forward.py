"""Training along time: pooled test blocks, nothing of the future, stopped and gone on with."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from walks import SMALL, facts, probabilities, said, walk_config, whole

from mtf.cli import main
from mtf.errors import CheckpointError, DataError, MtfError
from mtf.evaluation.answers import load_arrays
from mtf.evaluation.class_baselines import class_frequencies
from mtf.evaluation.ledger import Ledger
from mtf.evaluation.walk import Walk, folds_of
from mtf.learning.fit import Fitting
from mtf.learning.targets import labels_of
from mtf.learning.task import Task, prepare
from mtf.predictions import Predictions
from mtf.run import Run, load
from mtf.train import train
from mtf.walk_forward import find, go_on, walk_forward
from runs import quiet

MINUTE = 60_000
NOON = 1_704_067_200_000 + 12 * 60 * MINUTE
JOBS = [f"{fold}-{what}" for fold in (1, 2) for what in ("baselines", "seed0", "seed1")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs go."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def walk(home: Path) -> Run:
    """A walk-forward that nothing disturbed, traded, too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        told = {**SMALL["evaluation"], "report": True}
        run = walk_forward(walk_config(home, backtest={}, evaluation=told), terminal=quiet())
    return Run(home / run.path, run.config)


def test_it_leaves_a_folder_that_tells_all(walk: Run) -> None:
    assert walk.path.parent.name == "walk-walk-forward"
    names = {path.name for path in walk.path.iterdir()}
    assert {"config.yaml", "data.json", "environment.json", "folds", "metrics.json"} <= names
    assert {
        "predictions.parquet",
        "predictions_seed0.parquet",
        "predictions_seed1.parquet",
    } <= names
    assert {"backtest.json", "calibration.parquet", "report.html", "standing.json"} <= names
    assert "checkpoints" not in names
    page = (walk.path / "report.html").read_text()
    assert "action, log loss" in page
    assert "seed 1" in page
    assert "fold 2, 2024-01-01 18:00 to 2024-01-02 00:00" in page
    assert sorted(path.name for path in walk.path.glob("folds/*")) == JOBS
    told = facts(walk, "2-seed1")
    assert (told["fold"], told["seed"], told["epochs"]) == (2, 1, 2)
    assert told["parts"]["test"] == ["2024-01-01 18:00", "2024-01-02 00:00"]
    assert {path.name.split("-")[0] for path in walk.path.glob("folds/2-seed1/checkpoints/*")} == {
        *("best", "calibrated")
    }


def test_pooled_decisions_are_the_tiling_of_the_test_blocks(walk: Run) -> None:
    pooled = Predictions.load(walk.path / "predictions.parquet")
    assert pooled.part == "out_of_sample"
    assert pooled.times.tolist() == list(range(NOON, NOON + 720 * MINUTE, MINUTE))
    with_label = np.isfinite(pooled.arrays["action.label_class"])
    # in the last 14 minutes of each block the label would look beyond it
    assert with_label.sum() == 720 - 2 * 14
    assert walk.metrics["out_of_sample"]["action"]["log_loss"]["n"] == with_label.sum()


def test_predictions_are_those_of_the_folds_and_of_all_seeds_their_mean(walk: Run) -> None:
    folds = {seed: [said(walk, f"{fold}-seed{seed}") for fold in (1, 2)] for seed in (0, 1)}
    every = {seed: np.concatenate([probabilities(one) for one in of]) for seed, of in folds.items()}
    assert np.abs(every[0] - every[1]).max() > 1e-3
    for seed, probs in every.items():
        alone = Predictions.load(walk.path / f"predictions_seed{seed}.parquet")
        np.testing.assert_array_equal(alone.arrays["action.prob_buy"], probs[:, 0])
    mean = Predictions.load(walk.path / "predictions.parquet").arrays["action.prob_buy"]
    np.testing.assert_allclose(mean, (every[0] + every[1])[:, 0] / 2, rtol=1e-6)


def test_how_sure_is_sure_is_told_from_before_all_test_blocks(walk: Run) -> None:
    before = Predictions.load(walk.path / "calibration.parquet")
    assert before.part == "calibration"
    assert before.times.min() == NOON - 36 * MINUTE
    assert before.times.max() < NOON


def test_baselines_are_fitted_fold_by_fold_and_pooled_over_the_same_decisions(walk: Run) -> None:
    parts = folds_of(walk.config)
    task = prepare(walk.config, parts[0])
    losses, n = 0.0, 0
    for index, fold in enumerate(parts):
        train_times = fold["train"].times(task.world.clock)
        labels = labels_of(task.panel.heads, task.world, train_times, fold["train"].end_ms)
        label = labels["action"]["action"]
        prior = class_frequencies(label.values["class"][label.present])
        found = load_arrays(walk.path / "folds" / JOBS[3 * index] / "answers.safetensors")
        probs = found["ETHUSDT"]["action"]["action"]["class_prior"]["probs"]
        sweep = said(walk, JOBS[3 * index + 1])
        assert len(probs) == len(sweep.times)
        np.testing.assert_allclose(probs, np.tile(prior, (len(probs), 1)))
        there = sweep.labels["action"]["action"]
        losses -= np.log(prior[there.values["class"][there.present]]).sum()
        n += there.present.sum()
    tree = walk.metrics
    beside = tree["baselines"]["class_prior"]["action"]
    model = tree["out_of_sample"]["action"]["log_loss"]
    assert beside["log_loss"]["n"] == model["n"] == n
    assert beside["log_loss"]["value"] == pytest.approx(losses / n)
    assert beside["difference"] == pytest.approx(model["value"] - losses / n)


def test_metrics_tell_every_seed_and_every_fold(walk: Run) -> None:
    tree = walk.metrics
    assert list(tree["seeds"]) == ["0", "1"]
    seeds = [tree["seeds"][seed]["out_of_sample"]["action"]["log_loss"] for seed in "01"]
    spread = tree["spread"]["action"]["log_loss"]
    assert spread["mean"] == pytest.approx(np.mean([one["value"] for one in seeds]))
    assert spread["sd"] == pytest.approx(np.std([one["value"] for one in seeds], ddof=1))
    folds = [one["out_of_sample"]["action"]["log_loss"] for one in tree["folds"]]
    assert sum(one["n"] for one in folds) == seeds[0]["n"]
    pooled = sum(one["value"] * one["n"] for one in folds) / seeds[0]["n"]
    assert pooled == pytest.approx(tree["out_of_sample"]["action"]["log_loss"]["value"])


def test_every_training_stands_in_the_ledger(walk: Run, home: Path) -> None:
    found = Ledger(home / "runs/ledger").read().trials
    *trained, traded = [one for one in found if one.run in str(walk.path)][:5]
    ends = {fold: NOON + 360 * fold * MINUTE for fold in (1, 2)}
    assert [(one.kind, one.part, one.seed, one.end_ms) for one in trained] == [
        ("fold", "out_of_sample", seed, ends[fold]) for fold in (1, 2) for seed in (0, 1)
    ]
    assert (traded.start_ms, traded.end_ms) == (NOON, ends[2])
    assert traded.trained == trained[0].trained
    assert len({one.key for one in (*trained, traded)}) == 5


def test_a_walk_stopped_in_a_training_ends_like_one_that_was_not(
    walk: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    step = Fitting._step

    def pressed(fitting: Fitting) -> None:
        second = fitting.sampler.seed == 0 and fitting.parts["test"].start_ms > NOON
        if second and fitting.state.step == 5:
            signal.raise_signal(signal.SIGINT)
        step(fitting)

    monkeypatch.setattr(Fitting, "_step", pressed)
    with pytest.raises(MtfError, match=r"interrupted; what is whole stays in (.|\n)*--resume"):
        walk_forward(walk_config(home), terminal=quiet())
    cut = find("walk")
    assert sorted(path.name for path in cut.path.glob("folds/[!.]*")) == JOBS[:4]
    trained = []

    def counted(fitting: Fitting) -> None:
        trained.append(fitting.state.step)
        step(fitting)

    monkeypatch.setattr(Fitting, "_step", counted)
    go_on(cut, terminal=quiet())
    assert trained[:2] == [6, 7]  # the step that Ctrl-C waited for is not done again
    assert len(trained) == 2 + 8
    assert whole(cut) == whole(walk)
    assert not list(cut.path.glob("folds/.*"))


def test_nothing_of_a_test_block_is_known_before_it(
    walk: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All candles from two hours into the first test block on are others."""
    monkeypatch.chdir(tmp_path)
    config = walk_config(tmp_path, walk_forward={"folds": 2, "seeds": 1})
    frame = pd.read_csv(tmp_path / "candles.csv")
    later = frame["time"] * 1_000 >= NOON + 120 * MINUTE
    frame.loc[later, ["open", "high", "low", "close"]] *= np.linspace(1, 2, later.sum())[:, None]
    frame.loc[later, "volume"] *= 3
    frame.to_csv(tmp_path / "candles.csv", index=False)
    other = walk_forward(config, terminal=quiet())
    job = JOBS[1]
    assert facts(other, job)["weights_sha256"] == facts(walk, job)["weights_sha256"]
    before, after = said(walk, job), said(other, job)
    known = before.times <= NOON + 120 * MINUTE
    assert known.sum() == 121
    for name, array in before.outputs["action"].items():
        np.testing.assert_array_equal(after.outputs["action"][name][known], array[known])
    assert (probabilities(before) != probabilities(after))[~known].any()
    assert facts(other, JOBS[4])["weights_sha256"] != facts(walk, JOBS[4])["weights_sha256"]


def test_a_fold_that_fails_is_named_and_stops_no_other(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Fitting.run

    def failing(fitting: Fitting) -> object:
        if fitting.parts["test"].start_ms == NOON:
            raise DataError("the loss is a moose")
        return run(fitting)

    monkeypatch.setattr(Fitting, "run", failing)
    with pytest.raises(MtfError) as caught:
        walk_forward(walk_config(home, walk_forward={"folds": 2, "seeds": 1}), terminal=quiet())
    assert caught.value.found.splitlines() == [
        "1 of 4 could not be done, so there are no figures:",
        "  fold 1, seed 0: the loss is a moose",
    ]
    cut = find("walk-walk-forward")
    assert not (cut.path / "metrics.json").exists()
    done = [path.name for path in cut.path.glob("folds/[!.]*")]
    assert sorted(done) == ["1-baselines", "2-baselines", "2-seed0"]


def test_a_walk_that_is_done_is_measured_again(
    walk: Run, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    before = whole(walk)
    (walk.path / "metrics.json").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(walk.path), "--walk-forward", "--resume"])
    assert ended.value.code == 0
    out = capsys.readouterr().out.splitlines()
    assert "6 of 6 are done already" in out
    assert "out of sample: 2 folds in one piece, mean answer of 2 seeds" in out
    assert out[-1] == str(walk.path)
    assert whole(walk) == before


def test_a_run_is_no_walk_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = walk_config(tmp_path, training={"epochs": 1})
    run = train(config, quiet())
    with pytest.raises(CheckpointError, match="is a run, no walk-forward"):
        find(str(run.path))
    with pytest.raises(CheckpointError, match="no run 'walk-walk-forward'"):
        find("walk")
    assert load("walk").path == run.path


def test_candles_that_changed_are_refused(
    walk: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = prepare(walk.config, folds_of(walk.config)[0])
    assert Walk(walk.config, walk.path, task.fingerprint).seeds == (0, 1)
    monkeypatch.setattr("mtf.walk_forward.prepare", lambda *_: _with_other_candles(task))
    with pytest.raises(CheckpointError, match=r"candles of .* have changed"):
        go_on(walk, terminal=quiet())


def _with_other_candles(task: Task) -> Task:
    return Task(**{**vars(task), "fingerprint": "another"})


@pytest.mark.slow
def test_two_processes_say_the_same_bit_for_bit(
    walk: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert whole(walk_forward(walk_config(home), 2, quiet())) == whole(walk)
