"""Ways to read several streams: what each is made of, what it weighs, what it loses."""

from __future__ import annotations

from tasks import SMALL, small_config
from torch import nn

from mtf.benchmarks import weights
from mtf.benchmarks.weights import families, learned, sizes, training_bytes, ways_of
from mtf.config.load import parse_config
from mtf.learning.task import prepare

THREE = {"1m": {"lookback": 32}, "1h": {"lookback": 4}, "btc": SMALL["streams"]["btc"]}


def test_a_family_is_a_timeframe_with_what_is_derived_from_it() -> None:
    streams = {**SMALL["streams"], "1h": {"lookback": 4}, "btc": {**THREE["btc"]}}
    config = parse_config({**SMALL, "streams": streams})
    assert families(config) == [["1m", "5m", "btc"], ["1h"]]
    lonely = {"1m": None, "slow": {"timeframe": "1h", "symbol": "BTCUSDT", "lookback": 4}}
    assert families(parse_config({**SMALL, "streams": lonely})) == [["1m", "slow"]]


def test_the_four_ways_weigh_what_they_should() -> None:
    config = parse_config({**SMALL, "streams": THREE})
    ways = list(ways_of(config))
    tasks = {way.name: [prepare(one) for one in way.members] for way in ways}
    encoders, total, adds, memory = (line.values for line in sizes(ways, tasks))
    shared, own, apart, flat = (way.name for way in ways)
    assert encoders[own] == [3 * encoders[shared][0]]
    assert encoders[apart] == [2 * encoders[shared][0]]  # 1m with btc, and 1h
    assert adds[own] == adds[shared]
    assert total[own][0] - total[shared][0] == 2 * encoders[shared][0]
    slots = 32 + 4 + 32
    perceptron = tasks[flat][0].model.fusion.perceptron
    assert isinstance(perceptron, nn.Sequential)
    first = perceptron[0]
    assert isinstance(first, nn.Linear)
    assert first.in_features == slots * weights.FLAT_DIM
    assert all(memory[name][0] * weights.MIB > 16 * sum(
        p.numel() for p in own_tasks[0].model.parameters()
    ) for name, own_tasks in tasks.items())  # fmt: skip


def test_memory_of_training_grows_with_the_batch() -> None:
    small, large = (
        training_bytes(prepare(small_config(training={"sampling": {"groups": groups}})))
        for groups in (2, 8)
    )
    weighing = 16 * sum(p.numel() for p in prepare(small_config()).model.parameters())
    assert weighing < small < large


def test_every_way_is_scored_with_every_stream_and_without_each() -> None:
    config = parse_config({**SMALL, "streams": THREE})
    ways = list(ways_of(config))[::2]
    lines = {line.name: line.values for line in learned(ways, ["1m", "1h", "btc"], 1, [0], 16)}
    assert {f"log loss, test without {name}" for name in THREE} < set(lines)
    name = ways[1].name
    assert lines["log loss, test without 1h"][name] != lines["log loss, test"][name]


def test_one_stream_is_never_taken_away() -> None:
    config = parse_config({**SMALL, "streams": {"1m": {"lookback": 32}}})
    lines = learned(list(ways_of(config))[:1], ["1m"], 1, [0], 16)
    assert not [line for line in lines if "without" in line.name]


def test_several_works_are_one() -> None:
    done: list[str] = []
    work = weights.together(iter([lambda: done.append("a"), lambda: done.append("b")]))
    work()
    work()
    assert done == ["a", "b"] * 2
