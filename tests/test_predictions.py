"""Predictions survive being saved, and are all there or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtf import predictions as module
from mtf.errors import DataError
from mtf.predictions import Predictions, load_all, save_all, writing

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

    monkeypatch.setattr("mtf.predictions.pq.ParquetWriter.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        predictions("train").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def many(rows: int) -> Predictions:
    """So many decisions, a label missing at every third."""
    numbers = np.arange(rows, dtype=np.float32)
    label = np.where(np.arange(rows) % 3, np.arange(rows), np.nan)
    arrays = {"action.prob_buy": numbers, "action.label_class": label}
    return Predictions(TIMES[0] + 60_000 * np.arange(rows), "ETHUSDT", "test", arrays)


def test_pieces_of_any_size_make_the_file_that_saving_all_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_A_GROUP", 10)
    whole = many(57)
    whole.save(tmp_path / "whole.parquet")
    with writing(tmp_path / "pieces.parquet") as writer:
        for start, stop in ((0, 3), (3, 9), (9, 40), (40, 57)):
            writer.append(whole.rows(start, stop))
    found = Predictions.load(tmp_path / "pieces.parquet")
    saved = Predictions.load(tmp_path / "whole.parquet")
    for one in (found, saved):
        np.testing.assert_array_equal(one.times, whole.times)
        for name, array in whole.arrays.items():
            np.testing.assert_array_equal(one.arrays[name], array)
            assert one.arrays[name].dtype == array.dtype
    groups = pq.ParquetFile(tmp_path / "pieces.parquet").metadata
    assert groups.num_row_groups == 5, "groups are filled before they are written"
    assert max(groups.row_group(i).num_rows for i in range(5)) < 20


def test_a_mistake_between_pieces_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    predictions().save(path)
    before = path.read_bytes()

    def two_kinds() -> None:
        with writing(path) as writer:
            writer.append(many(5))
            writer.append(predictions())

    with pytest.raises(ValueError, match=r"found columns .*, expected"):
        two_kinds()
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
