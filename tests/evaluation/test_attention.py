"""Attention averaged by stream: from the model's own weights, over those who asked."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tasks import SMALL, small_task

from mtf.config.load import parse_config
from mtf.errors import ConfigError
from mtf.evaluation import attention
from mtf.evaluation.attention import Tally, as_csv, stream_attention
from mtf.learning.task import prepare
from mtf.model.attention import AttentionBlock, Reading

FULL = {"name": "full", "num_layers": 2, "num_heads": 2, "feedforward_dim": 32}
TWO_STAGE = {"name": "two_stage", "cross_layers": 1, "num_heads": 2, "feedforward_dim": 32}
LATENT = {"name": "latent", "num_layers": 1, "num_heads": 2, "feedforward_dim": 32}
EVERYONE = ("state", "1m", "5m", "btc")


def told(fusion: dict[str, Any] | None = None) -> list[attention.StreamAttention]:
    model = {**SMALL["model"], "fusion": fusion or SMALL["model"]["fusion"]}
    task = prepare(parse_config({**SMALL, "model": model}))
    return stream_attention(task, decisions=20)


@pytest.mark.parametrize(
    ("fusion", "layers", "asking", "answering"),
    [
        (None, ["last layer"], EVERYONE, EVERYONE),
        (FULL, ["layer 1", "layer 2"], EVERYONE, EVERYONE),
        (TWO_STAGE, ["layer 1"], EVERYONE[1:], EVERYONE[1:]),
        (LATENT, ["reading", "layer 1"], EVERYONE, EVERYONE[1:]),
    ],
)
def test_every_fusion_with_attention_says_who_listens_to_whom(
    fusion: dict[str, Any] | None,
    layers: list[str],
    asking: tuple[str, ...],
    answering: tuple[str, ...],
) -> None:
    found = told(fusion)
    assert [one.layer for one in found] == layers
    assert (found[0].asking, found[0].answering) == (asking, answering)
    for one in found:
        assert one.weights.shape == (len(one.asking), len(one.answering))
        assert_allclose(one.weights.sum(axis=1), 1.0, rtol=1e-6)
        assert_allclose(one.even.sum(), 1.0)
        assert 0 < one.decisions <= 20


def test_a_fusion_without_attention_says_so() -> None:
    with pytest.raises(ConfigError, match=r"Mean has no attention[^$]*two_stage[^$]*fusion.name="):
        told({"name": "mean"})


def test_the_average_is_over_the_queries_that_are_there_and_adds_up_keys_of_a_stream() -> None:
    torch.manual_seed(0)
    block = AttentionBlock(4, 2, 0.0).eval()
    x, mask = torch.randn(2, 3, 4), torch.tensor([[True, True, True], [True, False, True]])
    tally = Tally(Reading("x", block, (0, 0, 1), (0, 0, 1)), 2)
    tally.add(block, x, mask)
    weights = block.weights(x, mask).mean(1).double().detach()
    first = weights[0, 0] + weights[0, 1] + weights[1, 0]  # the masked query asks for nobody
    second = weights[0, 2] + weights[1, 2]
    by_hand = [[w[:2].sum() / n, w[2] / n] for w, n in ((first, 3), (second, 2))]
    found = tally.found("x", ["state", "a", "b"], 2)
    assert found.asking == found.answering == ("a", "b")
    assert_allclose(found.weights, np.array(by_hand), rtol=1e-6)
    assert_allclose(found.even, [(2 / 3 + 1 / 2) / 2, (1 / 3 + 1 / 2) / 2])


def test_a_stream_that_is_missing_is_asked_but_only_its_missing_token_answers() -> None:
    task = small_task()
    model, seen = task.model, []
    (reading,) = attention.readings_of_model(model)
    reading.block.register_forward_pre_hook(lambda block, given: seen.append(given[1].sum(1)))
    times = task.parts["validation"].times(task.world.clock)[:4][None]
    gone = np.zeros((4, 3), bool)
    gone[:, 1] = True
    model.eval()(task.builder.build(times, None, gone))
    model(task.builder.build(times, None))
    tokens = reading.answering.count(1)
    assert (seen[1] - seen[0]).tolist() == [tokens - 1] * 4


def test_csv_has_a_row_a_pair() -> None:
    found = told()
    rows = list(csv.DictReader(as_csv(found).splitlines()))
    assert len(rows) == sum(one.weights.size for one in found)
    assert float(rows[0]["weight"]) == found[0].weights[0, 0]
    assert float(rows[1]["even"]) == found[0].even[1]
    assert (rows[1]["asking"], rows[1]["answering"]) == ("state", "1m")


def test_few_decisions_are_asked_where_there_are_thousands_of_tokens() -> None:
    block = AttentionBlock(4, 2, 0.0)
    small, large = (Reading("x", block, (0,) * n, (0,) * n) for n in (46, 3000))
    assert attention.fitting_count([small]) == attention.DECISIONS
    assert attention.fitting_count([small, large]) == attention.LEAST_DECISIONS
