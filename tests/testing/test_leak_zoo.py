"""Every leak of the zoo is caught, with a message that names the place; what is sound passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import leaks
import numpy as np
import pytest
from sides import MINUTE, write_book

from mtf.errors import ContractError
from mtf.learning.splits import split
from mtf.learning.targets import labels_of
from mtf.market.asof import window
from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.stream import compute_stream
from mtf.market.world import World, label_sigma
from mtf.plugins import registry
from mtf.plugins.contracts import HeadContext, Request
from mtf.testing import (
    check_data_source,
    check_encoder,
    check_feature_set,
    check_head,
    check_in_time,
    check_split,
    checks_of,
    checks_of_feature_set,
    outcomes,
    require,
)
from mtf.testing.market import CLOCK, known_at, random_market, random_world, stream_specs
from mtf.testing.registered import CONTRACTS

HOURS = 3_600_000
REQUESTS = [
    Request("ETHUSDT", leaks.MINUTE, 0, 11 * HOURS),
    Request("ETHUSDT", leaks.HOUR, 0, 11 * HOURS),
]
TIMES = np.arange(1000, dtype=np.int64) * 60_000
HORIZON = 15 * 60_000


def source(plugin: Any) -> None:
    check_data_source(plugin, REQUESTS)


def parts(function: Any) -> None:
    check_split(function(TIMES, HORIZON), HORIZON, name=function.__name__)


def features(plugin: Any) -> None:
    """Position by position; that it can't be streamed either, other checks say first."""
    require(check for check in checks_of_feature_set(plugin) if check.name == "causality")


ZOO: list[tuple[Callable[[Any], None], Any, tuple[str, ...]]] = [
    # A higher timeframe joined at its open.
    (check_in_time, leaks.joined_at_the_open, ("looks ahead", "1h candle [", "of 1h changes")),
    (check_in_time, leaks.resampled_to_hours, ("looks ahead", "1m candle [", "of 1m changes")),
    (source, leaks.KnownAtTheOpen, ("known before its close", "ETHUSDT 1m candle [1970-01-01")),
    # One candle early, one candle late.
    (check_in_time, leaks.one_candle_early, ("looks ahead", "1h candle [", "of 1h changes")),
    (check_in_time, leaks.one_candle_late, ("one candle late", "1h candle [", "of 1h changes")),
    (check_in_time, leaks.strictly_before, ("one candle late", "1h candle [", "of 1h changes")),
    (source, leaks.StampedByClose, ("ETHUSDT 1h", "one 1h later than in 1m")),
    (source, leaks.StampedEarly, ("ETHUSDT 1h", "one 1h earlier than in 1m")),
    (check_encoder, leaks.Shifts, ("does not see the last candle", "1m candle [", "stream 1m")),
    # Statistics over the window including the target, or over the whole series.
    (check_in_time, leaks.window_with_its_target, ("looks ahead", "1m candle [", "of 1m changes")),
    (check_in_time, leaks.scaled_by_everything, ("looks ahead", "1m candle [", "of 1m changes")),
    (check_encoder, leaks.NormalisesTheWindow, ("looks ahead", "output 0 moves")),
    (features, leaks.ScalesBySeries, ("looks ahead", "1m candle [", "of slot")),
    # Both sides called causal.
    (check_encoder, leaks.PadsBothSides, ("looks ahead", "output 0 moves when slots after 0")),
    (check_encoder, leaks.BothDirections, ("looks ahead", "output 0 moves when slots after 0")),
    (features, leaks.CentredMean, ("looks ahead", "1m candle [", "of slot")),
    # Labels.
    (check_head, leaks.LabelBeyondReach, ("'action' reaches beyond its reach", "t + 900000 ms")),
    (check_head, leaks.LabelTooShort, ("'action' declares more than it reads", "1970-01-04")),
    (check_head, leaks.DemeansItsLabels, ("'action' at 1970-01-03 23:45", "other times")),
    (check_head, leaks.RemembersItsLabel, ("outputs know the label", "forward() in eval()")),
    # The last candle is not closed.
    (source, leaks.UnclosedLast, ("ETHUSDT 1h candle [", "depends on what comes after it")),
    # Gaps filled backwards.
    (source, leaks.FillsGapsBackwards, ("1m candle [", "depends on what comes after it", "absent")),
    (check_in_time, leaks.gaps_filled_from_behind, ("looks ahead", "1m candle [", "s later")),
    (check_in_time, leaks.interpolated_gaps, ("looks ahead", "1m candle [", "s later")),
    (
        check_feature_set,
        leaks.FillsBackwards,
        ("an absent one is usable", "slot 96, 1970-01-01 01:36"),
    ),
    # Splits.
    (parts, leaks.split_before_purging, ("train reaches into validation", "14 decisions")),
    (parts, leaks.shuffled_split, ("train and validation overlap in time",)),
    # The batch normalises itself in evaluation.
    (check_encoder, leaks.NormalisesTheBatch, ("rows of a batch mix",)),
]


@pytest.mark.parametrize(("gate", "leak", "words"), ZOO, ids=[leak.__name__ for _, leak, _ in ZOO])
def test_caught(gate: Callable[[Any], None], leak: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(ContractError) as caught:
        gate(leak)
    assert str(caught.value).startswith(leak.__name__)
    assert "expected: " in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# --- and no false alarm -------------------------------------------------------------------------


def streams_of(market: leaks.Market) -> World:
    """The market as mtf sees it."""
    specs = {spec.name: spec for spec in stream_specs()}
    streams = {name: compute_stream(specs[name], one, Ohlcv()) for name, one in market.items()}
    clock = market["1m"]
    return World("ETHUSDT", CLOCK, streams, clock, label_sigma(clock))


def known_of(market: leaks.Market, times: np.ndarray) -> np.ndarray:
    """All that mtf knows of every stream at each time."""
    columns = []
    for known in streams_of(market).known(times).values():
        columns += [known.row, known.age_ms, known.present, known.late]
        columns += [known.sigma, known.volume_mean, known.last_close]
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def windows_of(market: leaks.Market, times: np.ndarray) -> np.ndarray:
    """What its encoders see at each time, and the volatility of its labels."""
    world = streams_of(market)
    seen = [
        np.stack([window(stream, Ohlcv(), int(time), 8)[0].ravel() for time in times])
        for stream in world.streams.values()
    ]
    return np.hstack([*seen, world.label_volatility(times)[:, None]])


@pytest.mark.parametrize("function", [leaks.sound_join, known_of])
def test_a_join_that_is_right_passes(function: Any) -> None:
    check_in_time(function)


def test_the_windows_of_mtf_pass() -> None:
    check_in_time(windows_of, small_market(missing=0.02))


def small_market(missing: float = 0.0) -> dict[str, Candles]:
    """Twenty hours, without those streams that have no features after so few."""
    whole = random_market(slots=1200, missing=missing)
    return {name: whole[name] for name in ("1m", "5m")}


def late_market() -> dict[str, Candles]:
    """Some candles come after others that are younger."""
    market = small_market()
    arrival = known_at(market["1m"]).copy()
    arrival[[1100, 1190, 1195]] += np.array([3, 1, 2]) * 60_000
    return {**market, "1m": replace(market["1m"], available_at=arrival)}


def test_late_candles_count_from_their_arrival() -> None:
    check_in_time(windows_of, late_market(), sees_last=False)
    with pytest.raises(ContractError, match="sound_join: looks ahead"):
        check_in_time(leaks.sound_join, {**random_market(slots=1200), **late_market()})


def test_a_source_that_is_right_passes() -> None:
    check_data_source(leaks.Archive, REQUESTS)


def test_a_split_that_is_right_passes() -> None:
    parts(leaks.purged_split)


@pytest.mark.parametrize("name", registry.names("head"))
def test_the_splits_of_mtf_pass(name: str) -> None:
    alone = HeadContext(8, stream_specs(), CLOCK)
    beside = replace(alone, heads={"action": registry.load("head", "action")(alone)})
    head = registry.load("head", name)(beside)
    world = random_world()
    shares = {"train": 0.7, "validation": 0.1, "calibration": 0.05, "test": 0.15}
    cut = split(4200 * 60_000, 4700 * 60_000, shares, CLOCK)
    labelled = 0
    for target in head.targets:
        times = {}
        for part in cut.values():
            asked = part.times(CLOCK)
            label = labels_of({name: head}, world, asked, part.end_ms)[name][target]
            times[part.name] = asked[label.present]
        check_split(times, partial(head.reach, target))
        labelled += sum(len(one) for one in times.values())
    assert labelled > 50


REGISTERED = [(kind, name) for kind in sorted(CONTRACTS) for name in registry.names(kind)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_no_false_alarm_over_the_registry_whatever_the_seed(
    kind: str, name: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {}
    if name == "order_book":  # the one that reads a file: snapshots when it is tried
        options["path"] = str(tmp_path / "book.parquet")
        write_book(tmp_path / "book.parquet", np.arange(4_480, 4_570) * MINUTE - 20_000)
    for seed in range(1, 6):
        tried = outcomes(checks_of(kind, name, options, seed=seed))
        failed = [one for one in tried if not one.passed]
        assert not failed, f"seed {seed}: {failed}"


@pytest.mark.parametrize("kind", ["csv", "parquet", "synthetic"])
def test_no_false_alarm_over_the_data_sources(kind: str, tmp_path: Path) -> None:
    asked = [replace(request, symbol="ETHUSDT") for request in REQUESTS]
    options: dict[str, Any] = {} if kind == "synthetic" else {"path": str(tmp_path)}
    if kind == "csv":
        options["time_unit"] = "ms"  # so near to 1970 it can't be told
    for candles in leaks.Archive().load(asked):
        rows = leaks.frame_of(candles).reset_index().rename(columns={"time": "open_time"})
        rows.to_csv(tmp_path / f"ETHUSDT_{candles.timeframe}.csv", index=False)
        rows.to_parquet(tmp_path / f"ETHUSDT_{candles.timeframe}.parquet")
    failed = [o for o in outcomes(checks_of("data_source", kind, options, asked)) if not o.passed]
    assert not failed
