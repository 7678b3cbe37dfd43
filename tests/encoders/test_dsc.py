"""The separable stack in its three forms against ``nn.Conv1d``: training, evaluation, steps."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtf.encoders.conv import Conv
from mtf.encoders.dsc import DSC, SeparableBlock
from mtf.model import separable
from mtf.model.arithmetic import multiply_adds
from mtf.model.norm import MaskedBatchNorm, Norm
from mtf.model.over_processes import over_processes
from mtf.testing.steps import check_step, check_stepper

DIM = 32


class Oracle(nn.Module):
    """The same weights by torch's own layers in their own layout ``[batch, dim, time]``."""

    def __init__(self, dsc: DSC) -> None:
        super().__init__()
        self.dsc = dsc

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = self._norm(self.dsc.stem_norm, self.dsc.stem(x).transpose(1, 2)).relu()
        skips = []
        for block in self.dsc.blocks:
            assert isinstance(block, SeparableBlock)
            x = self._norm(block.depthwise_norm, self._depthwise(block, x)).relu()
            mix = block.pointwise
            y = F.conv1d(x, mix.weight.unsqueeze(2), mix.bias)
            x = self._norm(block.pointwise_norm, y).relu()
            skips.append(x)
        out = self.dsc.project
        return F.conv1d(torch.cat(skips, 1), out.weight.unsqueeze(2), out.bias).transpose(1, 2)

    def _depthwise(self, block: SeparableBlock, x: Tensor) -> Tensor:
        own = block.depthwise
        taps, dim = own.weight.shape
        dilation = own.shifts[0] - own.shifts[1] if taps > 1 else 1
        padded = F.pad(x, (max(own.shifts[0], 0), max(-own.shifts[-1], 0)))
        kernel = own.weight.t().unsqueeze(1)
        return F.conv1d(padded, kernel, own.bias, dilation=dilation, groups=dim)

    def _norm(self, norm: Norm, x: Tensor) -> Tensor:
        own = norm.masked
        if own is None:
            return x
        return F.batch_norm(
            *(x, own.running_mean, own.running_var, own.weight, own.bias, self.training)
        )


def stirred(dtype: torch.dtype = torch.float64, **options: Any) -> DSC:
    """With weights of no special kind, and norms that have seen something."""
    torch.manual_seed(0)
    dsc = DSC(5, DIM, **{"num_blocks": 3, **options}).to(dtype)
    with torch.no_grad():
        for parameter in dsc.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for _ in range(3):
            dsc(*candles(50, dtype))
    return dsc


def candles(
    time: int, dtype: torch.dtype = torch.float64, gaps: float = 0.2
) -> tuple[Tensor, Tensor]:
    valid = torch.rand(3, time) >= gaps
    return torch.where(valid.unsqueeze(-1), torch.randn(3, time, 5, dtype=dtype), 0.0), valid


def gradients(module: nn.Module, x: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
    said = module(x, valid)
    weights = torch.randn(said.shape, generator=torch.Generator().manual_seed(1)).to(said.dtype)
    return torch.autograd.grad((said * weights).sum(), [x, *module.parameters()])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 9])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("time", [1, 7, 90])
def test_evaluation_is_the_one_by_conv1d(
    norm: str, kernel_size: int, causal: bool, time: int
) -> None:
    dsc = stirred(norm=norm, kernel_size=kernel_size, causal=causal).eval()
    x, valid = candles(time)
    with torch.no_grad():
        torch.testing.assert_close(dsc(x, valid), Oracle(dsc).eval()(x, valid))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 9])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_training_is_the_one_by_conv1d(norm: str, kernel_size: int, causal: bool) -> None:
    """Outputs, gradients, and what the norms learn; without gaps torch's norm is ours."""
    dsc = stirred(norm=norm, kernel_size=kernel_size, causal=causal).train()
    oracle = Oracle(deepcopy(dsc)).train()
    x, valid = candles(70, gaps=0.0)
    x.requires_grad_()
    torch.testing.assert_close(gradients(dsc, x, valid), gradients(oracle, x, valid))
    torch.testing.assert_close(list(dsc.buffers()), list(oracle.buffers()))
    torch.testing.assert_close(dsc.train()(x, valid), oracle.train()(x, valid))


@pytest.mark.parametrize("gaps", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("num_blocks", [1, 3])
def test_norms_learn_of_valid_slots_alone(
    gaps: float, num_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsc = stirred(norm="batch", num_blocks=num_blocks).train()
    other = deepcopy(dsc)
    x, valid = candles(60, gaps=gaps)
    x.requires_grad_()
    found = gradients(dsc, x, valid)
    monkeypatch.setattr("mtf.encoders.dsc.compiles", lambda *_: False)
    torch.testing.assert_close(found, gradients(other, x, valid), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(list(dsc.buffers()), list(other.buffers()))


def test_batch_norm_loses_nothing_to_rounding() -> None:
    """In float32, compared with the layers in float64; means far from 0 beside small deviations."""
    dsc = stirred(torch.float32, norm="batch").train()
    with torch.no_grad():
        dsc.stem.bias.add_(100.0)
    exact = Oracle(deepcopy(dsc).double()).train()
    x, valid = candles(90, torch.float32, gaps=0.0)
    torch.testing.assert_close(
        dsc(x, valid).double(), exact(x.double(), valid), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_gradients_by_finite_differences(norm: str) -> None:
    torch.manual_seed(0)
    dsc = DSC(2, 16, num_blocks=2, norm=norm).double().train()  # type: ignore[arg-type]
    x = torch.randn(2, 6, 2, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[True] * 6, [True, False, True, True, False, True]])
    with torch.no_grad():
        for parameter in dsc.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))

    def said(x: Tensor, *_: Tensor) -> Tensor:
        return dsc(x, valid)[:, :, :3]  # type: ignore[no-any-return]

    torch.autograd.gradcheck(said, (x, *dsc.parameters()), fast_mode=True)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_rows_do_not_depend_on_how_a_batch_is_cut_nor_on_threads(norm: str) -> None:
    dsc = stirred(torch.float32, norm=norm).eval()
    x, valid = torch.randn(7, 40, 5), torch.ones(7, 40, dtype=torch.bool)
    with torch.no_grad():
        whole = dsc(x, valid)
        torch.set_num_threads(3)
        try:
            assert torch.equal(dsc(x, valid), whole)
        finally:
            torch.set_num_threads(1)
        for i in range(7):
            assert torch.equal(dsc(x[i : i + 1], valid[i : i + 1])[0], whole[i])


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_training_is_the_same_bit_for_bit_and_with_threads_to_rounding(norm: str) -> None:
    dsc = stirred(norm=norm).train()
    x, valid = candles(50)
    x.requires_grad_()
    once, twice = (gradients(deepcopy(dsc), x, valid) for _ in range(2))
    assert all(map(torch.equal, once, twice))
    torch.set_num_threads(2)
    try:
        torch.testing.assert_close(gradients(dsc, x, valid), once)
    finally:
        torch.set_num_threads(1)


def test_changed_weights_are_seen() -> None:
    """By an optimiser, by loading, by another parameter in place of one, by another dtype."""
    dsc = stirred(torch.float32, norm="batch").eval()
    x, valid = candles(20, torch.float32)

    def agrees() -> bool:
        with torch.no_grad():
            said = dsc(x, valid)
            return bool(torch.allclose(said, Oracle(dsc).eval()(x, valid), atol=1e-4))

    assert agrees()
    optimizer = torch.optim.AdamW(dsc.parameters(), lr=0.1)
    for parameter in dsc.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert agrees()
    dsc.load_state_dict(stirred(torch.float32, norm="batch", kernel_size=3).state_dict())
    assert agrees()
    dsc.stem.bias = nn.Parameter(torch.randn(DIM))
    assert agrees()
    next(iter(dsc.buffers())).add_(1.0)
    assert agrees()
    dsc.double()
    x = x.double()
    assert agrees()
    copy = deepcopy(dsc)
    with torch.no_grad():
        dsc.project.bias.add_(1.0)
        assert not torch.allclose(dsc(x, valid), copy(x, valid))


def test_weights_made_in_inference_mode() -> None:
    """Nobody counts their changes, so nothing may be remembered of them."""
    with torch.inference_mode():
        dsc = stirred(torch.float32).eval()
        x, valid = candles(20, torch.float32)
        before = dsc(x, valid).clone()
        dsc.project.bias.add_(1.0)
        torch.testing.assert_close(dsc(x, valid), before + 1.0)


def test_who_counts_operations_sees_them() -> None:
    """6 slots: the stem, 3 blocks of 3 taps and a mix, and as many parts of the projection."""
    dsc = stirred(torch.float32).eval()
    x, valid = torch.randn(1, 6, 5), torch.ones(1, 6, dtype=torch.bool)
    one = 5 * DIM + 3 * (3 * DIM + DIM * DIM) + 3 * DIM * DIM
    assert multiply_adds(dsc, x, valid) == 6 * one


def test_norms_of_several_processes_take_the_path_that_knows_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dsc = stirred(norm="batch").train()
    asked: list[MaskedBatchNorm] = []

    def forward(own: MaskedBatchNorm, x: Tensor, valid: Tensor) -> Tensor:
        asked.append(own)
        return x

    monkeypatch.setattr(MaskedBatchNorm, "forward", forward)
    monkeypatch.setattr("mtf.model.over_processes.distributed.all_reduce", lambda total: None)
    dsc(*candles(20))
    assert not asked
    with over_processes(torch.ones(3, dtype=torch.bool)):
        dsc(*candles(20))
    assert len(asked) == 7


@pytest.mark.parametrize("build", [DSC, Conv])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("kernel_size", [1, 3, 9])
def test_steps_say_what_forward_says(build: type[DSC], norm: Any, kernel_size: int) -> None:
    torch.manual_seed(0)
    encoder = build(5, DIM, norm=norm, num_blocks=3, kernel_size=kernel_size)
    for _ in range(3):
        encoder(*candles(40, torch.float32))
    x, valid = candles(70, torch.float32)
    assert check_step(encoder.eval(), x, valid).startswith("70 slots, difference")
    said = check_stepper(encoder, x, valid)
    assert said.startswith("70 slots" if build is DSC and norm != "layer" else "not given")


def test_a_step_costs_no_history() -> None:
    """What is carried: what each block reads before its slot, 2 slots apart, then 4, then 8."""
    state = stirred().initial_state(2)
    assert [tuple(part.shape) for part in state] == [(2, reach, DIM) for reach in (2, 4, 8)]


def test_no_steps_where_an_encoder_looks_ahead_and_no_stepper_for_odd_channels() -> None:
    assert not stirred(causal=False).steps
    assert stirred(causal=False).stepper() is None
    odd = DSC(5, 12, num_blocks=2)
    assert odd.steps
    assert odd.stepper() is None
    x, valid = candles(30, torch.float32)
    check_step(odd.eval(), x, valid)


@pytest.mark.parametrize("build", [DSC, Conv])
def test_export_of_blocks_and_of_steps(build: type[DSC]) -> None:
    """The graph says the same, also for another number of rows."""
    torch.manual_seed(0)
    encoder = build(5, 16, num_blocks=2, norm="batch")
    encoder(*candles(40, torch.float32))
    encoder.eval()
    x, valid = candles(30, torch.float32)
    rows = torch.export.Dim("rows", min=1, max=64)
    program = torch.export.export(encoder, (x, valid), dynamic_shapes=({0: rows}, {0: rows}))
    graph = program.module()
    with torch.no_grad():
        for part in (slice(0, 3), slice(0, 2)):
            torch.testing.assert_close(graph(x[part], valid[part]), encoder(x[part], valid[part]))
    step = torch.export.export(Steps(encoder), (x[:, 0], valid[:, 0], encoder.initial_state(3)))
    with torch.no_grad():
        state = encoder.initial_state(3)
        for k in range(5):
            wanted, following = encoder.step(x[:, k], valid[:, k], state)
            found, carried = step.module()(x[:, k], valid[:, k], state)
            torch.testing.assert_close(found, wanted)
            torch.testing.assert_close(tuple(carried), following)
            state = following


class Steps(nn.Module):
    """An encoder's step as a module."""

    def __init__(self, encoder: DSC) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, valid: Tensor, state: tuple[Tensor, ...]) -> Any:
        return self.encoder.step(x, valid, state)


def test_pieces_are_cut_evenly_among_threads() -> None:
    torch.set_num_threads(2)
    try:
        assert separable.in_threads(lambda first, last: (first, last), 5) == [(0, 2), (2, 5)]
        assert separable.in_threads(lambda first, last: (first, last), 1) == [(0, 1)]
    finally:
        torch.set_num_threads(1)
    assert separable.in_threads(lambda first, last: (first, last), 5) == [(0, 5)]
