from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reports

from mtf.errors import CheckpointError, DataError
from mtf.predictions import save_all
from mtf.report.html import page
from mtf.report.material import Material
from mtf.report.money_files import keep_money, read_money


def test_what_a_backtest_left_is_read_back(tmp_path: Path) -> None:
    kept = reports.money()
    other = replace(kept, symbol="SOLUSDT", trades=kept.trades[:0], cost_by_delay=None)
    keep_money(tmp_path, [kept, other], "Nothing is left.")
    verdict, (found, second) = read_money(tmp_path)
    assert verdict == "Nothing is left."
    assert (found.symbol, found.part, found.capital) == ("ETHUSDT", "test", 100.0)
    assert found.metrics["strategy"]["total_return"] == kept.metrics["strategy"]["total_return"]
    assert np.isnan(found.metrics["strategy"]["num_trades"].low)
    assert list(found.curves) == ["strategy", "buy_and_hold"]
    np.testing.assert_array_equal(found.curves["strategy"].equity, kept.curves["strategy"].equity)
    np.testing.assert_array_equal(found.curves["strategy"].time, kept.curves["strategy"].time)
    np.testing.assert_array_equal(found.ohlc, kept.ohlc)
    pd.testing.assert_frame_equal(found.trades, kept.trades, check_dtype=False)
    assert found.against == kept.against
    assert found.coverage is not None
    assert found.coverage.in_hindsight
    assert second.cost_by_delay is None
    assert len(second.trades) == 0


def test_nothing_traded_leaves_nothing(tmp_path: Path) -> None:
    assert read_money(tmp_path) == ("", ())


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    keep_money(tmp_path, [reports.money()], "")
    (tmp_path / "equity.parquet").unlink()
    with pytest.raises(DataError, match=r"equity\.parquet can't be read"):
        read_money(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "backtest.json").write_text('{"verdict": "x", "symbols": {"A": {}}}')
    with pytest.raises(DataError, match=r"can't be read|don't fit"):
        read_money(tmp_path)
    (tmp_path / "backtest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"backtest\.json"):
        read_money(tmp_path)


def test_a_report_is_made_from_the_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "name" / "time"
    folder.mkdir(parents=True)
    keep_money(folder, [reports.money()], "Nothing is left after costs.")
    save_all([reports.predictions()], folder / "predictions.parquet")
    reports.attention().to_csv(folder / "attention.csv", index=False)
    reports.degraded().to_csv(folder / "degraded.csv", index=False)
    (folder / "metrics.json").write_text(json.dumps(reports.metrics()))
    (folder / "config.yaml").write_text("name: x\n")
    standing = {"standing": {"num_trials": 3}, "trials": [{"name": "a"}]}
    (folder / "standing.json").write_text(json.dumps(standing))
    found = Material.of_folder(folder)
    assert found.name == "name/time"
    assert found.part == "test"
    assert found.standing == {"num_trials": 3}
    assert found.degraded is not None
    assert found.degraded["streams"][0] == ""
    text = page(found)
    assert "Nothing is left after costs." in text
    assert "Shapley values" in text
