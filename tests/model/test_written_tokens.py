"""Without gradients tokens are written in one pass, and are those that are dressed one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from panels import small_panel
from tasks import small_task

from mtf.learning.task import Task
from mtf.model.batch import Batch

MINUTE = 60_000
SIDES = {"market": {"name": "market"}, "position": {"name": "position_state"}}


def batch_of(task: Task) -> Batch:
    """Decisions at the end of the test part, some of which lose streams."""
    end = task.parts["test"].end_ms
    builder = task.builder
    times = np.arange(end - 40 * MINUTE, end, MINUTE)
    dropped = np.random.default_rng(0).random((40, 3 + len(builder.sides))) < 0.3
    dropped[0, :3], dropped[1] = True, False
    return builder.build(times[None], end, dropped)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"tokens": {"name": "mean"}},
        {"tokens": {"name": "patch", "patch": 5, "forming": True}},
        {"tokens": {"name": "log", "forming": True}, "embeddings": {"position": "none"}},
    ],
)
@pytest.mark.parametrize("kind", ["one", "panel", "sides"])
def test_written_tokens_are_the_dressed_ones(model: dict[str, Any], kind: str) -> None:
    if kind == "panel":
        task = small_panel(model=model)
    else:
        task = small_task(model=model, **({"side_inputs": SIDES} if kind == "sides" else {}))
    net, batch = task.model.eval(), batch_of(task)
    with torch.no_grad():
        for weight in net.embeddings.parameters():
            weight.add_(torch.randn(weight.shape))
        encoded = net.encode(batch)
        assert net._writes(encoded)
        tokens, mask = net.tokens(batch, encoded)
        wanted, there = net.dressed(batch, net.pooled(batch, encoded))
    assert torch.equal(mask, there)
    assert not mask.all() or tokens.shape[1] < 6, "a stream of one token always shows something"
    assert torch.equal(tokens[mask], wanted[mask])
    streams = sum(len(net.spans(i)) for i in range(3))
    assert not tokens[:, :streams][~mask[:, :streams]].any() or model.get("tokens", {}).get(
        "forming"
    )


def test_with_gradients_or_single_slots_nothing_is_written() -> None:
    task = small_task()
    net, batch = task.model.eval(), batch_of(task)
    encoded = net.encode(batch)
    assert not net._writes(encoded)
    with torch.no_grad():
        assert net._writes(encoded)
        assert not net.train()._writes(encoded)
        slots = small_task(model={"tokens": {"name": "all"}})
        assert not slots.model.eval()._writes(slots.model.encode(batch_of(slots)))
