"""What steps read: made ahead it is what it would be, and its parts make the whole."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
import torch
from tasks import Silent, small_task
from torch.utils._python_dispatch import TorchDispatchMode

from mtf.learning.feed import Feed
from mtf.learning.fit import Fitting
from mtf.model.batch import Batch
from mtf.model.share import Share


def fitting(**changes: Any) -> Fitting:
    """A small training loop."""
    return small_task(**changes).fitting(Silent(), Silent(), None)


def feed_of(run: Fitting, **changes: Any) -> Feed:
    """A feed of its own."""
    end_ms, device = run.parts["train"].end_ms, torch.device("cpu")
    return Feed(run.model, run.panel, run.sampler, end_ms, 2, 4, device, **changes)


def test_made_ahead_it_is_the_same_and_each_step_is_made_once() -> None:
    run = fitting(model={"mirror": True})
    plain, ahead = feed_of(run), feed_of(run, ahead=True)
    made: list[int] = []
    make = ahead._made

    def noted(step: int) -> Any:
        made.append(step)
        return make(step)

    ahead._made = noted  # type: ignore[method-assign]
    for step in (5, 6, 7, 2):  # a checkpoint was gone back to
        one, other = plain.take(step), ahead.take(step)
        for left, right in zip(one.given, other.given, strict=True):
            assert isinstance(left, Batch)
            assert isinstance(right, Batch)
            assert all(
                torch.equal(left.streams[name].values, right.streams[name].values)
                for name in left.streams
            )
        assert one.counts == other.counts
        assert one.samples == other.samples == 32
    ahead.close()
    assert made == [5, 6, 7, 8, 2, 3]


def test_what_fails_ahead_fails_the_step_that_needs_it() -> None:
    feed = feed_of(fitting(), ahead=True)
    make = feed._made

    def failing(step: int) -> Any:
        if step == 1:
            raise OSError("the disk is gone")
        return make(step)

    feed._made = failing  # type: ignore[method-assign]
    feed.take(0)
    with pytest.raises(OSError, match="gone"):
        feed.take(1)
    feed.close()


def test_the_shares_of_all_processes_are_the_batch() -> None:
    run = fitting(training={"sampling": {"groups": 5}})
    whole = feed_of(run).take(0)
    shares = [feed_of(run, rank=rank, ranks=3).take(0) for rank in range(3)]
    assert [one.samples for one in shares] == [40, 40, 40]
    assert all(one.counts == whole.counts for one in shares)
    sizes = [[given.own.size for given in one.given if isinstance(given, Share)] for one in shares]
    assert sizes == [[8, 8], [8, 8], [4, 4]]


class Asked(TorchDispatchMode):
    """Who fetches a number from the device, which then has to have come so far."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            ours = [one.name for one in traceback.extract_stack() if "mtf" in one.filename]
            self.by.append(ours[-1] if ours else "a test")
        return func(*args, **(kwargs or {}))


def test_nothing_is_asked_of_the_device_until_the_end_of_a_step() -> None:
    run = fitting(
        model={"encoder": {"norm": "batch"}, "tokens": {"dropout": 0.1, "forming": True}},
        training={"accumulate": 2},
    )
    fed = run.feed.take(0)
    run.model.train()
    with Asked() as asked:
        losses = run._backward(fed)
        norm = run._clip()
        assert set(asked.by) <= {"pool", "single_slots"}  # of spans, which never change
        before = len(asked.by)
        assert float(norm) > 0
        assert len(asked.by) == before + 1  # it is seen
    assert set(losses) == {"train/loss", "train/action/loss", "train/next_candle/loss"}
