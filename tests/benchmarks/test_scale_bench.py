"""Long histories: memory flat, time linear, and a data set larger than memory trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtf.benchmarks import scale
from mtf.benchmarks.data import FIRST_MS, MINUTE
from mtf.cli import main
from mtf.data_sources.parquet import Parquet
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request
from mtf.report.measure import in_a_process

SHORT, LONG = 250_000, 2_500_000
LIMIT = 64
"""MiB that a process may add; the arrays of the long history are six times that."""

IN_MEMORY = """
import sys
from pathlib import Path
from mtf.benchmarks import scale
from mtf.market import mapped

mapped.SMALLEST = 1 << 62
try:
    scale.loaded_and_trained(Path(sys.argv[1]), int(sys.argv[2]), 1, 1, int(sys.argv[3]))
except MemoryError:
    print("no memory left")
"""
"""The same with all arrays in the memory of the process."""


def test_a_walk_written_in_pieces_is_one_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "PIECE", 10_000)
    scale.write_walks(tmp_path / "walks", 35_000, 2)
    source = Parquet(path=str(tmp_path / "walks"))
    end = FIRST_MS + 35_000 * MINUTE
    first, second = source.load(
        [Request(f"COIN{i}USDT", Timeframe.parse("1m"), FIRST_MS, end) for i in range(2)]
    )
    assert first.fingerprint() != second.fingerprint()
    assert len(first) == 35_000
    assert 10 <= len(first) - int(first.valid.sum()) <= 70, "one in a thousand is missing"
    there = first.ohlcv[first.valid]
    steps = np.abs(np.log(there[1:, 0] / there[:-1, 3]))
    assert np.median(steps) == 0, "a candle opens where the one before closed"


def test_a_config_has_as_many_streams_as_are_asked_for(tmp_path: Path) -> None:
    for streams in (1, 3):
        config = scale.config_of(tmp_path, scale.WARM_ROWS, 1, streams)
        assert len(config.streams) == streams
        assert len({spec.symbol for spec in config.stream_specs()}) == streams


@pytest.mark.slow
def test_memory_is_flat_and_a_data_set_larger_than_memory_trains(tmp_path: Path) -> None:
    for rows in (scale.WARM_ROWS, SHORT, LONG):
        scale.write_walks(tmp_path / str(rows), rows, 1)
    in_a_process(scale.loaded_and_trained, tmp_path, scale.WARM_ROWS, 1, 1, None)  # compiles
    short, long = (
        in_a_process(scale.loaded_and_trained, tmp_path, rows, 3, 1, limit)
        for rows, limit in ((SHORT, None), (LONG, LIMIT))
    )
    print(short, long)
    assert long["own"] - short["own"] <= 24 * scale.MIB
    assert long["resident"] - short["resident"] <= 128 * scale.MIB
    assert long["s"] <= 1.5 * LONG / SHORT * short["s"]
    given = [sys.executable, "-c", IN_MEMORY, str(tmp_path), str(LONG), str(LIMIT)]
    done = subprocess.run(given, capture_output=True, text=True, check=True)
    assert done.stdout == "no memory left\n", "else the limit would say nothing"


@pytest.mark.slow
def test_the_table_has_a_row_for_each_length_and_number_of_streams(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    given = ("--rows", "60000", "--rows", "120000", "--streams", "1", "--streams", "2")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "scale", *given, "--repeats", "1", "--steps", "2", "--json", str(file)])
    assert not ended.value.code
    rows = {row["variant"]: row for row in json.loads(file.read_text())["rows"]}
    assert list(rows) == ["60,000 rows", "120,000 rows", "1 stream", "2 streams"]
    assert all(row["median"] > 0 for row in rows.values())
    assert set(rows["60,000 rows"]) >= {"s/M rows", "own MiB", "res. MiB", "ms/dec."}
    share = rows["2 streams"]["median"] / rows["1 stream"]["median"] / 2
    assert rows["2 streams"]["a stream"] == pytest.approx(share)
