"""On noise no head finds anything: against the best constant nothing is gained but by chance.

A random walk for the heads that read the direction of its coming minutes. Its pivots can be told
from the candles before t alone (a close near the last high is likely to end as one), and its
volatility from how far s is off, so these two are asked of a market that the model does not see:
ETHUSDT, which walks by itself, from the minutes of BTCUSDT and its own days.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from truths import (
    SEED,
    WALK,
    Learned,
    Reached,
    learned,
    reached,
    shares_of,
    softmax,
    squares,
    surprise,
)
from truths_pivots import as_said, mean_pivot, pivot_loss

from mtf.heads.pivots import Pivots
from mtf.market.candles import CLOSE

DIRECTIONS: dict[str, Any] = {
    "action": {"horizon": 3, "label_smoothing": 0},
    "confidence": {},
    "price": {"horizon": 3},
    "trend": {"horizon": 5},
    "next_candle": {},
}
UNSEEN: dict[str, Any] = {
    "volatility": {"horizon": 3},
    "pivots": {"caps": [8], "neighbours": [2]},
}
BTC = {"1d": {"lookback": 2}, "btc": {"timeframe": "1m", "lookback": 8, "symbol": "BTCUSDT"}}
SEEDS = [
    pytest.param(SEED, marks=pytest.mark.slow),
    *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 7)),
]


def gains(done: Learned) -> Iterator[tuple[str, Reached]]:
    """Every target of every head against its best constant; there is no better forecast."""
    for head in done.test.outputs:
        for target in done.task.model.heads_by_name[head].targets:
            for name, model, constant in losses(done, head, target):
                group = done.label(head, target).group
                yield f"{head} {name}", reached((model, constant, constant), group)


def losses(done: Learned, head: str, target: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, loss of the model and loss of the constant that the training part teaches."""
    label, said = done.label(head, target), done.said(head, target)
    trained = done.training_label(head, target).values
    if head == "pivots":
        judge = done.task.model.heads_by_name[head]
        assert isinstance(judge, Pivots)
        constant = as_said(mean_pivot(trained))
        yield target, pivot_loss(judge, said[target], label), pivot_loss(judge, constant, label)
    if head == "confidence":
        right = said["chosen"][:, 0] == label.values["class"]
        yield target, squares(said["confidence"][:, 0], right), squares(right.mean(), right)
    if head == "next_candle":
        happened, mean = label.values["candle"][:, CLOSE], trained["candle"][:, CLOSE].mean()
        yield f"{target} close", squares(said[target][:, CLOSE], happened), squares(mean, happened)
    if "target" in trained:
        happened, mean = label.values["target"], trained["target"].mean()
        yield target, squares(said[target][:, 0], happened), squares(mean, happened)
    logits = said.get("logits", said.get(f"{target}_direction"))
    if logits is not None:
        happened, constant = label.values["class"], shares_of(trained["class"])
        yield f"{target} class", surprise(softmax(logits), happened), surprise(constant, happened)


def show(done: Learned, seed: int) -> dict[str, Reached]:
    """Print every figure."""
    found = dict(gains(done))
    for name, one in found.items():
        print(f"\n{name}, seed {seed}: gain {one.model:+.5f}, p {one.p:.3f}")
    return found


def check(found: dict[str, Reached]) -> None:
    """Nothing gained, but for what chance gives to one of so many."""
    assert all(one.model < 0.005 for one in found.values())
    assert all(one.p > 0.05 / len(found) for one in found.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_in_a_random_walk_of_twenty_days(seed: int) -> None:
    found = show(learned(DIRECTIONS, WALK | {"seed": seed}), seed)
    assert len(found) == 7
    check(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_in_the_minutes_of_another_market(seed: int) -> None:
    done = learned(UNSEEN, WALK | {"seed": seed}, streams=BTC)
    found = show(done, seed)
    assert len(found) == 2
    check(found)
