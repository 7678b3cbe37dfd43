"""A batch cut among processes: decisions and blocks count once, gradients add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks import small_task
from torch import Tensor

from mtf.learning.task import Task
from mtf.model.batch import Batch, StreamBatch
from mtf.model.share import Share, SharedModel, each_tensor, share


def stream_of(block: list[int]) -> StreamBatch:
    """Decisions that look into blocks whose slots are numbered by block; each has its own age."""
    size, blocks = len(block), max(block) + 1
    return StreamBatch(
        values=torch.arange(blocks).float()[:, None, None].expand(blocks, 3, 1),
        valid=torch.ones(blocks, 3, dtype=torch.bool),
        block=torch.tensor(block),
        last=torch.arange(size) % 3,
        present=torch.ones(size, dtype=torch.bool),
        log_sigma=torch.zeros(size),
        age=torch.arange(size).float(),
    )


def test_a_share_by_hand() -> None:
    """Six decisions on two processes; both read block 1, which the first counts."""
    batch = Batch({"1m": stream_of([0, 0, 1, 1, 2, 3])}, {}, {}, torch.tensor([0, 0, 0, 1, 1, 1]))
    one, two = (share(batch, [0, 3, 6], rank) for rank in (0, 1))
    first, second = one.own.streams["1m"], two.own.streams["1m"]
    assert first.values[:, 0, 0].tolist() == [0, 1]
    assert second.values[:, 0, 0].tolist() == [1, 2, 3]
    assert (first.block.tolist(), second.block.tolist()) == ([0, 0, 1], [0, 1, 2])
    assert (first.age.tolist(), second.age.tolist()) == ([0, 1, 2], [3, 4, 5])
    # Around it the first sees the decision of the second that looks into block 1, and vice versa.
    assert one.around["1m"].age.tolist() == [0, 1, 2, 3]
    assert one.around["1m"].block.tolist() == [0, 0, 1, 1]
    assert two.around["1m"].age.tolist() == [2, 3, 4, 5]
    assert two.around["1m"].block.tolist() == [0, 0, 1, 2]
    assert (one.counted["1m"].tolist(), two.counted["1m"].tolist()) == (
        [True, True],
        [False, True, True],
    )
    assert two.own.symbol is not None
    assert two.own.symbol.tolist() == [1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=4, max_size=12), st.integers(1, 4), st.randoms())
def test_every_decision_and_every_block_is_counted_once(
    drawn: list[int], ranks: int, random: np.random.Generator
) -> None:
    names = sorted(set(drawn))
    block = [names.index(one) for one in drawn]  # every block is read, as batches are built
    edges = [0, *sorted(random.sample(range(1, len(block)), ranks - 1)), len(block)]  # type: ignore[attr-defined]
    batch = Batch({"1m": stream_of(block)}, {})
    shares = [share(batch, edges, rank) for rank in range(ranks)]
    ages = [age for one in shares for age in one.own.streams["1m"].age.tolist()]
    assert ages == list(range(len(block)))
    counted = [
        number
        for one in shares
        for number in one.own.streams["1m"].values[one.counted["1m"], 0, 0].tolist()
    ]
    assert sorted(counted) == list(range(len(names)))
    for one in shares:
        around, own = one.around["1m"], set(one.own.streams["1m"].values[:, 0, 0].tolist())
        seen = [age for age, at in enumerate(block) if at in own]
        assert around.age.tolist() == seen  # all that look into its blocks, of any process
        assert torch.equal(around.values[around.block, 0, 0], torch.tensor(block)[seen].float())


@pytest.fixture(scope="module")
def task() -> Task:
    """A model whose encoders have no statistics, in training without dropout."""
    return small_task(model={"fusion": {"dropout": 0.0}, "mirror": True})


def gradients(task: Task, parts: list[Batch | Share]) -> dict[str, Tensor]:
    """Sums of the gradients of a loss over the decisions of all parts."""
    task.model.train().zero_grad(set_to_none=True)
    for part in parts:
        called = SharedModel(task.model) if isinstance(part, Share) else task.model
        said = called(part)
        said["action"]["logits"].square().sum().backward()
    named = task.model.named_parameters()
    return {name: one.grad.clone() for name, one in named if one.grad is not None}


@pytest.mark.parametrize("edges", [[0, 8, 16], [0, 4, 12, 16], [0, 4, 8, 12, 16]])
def test_gradients_of_the_shares_add_up(task: Task, edges: list[int]) -> None:
    whole = batch_of(task)
    wanted = gradients(task, [whole])
    found = gradients(task, [share(whole, edges, rank) for rank in range(len(edges) - 1)])
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def batch_of(task: Task) -> Batch:
    """A batch as training sees it: streams are missing, half of the groups are upside down."""
    sampler, end_ms = task.sampler, task.parts["train"].end_ms
    dropped = sampler.dropped(0, 0, task.panel.members)
    batch = task.panel.build(sampler.times(0, 0), sampler.symbols(0, 0), end_ms, dropped)
    return task.model.turned(batch, torch.from_numpy(sampler.turned(0, 0)))


def test_shares_read_less_than_the_whole(task: Task) -> None:
    whole = batch_of(task)
    blocks = len(whole.streams["btc"].values)
    each = [len(share(whole, [0, 8, 16], rank).own.streams["btc"].values) for rank in (0, 1)]
    assert max(each) < blocks <= sum(each)


def test_every_tensor_is_changed_and_nothing_else() -> None:
    batch = Batch({"1m": stream_of([0, 1])}, {}, {}, None)
    changed = each_tensor(share(batch, [0, 1, 2], 1), torch.zeros_like)
    assert changed.own.streams["1m"].age.tolist() == [0.0]
    assert changed.counted["1m"].tolist() == [False]
    assert changed.own.symbol is None
    assert batch.streams["1m"].age.tolist() == [0.0, 1.0]
