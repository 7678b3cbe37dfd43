"""Separable convolutions against ordinary ones run in their best way: evaluation and training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn

from mtf.encoders.dsc import DSC
from mtf.model.layers import arrays_of
from mtf.model.separable import Weights, encode
from mtf.report.measure import Measured, Row, assert_equal, compared, rates, rounds
from mtf.testing.ordinary import Ordinary, OrdinaryBlock, Way

DIM, CHANNELS, BLOCKS = 64, 5, 4
SHAPES = (600, 1), (100, 256)
"""Candles and batch."""
LAYER = 1_000
"""Candles of the layer of 9 taps whose speed was published."""
TOLERANCE = 1e-4
WORK_A_ROUND = 150_000
"""Slots times blocks. A small case is run again and again until then: what is over within one slice
of the scheduler's time never meets the load that longer ones meet."""


@dataclass
class Case:
    """A stack in one shape: what runs it, what both sides add for the whole encoder, what came out.

    Attributes:
        name: such as ``9 taps, 600 × 1``.
        slots: that a call encodes.
        blocks: of the stack.
        ways: the ordinary stack in every way, and ``dsc``.
        whole: the whole encoder: ``dsc``, and ``around`` the ordinary stack.
        seconds: of each, a round.
    """

    name: str
    slots: int
    blocks: int
    ways: Mapping[str, Callable[[], object]]
    whole: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, repeats: int) -> None:
        """Run all in turns."""
        again = max(1, WORK_A_ROUND // (self.slots * self.blocks))
        whole = {f"whole {name}": work for name, work in self.whole.items()}
        works = {name: repeated(work, again) for name, work in {**self.ways, **whole}.items()}
        self.seconds = {
            name: [one / again for one in spent] for name, spent in rounds(works, repeats).items()
        }

    def ordinary(self) -> dict[str, float]:
        """Median seconds of each way of the ordinary stack, the fastest first."""
        found = {name: float(np.median(self.seconds[name])) for name in self.ways if name != "dsc"}
        return dict(sorted(found.items(), key=lambda way: way[1]))

    def rows(self) -> Iterator[Row]:
        """The fastest ordinary stack and dsc, each ratio to the former; then the whole encoder."""
        best = next(iter(self.ordinary()))
        pairs = {
            f"{self.name}: {best}": self.seconds[best],
            f"{self.name}: dsc": self.seconds["dsc"],
        }
        yield from self._compared(pairs)
        if self.whole:
            around = np.add(self.seconds[best], self.seconds["whole around"])
            pairs = {"  with stem and skips": list(around)}
            pairs["  dsc with stem and skips"] = self.seconds["whole dsc"]
            yield from self._compared(pairs)

    def _compared(self, seconds: dict[str, list[float]]) -> list[Row]:
        rows = compared(rates(dict.fromkeys(seconds, self.slots / 1e6), seconds), "M slots/s")
        return [replace(row, more={"ns/slot": 1e3 / row.median}) for row in rows]

    def note(self) -> str:
        """How the other ways did."""
        found = self.ordinary()
        best = min(found.values())
        slower = [f"{name} {seconds / best:.2f}" for name, seconds in found.items()]
        return f"{self.name}: time of the ordinary stack by way: " + ", ".join(slower)


def run(
    taps: Annotated[list[int] | None, typer.Option(min=1, help="Repeatable (9 and 3).")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
    compiler: Annotated[bool, typer.Option(help="Let the ordinary stack try inductor.")] = True,
    quick: Annotated[bool, typer.Option(help="600 candles alone, and no inductor.")] = False,
) -> Measured:
    """Separable convolutions against ordinary ones run in their best way, on the CPU.

    In evaluation norms are folded into the weights on both sides; the ratio is that of the stacks
    of blocks, and below it that of the whole encoders. Training is forward and backward of the
    whole encoder with batch norms. Nothing else should run on the machine.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shapes, compiler = (SHAPES[:1], False) if quick else (SHAPES, compiler)
    cases = [evaluation(number, *shape, compiler) for number in taps or [9, 3] for shape in shapes]
    if not quick:
        cases.append(evaluation(9, LAYER, 1, compiler, blocks=1))
    cases += [training(number, *SHAPES[-1]) for number in taps or [9, 3]]
    for case in cases:
        case.measure(repeats)
    return Measured(
        [row for case in cases for row in case.rows()],
        {"taps": taps or [9, 3], "threads": threads, "repeats": repeats, "compiler": compiler},
        [
            f"{DIM} channels; a ratio is to the ordinary stack above it, run in its fastest way",
            "stem and skips of the ordinary encoder are products of matrices, timed by themselves",
            *(case.note() for case in cases),
        ],
    )


def evaluation(taps: int, candles: int, batch: int, compiler: bool, blocks: int = BLOCKS) -> Case:
    """Stacks in evaluation; all ways of the ordinary one agree, and dsc with its own layers."""
    name = (
        f"{taps} taps, {candles:,} × {batch}"
        if blocks > 1
        else f"one layer, {taps} taps, {candles:,}"
    )
    x = torch.randn(batch, candles, DIM)
    ways: dict[str, Way] = dict(Ordinary.drawn(DIM, taps, blocks).ways(x, compiler))
    said = [(way, work().numpy()) for way, work in ways.items()]
    for way, values in said[1:]:
        assert_equal(said[0][1], values, TOLERANCE, f"{said[0][0]} and {way}", name)
    dsc = learned(taps, blocks)
    arrays, places = arrays_of(*alone(dsc.weights())), dsc.places
    own = {"dsc": lambda: encode(x, arrays, places)}
    check(dsc, x, own["dsc"]().numpy(), name)
    if blocks == 1:
        return Case(name, batch * candles, blocks, ways | own)
    given, valid = (
        torch.randn(batch, candles, CHANNELS),
        torch.ones(batch, candles, dtype=torch.bool),
    )
    return Case(
        name,
        batch * candles,
        blocks,
        ways | own,
        {"dsc": lambda: inferred(dsc, given, valid), "around": around(dsc, given)},
    )


@torch.inference_mode()
def check(dsc: DSC, x: Tensor, found: np.ndarray, where: str) -> None:
    """Make sure that compiled blocks say what their layers say.

    Raises:
        MtfError: they don't.
    """
    valid = torch.ones(x.shape[:2], dtype=torch.bool)
    for block in dsc.blocks:
        x = block(x, valid)
    assert_equal(x.numpy(), found, TOLERANCE, "compiled blocks and their layers", where)


def learned(taps: int, blocks: int) -> DSC:
    """With batch norms that have seen something, in evaluation."""
    dsc = DSC(CHANNELS, DIM, num_blocks=blocks, kernel_size=taps, norm="batch")
    for _ in range(20):
        dsc(torch.randn(8, 200, CHANNELS), torch.rand(8, 200) > 0.1)
    return dsc.eval()


@torch.no_grad()
def alone(weights: Weights) -> Weights:
    """The blocks without stem and skips."""
    return weights._replace(
        stem=weights.stem[:0], skip=weights.skip[..., :0], skip_bias=weights.skip_bias[:0]
    )


@torch.inference_mode()
def inferred(encoder: nn.Module, x: Tensor, valid: Tensor) -> Tensor:
    """One call in evaluation."""
    return encoder(x, valid)  # type: ignore[no-any-return]


def around(dsc: DSC, x: Tensor) -> Way:
    """The stem and the skips' projection as torch does them best: two products."""
    skips = torch.randn(x.shape[0] * x.shape[1], dsc.project.in_features)

    @torch.inference_mode()
    def work() -> Tensor:
        dsc.stem(x).relu_()
        return dsc.project(skips)  # type: ignore[no-any-return]

    return work


def training(taps: int, candles: int, batch: int) -> Case:
    """Whole encoders with batch norms, forward and backward."""
    x, valid = torch.randn(batch, candles, CHANNELS), torch.ones(batch, candles, dtype=torch.bool)
    dsc = DSC(CHANNELS, DIM, num_blocks=BLOCKS, kernel_size=taps, norm="batch")
    ordinary = Trained(taps)
    first = x.transpose(1, 2).contiguous()
    upstream = torch.randn(batch, candles, DIM)
    turned = upstream.transpose(1, 2).contiguous()
    ways = {
        "nn.Conv1d": lambda: backward(ordinary, ordinary(first), turned),
        "dsc": lambda: backward(dsc, dsc(x, valid), upstream),
    }
    return Case(f"training, {taps} taps, {candles:,} × {batch}", batch * candles, BLOCKS, ways)


class Trained(nn.Module):
    """The ordinary encoder with torch's own layers in their own layout."""

    def __init__(self, taps: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(CHANNELS, DIM, 1)
        self.norm = nn.BatchNorm1d(DIM)
        self.blocks = nn.ModuleList(OrdinaryBlock(DIM, taps, 2**i) for i in range(BLOCKS))
        self.project = nn.Conv1d(BLOCKS * DIM, DIM, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``[batch, channel, time]``."""
        x, skips = self.norm(self.stem(x)).relu_(), []
        for block in self.blocks:
            x = block(x)
            skips.append(x)
        return self.project(torch.cat(skips, 1))  # type: ignore[no-any-return]


def backward(module: nn.Module, said: Tensor, upstream: Tensor) -> None:
    """Gradients of all weights."""
    module.zero_grad()
    said.backward(upstream)


def repeated(work: Callable[[], object], times: int) -> Callable[[], None]:
    """The work several times."""

    def run() -> None:
        for _ in range(times):
            work()

    return run
