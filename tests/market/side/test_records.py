"""Files of figures with a time: order, doubles, units, and what can't be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtf.errors import DataError
from mtf.market.side.records import read_records


def test_rows_are_sorted_and_the_last_of_a_time_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,time_ms,b\n1,300,10\n2,100,20\n3,300,30\n,200,\n")
    records = read_records(str(path), ["b", "a"])
    assert records.times.tolist() == [100, 200, 300]
    np.testing.assert_array_equal(records.values, [[20, 2], [np.nan, np.nan], [30, 3]])
    assert records.last(np.array([99, 100, 299, 300, 10**15])).tolist() == [-1, 0, 1, 2, 2]


def test_parquet_and_text_say_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time_ms": [1, 2], "x": [0.5, 1.5]})
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False)
    both = [read_records(str(tmp_path / name), ["x"]) for name in ("x.parquet", "x.csv")]
    assert both[0].fingerprint() == both[1].fingerprint()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.parquet", "no parquet", ("can't be read", "a complete parquet file")),
        ("x.csv", "", ("can't be read", "text with commas and a header")),
        ("x.csv", "time_ms,y\n1,2\n", ("has no column x; it has time_ms, y", "rename")),
        ("x.csv", "time_ms,x\n1,hello\n", ("column x holds string", "numbers")),
        ("x.csv", "time_ms,x\n,1\n", ("row 1", "time_ms")),
    ],
)
def test_files_that_can_not_be_used(
    tmp_path: Path, name: str, text: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as raised:
        read_records(str(path), ["x"])
    for word in words:
        assert word in str(raised.value)
