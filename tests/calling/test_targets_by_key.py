"""Targets by the reference's keys: next candles in prices or channels, classes, and their loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from callers import full_model, walk

from mtf.calling.answer import Answer
from mtf.errors import DataError


@pytest.fixture(scope="module")
def answer() -> Answer:
    with torch.no_grad():
        said: Answer = full_model()(price_data_1m=walk(2), btc_data_1m=walk(2, seed=1))
    return said


def test_a_candle_in_prices_is_measured_like_the_input(answer: Answer) -> None:
    """One sigma above the last close, without volume; the second decision has no target."""
    known = answer.units.known["1m"]
    close = known.last_close * np.exp(known.sigma)
    candle = np.stack([known.last_close, close, known.last_close, close, 0 * close], axis=1)
    candle[1] = np.nan
    target = full_model().targets(answer, {"target_1m": candle})["next_candle"]["1m"]
    assert target.present.tolist() == [True, False]
    wanted = [0.0, 1.0, 0.0, 1.0, math.log(0.01 / 1.01)]
    assert target.values["candle"][0].tolist() == pytest.approx(wanted, abs=1e-5)
    assert target.values["candle"][1].tolist() == [0.0] * 5


def test_what_the_model_says_is_its_own_best_target(answer: Answer) -> None:
    """Decoded to prices and given back, the loss is 0 up to float32; so it is in channels."""
    prices = {"target_btc": answer["btc_next_candle_ohlcv"]}
    assert float(full_model().loss(answer, prices)) == pytest.approx(0, abs=1e-4)
    channels = {f"target_{name}": c for name, c in answer["next_candles"].items()}
    assert float(full_model().loss(answer, channels, units="channels")) == 0.0


def test_the_loss_is_weighted_and_means_are_over_what_is_there(answer: Answer) -> None:
    said = answer["next_candles"]["1m"]
    off = {"target_1m": said + 2, "target_1s": torch.full((2, 5), torch.nan)}
    loss = full_model().loss(answer, off, units="channels")
    weight = full_model().config.heads["next_candle"].weight
    assert float(loss) == pytest.approx(weight * 4 / 2), "mean over two streams, one without labels"
    classes = {"target_action": torch.tensor([2, -1])}
    smoothed = torch.nn.functional.cross_entropy(
        answer["action_logits"][:1], torch.tensor([2]), label_smoothing=0.1
    )
    assert float(full_model().loss(answer, classes)) == pytest.approx(float(smoothed), rel=1e-5)


def test_a_missing_stream_has_no_scale_so_prices_are_no_target_but_channels_are(
    answer: Answer,
) -> None:
    hour = {"target_1h": walk(2)[:, -1]}
    assert not full_model().targets(answer, hour)["next_candle"]["1h"].present.any()
    channels = {"target_1h": torch.zeros(2, 5)}
    found = full_model().targets(answer, channels, units="channels")["next_candle"]["1h"]
    assert found.present.all()


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ({}, "no targets\n  expected: at least one\n  to do: such as target_1m"),
        ({"target_5m": walk(2)[:, -1]}, r"no target 'target_5m'\n  expected: one of target_1s"),
        ({"target_1m": walk(2)}, r"target_1m has the shape \[2, 90, 5\]\n  expected: \[2, 5\]"),
        ({"target_1m": -walk(2)[:, -1]}, "target_1m: rows that are no candles: 2 price"),
        ({"target_btc": walk(2)[:, -1], "target_btc_1m": walk(2)[:, -1]}, "are the same target"),
        ({"target_action": np.array([0.0, 1.0])}, r"target_action is float64.*\n.*0 to 2"),
        ({"target_action": np.array([0, 3])}, "has the class 3[\\s\\S]*0 BUY, 1 SELL, 2 HOLD"),
    ],
)
def test_what_is_no_target_is_told(answer: Answer, targets: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        full_model().loss(answer, targets)
