"""Long histories and many streams: seconds, memory, and cost a decision as they grow."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer

from mtf.benchmarks.data import COLUMNS, FIRST_MS, MINUTE, WARM_UP_MS
from mtf.config.load import parse_config
from mtf.config.schema import Config
from mtf.errors import MtfError
from mtf.learning.fit import Fitting
from mtf.learning.log import Quiet
from mtf.learning.task import prepare
from mtf.report.measure import Measured, Row, compared, forget_peak, in_a_process, peak_bytes

ROWS = (100_000, 1_000_000, 10_000_000)
WARM_ROWS = 50_000
"""Rows that what is compiled is compiled on, and the fewest that can be asked for."""
STREAMS = (1, 2, 4, 8)
PIECE = 1 << 17
MIB = 1 << 20
LOOKBACK = 600
WATCH = """
import json, select, sys
most = 0
while True:
    status = open(f"/proc/{sys.argv[1]}/status").read()
    most = max(most, int(status.partition("RssAnon:")[2].split()[0]) * 1024)
    if select.select([sys.stdin], [], [], 0.002)[0]:
        break
print(most)
"""
"""Most anonymous memory of a process until the input ends: the system itself keeps no peak of it,
and a thread could not look while compiled code runs."""


def run(
    rows: Annotated[
        list[int] | None,
        typer.Option(min=WARM_ROWS, help="Candles; repeatable (100 k, 1 M, 10 M)."),
    ] = None,
    streams: Annotated[
        list[int] | None, typer.Option(min=1, max=99, help="Streams; repeatable (1, 2, 4, 8).")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="MiB of own memory that a process may add to load and train."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps that are timed.")] = 20,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> Measured:
    """Seconds and memory from parquet to the first batch, and cost a decision, by length.

    Synthetic minutes are written to a temporary folder first; every reading has a process of its
    own. The ratio is to the fewest rows, and to the fewest streams.
    """
    lengths, widths = sorted(rows or ROWS), sorted(streams or STREAMS)
    with tempfile.TemporaryDirectory() as folder:
        long = by_length(Path(folder), lengths, steps, repeats, threads, limit)
        wide = by_streams(Path(folder), widths, steps, repeats, threads)
    return Measured(
        [*long, *wide],
        {
            "rows": lengths,
            "streams": widths,
            "limit": limit,
            "steps": steps,
            "repeats": repeats,
            "threads": threads,
        },
        [
            "seconds: from the config to the first batch, imports left out; memory: the most from "
            f"there to the end of {steps} training steps, above what the process held before",
            "own: memory that only the process itself can give back; res.: resident, with those "
            "pages of mapped files that are in use, which the system may take back",
            f"streams: 1m candles of so many symbols, {LOOKBACK} slots each; a training step has "
            "256 decisions",
        ],
    )


def by_length(
    folder: Path, lengths: list[int], steps: int, repeats: int, threads: int, limit: int | None
) -> list[Row]:
    """Histories of several lengths, in turns."""
    for length in {WARM_ROWS, *lengths}:
        write_walks(folder / str(length), length, 1)
    in_a_process(loaded_and_trained, folder, WARM_ROWS, 1, threads, None)  # compiles
    found: dict[int, list[dict[str, float]]] = {length: [] for length in lengths}
    for _ in range(repeats):
        for length in lengths:
            one = in_a_process(loaded_and_trained, folder, length, steps, threads, limit)
            found[length].append(one)
    seconds = {f"{length:,} rows": [one["s"] for one in found[length]] for length in lengths}
    more = {
        f"{length:,} rows": {
            "s/M rows": float(np.median([one["s"] for one in found[length]])) / length * 1e6,
            "own MiB": float(np.median([one["own"] for one in found[length]])) / MIB,
            "res. MiB": float(np.median([one["resident"] for one in found[length]])) / MIB,
            "ms/dec.": float(np.median([one["ms/decision"] for one in found[length]])),
        }
        for length in lengths
    }
    return compared(seconds, "s", more)


def by_streams(
    folder: Path, widths: list[int], steps: int, repeats: int, threads: int
) -> list[Row]:
    """Several numbers of streams, in turns."""
    write_walks(folder / "streams", WARM_ROWS, max(widths))
    found: dict[str, list[float]] = {_streams(width): [] for width in widths}
    for _ in range(repeats):
        for width in widths:
            config = config_of(folder / "streams", WARM_ROWS, threads, width)
            found[_streams(width)].append(in_a_process(cost_of, config, steps))
    more = {
        _streams(width): {"ratio/stream": float(np.median(found[_streams(width)])) / width}
        for width in widths
    }
    first = more[_streams(widths[0])]["ratio/stream"]
    shares = {name: {"a stream": told["ratio/stream"] / first} for name, told in more.items()}
    return compared(found, "ms/decision", shares)


def _streams(width: int) -> str:
    return f"{width} stream{'s' if width > 1 else ''}"


def loaded_and_trained(
    folder: Path, rows: int, steps: int, threads: int, limit: int | None
) -> dict[str, float]:
    """Seconds to the first batch, cost of a decision, and peaks of memory in bytes.

    Args:
        folder: with a folder of candles for each number of rows.
        rows: which of them.
        steps: training steps.
        threads: of the CPU.
        limit: MiB that the process may add to its own memory; None = what it needs.
    """
    torch.set_num_threads(threads)
    warm = prepare(config_of(folder / str(WARM_ROWS), WARM_ROWS, threads))
    trained(warm.fitting(Quiet(), Quiet(), None), 2)
    if limit is not None:
        now = _status("VmData") + limit * MIB
        resource.setrlimit(resource.RLIMIT_DATA, (now, now))
    forget_peak()
    own, resident = _status("RssAnon"), _status("VmRSS")
    with watched() as most:
        began = time.perf_counter()
        task = prepare(config_of(folder / str(rows), rows, threads))
        fitting = task.fitting(Quiet(), Quiet(), None)
        batch = fitting._batch(0)
        seconds = time.perf_counter() - began
        cost = trained(fitting, steps)
    assert batch.streams["1m"].present.any()
    return {
        "s": seconds,
        "ms/decision": cost,
        "own": most[0] - own,
        "resident": peak_bytes() - resident,
    }


def cost_of(config: Config, steps: int) -> float:
    """Milliseconds a decision of training, once warm."""
    fitting = prepare(config).fitting(Quiet(), Quiet(), None)
    trained(fitting, 2)
    return trained(fitting, steps)


def trained(fitting: Fitting, steps: int) -> float:
    """Milliseconds a decision of some training steps: the median step."""
    spent = []
    for _ in range(steps):
        began = time.perf_counter()
        fitting._step()
        spent.append(time.perf_counter() - began)
    sampler = fitting.sampler
    return float(np.median(spent)) * 1e3 / (sampler.groups * sampler.decisions)


@contextmanager
def watched() -> Iterator[list[int]]:
    """The most anonymous memory of this process within the block, known when it is left."""
    most: list[int] = []
    command = [sys.executable, "-S", "-c", WATCH, str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        try:
            yield most
        finally:
            said, _ = watcher.communicate()
    most.append(json.loads(said))


def _status(name: str) -> int:
    """A figure of this process in bytes.

    Raises:
        MtfError: not a Linux.
    """
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        raise MtfError(
            f"this system does not tell {name} of a process", "Linux", "measure on Linux"
        ) from None
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


def config_of(folder: Path, rows: int, threads: int, streams: int = 1) -> Config:
    """Streams of minutes over the rows of a folder."""
    edges = FIRST_MS + WARM_UP_MS, FIRST_MS + rows * MINUTE
    start, end = (str(np.datetime64(edge, "ms")) + "Z" for edge in edges)
    wide: dict[str, Any] = {"1m": {"lookback": LOOKBACK}}
    for number in range(1, streams):
        symbol = _symbol(number)
        wide[symbol.lower()] = {"timeframe": "1m", "symbol": symbol, "lookback": LOOKBACK}
    values: dict[str, Any] = {
        "data": {"name": "parquet", "path": str(folder)},
        "decisions": {"start": start, "end": end, "symbols": [_symbol(0)]},
        "streams": wide,
        "model": {"embed_dim": 16, "fusion": {"num_heads": 2}},
        "training": {"sampling": {"groups": 16, "decisions": 16, "stride": 16}},
        "fabric": {"accelerator": "cpu", "threads": threads},
    }
    return parse_config(values)


def _symbol(number: int) -> str:
    return f"COIN{number}USDT"


def write_walks(folder: Path, rows: int, symbols: int) -> None:
    """A random walk of minutes for each of some symbols, a parquet file each."""
    folder.mkdir()
    for number in range(symbols):
        write_walk(folder / f"{_symbol(number)}_1m.parquet", rows, [number, rows])


def write_walk(path: Path, rows: int, seed: Sequence[int]) -> None:
    """A random walk of minutes, written piece by piece; one candle in a thousand is missing."""
    rng, last = np.random.default_rng(seed), 1_000.0
    names = ("open_time", *COLUMNS)
    schema = pa.schema([(name, pa.float64() if name in COLUMNS else pa.int64()) for name in names])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PIECE):
            count = min(PIECE, rows - start)
            close = last * np.exp(np.cumsum(rng.normal(0, 2e-4, count)))
            opens = np.concatenate([[last], close[:-1]])
            high, low = np.maximum(opens, close) * 1.0002, np.minimum(opens, close) * 0.9998
            times = FIRST_MS + np.arange(start, start + count, dtype=np.int64) * MINUTE
            volume = rng.gamma(2.0, 5.0, count)
            there = rng.random(count) >= 1e-3
            values = [array[there] for array in (times, opens, high, low, close, volume)]
            writer.write_table(pa.table(values, schema))
            last = float(close[-1])
