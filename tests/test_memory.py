"""Memory up to the first batch: a few arrays a candle, whatever the lookback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MINUTE = 60_000
FIRST_MS = 1_577_836_800_000  # 2020-01-01
WARM_UP_MS = 10 * 1440 * MINUTE
ROWS = (500_000, 1_000_000, 4_000_000)
BYTES_PER_ROW = 150

FIRST_BATCH = """
import resource, sys
from mtf.config.load import parse_config
from mtf.learning.log import Log, Progress
from mtf.learning.task import prepare

class Nowhere(Log, Progress):
    def scalar(self, name, value, step): ...
    def hparams(self, config, metrics): ...
    def update(self, step, samples, figures): ...
    def epoch(self, epoch, step, figures): ...
    def close(self): ...

path, start, end, lookback = sys.argv[1], *sys.argv[2:4], int(sys.argv[4])
task = prepare(parse_config({
    "data": {"name": "parquet", "path": path},
    "decisions": {"clock": "1m", "start": start, "end": end, "symbols": ["ETHUSDT"]},
    "streams": {"1m": {"lookback": lookback}},
    "model": {"embed_dim": 8, "fusion": {"num_heads": 2}},
    "training": {"sampling": {"groups": 2, "decisions": 4}},
    "fabric": {"accelerator": "cpu", "threads": 1},
}))
batch = task.fitting(Nowhere(), Nowhere(), None)._batch(0)
assert batch.size == 8
assert batch.streams["1m"].present.any()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""Prints the peak in KiB."""


def write_random_walk(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(rows)
    close = 1_000 * np.exp(np.cumsum(rng.normal(0, 2e-4, rows)))
    opens = np.concatenate([[1_000.0], close[:-1]])
    columns = {
        "open_time": FIRST_MS + np.arange(rows, dtype=np.int64) * MINUTE,
        "open": opens,
        "high": np.maximum(opens, close) * 1.0002,
        "low": np.minimum(opens, close) * 0.9998,
        "close": close,
        "volume": rng.gamma(2.0, 5.0, rows),
    }
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "ETHUSDT_1m.parquet", row_group_size=1 << 17)


def peak_bytes(folder: Path, rows: int, lookback: int) -> int:
    """Peak memory of a process that goes from a config to its first batch."""
    edges = FIRST_MS + WARM_UP_MS, FIRST_MS + rows * MINUTE
    start, end = (str(np.datetime64(edge, "ms")) + "Z" for edge in edges)
    command = [sys.executable, "-c", FIRST_BATCH, str(folder), start, end, str(lookback)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.slow
def test_a_candle_costs_150_bytes_whatever_the_lookback(tmp_path: Path) -> None:
    peaks: dict[int, list[int]] = {60: [], 600: []}
    for rows in ROWS:
        folder = tmp_path / str(rows)
        write_random_walk(folder, rows)
        if rows == ROWS[0]:
            peak_bytes(folder, rows, 60)  # what numba compiles here, the others find compiled
        for lookback, found in peaks.items():
            found.append(peak_bytes(folder, rows, lookback))
    for lookback, found in peaks.items():
        pieces = np.diff(found) / np.diff(ROWS)
        slope = (found[-1] - found[0]) / (ROWS[-1] - ROWS[0])
        told = ", ".join(f"{peak / 2**20:.0f} MiB" for peak in found)
        print(f"\nlookback {lookback}: {told}; {slope:.0f} bytes a row, {pieces.round()}")
        assert slope <= BYTES_PER_ROW
    for short, long in zip(*peaks.values(), strict=True):
        assert abs(long - short) <= 0.05 * short
