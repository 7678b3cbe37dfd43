"""Candles on disk to the first batch: seconds and memory; windows a second against ``df.iloc``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils.data import DataLoader, Dataset

from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.learning.batches import BatchBuilder
from mtf.learning.task import prepare
from mtf.market.world import World
from mtf.report.measure import (
    Measured,
    Row,
    assert_equal,
    compared,
    forget_peak,
    in_a_process,
    peak_bytes,
    rates,
    rounds,
)

MINUTE = 60_000
FIRST_MS = 1_577_836_800_000  # 2020-01-01
WARM_UP_MS = 10 * 1440 * MINUTE
SYMBOLS = ("ETHUSDT", "BTCUSDT")
COLUMNS = ["open", "high", "low", "close", "volume"]
ROWS = (1_000_000, 4_000_000)
WARM_ROWS = 50_000
"""Rows that what is compiled is compiled on."""
LOOKBACK = 100
BATCH = 256

Way = Callable[[], Iterator[np.ndarray]]
"""Builds windows, some at a time: ``[window, LOOKBACK, column]``."""


def run(
    rows: Annotated[
        list[int] | None,
        typer.Option(
            min=WARM_ROWS, help="Candles of each of two symbols; repeatable (1 M and 4 M)."
        ),
    ] = None,
    windows: Annotated[int, typer.Option(min=1, help="Windows of 100 candles.")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> Measured:
    """Seconds and memory from parquet to the first batch; windows a second beside df.iloc.

    Synthetic minutes are written to a temporary folder first; every reading has a process of its
    own. The ratio of seconds is to the fewest rows, that of windows to the loop over df.iloc.
    """
    lengths = sorted(rows or ROWS)
    with tempfile.TemporaryDirectory() as folder:
        loading = first_batches(Path(folder), lengths, repeats, threads)
        building = windows_a_second(Path(folder), windows, repeats, threads)
    return Measured(
        [*loading, *building],
        {"rows": lengths, "windows": windows, "threads": threads, "repeats": repeats},
        [
            "seconds: from the config to the first batch, imports left out; rows are those of both "
            "symbols; bytes/row = the whole peak of the process, +bytes/row = what each further "
            "row adds to it",
            f"windows: {LOOKBACK} candles × {len(COLUMNS)} columns, equal in all variants",
        ],
    )


def first_batches(folder: Path, lengths: list[int], repeats: int, threads: int) -> list[Row]:
    """Seconds and peaks of reading each number of rows, in turns."""
    for length in (WARM_ROWS, *lengths):
        write_candles(folder / str(length), length)
    in_a_process(first_batch, folder / str(WARM_ROWS), WARM_ROWS, threads)
    found: dict[int, list[tuple[float, int]]] = {length: [] for length in lengths}
    for _ in range(repeats):
        for length in lengths:
            found[length].append(in_a_process(first_batch, folder / str(length), length, threads))
    seconds = {_name(length): [one[0] for one in found[length]] for length in lengths}
    peaks = {length: float(np.median([one[1] for one in found[length]])) for length in lengths}
    return compared(seconds, "s", for_each_row(seconds, peaks))


def for_each_row(
    seconds: dict[str, list[float]], peaks: dict[int, float]
) -> dict[str, dict[str, float]]:
    """Seconds a million rows and bytes a row: of all rows, and of those beyond the fewest."""
    fewest, more = min(peaks), {}
    for length, peak in peaks.items():
        rows, name = length * len(SYMBOLS), _name(length)
        spent = float(np.median(seconds[name]))
        more[name] = {"s/M rows": spent / rows * 1e6, "bytes/row": peak / rows}
        if length > fewest:
            added = (length - fewest) * len(SYMBOLS)
            more[name]["+bytes/row"] = (peak - peaks[fewest]) / added
    return more


def _name(length: int) -> str:
    return f"disk to first batch, {length:,} × {len(SYMBOLS)}"


def first_batch(folder: Path, rows: int, threads: int) -> tuple[float, int]:
    """Seconds from a config to its first batch, and the peak of the process in bytes."""
    torch.set_num_threads(threads)
    forget_peak()
    began = time.perf_counter()
    task = prepare(config_of(folder, rows, threads))
    sampler = task.sampler
    batch = task.panel.build(sampler.times(0, 0), sampler.symbols(0, 0), task.parts["train"].end_ms)
    seconds = time.perf_counter() - began
    assert batch.streams["1m"].present.any()
    return seconds, peak_bytes()


def config_of(folder: Path, rows: int, threads: int, lookback: int = 600) -> Config:
    """Two streams of minutes over the rows of a folder; a small model, for none is asked."""
    edges = FIRST_MS + WARM_UP_MS, FIRST_MS + rows * MINUTE
    start, end = (str(np.datetime64(edge, "ms")) + "Z" for edge in edges)
    btc = {"timeframe": "1m", "symbol": "BTCUSDT", "lookback": lookback}
    values: dict[str, Any] = {
        "data": {"name": "parquet", "path": str(folder)},
        "decisions": {"start": start, "end": end, "symbols": ["ETHUSDT"]},
        "streams": {"1m": {"lookback": lookback}, "btc": btc},
        "model": {"embed_dim": 8, "fusion": {"num_heads": 2}},
        "fabric": {"accelerator": "cpu", "threads": threads},
    }
    return parse_config(values)


def write_candles(folder: Path, rows: int) -> None:
    """A random walk of minutes for every symbol, a parquet file each."""
    folder.mkdir(exist_ok=True)
    for seed, symbol in enumerate(SYMBOLS):
        rng = np.random.default_rng([seed, rows])
        close = 1_000 * np.exp(np.cumsum(rng.normal(0, 2e-4, rows)))
        opens = np.concatenate([[1_000.0], close[:-1]])
        high, low = np.maximum(opens, close) * 1.0002, np.minimum(opens, close) * 0.9998
        times = FIRST_MS + np.arange(rows, dtype=np.int64) * MINUTE
        values = (times, opens, high, low, close, rng.gamma(2.0, 5.0, rows))
        table = pa.table(dict(zip(("open_time", *COLUMNS), values, strict=True)))
        pq.write_table(table, folder / f"{symbol}_1m.parquet", row_group_size=1 << 17)


def windows_a_second(folder: Path, windows: int, repeats: int, threads: int) -> list[Row]:
    """The same windows in the ways one would build them, and in mtf's."""
    rows = windows + WARM_UP_MS // MINUTE
    write_candles(folder / "windows", rows)
    task = prepare(config_of(folder / "windows", rows, threads, LOOKBACK))
    ways = ways_to_build(task.world, task.config.decisions.start_ms, windows)
    check_equal(ways)
    seconds = rounds({name: partial(_use_up, way) for name, way in ways.items()}, repeats)
    return compared(rates(dict.fromkeys(ways, windows), seconds), "windows/s")


def ways_to_build(world: World, start_ms: int, windows: int) -> dict[str, Way]:
    """Ways to build consecutive windows of a world's 1m features, the slowest first."""
    world = replace(world, streams={"1m": world.streams["1m"]})
    stream, times = world.streams["1m"], start_ms + np.arange(windows, dtype=np.int64) * MINUTE
    end = stream.spec.timeframe.last_slot(times) + 1 - stream.candles.first_slot
    rows = slice(int(end[0]) - LOOKBACK, int(end[-1]))
    features = pd.DataFrame(stream.features[rows], columns=COLUMNS)
    candles = features.assign(open_time=stream.candles.open_time()[rows])
    return {
        "loop, df[columns].iloc[i:j]": lambda: _loop(lambda: candles[COLUMNS], windows),
        "loop, df.iloc[i:j], one dtype": lambda: _loop(lambda: features, windows),
        "DataLoader, item by item": lambda: _items(features.to_numpy(), windows),
        "mtf, windows": lambda: _built(world, times, once=False),
        "mtf, encode once": lambda: _built(world, times, once=True),
    }


def check_equal(ways: dict[str, Way]) -> None:
    """Make sure that all ways build the same windows.

    Raises:
        MtfError: they don't.
    """
    built = {name: np.concatenate(list(way())) for name, way in ways.items()}
    first = next(iter(built))
    for name, found in built.items():
        assert_equal(built[first], found, 0.0, f"{first} and {name}", "the windows")


def _loop(frame: Callable[[], pd.DataFrame], windows: int) -> Iterator[np.ndarray]:
    """A list of slices of a table, then an array of them."""
    yield np.stack([frame().iloc[i : i + LOOKBACK].to_numpy() for i in range(windows)])


def _items(features: np.ndarray, windows: int) -> Iterator[np.ndarray]:
    """A dataset of slices, collated by a DataLoader."""
    for batch in DataLoader(Slices(torch.from_numpy(features.copy()), windows), BATCH):
        yield batch.numpy()


class Slices(Dataset[torch.Tensor]):
    """Windows of a tensor, one an item."""

    def __init__(self, features: torch.Tensor, windows: int) -> None:
        self.features, self.windows = features, windows

    def __len__(self) -> int:
        """Number of windows."""
        return self.windows

    def __getitem__(self, index: int) -> torch.Tensor:
        """One window."""
        return self.features[index : index + LOOKBACK]


def _built(world: World, times: np.ndarray, *, once: bool) -> Iterator[np.ndarray]:
    """Batches as training and evaluation build them; encoded once, windows are views of blocks."""
    builder = BatchBuilder(world, {}, {"1m": LOOKBACK}, {"1m": once})
    for i in range(0, len(times), BATCH):
        values = builder.build(times[None, i : i + BATCH], None).streams["1m"].values.numpy()
        if once:
            values = sliding_window_view(values[0], LOOKBACK, axis=0).swapaxes(1, 2)
        yield values


def _use_up(way: Way) -> None:
    """Build all windows."""
    for _ in way():
        pass
