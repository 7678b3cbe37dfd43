"""A panel from a config to a folder, and what can be asked of it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panels import SYMBOLS
from tasks import small_config

from mtf import evaluate
from mtf.config.load import load_config, parse_config
from mtf.config.schema import Config
from mtf.errors import ConfigError
from mtf.learning.cost import cost
from mtf.predictions import load_all
from mtf.run import Run
from mtf.train import train
from runs import quiet

SHORT = {"epochs": 1, "sampling": {"steps_per_epoch": 2}}


def panel_config(**changes: Any) -> Config:
    """A short run of two symbols."""
    return small_config(decisions={"symbols": SYMBOLS}, training=SHORT, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("panel"))
        made = train(panel_config(), quiet())
        return Run(made.path.resolve(), made.config)


def test_the_folder_holds_figures_of_all_and_of_each(run: Run) -> None:
    assert set(run.metrics) == {"schema", "test", "baselines", "symbols", "samples_per_second"}
    assert set(run.metrics["symbols"]["SOLUSDT"]) == {"test", "baselines"}
    assert set(run.metrics["symbols"]["SOLUSDT"]["test"]) == set(run.metrics["test"])
    assert [one.symbol for one in load_all(run.path / "predictions.parquet")] == SYMBOLS
    data = json.loads((run.path / "data.json").read_text())
    assert list(data["streams"]) == ["1m ETHUSDT", "5m ETHUSDT", "btc", "1m SOLUSDT", "5m SOLUSDT"]


def test_evaluated_again_it_says_all_and_each_in_few_lines(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.metrics
    evaluate.main(str(run.path))
    text = capsys.readouterr().out
    assert "ETHUSDT alone: action log_loss " in text
    assert len(text.splitlines()) < 12
    assert run.metrics["symbols"] == before["symbols"]


def test_a_symbol_left_out_has_files_of_its_own(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.metrics
    evaluate.main(str(run.path), symbol="XRPUSDT")
    assert "XRPUSDT alone, which was left out of training" in capsys.readouterr().out
    assert run.metrics == before
    figures = json.loads((run.path / "metrics_XRPUSDT.json").read_text())
    assert figures["test"]["action"]["log_loss"]["n"] > 150
    (said,) = load_all(run.path / "predictions_XRPUSDT.parquet")
    asked = run.predict("test", symbol="XRPUSDT")
    np.testing.assert_array_equal(said.arrays["action.prob_buy"], asked.arrays["action.prob_buy"])
    value = run.evaluate(symbol="XRPUSDT").heads["action"]["action"].metrics["log_loss"].value
    assert value == figures["test"]["action"]["log_loss"]["value"]


def test_predictions_are_of_one_symbol_or_of_all(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a run of 2 symbols") as caught:
        run.predict()
    assert "say symbol='ETHUSDT', or take predict_all" in str(caught.value)
    every = run.predict_all("validation")
    assert [one.symbol for one in every] == SYMBOLS
    count = run.save_predictions(tmp_path / "all.parquet", "validation")
    assert count == sum(map(len, every))
    sol = load_all(tmp_path / "all.parquet")[1]
    np.testing.assert_array_equal(sol.arrays["action.prob_buy"], every[1].arrays["action.prob_buy"])


def test_a_summary_counts_a_vector_for_every_symbol_and_one_more() -> None:
    both, one = (
        next(part for part in cost(config).parts if part.name == "embeddings").parameters
        for config in (panel_config(), small_config())
    )
    assert both is not None
    assert one is not None
    assert both - one == 2 * 16


def test_streams_of_the_primary_follow_the_symbol_and_references_stay() -> None:
    config = panel_config(streams={"eth": {"timeframe": "1m", "symbol": "ETHUSDT"}})
    sol = {spec.name: (spec.symbol, spec.role) for spec in config.stream_specs("SOLUSDT")}
    assert sol["1m"] == sol["5m"] == ("SOLUSDT", "primary")
    assert sol["eth"] == ("ETHUSDT", "reference")  # whichever symbol the decision is about
    single = small_config(streams={"1m": {"symbol": "ETHUSDT"}, "5m": {"symbol": "ETHUSDT"}})
    alone = {spec.name: (spec.symbol, spec.role) for spec in single.stream_specs("SOLUSDT")}
    assert alone["1m"] == ("SOLUSDT", "primary")  # of the only symbol, whether named or not
    assert alone["btc"] == ("BTCUSDT", "reference")


def test_a_stream_can_not_be_made_from_one_that_stays_behind() -> None:
    with pytest.raises(ConfigError, match="a stream of ETHUSDT") as caught:
        panel_config(streams={"1m": {"symbol": "ETHUSDT"}, "5m": {"from": "1m"}})
    assert "a stream of the primary symbol" in str(caught.value)


def test_books_of_a_panel_are_files_of_its_symbols() -> None:
    with pytest.raises(ConfigError, match="one file for ETHUSDT and SOLUSDT"):
        panel_config(side_inputs={"book": {"name": "order_book", "path": "book.parquet"}})
    small_config(side_inputs={"order_book": {"path": "book.parquet"}})
    panel_config(side_inputs={"order_book": {"path": "{symbol}.parquet"}})


def test_a_real_panel_trains_and_scores_the_symbol_it_has_not_learned(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["fabric.threads=1", "fabric.accelerator=cpu", "evaluation.bootstrap=20"]
    changes += ["training.epochs=1", "training.sampling.steps_per_epoch=2"]
    changes += ["decisions.start=2022-02-01", "decisions.end=2022-02-04", "model.embed_dim=16"]
    changes += [f"data.path={real_data / 'candles'}"]
    run = train(load_config("eth_sol_panel", changes), quiet())
    assert run.config.panel == ("ETHUSDT", "SOLUSDT")
    figures = run.metrics["symbols"]
    for symbol in SYMBOLS:
        assert figures[symbol]["test"]["action"]["log_loss"]["n"] > 500
        assert 0.9 < figures[symbol]["test"]["action"]["log_loss"]["value"] < 1.4
    left_out = run.evaluate(symbol="BTCUSDT")
    assert left_out.heads["action"]["action"].metrics["log_loss"].n > 500


def test_the_shipped_panel_is_that_of_two_symbols_beside_btc() -> None:
    shipped = load_config("eth_sol_panel", ["data.path=x"])
    again = parse_config(shipped.model_dump(mode="json", by_alias=True))
    assert again.panel == shipped.panel == ("ETHUSDT", "SOLUSDT")
    assert shipped.streams["btc"].symbol == "BTCUSDT"
