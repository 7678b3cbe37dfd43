"""Confidence: fitted afterwards, on top of the action, in both ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mtf.errors import ConfigError
from mtf.evaluation.metrics import point_value
from mtf.heads.action import Action
from mtf.heads.confidence import Confidence, bend, fitted_temperature, refitted
from mtf.market.labels import Label
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import Fused, HeadContext

CLOCK = Timeframe.parse("1m")
SPECS = (StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),)
ALONE = HeadContext(8, SPECS, CLOCK)
BESIDE = HeadContext(8, SPECS, CLOCK, heads={"action": Action(ALONE)})
TOO_SURE = 3.0
"""The made-up model multiplies the true logits by this."""


def outputs(head: Confidence, logits: np.ndarray) -> dict[str, np.ndarray]:
    """What the head says where the action has these logits."""
    count = len(logits)
    said = {"action": {"logits": torch.from_numpy(logits)}}
    fused = Fused(torch.zeros(count, 8), torch.zeros(count, 1, 8), said)
    return {name: value.numpy() for name, value in head(fused).items()}


def overconfident(count: int, seed: int = 0) -> tuple[np.ndarray, Label]:
    """Logits three times too large, and classes drawn by the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(count, 3))
    probs = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    classes = (rng.random((count, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    label = Label({"class": classes}, np.ones(count, bool), np.arange(count))
    return (true * TOO_SURE).astype(np.float32), label


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_it_makes_an_overconfident_model_honest(method: str) -> None:
    head = Confidence(BESIDE, method=method)  # type: ignore[arg-type]
    logits, label = overconfident(20_000)
    fresh, fresh_label = overconfident(20_000, seed=1)

    def figures() -> dict[str, float]:
        metrics = head.metrics("confidence", outputs(head, fresh), fresh_label, {})
        return {name: point_value(metric) for name, metric in metrics.items()}

    before = figures()
    head.calibrate("confidence", outputs(head, logits), label)
    after = figures()
    assert before["calibration_error"] > 0.15
    assert after["calibration_error"] < 0.02
    assert after["brier"] < before["brier"]
    assert before["brier_skill"] < 0 < after["brier_skill"]
    assert after["log_loss"] < before["log_loss"]


def test_the_temperature_is_the_factor_that_was_too_large() -> None:
    logits, label = overconfident(20_000)
    head = Confidence(BESIDE)
    head.calibrate("confidence", outputs(head, logits), label)
    assert float(head.log_temperature.exp()) == pytest.approx(TOO_SURE, rel=0.05)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibrating_twice_changes_next_to_nothing(method: str) -> None:
    head = Confidence(BESIDE, method=method)  # type: ignore[arg-type]
    logits, label = overconfident(5_000)
    head.calibrate("confidence", outputs(head, logits), label)
    once = outputs(head, logits)
    head.calibrate("confidence", outputs(head, logits), label)
    np.testing.assert_allclose(outputs(head, logits)["confidence"], once["confidence"], atol=2e-2)


def test_by_hand_the_chosen_one_goes_onto_the_curve_and_the_others_share_the_rest() -> None:
    """ln(p / (1 - p)) = 4 lies in the middle of the curve."""
    sure = 1 / (1 + math.exp(-4))
    probs = torch.tensor([[sure, 0.75 * (1 - sure), 0.25 * (1 - sure)]])
    bent = bend(probs, torch.tensor([[0]]), torch.tensor([0.0, 0.2, 0.6]))
    torch.testing.assert_close(bent, torch.tensor([[0.2, 0.6, 0.2]]), atol=1e-5, rtol=0)


def test_probabilities_stay_probabilities_where_the_model_is_sure() -> None:
    probs = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    bent = bend(probs, probs.argmax(-1, keepdim=True), torch.tensor([0.1, 0.7]))
    assert torch.isfinite(bent).all()
    assert bent[0, 0] == pytest.approx(0.7)


def test_a_temperature_is_bounded_where_there_is_nothing_to_fit() -> None:
    flat = np.full((10, 3), 1 / 3)
    assert 0.05 <= fitted_temperature(flat, np.zeros(10, np.int64)) <= 20


def test_it_has_nothing_that_training_could_change() -> None:
    head = Confidence(BESIDE)
    assert not list(head.parameters())
    assert set(head.state_dict()) == {"log_temperature", "curve"}
    logits, label = overconfident(8)
    classes = {"class": torch.from_numpy(label.values["class"])}
    said = {name: torch.from_numpy(value) for name, value in outputs(head, logits).items()}
    assert head.loss("confidence", said, classes).tolist() == [0.0] * 8


def test_it_needs_an_action_to_judge() -> None:
    with pytest.raises(ConfigError, match="'action', which is no classifying head of this config"):
        Confidence(ALONE)
    with pytest.raises(ConfigError, match=r"one of action"):
        Confidence(BESIDE, of="price")


def test_a_few_wrong_ones_at_the_end_do_not_pull_the_curve_down_for_their_neighbours() -> None:
    """Right in half of the cases at 0.405, in two thirds at 0.6, never in the three at 0.39.

    A curve that is 0 at its last point below 0.405 would say much less than a half there.
    """
    confidence = np.concatenate([np.full(3, 0.39), np.full(1000, 0.405), np.full(1000, 0.6)])
    right = np.concatenate([np.zeros(3), np.arange(1000) % 2, np.arange(1000) % 3 > 0]) > 0
    head = Confidence(BESIDE, method="isotonic")
    curve = refitted(head.curve.numpy(), confidence, right)
    said = torch.tensor([[0.405, 0.3, 0.295], [0.6, 0.3, 0.1]])
    bent = bend(said, torch.zeros(2, 1, dtype=torch.int64), torch.from_numpy(curve).float())
    assert bent[:, 0].tolist() == pytest.approx([0.5, 0.667], abs=0.02)
