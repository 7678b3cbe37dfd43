"""The whole model: what it needs, what it says, that it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import SPECS, answers, features, make_batch, small_model

from mtf.errors import ConfigError
from mtf.model.embeddings import TokenEmbeddings, span_ages
from mtf.model.hybrid import used_slots
from mtf.model.tokens import token_spans

TIMES = np.array([[100, 110], [200, 230]])


def test_outputs_of_every_head() -> None:
    model = small_model()
    said = model(make_batch(model, features(), TIMES, once=True))
    assert {name: tuple(v.shape) for name, v in said["action"].items()} == {
        "logits": (4, 3),
        "probs": (4, 3),
    }
    assert {name: tuple(v.shape) for name, v in said["next_candle"].items()} == {
        spec.name: (4, 5) for spec in SPECS
    }
    assert model.heads_by_name.keys() == {"action", "next_candle"}


def test_slots_that_a_decision_needs() -> None:
    model = small_model("dsc", {"kernel_size": 3, "num_blocks": 4})
    assert [model.required_slots(spec.name) for spec in SPECS] == [50, 39, 42]
    assert model.encode_once("1m") == (True, "DSC is causal and reads 31 candles at a time")


def test_slots_that_are_used() -> None:
    model = small_model("linear")
    batch = make_batch(model, features(), TIMES, once=True)
    stream = batch.streams["5m"]
    stream.present[:] = torch.tensor([True, False, False, True])
    used = used_slots(stream, 3)
    wanted = torch.zeros_like(used)
    for d in (0, 3):
        wanted[stream.block[d], int(stream.last[d]) - 2 : int(stream.last[d]) + 1] = True
    assert torch.equal(used, wanted)


def test_log_sigma_and_age_are_read() -> None:
    model = small_model()
    batch = make_batch(model, features(), TIMES, once=True)
    before = answers(model, batch)["action/logits"]
    batch.streams["1m"].log_sigma += 1
    middle = answers(model, batch)["action/logits"]
    batch.streams["1m"].age += 1
    after = answers(model, batch)["action/logits"]
    assert not torch.equal(before, middle)
    assert not torch.equal(middle, after)


def test_position_none_leaves_out_the_span_only() -> None:
    spans = [token_spans("log", spec.lookback) for spec in SPECS]
    assert TokenEmbeddings(SPECS, spans, 8, "span").span is not None
    assert TokenEmbeddings(SPECS, spans, 8, "none").span is None
    with pytest.raises(ConfigError, match="one of span, none"):
        TokenEmbeddings(SPECS, spans, 8, "sine")


def test_one_table_over_distinct_values() -> None:
    embeddings = TokenEmbeddings(SPECS, [((0, 1),)] * 3, 8, "span")
    assert len(embeddings.timeframe) == 2
    assert len(embeddings.role) == 2
    assert len(embeddings.symbol) == 2
    assert embeddings.index[0][0] == embeddings.index[2][0]


def test_span_ages_by_hand() -> None:
    ages = span_ages(SPECS[0], ((1, 4), (0, 1))) * 10
    wanted = torch.tensor([[np.log(61.0), np.log(181.0)], [0.0, 0.0]], dtype=torch.float32)
    torch.testing.assert_close(ages, wanted)


def test_token_dropout_draws_in_training_only() -> None:
    model = small_model(token_dropout=0.5)
    model.fusion.eval()
    batch = make_batch(model, features(), TIMES, once=True)
    assert torch.equal(
        answers(model, batch)["action/logits"], answers(model, batch)["action/logits"]
    )
    model.training = True
    assert not torch.equal(
        answers(model, batch)["action/logits"], answers(model, batch)["action/logits"]
    )


def test_it_learns_a_handful_of_decisions() -> None:
    torch.manual_seed(0)
    model = small_model(seed=1)
    batch = make_batch(model, features(), TIMES, once=True)
    classes = {"class": torch.tensor([0, 1, 2, 0])}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    head = model.heads_by_name["action"]
    losses = []
    for _ in range(40):
        loss = head.loss("action", model(batch)["action"], classes).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 < 0.9 < losses[0]
