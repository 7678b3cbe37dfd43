"""Arrays in files: what they hold, what they leave behind, and that nobody can tell them apart."""

from __future__ import annotations

import errno
import os
import pickle
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.data_sources.csv import Csv
from mtf.data_sources.parquet import Parquet
from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.candles import BadRows, Candles, join
from mtf.market.features import Ohlcv
from mtf.market.resample import resample
from mtf.market.scale import SAVE_EVERY
from mtf.market.stream import StreamSpec, arrival_of, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.times import spacing
from mtf.market.world import World, label_sigma
from mtf.plugins.contracts import Request

MINUTE, HOUR = Timeframe.parse("1m"), Timeframe.parse("1h")
START = 1_640_995_200_000
LARGE = mapped.SMALLEST // 8


@pytest.fixture
def everything_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of any size lie in files, and histories are worked through in small pieces."""
    monkeypatch.setattr(mapped, "SMALLEST", 1)
    monkeypatch.setattr(mapped, "PIECE", SAVE_EVERY)


def test_a_large_array_lies_in_a_file_and_is_a_plain_one() -> None:
    small, large = mapped.empty((LARGE - 1,)), mapped.empty((LARGE // 2, 2))
    assert not mapped.is_mapped(small)
    assert mapped.is_mapped(large)
    assert type(large) is np.ndarray
    assert large.shape == (LARGE // 2, 2)
    assert large.dtype == np.float64
    assert large.flags.c_contiguous
    assert large.flags.writeable
    assert mapped.is_mapped(large[5:, 1]), "and so do its views"


def test_what_was_written_is_there_after_its_memory_was_given_back() -> None:
    array = mapped.empty(2 * LARGE)
    array[:] = np.arange(len(array))
    mapped.release(array[1_000:70_000], array[::2], None, np.zeros(3))
    assert (array == np.arange(len(array))).all()


def test_memory_that_was_given_back_is_no_longer_resident() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells how much of a process is resident")

    def resident(kind: str) -> int:
        return int(status.read_text().partition(f"{kind}:")[2].split()[0]) * 1024

    array, own, of_files = mapped.empty(8 * LARGE), resident("RssAnon"), resident("RssFile")
    array[:] = 1.0
    assert resident("RssFile") - of_files > 0.9 * array.nbytes
    assert resident("RssAnon") - own < 0.1 * array.nbytes, "it is not the process's own"
    mapped.release(array)
    assert resident("RssFile") - of_files < 0.1 * array.nbytes


def test_nothing_is_left_in_the_folder_even_while_the_array_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    free = os.statvfs(tmp_path).f_bavail
    array = mapped.full(16 * LARGE, 1.0)
    assert mapped.is_mapped(array)
    assert os.listdir(tmp_path) == []
    assert free - os.statvfs(tmp_path).f_bavail > 0, "its room is taken at once"


@pytest.mark.parametrize("refused", ["full", "no folder"])
def test_without_room_on_the_disk_the_array_lies_in_memory(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if refused == "full":
        monkeypatch.setattr(os, "posix_fallocate", no_room)
    else:
        monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    array = mapped.full(LARGE, 2.0)
    assert not mapped.is_mapped(array)
    assert (array == 2.0).all()


def test_a_pickled_array_is_a_copy_of_its_own() -> None:
    array = mapped.full(LARGE, 3.0)
    copied = pickle.loads(pickle.dumps(array))
    array[0] = 4.0
    assert not mapped.is_mapped(copied)
    assert (copied == 3.0).all()


@given(data=st.data(), rows=st.integers(0, 40))
def test_rows_chosen_counted_and_joined_are_those_of_numpy(data: st.DataObject, rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "SMALLEST", 1)
        patch.setattr(mapped, "PIECE", 7)
        array = np.arange(rows * 2.0).reshape(rows, 2)
        mask = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), bool)
        order = np.array(data.draw(st.permutations(range(rows))), np.int64)
        np.testing.assert_array_equal(mapped.taken(array, mask), array[mask])
        np.testing.assert_array_equal(mapped.taken(array, order), array[order])
        assert mapped.count(mask) == mask.sum()
        np.testing.assert_array_equal(
            mapped.joined([array, array[mask]]), np.r_[array, array[mask]]
        )
        assert mapped.joined([array]) is array
        covered = [row for rows_ in mapped.pieces(rows) for row in range(rows)[rows_]]
        assert covered == list(range(rows))


def messy(rows: int, seed: int, kinds: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Minutes of a random walk with the faults that are asked for."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, rows)))
    opens = np.concatenate([[100.0], close[:-1]])
    ohlcv = np.stack(
        [opens, np.maximum(opens, close), np.minimum(opens, close), close, rng.random(rows)], axis=1
    )
    at = np.arange(rows)
    if "gaps" in kinds:
        at = at[rng.random(rows) > 0.05]
    if "duplicates" in kinds:
        at = np.sort(np.concatenate([at, rng.choice(at, 20)]))
    if "disorder" in kinds:
        at = rng.permutation(at)
    times, values = START + 60_000 * at, ohlcv[at]
    if "conflicting" in kinds:
        times = np.append(times, times[[1, 2, 2]])
        values = np.concatenate([values, values[[1, 2, 2]] * [[2.0], [2.0], [3.0]]])
    if "faults" in kinds:
        values[rng.choice(len(values), 9), rng.integers(0, 5, 9)] = np.nan
        values[rng.choice(len(values), 9), 4] = -1.0
    return times, values


KINDS = [
    set[str](),
    {"gaps"},
    {"gaps", "duplicates"},
    {"disorder"},
    {"gaps", "disorder", "duplicates"},
    {"gaps", "conflicting"},
    {"faults"},
    {"gaps", "disorder", "duplicates", "conflicting", "faults"},
]


def laid_out(kinds: set[str], bad_rows: BadRows) -> Any:
    """Everything that the border says of messy rows: candles, counts and report, or the refusal."""
    times, ohlcv = messy(5_000, 3, kinds)
    late = times + 60_000 + np.random.default_rng(4).integers(0, 99_000, len(times))
    try:
        candles = Candles.from_rows(
            "ETHUSDT", MINUTE, times, ohlcv, available_at=late, bad_rows=bad_rows
        )
    except DataError as error:
        return str(error)
    return candles, candles.counts, candles.report, candles.fingerprint()


@pytest.mark.parametrize("bad_rows", ["refuse", "mask"])
@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: " ".join(sorted(kinds)) or "sound")
def test_the_border_says_the_same_of_rows_in_files_and_in_pieces(
    kinds: set[str], bad_rows: BadRows, request: pytest.FixtureRequest
) -> None:
    expected = laid_out(kinds, bad_rows)
    request.getfixturevalue("everything_in_files")
    found = laid_out(kinds, bad_rows)
    if isinstance(expected, str):
        assert found == expected
        return
    candles, told = expected[0], found[0]
    assert mapped.is_mapped(told.valid)
    for name in ("ohlcv", "valid", "available_at"):
        np.testing.assert_array_equal(getattr(told, name), getattr(candles, name))
    assert found[1:] == expected[1:]


def world_of_rows() -> World:
    """A world with gaps and late candles, its streams native and derived."""
    times, ohlcv = messy(5_000, 5, {"gaps"})
    late = times + 60_000 + np.random.default_rng(6).integers(0, 99_000, len(times))
    candles = Candles.from_rows("ETHUSDT", MINUTE, times, ohlcv, available_at=late)
    specs = [StreamSpec(name, "ETHUSDT", frame, "primary", 8) for name, frame in
             (("1m", MINUTE), ("1h", HOUR))]  # fmt: skip
    made = [candles, resample(candles, HOUR)]
    streams = {s.name: compute_stream(s, c, Ohlcv()) for s, c in zip(specs, made, strict=True)}
    return World("ETHUSDT", MINUTE, streams, candles, label_sigma(candles), 1_000)


def test_a_world_in_files_is_the_same_bit_for_bit(request: pytest.FixtureRequest) -> None:
    expected = world_of_rows()
    request.getfixturevalue("everything_in_files")
    found = world_of_rows()
    for name, stream in found.streams.items():
        other = expected.streams[name]
        pairs = [(getattr(stream, one), getattr(other, one)) for one in
                 ("features", "feature_valid", "feature_states", "arrival")]  # fmt: skip
        pairs += [(getattr(stream.candles, one), getattr(other.candles, one)) for one in
                  ("ohlcv", "valid", "available_at")]  # fmt: skip
        pairs += [(getattr(stream.scale, one.name), getattr(other.scale, one.name))
                  for one in fields(stream.scale)]  # fmt: skip
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours, theirs)
        assert mapped.is_mapped(stream.features)
        assert mapped.is_mapped(stream.scale.sigma)
    np.testing.assert_array_equal(found.label_sigma, expected.label_sigma)
    assert mapped.is_mapped(found.label_sigma)
    times = START + 60_000 * np.arange(-10, 5_020) + 500
    np.testing.assert_array_equal(found.label_volatility(times), expected.label_volatility(times))
    before = expected.known(times)
    for name, known in found.known(times).items():
        for one in fields(known):
            np.testing.assert_array_equal(getattr(known, one.name), getattr(before[name], one.name))


@pytest.mark.usefixtures("everything_in_files")
def test_the_next_candle_is_found_however_far_away_one_asks() -> None:
    world = world_of_rows()
    there = np.flatnonzero(world.clock_candles.valid)
    rows = np.arange(-5, len(world.clock_candles) + 5)
    after = [next(iter(there[there >= row]), -1) for row in rows.tolist()]
    before = [next(iter(there[there <= row][::-1]), -1) for row in rows.tolist()]
    np.testing.assert_array_equal(world.row_at_or_after(rows), after)
    np.testing.assert_array_equal(world.row_at_or_before(rows), before)
    far = np.array([-(2**60), 2**60])
    assert world.row_at_or_after(far).tolist() == [there[0], -1]
    assert world.row_at_or_before(far).tolist() == [-1, there[-1]]
    assert world.candles_between(far[:1], far[1:]).tolist() == [len(there)]


@pytest.mark.usefixtures("everything_in_files")
def test_nothing_is_waited_for_where_no_candle_is() -> None:
    rng = np.random.default_rng(0)
    valid, late = rng.random(3_000) > 0.3, rng.integers(0, 10**6, 3_000)
    never = np.iinfo(np.int64).min
    expected = np.maximum.accumulate(np.where(valid, late, never))
    np.testing.assert_array_equal(arrival_of(valid, late), expected)


@given(st.lists(st.integers(-50, 50), max_size=40))
def test_the_median_distance_is_that_of_all_distances(times: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "PIECE", 7)
        steps = np.diff(np.sort(np.array(times, np.int64)))
        steps = np.sort(steps[steps > 0])
        expected = int(steps[(len(steps) - 1) // 2]) if len(steps) else 0
        assert spacing(np.array(times, np.int64)) == expected


@pytest.mark.usefixtures("everything_in_files")
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_read_into_files_hold_what_was_written(kind: str, tmp_path: Path) -> None:
    times, ohlcv = messy(5_000, 7, {"gaps"})
    names = ("open", "high", "low", "close", "volume")
    table = pa.table({"open_time": times, **dict(zip(names, ohlcv.T, strict=True))})
    for part, rows in enumerate((slice(0, 3_000), slice(3_000, None))):
        path = tmp_path / f"ETHUSDT_1m_{part}.{kind}"
        if kind == "parquet":
            pq.write_table(table[rows], path)
        else:
            table[rows].to_pandas().to_csv(path, index=False)
    source = Parquet(path=str(tmp_path)) if kind == "parquet" else Csv(path=str(tmp_path))
    wanted = Request("ETHUSDT", MINUTE, START, START + 60_000 * 10_000)
    candles = source.load([wanted])[0]
    assert mapped.is_mapped(candles.ohlcv)
    np.testing.assert_array_equal(candles.ohlcv[candles.valid], ohlcv)
    np.testing.assert_array_equal(candles.open_time()[candles.valid], times)
    one = Candles.from_rows("ETHUSDT", MINUTE, times, ohlcv)
    assert candles.fingerprint() == one.fingerprint()
    halves = [one.slice(START, START + 60_000 * 2_000), one.slice(START + 60_000 * 2_000, 2**60)]
    assert join(halves, "two").fingerprint() == one.fingerprint()
