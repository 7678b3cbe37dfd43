"""Predictions survive being saved, and are all there or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtf.errors import DataError
from mtf.predictions import Predictions, load_all, save_all

TIMES = np.array([1_700_000_040_000, 1_700_000_100_000])


def predictions(part: str = "test") -> Predictions:
    """Two decisions."""
    return Predictions(
        TIMES,
        "ETHUSDT",
        part,
        {
            "action.prob_buy": np.array([0.5, 0.25], dtype=np.float32),
            "action.label": np.array([0, 2], dtype=np.int8),
            "next_candle.1m.target_close": np.array([0.3, np.nan]),
        },
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    predictions().save(tmp_path / "predictions.parquet")
    found = Predictions.load(tmp_path / "predictions.parquet")
    assert (found.symbol, found.part, len(found)) == ("ETHUSDT", "test", 2)
    np.testing.assert_array_equal(found.times, TIMES)
    for name, array in predictions().arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_any_tool_can_read_the_times(tmp_path: Path) -> None:
    predictions().save(tmp_path / "predictions.parquet")
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    assert table.column("time")[0].as_py().isoformat() == "2023-11-14T22:14:00+00:00"


def test_parts_lie_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    save_all([predictions("validation"), predictions("test")], path)
    assert [one.part for one in load_all(path)] == ["validation", "test"]
    with pytest.raises(DataError, match="2 symbols and parts"):
        Predictions.load(path)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "predictions.parquet"
    predictions().save(path)
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mtf.predictions.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        predictions("train").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    path.write_text("time,symbol\n")
    with pytest.raises(DataError, match="expected: predictions as parquet"):
        load_all(path)
    with pytest.raises(DataError, match=r"absent\.parquet"):
        load_all(tmp_path / "absent.parquet")


def test_columns_must_be_flat() -> None:
    with pytest.raises(ValueError, match="shape"):
        Predictions(TIMES, "ETHUSDT", "test", {"candle": np.zeros((2, 5))})


def test_they_need_no_torch() -> None:
    code = "import sys, mtf.predictions; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
