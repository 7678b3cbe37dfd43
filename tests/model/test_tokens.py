"""Spans of tokens, their means and their masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.errors import ConfigError
from mtf.model import tokens as module
from mtf.model.tokens import drop_tokens, log_edges, pool, running_sum, token_spans


@pytest.mark.parametrize(
    ("lookback", "edges"),
    [
        (600, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 600]),
        (168, [0, 1, 2, 4, 8, 16, 32, 64, 128, 168]),
        (60, [0, 1, 2, 4, 8, 16, 32, 60]),
        (256, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]),
        (1, [0, 1]),
    ],
)
def test_log_edges(lookback: int, edges: list[int]) -> None:
    assert log_edges(lookback) == edges


def test_number_of_log_tokens() -> None:
    assert [len(token_spans("log", lookback)) for lookback in (600, 168, 60)] == [10, 9, 7]


def test_spans_by_hand() -> None:
    assert token_spans("all", 3) == ((2, 3), (1, 2), (0, 1))
    assert token_spans("mean", 7) == ((0, 7),)
    assert token_spans("last", 7) == ((0, 1),)
    assert token_spans("patch", 7, 3) == ((6, 7), (3, 6), (0, 3))
    assert token_spans("log", 5) == ((4, 5), (2, 4), (1, 2), (0, 1))


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match="found tokens 'some'"):
        token_spans("some", 5)
    with pytest.raises(ConfigError, match=r"set model\.tokens\.patch"):
        token_spans("patch", 5)


def test_means_by_hand() -> None:
    encoded = torch.tensor([[[1.0], [2.0], [4.0], [float("nan")], [16.0]]])
    valid = torch.tensor([[True, True, True, False, True]])
    spans = torch.tensor(token_spans("log", 5))
    tokens, mask = pool(encoded, valid, torch.tensor([0, 0]), torch.tensor([4, 2]), spans)
    assert tokens[..., 0].tolist() == [[1.0, 3.0, 0.0, 16.0], [0.0, 1.0, 2.0, 4.0]]
    assert mask.tolist() == [[True, True, False, True], [False, True, True, True]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["all", "mean", "last", "patch", "log"]))
def test_means_are_those_of_the_window(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    lookback, time = int(rng.integers(1, 40)), 50
    encoded = torch.from_numpy(rng.normal(size=(2, time, 3)))
    valid = torch.from_numpy(rng.random((2, time)) > 0.4)
    block, last = torch.from_numpy(rng.integers(0, [[2], [time]], (2, 6)))
    spans = token_spans(name, lookback, 4)
    tokens, mask = pool(encoded, valid, block, last, torch.tensor(spans))
    for d in range(6):
        for i, (newest, oldest) in enumerate(spans):
            slots = [int(last[d]) - k for k in range(newest, oldest) if last[d] - k >= 0]
            kept = [encoded[block[d], s] for s in slots if valid[block[d], s]]
            assert bool(mask[d, i]) == bool(kept)
            wanted = torch.stack(kept).mean(0) if kept else torch.zeros(3, dtype=torch.float64)
            torch.testing.assert_close(tokens[d, i], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [True, False])
def test_the_gradient_is_that_of_the_means(kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel:
        monkeypatch.setattr(module, "kernels_apply", lambda x: False)
    torch.manual_seed(0)
    encoded = torch.randn(2, 20, 2, dtype=torch.float64, requires_grad=True)
    valid, spans = torch.rand(2, 20) > 0.3, torch.tensor(token_spans("log", 12))
    block, last = torch.tensor([1, 0, 1]), torch.tensor([19, 15, 4])
    assert torch.autograd.gradcheck(lambda x: pool(x, valid, block, last, spans)[0], (encoded,))


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_no_trace_of_a_gradient_lies_outside_of_what_a_decision_sees(
    seed: int, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what rounding leaves of a sum that should be 0."""
    monkeypatch.setattr(module, "kernels_apply", lambda x: kernel)
    torch.manual_seed(seed)
    encoded = torch.randn(1, 90, 4, requires_grad=True)
    valid, spans = torch.rand(1, 90) > 0.2, torch.tensor(token_spans("log", 60))
    block, last = torch.zeros(3, dtype=torch.int64), torch.tensor([65, 70, 89])
    tokens, _ = pool(encoded, valid, block, last, spans)
    (tokens[1] * torch.randn_like(tokens[1])).sum().backward()  # the second decision alone
    assert encoded.grad is not None
    assert not encoded.grad[0, 71:].any()
    assert not encoded.grad[0, :11].any()
    assert encoded.grad[0, 11:71][valid[0, 11:71]].all()


def test_the_kernel_is_the_torch_code(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    valid, spans = torch.rand(3, 700) > 0.3, torch.tensor(token_spans("log", 600))
    block, last = torch.randint(0, 3, (40,)), torch.randint(0, 700, (40,))
    seen = []
    for kernel in (True, False):
        monkeypatch.setattr(module, "kernels_apply", lambda x, kernel=kernel: kernel)
        encoded = torch.randn(3, 700, 4, generator=torch.Generator().manual_seed(1))
        encoded.requires_grad_()
        tokens, _ = pool(encoded, valid, block, last, spans)
        tokens.square().sum().backward()
        seen.append((tokens.detach(), encoded.grad))
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-6, atol=1e-6)


def test_running_sums() -> None:
    x = torch.arange(1.0, 71.0, dtype=torch.float64).reshape(2, 35, 1)
    wanted = torch.nn.functional.pad(x.cumsum(1), (0, 0, 1, 0))
    assert torch.equal(running_sum(x), wanted)


def test_token_dropout_leaves_every_stream_a_token() -> None:
    torch.manual_seed(0)
    mask = torch.rand(500, 6) > 0.5
    dropped = drop_tokens(mask, 0.5)
    assert not (dropped & ~mask).any()
    assert torch.equal(dropped.any(1), mask.any(1))
    several = mask.sum(1) >= 4
    kept = dropped[several].sum() / mask[several].sum()
    assert 0.4 < float(kept) < 0.65
