"""Asking under a condition is asking about a market in which it holds, whatever the encoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tasks import small_task
from whole import (
    FORMING,
    START,
    STREAMS,
    Raw,
    layout_of,
    minutes,
    raw_market,
    said,
    small_whole,
    whole_batch,
    whole_model,
    whole_world,
)

from mtf.config.schema import Config
from mtf.evaluation.cells import Cell
from mtf.evaluation.look import Look
from mtf.learning.batches import BatchBuilder
from mtf.market.candles import CLOSE, VOLUME, Candles
from mtf.market.disturbed import delayed_world
from mtf.market.timeframe import Timeframe
from mtf.model.hybrid import HybridModel

TIMES = minutes(290, 301, 303, 306, 310, 399, 400, 402, 425, 596, 600, 660, 661, 897)
"""In the middle, after candles that came late, in gaps, and near the end of the history."""
ENCODERS: list[tuple[str, dict[str, Any]]] = [
    ("dsc", {"num_blocks": 2}),  # causal, finite: encoded once
    ("dsc", {"num_blocks": 2, "norm": "batch"}),
    ("dsc", {"num_blocks": 2, "causal": False}),  # reads the whole window
    ("gru", {}),  # causal, reads all before
    ("linear", {}),  # reads one candle
]
DELIVERED = ("1m", "1h", "btc")
NAMES = tuple(STREAMS)


def the_look(config: Config, model: HybridModel, times: np.ndarray, *, once: bool = True) -> Look:
    """What is asked about some decisions of the market as it is."""
    layout = layout_of(model, once=once)
    need = {name: slots for name, slots, _ in layout}
    path = {name: able for name, _, able in layout}
    world = whole_world(config, raw_market())
    builder = BatchBuilder(world, {}, need, path, FORMING)
    with torch.no_grad():
        return Look(model, builder, times, builder.build(times[None, :], None))


def asked(look: Look, cell: Cell) -> dict[str, torch.Tensor]:
    """All outputs by one name."""
    with torch.no_grad():
        answer = look.answer(cell)
    return {f"{head}/{name}": out for head, outs in answer.items() for name, out in outs.items()}


def the_last(candles: Candles, name: str, time: int, slots: int) -> tuple[int, int]:
    """Rows of the last slots of a stream's timetable."""
    latency = STREAMS[name].get("latency_ms", 0)
    timeframe = Timeframe.parse(STREAMS[name].get("timeframe", name))
    end = int(timeframe.last_slot(time, latency)) + 1 - candles.first_slot
    return max(end - slots, 0), max(end, 0)


def with_late(raw: Raw, name: str, slots: int, time: int) -> Raw:
    """The market without the last candles of one stream."""
    candles = raw[name]
    begin, end = the_last(candles, name, time, slots)
    valid, ohlcv = candles.valid.copy(), candles.ohlcv.copy()
    valid[begin:end], ohlcv[begin:end] = False, np.nan
    return {**raw, name: replace(candles, valid=valid, ohlcv=ohlcv)}


def with_frozen(raw: Raw, name: str, slots: int, time: int) -> Raw:
    """The market in which the last candles that are known repeat the close before them."""
    candles = raw[name]
    begin, end = the_last(candles, name, time, slots)
    arrived = candles.valid.copy()
    if candles.available_at is not None:
        arrived &= candles.available_at <= time
    before = np.flatnonzero(arrived[:begin])
    ohlcv, valid = candles.ohlcv.copy(), candles.valid.copy()
    rows = np.arange(begin, min(end, len(candles)))
    rows = rows[arrived[rows]]
    valid[rows] = len(before) > 0
    ohlcv[rows, :VOLUME] = candles.ohlcv[before[-1], CLOSE] if len(before) else np.nan
    ohlcv[rows, VOLUME] = 0.0
    return {**raw, name: replace(candles, ohlcv=ohlcv, valid=valid)}


def check(found: dict[str, torch.Tensor], row: int, true: dict[str, torch.Tensor], of: str) -> None:
    """One row of what was found is the truth."""
    for name, tensor in true.items():
        one = found[name][row : row + 1]
        assert torch.allclose(one, tensor, rtol=2e-5, atol=2e-6), f"{of}: {name} {one} {tensor}"


def check_disturbed(config: Config, cells: list[Cell], times: np.ndarray, *, once: bool) -> None:
    """Every decision of every cell is that of a market in which the cell holds."""
    model, raw = whole_model(config), raw_market()
    look, layout = the_look(config, model, times, once=once), layout_of(model, once=once)
    plain = asked(look, Cell("present", NAMES))
    for cell in cells:
        found = asked(look, cell)
        change = with_late if cell.kind == "late" else with_frozen
        for row, time in enumerate(times):
            world = whole_world(config, change(raw, cell.stream, cell.slots, int(time)))
            true = said(model, whole_batch(layout, world, times[row : row + 1, None]))
            check(found, row, true, f"{cell} at minute {time // 60_000 - START - 1}")
        moved = (found["action/logits"] - plain["action/logits"]).abs().max()
        assert moved > 1e-5, f"{cell} changes nothing"


FEW = [Cell("late", ("1m",), 2), Cell("frozen", ("1m",), 5), Cell("frozen", ("btc",), 2)]
MANY = [
    Cell(kind, (name,), slots)
    for kind in ("late", "frozen")
    for name, slots in (("1m", 1), ("1m", 2), ("1m", 15), ("btc", 3), ("1h", 1))
]


@pytest.mark.parametrize(("encoder", "options"), ENCODERS)
def test_a_late_or_frozen_feed_is_a_market_in_which_it_is(
    encoder: str, options: dict[str, Any]
) -> None:
    """Minutes 303 and 402 follow candles that came late, and a gap."""
    check_disturbed(small_whole(encoder, options, forming=True), FEW, TIMES[[2, 7]], once=True)


def mirrored() -> Config:
    """A config whose model answers both ways up, with the heads that can."""
    config = small_whole(forming=True)
    heads = {name: config.heads[name] for name in ("action", "next_candle", "price", "confidence")}
    model = config.model.model_copy(update={"mirror": True})
    return config.model_copy(update={"model": model, "heads": heads})


def test_so_it_is_both_ways_up() -> None:
    check_disturbed(mirrored(), FEW, TIMES[[2, 7]], once=True)


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "options"), ENCODERS)
def test_so_it_is_at_every_time_and_for_every_stream(encoder: str, options: dict[str, Any]) -> None:
    check_disturbed(small_whole(encoder, options, forming=True), MANY, TIMES, once=True)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", ["all", "mean", "last", "patch"])
@pytest.mark.parametrize("once", [True, False])
def test_so_it_is_whatever_the_tokens_and_the_path(tokens: str, once: bool) -> None:
    longer = [Cell("frozen", ("btc",), 30), Cell("late", ("btc",), 30)]  # than its lookback
    check_disturbed(small_whole(tokens=tokens), FEW + longer, TIMES[[0, 2, 4, 7]], once=once)


@pytest.mark.parametrize(("encoder", "options"), ENCODERS)
@pytest.mark.parametrize("once", [True, False])
def test_streams_that_are_missing_are_streams_that_were_dropped(
    encoder: str, options: dict[str, Any], once: bool
) -> None:
    config = small_whole(encoder, options, forming=True)
    model = whole_model(config)
    look, layout = the_look(config, model, TIMES, once=once), layout_of(model, once=once)
    world = whole_world(config, raw_market())
    for there in ((), ("1m",), ("1m", "5m", "btc"), ("1h",), ("1m", "1h", "btc")):
        dropped = np.tile([name not in there for name in NAMES], (len(TIMES), 1))
        true = said(model, whole_batch(layout, world, TIMES[None, :], dropped))
        found = asked(look, Cell("present", there))
        for name, tensor in true.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("both_ways_up", [False, True])
def test_with_everything_there_it_is_the_model_bit_for_bit(both_ways_up: bool) -> None:
    config = mirrored() if both_ways_up else small_whole(forming=True)
    model = whole_model(config)
    look, layout = the_look(config, model, TIMES), layout_of(model, once=True)
    true = said(model, whole_batch(layout, whole_world(config, raw_market()), TIMES[None, :]))
    found = asked(look, Cell("present", NAMES))
    assert found.keys() == true.keys()
    for name, tensor in true.items():
        assert torch.equal(found[name], tensor), name


def test_the_encoders_run_once_whatever_is_missing_or_late() -> None:
    config = small_whole()
    model, calls = whole_model(config), []
    for encoder in set(model.encoders):
        encoder.register_forward_hook(lambda *_: calls.append(1))
    look = the_look(config, model, TIMES)
    assert len(calls) == len(NAMES)  # the streams, each once
    for there in ((), ("1m",), ("1m", "5m"), ("1h", "btc"), NAMES):
        asked(look, Cell("present", there))
    for name in DELIVERED:
        asked(look, Cell("late", (name,), 2))
    assert len(calls) == len(NAMES)
    asked(look, Cell("frozen", ("btc",), 2))  # its last candles alone
    assert len(calls) == len(NAMES) + 1


def test_side_inputs_go_with_the_streams_they_are_made_of() -> None:
    task = small_task(side_inputs={"technical": {}, "market": {}})
    times = task.parts["test"].times(task.world.clock)[:30]
    model, builder = task.model.eval(), task.builder
    look = Look(model, builder, times, builder.build(times[None, :], None))
    gone = np.tile([name == "btc" for name in (*task.world.streams, *builder.sides)], (30, 1))
    delayed = replace(builder, world=delayed_world(task.world, "btc", 2))
    for cell, batch in (
        (Cell("present", ("1m", "5m")), builder.build(times[None, :], None, gone)),
        (Cell("late", ("btc",), 2), delayed.build(times[None, :], None)),
    ):
        found, true = asked(look, cell), said(model, batch)
        for name, tensor in true.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)
        plain = asked(look, Cell("present", tuple(task.world.streams)))
        assert not torch.allclose(found["action/logits"], plain["action/logits"], atol=1e-5)
