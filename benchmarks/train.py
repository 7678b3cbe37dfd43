"""Training samples a second: windows with ``nn.Conv1d`` against encoding every candle once."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.config.load import load_config
from mtf.encoders.dsc import DSC, SeparableBlock
from mtf.errors import ConfigError
from mtf.learning.batches import BatchBuilder
from mtf.learning.fit import Fitting
from mtf.learning.log import Quiet
from mtf.learning.sampling import group_starts
from mtf.learning.task import Task, prepare
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.model.norm import MaskedBatchNorm
from mtf.plugins.contracts import Encoder
from mtf.report.measure import Measured, assert_equal, compared, rates, rounds

TOLERANCE = 1e-5
CONV, WINDOWS = "windows, nn.Conv1d", "windows, dsc"
COUNTED_STEPS = 5
"""Steps over which the slots of a sampling are averaged: where groups begin is drawn."""
SAME_DECISIONS = 32
"""Decisions on which the variants must agree."""


@dataclass(frozen=True)
class Variant:
    """A way to train: a model, what its batches look like, and their sampling."""

    name: str
    task: Task
    steps: int

    @property
    def samples(self) -> int:
        """Decisions a step."""
        sampler, accumulated = self.task.sampler, self.task.config.training.accumulate
        return sampler.groups * sampler.decisions * accumulated

    def slots(self) -> float:
        """Slots that are encoded for one decision, on average."""
        sampler, end_ms = self.task.sampler, self.task.parts["train"].end_ms
        built = [
            self.task.panel.build(sampler.times(0, i), sampler.symbols(0, i), end_ms)
            for i in range(COUNTED_STEPS)
        ]
        return float(np.mean([encoded_slots(batch) / batch.size for batch in built]))

    def work(self) -> Callable[[], None]:
        """Some training steps."""
        fitting = self.task.fitting(Quiet(), Quiet(), None)
        return lambda: _train(fitting, self.steps)


class ChannelFirst(Encoder):
    """dsc as one would write it with torch alone: ``[batch, channel, time]`` and ``nn.Conv1d``.

    Args:
        dsc: whose weights it takes.

    Raises:
        ConfigError: not a dsc, or one with what this has not: norms, dropout, a look ahead.
    """

    causal = True

    def __init__(self, dsc: Encoder) -> None:
        super().__init__()
        if not (isinstance(dsc, DSC) and is_plain(dsc)):
            raise ConfigError(
                f"the encoder is {type(dsc).__name__}, or has norms, dropout or a look ahead",
                "dsc, causal, with norm none and dropout 0: what the nn.Conv1d here computes too",
                "add model.encoder.name=dsc model.encoder.norm=none model.encoder.dropout=0",
            )
        self.receptive_field = dsc.receptive_field
        self.stem = conv1d(dsc.stem)
        self.before = [block.depthwise.shifts[0] for block in blocks_of(dsc)]
        self.depthwise = nn.ModuleList(depthwise_conv1d(block) for block in blocks_of(dsc))
        self.pointwise = nn.ModuleList(conv1d(block.pointwise) for block in blocks_of(dsc))
        self.project = conv1d(dsc.project)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""
        x, skips = torch.relu(self.stem(x.transpose(1, 2))), []
        blocks = zip(self.before, self.depthwise, self.pointwise, strict=True)
        for before, depthwise, pointwise in blocks:
            x = torch.relu(depthwise(F.pad(x, (before, 0))))
            x = torch.relu(pointwise(x))
            skips.append(x)
        encoded: Tensor = self.project(torch.cat(skips, dim=1))
        return encoded.transpose(1, 2)


def run(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "dsc_mtf",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    sampling: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUPSxDECISIONS[xSTRIDE]", help="Beside that of the config; repeatable."
        ),
    ] = None,
    windows: Annotated[
        int, typer.Option(min=1, help="Independent decisions a batch of windows.")
    ] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> Measured:
    """Training samples a second: windows with nn.Conv1d, windows with dsc, encode once.

    All on the CPU. The ratio is to the windows with nn.Conv1d; `bound` is what fewer slots can
    give, `of bound` how much of it is reached.
    """
    given = [*(overrides or []), f"fabric.threads={threads}", "fabric.accelerator=cpu"]
    task = prepare(load_config(config, given))
    agreed = check_equal(task)
    variants = all_variants(task, sampling or ["8x32", "4x64"], windows)
    seconds = rounds({one.name: one.work() for one in variants}, repeats)
    speeds = rates({one.name: one.samples * one.steps for one in variants}, seconds)
    return Measured(
        compared(speeds, "samples/s", bounds(variants, speeds)),
        {"config": config, "overrides": overrides or [], "threads": threads, "repeats": repeats},
        [
            f"outputs of all variants agree to {agreed:.1e}",
            "bound = slots a sample of the windows / of the variant; of bound = ratio / bound",
        ],
    )


def all_variants(task: Task, samplings: list[str], windows: int) -> list[Variant]:
    """Windows in two ways, then encode once as the config samples and as asked for."""
    as_is, stride = task.sampler, task.config.training.sampling.stride
    alone = resampled(by_windows(task), (windows, 1, stride))
    variants = [Variant(CONV, with_model(alone, channel_first(task.model)), 1)]
    variants.append(Variant(WINDOWS, with_model(alone, deepcopy(task.model)), 1))
    shapes = [(as_is.groups, as_is.decisions, stride)]
    shapes += [shape_of(text, stride) for text in samplings]
    for shape in dict.fromkeys(shapes):
        once = with_model(resampled(task, shape), deepcopy(task.model))
        steps = max(1, 2 * windows // (shape[0] * shape[1]))
        variants.append(Variant("once, " + " × ".join(map(str, shape)), once, steps))
    return variants


def bounds(variants: list[Variant], speeds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Slots a sample of every variant, what they allow, and how much of that is reached."""
    slots = {one.name: one.slots() for one in variants}
    found = {name: {"slots/sample": own} for name, own in slots.items()}
    for row in compared(speeds, ""):
        if row.variant not in (CONV, WINDOWS):
            bound = slots[CONV] / slots[row.variant]
            found[row.variant] |= {"bound": bound, "of bound": row.ratio / bound}
    return found


def shape_of(text: str, stride: int) -> tuple[int, int, int]:
    """``8x32`` or ``8x32x4`` as groups, decisions and stride.

    Raises:
        BadParameter: not of that form.
    """
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)(?:x([1-9]\d*))?", text)
    if found is None:
        raise typer.BadParameter(
            f"found {text!r}, expected groups × decisions, such as 8x32, or with a stride, 8x32x4"
        )
    return int(found[1]), int(found[2]), int(found[3] or stride)


def by_windows(task: Task) -> Task:
    """The task with a window of its own for every decision."""
    once = dict.fromkeys(task.builder.once, False)
    return replace(task, panel=task.panel.each(lambda builder: replace(builder, once=once)))


def resampled(task: Task, shape: tuple[int, int, int]) -> Task:
    """The task with other groups, decisions and stride."""
    groups, decisions, stride = shape
    worlds, train = task.panel.worlds.values(), task.parts["train"]
    starts = [group_starts(world, train, decisions, stride) for world in worlds]
    stride_ms = stride * task.world.clock.duration_ms
    sampler = replace(task.sampler, groups=groups, decisions=decisions, stride_ms=stride_ms)
    counts = tuple(map(len, starts))
    return replace(task, sampler=replace(sampler, starts=np.concatenate(starts), counts=counts))


def with_model(task: Task, model: HybridModel) -> Task:
    """The task with another model."""
    return replace(task, model=model)


def check_equal(task: Task) -> float:
    """Make sure that all variants compute the same; the largest difference of their outputs.

    Raises:
        MtfError: they don't.
    """
    times = task.parts["train"].times(task.world.clock)
    times = times[-SAME_DECISIONS * 4 :: 4][None, :]
    windows = answers(task.model, by_windows(task).builder, times)
    once = answers(task.model, task.builder, times)
    conv = answers(channel_first(task.model), by_windows(task).builder, times)
    both = {"windows and encode once": once, "dsc and nn.Conv1d": conv}
    return max(
        assert_equal(windows[name], other[name], TOLERANCE, which, name)
        for which, other in both.items()
        for name in windows
    )


@torch.inference_mode()
def answers(model: HybridModel, builder: BatchBuilder, times: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs of all heads in evaluation."""
    batch = builder.build(times, None)
    was_training = model.training
    said = model.eval()(batch)
    model.train(was_training)
    return {f"{h}.{k}": v.numpy() for h, values in said.items() for k, v in values.items()}


def channel_first(model: HybridModel) -> HybridModel:
    """A copy of the model whose encoders are ``nn.Conv1d``; streams share them as before."""
    model = deepcopy(model)
    own: dict[int, ChannelFirst] = {}
    for i, encoder in enumerate(model.encoders):
        assert isinstance(encoder, Encoder)
        first = id(next(encoder.parameters()))
        known = own.get(first)
        model.encoders[i] = own[first] = ChannelFirst(encoder) if known is None else known
    return model


def is_plain(dsc: DSC) -> bool:
    """Whether there is nothing in it but convolutions and ReLUs."""
    parts = list(dsc.modules())
    dropout = any(part.p > 0 for part in parts if isinstance(part, nn.Dropout))
    norm = any(isinstance(part, nn.LayerNorm | MaskedBatchNorm) for part in parts)
    return dsc.causal and not dropout and not norm


def blocks_of(dsc: DSC) -> list[SeparableBlock]:
    """Its blocks."""
    return [block for block in dsc.blocks if isinstance(block, SeparableBlock)]


@torch.no_grad()
def conv1d(linear: nn.Linear) -> nn.Conv1d:
    """A linear map of each slot as a convolution of one tap."""
    conv = nn.Conv1d(linear.in_features, linear.out_features, 1)
    conv.weight.copy_(linear.weight.unsqueeze(-1))
    conv.bias.copy_(linear.bias)  # type: ignore[union-attr]
    return conv


@torch.no_grad()
def depthwise_conv1d(block: SeparableBlock) -> nn.Conv1d:
    """The depthwise convolution of a block, channel first; its taps stand oldest first."""
    own = block.depthwise
    taps, dim = own.weight.shape
    dilation = max(own.shifts) // max(taps - 1, 1)
    conv = nn.Conv1d(dim, dim, taps, dilation=max(dilation, 1), groups=dim)
    conv.weight.copy_(own.weight.t().unsqueeze(1))
    conv.bias.copy_(own.bias)  # type: ignore[union-attr]
    return conv


def encoded_slots(batch: Batch) -> int:
    """Slots of all blocks of all streams."""
    return sum(stream.valid.numel() for stream in batch.streams.values())


def _train(fitting: Fitting, steps: int) -> None:
    """Some optimiser steps."""
    for _ in range(steps):
        fitting._step()
