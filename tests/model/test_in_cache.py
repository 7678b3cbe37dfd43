"""A transformer layer in pieces is the layer by torch: outputs, gradients, masks, dropout."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from mtf.model import in_cache, layer_kernels
from mtf.model.attention import AttentionBlock, FeedForward, TransformerLayer
from mtf.model.fusion import Attention
from mtf.model.in_cache import applies, attended

BATCH = 5


def shaken(module: nn.Module) -> nn.Module:
    """With weights that are all different from what they start as."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return module


def seen(module: nn.Module, *given: Tensor | None) -> list[Tensor]:
    """Output, and the gradients of inputs and weights."""
    module.zero_grad()
    real = [x is not None and x.is_floating_point() for x in given]
    inputs = [x.clone().requires_grad_() for x in given if x is not None and x.is_floating_point()]
    left = iter(inputs)
    out = module(*(next(left) if own else x for own, x in zip(real, given, strict=True)))
    (out * (1 + torch.arange(out.numel()) % 7).view_as(out) / 8).sum().backward()
    gradients = [x.grad for x in (*inputs, *module.parameters())]
    return [out.detach(), *(one for one in gradients if one is not None)]


def agree(module: nn.Module, *given: Tensor | None) -> None:
    """The module in pieces says what a copy of it says in float64, which torch computes."""
    found = seen(module, *given)
    with torch.no_grad():
        evaluated = deepcopy(module).eval()(*given)
    exact = deepcopy(module).double()
    wanted = seen(
        exact, *(x.double() if x is not None and x.is_floating_point() else x for x in given)
    )
    assert len(found) == len(wanted) > len(list(module.parameters()))
    for one, other in zip([evaluated, *found], [wanted[0], *wanted], strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).abs().max()) <= 1e-5 * max(1.0, float(other.abs().max()))


def masked(tokens: int) -> Tensor:
    """Some keys of every decision; of the last one none but the first."""
    mask = torch.rand(BATCH, tokens) < 0.6
    mask[-1], mask[:, 0] = False, True
    return mask


@pytest.mark.parametrize("tokens", [1, 16, 47, 70])
@pytest.mark.parametrize(("dim", "heads"), [(32, 1), (64, 4), (96, 3)])
@pytest.mark.parametrize("there", ["all", "some"])
def test_a_layer(tokens: int, dim: int, heads: int, there: str) -> None:
    torch.manual_seed(0)
    layer = shaken(TransformerLayer(dim, heads, 3 * dim, 0.0))
    x = torch.randn(BATCH, tokens, dim)
    assert applies(x)
    agree(layer, x, masked(tokens) if there == "some" else None)


@pytest.mark.parametrize(("queries", "keys"), [(6, 47), (20, 5), (1, 1)])
def test_reading_a_source(queries: int, keys: int) -> None:
    torch.manual_seed(0)
    block = shaken(AttentionBlock(64, 4, 0.0, cross=True))
    agree(block, torch.randn(BATCH, queries, 64), masked(keys), torch.randn(BATCH, keys, 64))


def test_behind_the_mask_may_stand_anything_finite_and_no_gradient_comes_through() -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(32, 2, 64, 0.0)
    x, mask = torch.randn(BATCH, 9, 32), masked(9)
    x.requires_grad_()
    out = layer(x, mask)
    with torch.no_grad():
        moved = layer(torch.where(mask.unsqueeze(-1), x, 1e3), mask)
    assert_close(moved[mask], out[mask], atol=1e-5, rtol=0)
    out[:, 0].sum().backward()
    assert x.grad is not None
    assert not x.grad[~mask].any()


def test_where_no_key_is_there_nothing_is_read() -> None:
    both = torch.randn(2, 5, 96, requires_grad=True)
    mask = torch.tensor([[True] * 5, [False] * 5])
    read = attended(both, None, mask, 2)
    read.sum().backward()
    assert read[0].abs().min() > 0
    assert not read[1].any()
    assert both.grad is not None
    assert both.grad[0].any()
    assert not both.grad[1].any()


def test_rows_of_a_batch_do_not_depend_on_the_others() -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(64, 4, 128, 0.0).eval()
    x, mask = torch.randn(40, 47, 64), torch.rand(40, 47) < 0.9
    mask[:, 0] = True
    with torch.no_grad():
        whole = layer(x, mask)
        parts = torch.cat([layer(x[i : i + 7], mask[i : i + 7]) for i in range(0, 40, 7)])
    assert_close(parts, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("which", ["attention", "feedforward"])
def test_dropout_drops_its_share_and_its_gradient_the_same(which: str) -> None:
    part: nn.Module = (
        AttentionBlock(32, 2, 0.25) if which == "attention" else FeedForward(32, 64, 0.25)
    )
    last = part.out if isinstance(part, AttentionBlock) else part.narrow
    assert isinstance(last, nn.Linear)
    with torch.no_grad():  # what is added is 1 everywhere
        last.weight.zero_()
        last.bias.fill_(1)
    x = torch.randn(30, 11, 32)
    given = (x, None) if which == "attention" else (x,)
    torch.manual_seed(3)
    one = part(*given)
    torch.manual_seed(3)
    again = part(*given)
    other = part(*given)
    assert torch.equal(one, again), "the same seed drops the same"
    assert not torch.equal(one, other)
    added = one.detach() - x
    dropped = added.abs() < 1e-3
    assert abs(float(dropped.float().mean()) - 0.25) < 0.03
    assert_close(added[~dropped], torch.full_like(added[~dropped], 1 / 0.75), atol=1e-5, rtol=0)
    one.sum().backward()
    assert last.bias.grad is not None
    assert_close(last.bias.grad, (~dropped).sum((0, 1)) / 0.75, atol=1e-3, rtol=1e-5)
    part.eval()
    assert_close(part(*given).detach(), x + 1, atol=1e-5, rtol=0)


def test_with_dropout_gradients_are_slopes() -> None:
    """Of a whole fusion, along a direction for every weight, against central differences."""
    torch.manual_seed(0)
    fusion = Attention(64, (0,) * 10 + (1,) * 6, num_layers=2, dropout=0.3).train()
    x, mask, share = torch.randn(32, 16, 64), torch.rand(32, 16) < 0.9, torch.randn(32, 64) / 64
    mask[:, [0, 10]] = True

    def loss() -> Tensor:
        torch.manual_seed(5)  # the same is dropped every time
        fused = fusion(x, mask)
        said: Tensor = (fused.state + fused.streams[:, 1]) * share
        return said.double().sum()

    weights = dict(fusion.named_parameters())
    found = torch.autograd.grad(loss(), list(weights.values()))
    for (name, weight), gradient in zip(weights.items(), found, strict=True):
        along = gradient / gradient.norm()
        with torch.no_grad():
            weight.add_(0.003 * along)
            high = loss()
            weight.sub_(0.006 * along)
            low = loss()
            weight.add_(0.003 * along)
        slope = float(high - low) / 0.006
        assert slope == pytest.approx(float(gradient.norm()), rel=0.01), name


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (torch.zeros(2, 3, 64, dtype=torch.float64), "other numbers"),
        (torch.zeros(2, 3, 64, device="meta"), "no memory"),
        (torch.zeros(2, 3, 40), "channels that are not in sixteens"),
        (torch.zeros(0, 3, 64), "no rows"),
    ],
)
def test_where_it_does_not_apply_torch_answers(x: Tensor, why: str) -> None:
    assert not applies(x), why
    layer = TransformerLayer(x.shape[-1], 2, 64, 0.1).to(x.device, x.dtype)
    assert layer(x, None).shape == x.shape


def test_many_threads_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert applies(torch.zeros(2, 3, 64))
    monkeypatch.setattr(torch, "get_num_threads", lambda: in_cache.MOST_THREADS + 1)
    assert not applies(torch.zeros(2, 3, 64))


def test_a_graph_of_a_fusion_is_of_torchs_operations_alone() -> None:
    torch.manual_seed(0)
    fusion = Attention(32, (0, 0, 1), num_heads=2).eval()
    given = torch.randn(3, 3, 32), torch.tensor([[True, True, True]] * 3)

    class State(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fusion = fusion

        def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
            return self.fusion(tokens, mask).state  # type: ignore[no-any-return]

    with torch.no_grad():
        program = torch.export.export(State(), given)
        assert_close(program.module()(*given), State()(*given), atol=1e-5, rtol=0)
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    foreign = {name for name in names if not name.startswith("aten.")}
    assert any("scaled_dot_product_attention" in name for name in names)
    assert foreign <= {"<built-in function getitem>"}


def test_a_source_without_a_key_has_a_backward() -> None:
    block = shaken(AttentionBlock(48, 3, 0.0, cross=True))
    x = torch.randn(2, 4, 48, requires_grad=True)
    block(x, None, torch.randn(2, 0, 48)).sum().backward()
    assert x.grad is not None
    assert_close(x.grad, torch.ones_like(x))


def test_nothing_is_kept_where_no_gradient_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x, kept = shaken(FeedForward(32, 64, 0.0)), torch.randn(BATCH, 3, 32), []
    plain = layer_kernels.feed_forward

    def watched(*given: object) -> None:
        kept.append(len(given[-1][1]))  # type: ignore[index]
        plain(*given)

    monkeypatch.setattr(layer_kernels, "feed_forward", watched)
    learned = layer(x)
    with torch.inference_mode():
        told = layer(x)
    assert kept == [BATCH * 3 * 64, 0]
    assert torch.equal(learned, told)
