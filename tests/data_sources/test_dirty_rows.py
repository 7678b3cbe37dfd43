"""Dirt of every kind thrown over good rows: no bad row is kept, gaps are told, twice is as once.

``expected`` says by its own plain rules, row by row, which candles must survive.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mtf.data_sources.csv import Csv
from mtf.data_sources.parquet import Parquet
from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Request

START, MINUTE = 1_640_995_200_000, 60_000
FRAME = Timeframe.parse("1m")
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
KINDS = (
    *("twice", "conflict", "gap", "nan", "inf", "negative", "no_volume", "crossed"),
    *("unclosed", "seconds", "off_grid"),
)
DIRT = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 99), st.integers(0, 4)), max_size=8
)
"""What, to which row (modulo their number), in which column."""
Row = tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Table:
    """Rows as a file would have them."""

    open_time: np.ndarray
    ohlcv: np.ndarray

    @classmethod
    def of(cls, rows: list[Row]) -> Table:
        times = np.array([time for time, _ in rows], np.int64)
        return cls(times, np.array([values for _, values in rows], np.float64).reshape(-1, 5))

    def rows(self) -> list[Row]:
        values = [tuple(map(float, row)) for row in self.ohlcv]
        return list(zip(self.open_time.tolist(), values, strict=True))


def dirty(dirt: list[tuple[str, int, int]], count: int, seed: int, *, shuffled: bool) -> Table:
    """Good minutes, with each kind of dirt on some row, and perhaps in any order."""
    random = np.random.default_rng(seed)
    close = 100 + np.cumsum(random.normal(0, 0.1, count)).round(2)
    rows: list[Row] = [
        (START + MINUTE * i, (p, p + 1.0, p - 1.0, p + 0.5, 3.0)) for i, p in enumerate(close)
    ]
    for kind, at, column in dirt:
        rows = soiled(rows, kind, at % len(rows), column) if rows else rows
    order = random.permutation(len(rows)) if shuffled else range(len(rows))
    return Table.of([rows[i] for i in order])


def soiled(rows: list[Row], kind: str, at: int, column: int) -> list[Row]:
    """The rows with one more fault."""
    time, values = rows[at]

    def with_value(column: int, value: float) -> list[Row]:
        changed = (*values[:column], value, *values[column + 1 :])
        return [*rows[:at], (time, changed), *rows[at + 1 :]]

    match kind:
        case "twice":
            return [*rows, rows[at]]
        case "conflict":
            return [*rows, (time, (*values[:4], values[4] + 1.0))]
        case "unclosed":  # the last one again, as it was before it closed
            last, (first, *_, volume) = rows[-1]
            return [*rows, (last, (first, first, first, first, volume / 2))]
        case "gap":
            return [*rows[:at], *rows[at + 1 + column % 3 :]]
        case "nan" | "inf":
            return with_value(column, float(kind))
        case "negative":
            return with_value(column % 4, -1.0)
        case "no_volume":
            return with_value(4, -0.5)
        case "crossed":
            return with_value(1, values[2] - 1.0)
        case "seconds":
            return [*rows[:at], (time // 1_000, values), *rows[at + 1 :]]
    return [*rows[:at], (time + 1 + column, values), *rows[at + 1 :]]


def expected(table: Table) -> dict[int, tuple[float, ...]]:
    """The candles that must survive, by open time."""
    by_time: dict[int, list[tuple[float, ...]]] = {}
    for time, values in table.rows():
        by_time.setdefault(time, []).append(values)
    return {
        time: rows[0]
        for time, rows in by_time.items()
        if time % MINUTE == 0 and all(row == rows[0] for row in rows) and is_candle(rows[0])
    }


def is_candle(row: tuple[float, ...]) -> bool:
    """What everything behind the border relies on."""
    first, high, low, last, volume = row
    finite = bool(np.isfinite(row).all())
    return finite and 0 < low <= min(first, last) and max(first, last) <= high and volume >= 0


def check(candles: Candles, table: Table, *, reader: str) -> None:
    """Exactly the good rows are there; the rest is missing, counted and in the gap report."""
    wanted = expected(table)
    times = candles.open_time()[candles.valid].tolist()
    assert times == sorted(wanted), reader
    assert [tuple(row) for row in candles.ohlcv[candles.valid]] == [wanted[time] for time in times]
    assert np.isnan(candles.ohlcv[~candles.valid]).all()
    report = candles.report
    slots = (times[-1] - times[0]) // MINUTE + 1
    assert (report.gaps.missing, report.candles) == (slots - len(times), len(times))
    starts = np.diff(times) > MINUTE
    assert report.gaps.count == int(np.count_nonzero(starts))
    told = {finding.kind for finding in report.findings()}
    assert ("gaps" in told) == (slots > len(times))


def from_rows(table: Table) -> Candles:
    """Straight through the border."""
    return Candles.from_rows("ETHUSDT", FRAME, table.open_time, table.ohlcv, bad_rows="mask")


def from_csv(table: Table, folder: Path) -> Candles:
    """By way of a text file."""
    lines = [",".join(COLUMNS)]
    lines += [f"{time}," + ",".join(map(repr, row)) for time, row in table.rows()]
    (folder / "ETHUSDT_1m.csv").write_text("\n".join(lines) + "\n")
    source = Csv(path=str(folder), time_unit="ms", bad_rows="mask")
    return source.load([Request("ETHUSDT", FRAME, -(2**60), 2**60)])[0]


def from_parquet(table: Table, folder: Path) -> Candles:
    """By way of a parquet file."""
    columns = {"open_time": table.open_time}
    columns |= {name: table.ohlcv[:, i] for i, name in enumerate(COLUMNS[1:])}
    pq.write_table(pa.table(columns), folder / "ETHUSDT_1m.parquet", row_group_size=7)
    source = Parquet(path=str(folder), bad_rows="mask")
    return source.load([Request("ETHUSDT", FRAME, -(2**60), 2**60)])[0]


def cleaned(candles: Candles) -> Table:
    """What was kept, as rows again."""
    return Table(candles.open_time()[candles.valid], candles.ohlcv[candles.valid])


def holds(dirt: list[tuple[str, int, int]], count: int, seed: int, *, shuffled: bool) -> None:
    """All readers keep the good rows only, and reading again changes nothing."""
    table = dirty(dirt, count, seed, shuffled=shuffled)
    if not table.rows():
        return
    readers = {"rows": from_rows, "csv": _in_folder(from_csv), "parquet": _in_folder(from_parquet)}
    for reader, load in readers.items():
        if refused_as_a_whole(table):
            with pytest.raises(DataError):
                load(table)
            continue
        candles = load(table)
        # trimmed: a source hands out the span from the first candle to the last
        candles = candles.trim()
        check(candles, table, reader=reader)
        assert load(table).trim().fingerprint() == candles.fingerprint(), "read again"
        again = load(cleaned(candles)).trim()
        assert again.fingerprint() == candles.fingerprint(), "the cleaned result read again"
        faults = [finding for finding in again.report.findings() if finding.kind != "gaps"]
        assert [finding.kind for finding in faults if finding.broken] in ([], ["gap_pattern"])


def _in_folder(load: Callable[[Table, Path], Candles]) -> Callable[[Table], Candles]:
    """A reader of files in an empty folder of its own."""

    def inside(table: Table) -> Candles:
        with tempfile.TemporaryDirectory() as folder:
            candles = load(table, Path(folder))
            assert len(os.listdir(folder)) == 1, "nothing is written beside the file"
            return candles

    return inside


def refused_as_a_whole(table: Table) -> bool:
    """Nothing good is in it."""
    return not expected(table)


CASES = given(
    dirt=DIRT, count=st.integers(40, 90), seed=st.integers(0, 2**16), shuffled=st.booleans()
)
QUIET = [HealthCheck.too_slow]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=QUIET)
@CASES
@example(dirt=[(kind, 5, 1) for kind in KINDS], count=40, seed=0, shuffled=True)
@example(dirt=[("seconds", 3, 0)], count=30, seed=1, shuffled=False)
@example(dirt=[("unclosed", 0, 0)], count=30, seed=2, shuffled=True)
def test_dirty_rows(
    dirt: list[tuple[str, int, int]], count: int, seed: int, shuffled: bool
) -> None:
    holds(dirt, count, seed, shuffled=shuffled)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=QUIET)
@CASES
def test_dirty_rows_500(
    dirt: list[tuple[str, int, int]], count: int, seed: int, shuffled: bool
) -> None:
    holds(dirt, count, seed, shuffled=shuffled)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_dirt_costs_what_it_soils_and_no_more(kind: str) -> None:
    table = dirty([(kind, 5, 0)], 20, 0, shuffled=False)
    lost = {"twice": 0}.get(kind, 1)
    assert len(expected(table)) == 20 - lost
    assert from_rows(table).report.candles == 20 - lost


def test_a_file_all_in_seconds_is_refused_and_not_misread() -> None:
    table = dirty([], 20, 0, shuffled=False)
    seconds = Table(table.open_time // 1_000, table.ohlcv)
    with pytest.raises(DataError, match="looks like seconds"):
        from_rows(seconds)
