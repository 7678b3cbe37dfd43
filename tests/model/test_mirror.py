"""The market upside down: prices as 1 / p, and a model that answers both ways up."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from small_models import DIM, SPECS, features, make_batch, small_model
from tasks import Silent, small_task
from worlds import MINUTE, random_candles, world_of

from mtf.errors import ConfigError
from mtf.heads.action import Action
from mtf.heads.next_candle import NextCandle
from mtf.heads.price import Price
from mtf.heads.volatility import Volatility
from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.labels import Future
from mtf.market.timeframe import Timeframe
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.model.mirror import Mirror, agreed, turn
from mtf.plugins.contracts import Head, HeadContext

OHLCV = Ohlcv.turned or ()
MIRROR = Mirror({spec.name: OHLCV for spec in SPECS})
TIMES = np.array([[100, 103, 106], [200, 203, 206]])


def upside_down(candles: Candles) -> Candles:
    """Every price p is 1 / p, so the highest is the lowest; volume in coins stays."""
    start, high, low, end, volume = candles.ohlcv.T
    ohlcv = np.stack([1 / start, 1 / low, 1 / high, 1 / end, volume], axis=1)
    return dataclasses.replace(candles, ohlcv=ohlcv)


def mirrored_model() -> HybridModel:
    """A small model that answers both ways up."""
    model = small_model()
    model.mirror = MIRROR
    return model


def batch_of(model: HybridModel) -> Batch:
    """Two groups of three decisions, each group in a block of its own."""
    return make_batch(model, features(), TIMES, once=True)


def test_features_upside_down_are_those_of_prices_upside_down() -> None:
    candles = random_candles(500, missing=0.1)
    found = []
    for one in (candles, upside_down(candles)):
        values, usable = Ohlcv().scan(one.ohlcv, one.valid, Ohlcv().initial_state())
        assert usable.any()
        found.append(torch.from_numpy(values))
    torch.testing.assert_close(turn(found[0], OHLCV), found[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(turn(turn(found[0], OHLCV), OHLCV), found[0])


@pytest.mark.parametrize("kind", [Action, Price, Volatility, NextCandle])
def test_labels_upside_down_are_those_of_prices_upside_down(kind: type[Head]) -> None:
    candles = random_candles(1000)
    worlds = [world_of(one, {"1m": 8, "5m": 8}) for one in (candles, upside_down(candles))]
    specs = tuple(stream.spec for stream in worlds[0].streams.values())
    head = kind(HeadContext(DIM, specs, Timeframe.parse("1m")))
    times = np.arange(500, 600) * MINUTE
    for target in head.targets:
        there, over = (
            head.label(target, Future(world, times, head.reach(target, times))) for world in worlds
        )
        values = {name: torch.from_numpy(value) for name, value in there.values.items()}
        for name, value in {**values, **head.turned_label(target, values)}.items():
            expected = torch.from_numpy(over.values[name])
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


def test_only_the_chosen_decisions_are_turned_over() -> None:
    model = mirrored_model()
    batch = batch_of(model)
    chosen = torch.tensor([False, True, False, True, True, True])
    some, none, every = (
        model.tokens(one, model.encode(one))[0]
        for one in (MIRROR(batch, chosen), batch, MIRROR(batch))
    )
    torch.testing.assert_close(some, torch.where(chosen[:, None, None], every, none))
    assert [len(one.values) for one in MIRROR(batch, chosen).streams.values()] == [3, 3, 3]


def test_a_rise_is_foretold_as_surely_as_the_fall_that_mirrors_it() -> None:
    model = mirrored_model()
    batch = batch_of(model)
    said, over = model(batch), model(MIRROR(batch))
    assert (said["action"]["probs"][:, 0] != said["action"]["probs"][:, 1]).all()
    for name, head in model.heads_by_name.items():
        for output, value in head.turned(over[name]).items():
            torch.testing.assert_close(value, said[name][output])
    probs = said["action"]["probs"]
    torch.testing.assert_close(said["action"]["logits"].softmax(-1), probs)
    torch.testing.assert_close(probs.sum(-1), torch.ones(6))


def test_the_answer_is_the_mean_of_both_ways_up() -> None:
    model = mirrored_model()
    batch = batch_of(model)
    both = model(batch)["action"]["probs"]
    model.mirror = None
    one, other = model(batch)["action"]["probs"], model(MIRROR(batch))["action"]["probs"]
    torch.testing.assert_close(both, (one + other[:, [1, 0, 2]]) / 2)
    assert agreed({"x": torch.ones(2)}, {"x": torch.zeros(2)})["x"].tolist() == [0.5, 0.5]


def test_training_turns_half_of_the_groups_over_with_their_labels() -> None:
    plain, mirrored = (
        small_task(model={"mirror": on}).fitting(Silent(), Silent(), None) for on in (False, True)
    )
    sampler = mirrored.sampler
    shares = [sampler.turned(0, step) for step in range(400)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert all((turned.reshape(4, 4).std(axis=1) == 0).all() for turned in shares)
    np.testing.assert_array_equal(sampler.turned(1, 2), sampler.turned(1, 2))
    there, over = plain._batch(0), mirrored._batch(0)
    chosen = torch.from_numpy(sampler.turned(0, 0))
    labels, turned = (one.targets["action"]["action"].values["class"] for one in (there, over))
    swapped = torch.tensor([1, 0, 2])[labels.long()].to(labels)
    assert torch.equal(turned, torch.where(chosen, swapped, labels))
    assert not torch.equal(turned, labels)


def test_a_mirrored_model_learns_and_is_calibrated_about_both_ways_up() -> None:
    heads = {"action": {}, "price": {"weight": 0.1}, "confidence": {}}
    task = small_task(model={"mirror": True, "tokens": {"forming": True}}, heads=heads)
    task.fitting(Silent(), Silent(), None).run()
    batch = task.builder.build(task.parts["test"].times(task.world.clock)[None, :50], None)
    said = task.model.eval()(batch)
    assert torch.equal(said["confidence"]["chosen"][:, 0], said["action"]["probs"].argmax(-1))
    torch.testing.assert_close(said["confidence"]["probs"], said["action"]["probs"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": {"name": "indicators"}}, "features indicators of stream 1m"),
        ({"side_inputs": {"technical": {}}}, "side input technical"),
        ({"heads": {"action": {}, "trend": {}}}, "the head trend can't be asked"),
    ],
)
def test_what_has_no_other_side_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        small_task(model={"mirror": True}, **changes)
