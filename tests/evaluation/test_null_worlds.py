"""Nothing to find, and something planted: the worlds are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from noise_worlds import noise_config
from tasks import small_config, small_task
from worlds import candles_of, random_candles

from mtf.config.load import changed
from mtf.evaluation.null_worlds import (
    Dealt,
    Shuffled,
    daily_volatility,
    lead_lag,
    momentum,
    planted,
    preset,
    random_walk,
)
from mtf.learning.targets import labels_of
from mtf.learning.task import Task


@pytest.fixture(scope="module")
def task() -> Task:
    return small_task()


def test_the_preset_makes_small_and_never_larger() -> None:
    config = small_config(model={"embed_dim": 64}, streams={"1m": {"lookback": 600}})
    small = changed(config, preset(config))
    assert small.model.embed_dim == 16
    assert (small.model.encoder.name, small.model.fusion.name) == ("conv", "concat")
    assert [stream.lookback for stream in small.streams.values()] == [32, 16, 32]
    assert (small.heads, small.data, small.decisions) == (
        config.heads,
        config.data,
        config.decisions,
    )


def test_every_world_is_as_volatile_as_the_market() -> None:
    assert daily_volatility(random_candles(20_000)) == pytest.approx(1e-3 * np.sqrt(1440), rel=0.02)
    gap = candles_of([(1, 1, 1, 1, 1), (2, 2, 2, 2, 1), None, (4, 4, 4, 4, 1), (8, 8, 8, 8, 1)])
    assert daily_volatility(gap) == pytest.approx(1e-6)  # both moves the same: nothing but drift
    for world in (random_walk, momentum, lead_lag):
        options = world(noise_config(), 7, 0.05).data.options
        assert (options["daily_volatility"], options["seed"]) == (0.05, 7)


def test_the_lead_is_planted_where_it_can_be_read() -> None:
    assert list(planted(small_config())) == ["momentum", "lead_lag"]
    assert list(planted(noise_config())) == ["momentum"]


def test_labels_are_dealt_in_blocks_and_every_one_once(task: Task) -> None:
    part = task.parts["train"]
    dealt = Dealt.blockwise(part, task, seed=1)
    others = dealt.others(dealt.times)
    np.testing.assert_array_equal(np.sort(others), dealt.times)
    torn = (np.diff(others) != 60_000).sum()
    assert 15 <= torn <= 21  # 1,008 minutes in blocks of 50, turned
    assert not np.array_equal(others, Dealt.blockwise(part, task, seed=2).others(dealt.times))


def test_only_what_is_learned_from_has_other_labels(task: Task) -> None:
    part, builder = task.parts["train"], task.builder
    dealt = Dealt.blockwise(part, task, seed=1)
    shuffled = Shuffled(**vars(builder), dealt=dealt)
    times = dealt.times[100:120].reshape(4, 5)
    learned = shuffled.build(times, part.end_ms, training=True).targets["action"]["action"]
    asked = shuffled.build(times, part.end_ms).targets["action"]["action"]
    for found, of in ((learned, dealt.others(times.reshape(-1))), (asked, times.reshape(-1))):
        label = labels_of(builder.heads, builder.world, of, part.end_ms)["action"]["action"]
        np.testing.assert_array_equal(found.values["class"].numpy(), label.values["class"])
        np.testing.assert_array_equal(found.present.numpy(), label.present)
