"""From candles to answers: what may not be known at t moves nothing at t, bit for bit.

Features alone are tried in tests/market; here every encoder, fusion, kind of tokens and head that
is registered goes the whole way, in both layouts of a batch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from whole import (
    START,
    Layout,
    changed,
    closes,
    layout_of,
    minutes,
    raw_market,
    said,
    small_whole,
    whole_batch,
    whole_model,
    whole_world,
)
from worlds import MINUTE, random_candles, world_of

from mtf.market.candles import CLOSE, Candles
from mtf.market.labels import Future, Label
from mtf.market.world import LABEL_HALF_LIFE, LABEL_MIN_RETURNS, VOLATILITY_FLOOR, World
from mtf.model.batch import Batch
from mtf.model.tokens import TOKENS
from mtf.plugins import registry
from mtf.plugins.contracts import Head, HeadContext

CASES: list[dict[str, Any]] = [
    *(
        {"encoder": name, "weights": weights}
        for name in registry.names("encoder")
        for weights in ("shared", "per_stream")
    ),
    {"options": {"causal": False, "num_blocks": 2}},
    {"options": {"causal": False, "num_blocks": 2, "norm": "batch"}, "weights": "per_stream"},
    {"options": {"norm": "layer", "num_blocks": 2}},
    {"options": {"norm": "batch", "num_blocks": 2}},
    {"encoder": "conv", "options": {"causal": False, "num_blocks": 2}},
    *({"fusion": name} for name in registry.names("fusion") if name != "attention"),
    *({"fusion": name, "tokens": "all"} for name in registry.names("fusion")),
    {"forming": True},
    {"forming": True, "tokens": "all"},
    *({"tokens": name} for name in TOKENS if name not in ("log", "all")),
]
TIMES = np.stack([minutes(*range(at, at + 12, 2)) for at in (118, 299, 398, 594)])
"""Groups of six decisions: around late candles, in a gap, where the hour turns (row 599)."""
RAW = raw_market()
CONFIG = small_whole()
BLUNT = ("confidence/chosen", "trend/agreement")
"""A class, and a product of small numbers next to 1/2: they may stay where the rest moves."""
LATENCY = {spec.name: spec.latency_ms for spec in CONFIG.stream_specs()}


def unknown_at(t: int, name: str, candles: Candles) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose candle may not be known at t, and those not known by the timetable."""
    by_timetable = closes(candles) + LATENCY[name] > t
    late = candles.available_at
    return by_timetable if late is None else by_timetable | (late > t), by_timetable


@cache
def world_changed_after(t: int, seed: int = 1) -> World:
    """The world of ``RAW`` where all that is not known at t has other values and other gaps."""
    rng = np.random.default_rng(seed)
    raw = {}
    for name, candles in RAW.items():
        unknown, to_come = unknown_at(t, name, candles)
        raw[name] = changed(candles, unknown, to_come & (rng.random(len(candles)) < 0.3), seed)
    return whole_world(CONFIG, raw)


@cache
def world() -> World:
    return whole_world(CONFIG, RAW)


@cache
def batch_changed_after(t: int | None, layout: Layout) -> Batch:
    """The batch of ``TIMES`` in that world; None = as it is."""
    return whole_batch(layout, world() if t is None else world_changed_after(t), TIMES)


@pytest.mark.parametrize("once", [True, False], ids=["once", "window"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_not_known_at_t_moves_no_output_at_t(case: dict[str, Any], once: bool) -> None:
    model = whole_model(small_whole(**case))
    layout = layout_of(model, once=once)
    before = said(model, batch_changed_after(None, layout))
    for row in (120, 301, 402, 598):
        now = int(minutes(row)[0])
        after = said(model, batch_changed_after(now, layout))
        told = torch.from_numpy(TIMES.reshape(-1) <= now)
        for name, value in before.items():
            assert torch.equal(value[told], after[name][told]), (name, row)
            if name not in BLUNT:
                assert not torch.equal(value[~told], after[name][~told]), (name, row)


@pytest.mark.parametrize("once", [True, False], ids=["once", "window"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_last_visible_candle_moves_the_outputs(case: dict[str, Any], once: bool) -> None:
    """Its close is as it was, so that neither sigma nor age tells, only the encoder."""
    model = whole_model(small_whole(**case))
    layout = layout_of(model, once=once)
    before, *others = (said(model, batch) for batch in batches_of_last_visible(layout))
    for name, after in zip(RAW, others, strict=True):
        moved = {key: not torch.equal(before[key], after[key]) for key in before}
        assert all(moved[key] for key in before if key not in BLUNT), name


@cache
def batches_of_last_visible(layout: Layout) -> list[Batch]:
    """One decision in the world as it is, and with each stream's last visible candle another."""
    now = minutes(554)[None]
    changes = [{}, *({name: other_last_candle(name, now[0])} for name in RAW)]
    return [whole_batch(layout, whole_world(CONFIG, {**RAW, **raw}), now) for raw in changes]


def other_last_candle(name: str, now: np.ndarray) -> Candles:
    """The candles of a stream with another open, high, low and volume in the last visible one."""
    known, candles = world().known(now)[name], RAW[name]
    row = int(known.row[0])
    assert candles.first_slot + row == known.last_slot[0]
    ohlcv = candles.ohlcv.copy()
    ohlcv[row] *= [1.001, 1.003, 0.998, 1.0, 3.0]
    return replace(candles, ohlcv=ohlcv)


# --- labels -----------------------------------------------------------------------------------

HEADS: list[tuple[str, dict[str, Any], int]] = [
    *(
        (name, {}, latency)
        for name in registry.names("head")
        for latency in (0, MINUTE)
        if name != "pivots"  # most are confirmed long before the cap: see tests/heads/test_pivots
    ),
    ("action", {}, 500),
    ("action", {"horizon": 1}, 0),
    ("action", {"horizon": 60}, 0),
    ("action", {"horizon": 60, "cost_floor": True}, 90_000),
]
HORIZON_TIMES = (213, 238, 239, 240, 345, 398, 404, 599, 613, 700)
"""Rows of decisions: in mid-hour, at its turn, before and in a gap."""


def head_of(name: str, options: dict[str, Any], order_latency_ms: int) -> Head:
    clock = CONFIG.decisions.clock
    context = HeadContext(8, CONFIG.stream_specs(), clock, order_latency_ms, 0.002)
    context = replace(context, heads={"action": registry.load("head", "action")(context)})
    built: Head = registry.load("head", name)(context, **options)
    return built


def label(head: Head, target: str, market: World, t: int) -> Label:
    times = np.array([t])
    return head.label(target, Future(market, times, head.reach(target, times)))


def same(one: Label, other: Label) -> bool:
    return bool(one.present == other.present) and all(
        np.array_equal(value, other.values[name]) for name, value in one.values.items()
    )


@cache
def with_candles(t_from: int, t_to: int, gaps: bool) -> World:
    """The world with other candles where they close after one time and up to another."""
    raw = {}
    for name, candles in RAW.items():
        rows = (closes(candles) > t_from) & (closes(candles) <= t_to)
        raw[name] = changed(candles, rows, rows if gaps else np.zeros_like(rows), seed=3)
    return whole_world(CONFIG, raw)


@pytest.mark.parametrize(("name", "options", "latency"), HEADS, ids=str)
def test_a_label_is_moved_by_the_last_candle_in_its_reach_and_by_none_after(
    name: str, options: dict[str, Any], latency: int
) -> None:
    head = head_of(name, options, latency)
    moved = dict.fromkeys(head.targets, 0)
    for row in HORIZON_TIMES:
        t = int(minutes(row)[0])
        for target in head.targets:
            before = label(head, target, world(), t)
            end = t + int(head.reach(target, np.array([t]))[0])
            for other in after_the_end(end):
                assert same(before, label(head, target, other, t)), (target, row)
            last = label(head, target, with_candles(end - 1, end, gaps=False), t)
            if before.present[0] and closes_with_a_candle(target, end):
                assert not same(before, last), (target, row)
                moved[target] += 1
    assert min(moved.values()) >= 4


def after_the_end(end: int) -> list[World]:
    """The first candle after the reach of every stream changed, all of them, some gone."""
    longest = 60 * MINUTE
    return [
        with_candles(end, end + MINUTE, gaps=False),
        with_candles(end, end + longest, gaps=True),
        with_candles(end, 2**60, gaps=False),
    ]


def closes_with_a_candle(target: str, end: int) -> bool:
    """Whether a candle of the target's stream, else of the clock, closes at that time."""
    stream = world().streams[target].candles if target in world().streams else RAW["1m"]
    return bool(stream.valid[closes(stream) == end].any())


# --- the volatility that labels are measured in -----------------------------------------------


def market_of(seed: int, late: dict[int, int]) -> Candles:
    """Two hundred minutes with gaps, some candles some milliseconds late."""
    candles = random_candles(200, seed, missing=0.05, first_slot=START)
    arrival = closes(candles)
    for row, delay in late.items():
        if candles.valid[row]:
            arrival[row] += delay
    return replace(candles, available_at=arrival)


late_rows = st.dictionaries(st.integers(60, 199), st.integers(1, 30 * MINUTE), max_size=6)
moments = st.integers(55 * MINUTE, 205 * MINUTE).map(lambda ms: START * MINUTE + ms)


def volatility(candles: Candles, t: int, latency_ms: int = 0) -> float:
    built = world_of(candles, half_life=5, latency_ms=latency_ms)
    return float(built.label_volatility(np.array([t]))[0])


@settings(max_examples=150, deadline=None)
@given(late=late_rows, t=moments, latency=st.sampled_from([0, 700]), seed=st.integers(0, 9))
def test_label_volatility_sees_no_candle_that_is_not_available(
    late: dict[int, int], t: int, latency: int, seed: int
) -> None:
    candles = market_of(seed, late)
    assert candles.available_at is not None
    unseen = (closes(candles) + latency > t) | (candles.available_at > t)
    other = changed(candles, unseen, unseen, seed)
    found, moved = volatility(candles, t, latency), volatility(other, t, latency)
    assert found == moved or (np.isnan(found) and np.isnan(moved))


@settings(max_examples=100, deadline=None)
@given(late=late_rows, t=moments, latency=st.sampled_from([0, 700]), seed=st.integers(0, 9))
def test_label_volatility_is_that_of_the_candles_that_are_available(
    late: dict[int, int], t: int, latency: int, seed: int
) -> None:
    """A candle that is awaited is as one that never came."""
    candles = market_of(seed, late)
    assert candles.available_at is not None
    waited = candles.valid & (candles.available_at > t)
    end = int(((closes(candles) + latency) <= t).sum())
    seen = np.where(waited, np.nan, candles.ohlcv[:, CLOSE])[:end]
    returns = pd.Series(np.log(seen)).diff()
    wanted = returns.ewm(halflife=LABEL_HALF_LIFE, ignore_na=True).std()
    found = volatility(candles, t, latency)
    if returns.count() < LABEL_MIN_RETURNS:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(max(wanted.iloc[-1], VOLATILITY_FLOOR), rel=1e-9)
        on_time = replace(candles, available_at=None)
        assert waited.any() or found == volatility(on_time, t, latency)
