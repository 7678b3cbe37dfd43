"""One decision timed: streaming beside whole windows that say the same."""

from __future__ import annotations

import pytest
import torch
from tasks import small_task

from mtf.benchmarks.latency import DECIDED, EARLIER, FLOOR, STREAMING, WINDOWS, Race, rows_of
from mtf.errors import ConfigError
from mtf.learning.task import Task
from mtf.model.answer import Flat
from mtf.model.arithmetic import multiply_adds


@pytest.fixture(scope="module")
def task() -> Task:
    streams = {"1m": {"lookback": 32}, "5m": {"from": None}, "btc": {"lookback": 32}}
    return small_task(streams=streams)


def test_streaming_and_windows_say_the_same_and_are_timed(task: Task) -> None:
    race = Race(task)
    before = taken(race)
    rounds = [race.round(60, 5) for _ in range(2)]
    assert 120 <= race.updates == taken(race) - before
    assert race.decisions == sum(len(one.decided) for one in rounds)
    assert race.apart <= 1e-6
    rows = {row.variant: row for row in rows_of(rounds, race.multiply_adds())}
    assert rows[WINDOWS].ratio == 1.0
    assert rows[STREAMING].median > rows[DECIDED].median > 0
    assert EARLIER not in rows, "no stream is finer than the clock"
    assert {"p99", "p99.9", "p99/p50", "cpu", "cpu p99", "cpu ratio"} <= rows[STREAMING].more.keys()
    assert rows[FLOOR].median > 0


def taken(race: Race) -> int:
    """Candles given so far, the history among them."""
    return sum(count["taken"] for count in race.streaming.counts.values())


def test_multiply_adds_are_those_of_fusion_heads_and_one_step_a_stream(task: Task) -> None:
    race = Race(task)
    dim, channels, blocks, taps = 16, 5, 2, 3
    step = channels * dim + blocks * (taps * dim + dim * dim) + blocks * dim * dim
    alone = race.multiply_adds() - int(step * (1 + 1 + 1 / 5))
    with torch.inference_mode():
        given = (
            torch.from_numpy(a) for a in (race.streaming.table.tokens, race.streaming.table.shown)
        )
        expected = multiply_adds(Flat(race.model), *given)
    assert abs(alone - expected) <= 1


def test_a_config_with_too_few_decisions_is_told(task: Task) -> None:
    race = Race(task)
    race.end_ms = race.time_ms + 5 * 60_000
    with pytest.raises(ConfigError, match="decisions end after"):
        race.round(100, 100)
