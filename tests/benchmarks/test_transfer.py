"""An encoder of one timeframe at another: whose weights it has, and whether they move."""

from __future__ import annotations

import pytest
import torch
from tasks import small_config

from mtf.benchmarks.transfer import at_timeframe, compared, ways
from mtf.evaluation.short_run import trained
from mtf.learning.task import prepare
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Encoder


def test_the_config_has_one_stream_and_its_clock() -> None:
    there = at_timeframe(small_config(), "5m")
    assert list(there.streams) == ["5m"]
    assert (str(there.decisions.clock), there.streams["5m"].derived_from) == ("5m", None)
    assert there.streams["5m"].lookback == 16
    new = at_timeframe(small_config(), "15m")
    assert new.streams["15m"].lookback == 32, "as the first stream, where there was none"


@pytest.mark.parametrize(
    ("way", "as_learned", "moves"),
    [
        ("trained there", False, True),
        ("of 1m, frozen", True, False),
        ("of 1m, trained on", True, True),
        ("random, frozen", False, False),
    ],
)
def test_every_way_starts_from_and_trains_what_it_says(
    way: str, as_learned: bool, moves: bool
) -> None:
    learned = prepare(at_timeframe(small_config(seed=3), "1m")).model.encoders[0]
    assert isinstance(learned, Encoder)
    change, config = ways(learned, "1m")[way], at_timeframe(small_config(), "5m")
    start: list[torch.Tensor] = []

    def changed(model: HybridModel) -> None:
        if change is not None:
            change(model)
        start.append(first_weight(model).clone())

    task = trained(config, 1, 0, changed)
    assert torch.equal(start[0], next(learned.parameters())) is as_learned
    assert torch.equal(start[0], first_weight(task.model)) is not moves


def first_weight(model: HybridModel) -> torch.Tensor:
    return next(model.encoders.parameters()).detach()


def test_scores_stand_in_the_order_of_the_ways() -> None:
    source, target = (at_timeframe(small_config(), name) for name in ("1m", "5m"))
    lines = compared(source, target, "1m", 1, [0, 1], 4)
    names = ["trained there", "of 1m, frozen", "of 1m, trained on", "random, frozen"]
    assert all(list(line.values) == names for line in lines)
    assert all(len(values) == 2 for values in lines[0].values.values())
