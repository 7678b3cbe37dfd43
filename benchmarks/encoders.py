"""Encoders side by side: weights, multiply-adds, speeds, and what each learns in as many steps."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
import typer
from torch import nn

from mtf.benchmarks.sweep import swept
from mtf.benchmarks.train import Variant
from mtf.config.load import changed, load_config
from mtf.config.schema import Config
from mtf.encoders.conv import ConvBlock
from mtf.encoders.dsc import DSC, SeparableBlock
from mtf.evaluation.part import prior_scores
from mtf.evaluation.short_run import classifier, scores, trained
from mtf.learning.cost import cost
from mtf.learning.task import Task, prepare
from mtf.market.finding import counted
from mtf.model.arithmetic import multiply_adds
from mtf.plugins import registry
from mtf.report.measure import rates, rounds
from mtf.report.side_by_side import Line, SideBySide

TWIN = "conv"
"""What others are compared with, tap for tap."""
LAYER_CANDLES, LAYER_CALLS = 1_000, 20
PUBLISHED: dict[str, dict[str, float]] = {
    "weights": {"conv": 36_864, "dsc": 4_672},
    "M multiply-adds": {"conv": 36.8, "dsc": 4.7},
    "ms": {"conv": 12.3, "dsc": 1.8},
}
"""Of one layer of 64 channels and 9 taps over 1,000 candles."""
SCORED_PARTS = ("validation", "test")
NAMES = {"log_loss": "log loss", "rank_ic": "rank IC"}


@dataclass(frozen=True)
class Choice:
    """One encoder in one setting.

    Attributes:
        name: of the column.
        encoder: name of the plug-in.
        config: with that encoder.
        taps: None where it has none.
    """

    name: str
    encoder: str
    config: Config
    taps: int | None


def run(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "dsc_mtf",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable (conv and dsc).")
    ] = None,
    taps: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Of encoders that have a kernel_size; repeatable (3 and 9)."),
    ] = None,
    steps: Annotated[int, typer.Option(min=0, help="Training steps; 0 = speeds alone.")] = 40,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 2,
    every: Annotated[int, typer.Option(min=1, help="Clock steps between scored decisions.")] = 4,
    decisions: Annotated[int, typer.Option(min=1, help="Decisions a timed evaluation.")] = 512,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of the speeds.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> SideBySide:
    """Compare dsc with ordinary convolutions (conv), or other encoders, all on the CPU.

    Options that encoders share keep the config's values. Speeds are taken in turns. Every encoder
    is trained on the same decisions for as many steps, once a seed; differences are paired by seed.
    """
    given = [*(overrides or []), f"fabric.threads={threads}", "fabric.accelerator=cpu"]
    base = load_config(config, given)
    choices = [
        choice for name in encoder or [TWIN, "dsc"] for choice in choices_of(base, name, taps)
    ]
    choices.sort(key=lambda choice: choice.taps or math.inf)
    tasks = {choice.name: prepare(choice.config) for choice in choices}
    found = [*sizes(choices), *speeds(tasks, decisions, repeats), *one_layer(tasks, repeats)]
    found += published(choices)
    notes = list(explained(found))
    if steps:
        found += learned({one.name: [one.config] for one in choices}, steps, range(seeds), every)
        notes += told_of_learning(next(iter(tasks.values())), steps, seeds)
    return SideBySide(
        [choice.name for choice in choices],
        found,
        {"config": config, "overrides": overrides or [], "threads": threads, "repeats": repeats,
         "steps": steps, "seeds": seeds, "every": every},
        notes,
        twins(choices),
    )  # fmt: skip


def choices_of(base: Config, encoder: str, taps: Sequence[int] | None = None) -> Iterator[Choice]:
    """The encoder with every number of taps, with what the config says of its other options.

    Raises:
        PluginError: no encoder of that name.
    """
    accepted = inspect.signature(registry.load("encoder", encoder)).parameters
    said = base.model.encoder.model_dump(mode="json")
    shared = [f"model.encoder.{key}={json.dumps(said[key])}" for key in said if key in accepted]
    for count in (taps or [3, 9]) if "kernel_size" in accepted else [None]:
        more = [] if count is None else [f"model.encoder.kernel_size={count}"]
        config = changed(base, [f"model.encoder.name={encoder}", *shared, *more])
        yield Choice(encoder + (f", {count} taps" if count else ""), encoder, config, count)


def twins(choices: Sequence[Choice]) -> dict[str, str]:
    """Which column each is compared with: ordinary convolutions of as many taps, where there."""
    ordinary = {choice.taps: choice.name for choice in choices if choice.encoder == TWIN}
    first = choices[0].name
    return {choice.name: ordinary.get(choice.taps, first) for choice in choices}


def sizes(choices: Sequence[Choice]) -> list[Line]:
    """Weights and multiply-adds of the encoders, and of the whole models."""
    costs = {choice.name: cost(choice.config) for choice in choices}
    encoders = {
        name: [part for part in found.parts if part.name.startswith("encoder ")]
        for name, found in costs.items()
    }
    weights = {name: [float(sum(p.parameters or 0 for p in own))] for name, own in encoders.items()}
    alone = {name: [sum(part.alone for part in own) / 1e6] for name, own in encoders.items()}
    whole = {name: [float(found.parameters)] for name, found in costs.items()}
    batch = {name: [found.batch / 1e6] for name, found in costs.items()}
    return [
        Line("encoder: weights", "amount", weights),
        Line("encoder: M multiply-adds, a decision alone", "amount", alone),
        Line("model: weights", "amount", whole),
        Line("model: M multiply-adds, a decision in a batch", "amount", batch),
    ]


def speeds(tasks: Mapping[str, Task], decisions: int, repeats: int) -> list[Line]:
    """Candles and decisions a second, forward and in training, in turns."""
    inputs = {name: windows_of(task) for name, task in tasks.items()}
    candles = {name: float(x.shape[0] * kept) for name, (x, kept) in inputs.items()}
    training = {name: Variant(name, task, 1) for name, task in tasks.items()}
    forward = {name: encoding(tasks[name], x) for name, (x, _) in inputs.items()}
    backward = {name: encoding(tasks[name], x, learn=True) for name, (x, _) in inputs.items()}
    evaluating = {name: swept(task, decisions) for name, task in tasks.items()}
    stepping = {name: one.work() for name, one in training.items()}
    samples = {name: float(one.samples) for name, one in training.items()}
    everyone = dict.fromkeys(tasks, float(decisions))
    return [
        Line(name, "speed", rates(amounts, rounds(work, repeats)))
        for name, amounts, work in (
            ("encoder: candles/s, forward", candles, forward),
            ("encoder: candles/s, forward and backward", candles, backward),
            ("model: decisions/s, evaluation", everyone, evaluating),
            ("model: samples/s, training", samples, stepping),
        )
    ]


def windows_of(task: Task) -> tuple[torch.Tensor, int]:
    """Random candles for eight windows of the first stream, and how many slots of each are kept."""
    spec = task.model.streams[0]
    channels = task.world.streams[spec.name].features.shape[1]
    generator = torch.Generator().manual_seed(0)
    need = task.model.required_slots(spec.name)
    return torch.randn(8, need, channels, generator=generator), spec.lookback


def encoding(task: Task, x: torch.Tensor, *, learn: bool = False) -> Callable[[], None]:
    """Encode some windows, with gradients of all weights or without."""
    encoder, valid = task.model.encoders[0], torch.ones(x.shape[:2], dtype=torch.bool)

    def forward() -> None:
        with torch.inference_mode():
            encoder.eval()(x, valid)

    def both() -> None:
        encoder.train()(x, valid).sum().backward()

    return both if learn else forward


def one_layer(tasks: Mapping[str, Task], repeats: int) -> list[Line]:
    """The first convolution of stacks that have one: weights, multiply-adds, time."""
    layers = {name: layer_of(task.model.encoders[0]) for name, task in tasks.items()}
    there = {name: layer.eval() for name, layer in layers.items() if layer is not None}
    if not there:
        return []
    dim = next(iter(tasks.values())).config.model.embed_dim
    x = torch.randn(1, LAYER_CANDLES, dim, generator=torch.Generator().manual_seed(0))
    weights = {name: [float(matrices(layer))] for name, layer in there.items()}
    adds = {name: [multiply_adds(layer, x) / 1e6] for name, layer in there.items()}
    seconds = rounds({name: calling(layer, x) for name, layer in there.items()}, repeats)
    each = {name: [one / LAYER_CALLS * 1e3 for one in spent] for name, spent in seconds.items()}
    kinds = {"weights": weights, "M multiply-adds": adds}
    lines = [Line(layer_line(what), "amount", found) for what, found in kinds.items()]
    return [*lines, Line(layer_line("ms"), "speed", each)]


def layer_of(encoder: nn.Module) -> nn.Module | None:
    """The first convolution with what mixes its channels, without norm and ReLU."""
    if not isinstance(encoder, DSC):
        return None
    first = encoder.blocks[0]
    if isinstance(first, SeparableBlock):
        return nn.Sequential(first.depthwise, first.pointwise)
    return first.conv if isinstance(first, ConvBlock) else None


def layer_line(what: str) -> str:
    """Name of a line about one layer."""
    return f"one layer, {LAYER_CANDLES:,} candles: {what}"


def matrices(layer: nn.Module) -> int:
    """Weights without biases."""
    return sum(weight.numel() for weight in layer.parameters() if weight.ndim > 1)


def calling(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Some calls of a layer."""

    def work() -> None:
        with torch.inference_mode():
            for _ in range(LAYER_CALLS):
                layer(x)

    return work


def published(choices: Sequence[Choice]) -> list[Line]:
    """What was published of one layer, under the columns of 9 taps and 64 channels."""
    lines = []
    for what, known in PUBLISHED.items():
        found = {
            choice.name: [known[choice.encoder]]
            for choice in choices
            if choice.taps == 9 and choice.encoder in known and choice.config.model.embed_dim == 64
        }
        if found:
            lines.append(Line(f"  published: {what}", "published", found))
    return lines


def explained(lines: Sequence[Line]) -> Iterator[str]:
    """What to know of the speeds."""
    yield (
        "× = to conv of as many taps; speeds are medians of rounds in turns, ratios those within "
        "rounds; a layer is counted without biases, norm and ReLU"
    )
    if any(line.kind == "published" for line in lines):
        yield (
            "published 7.89× fewer weights and multiply-adds are counted here too; 6.8× in time is "
            "not: a depthwise convolution does little work on as much memory as an ordinary one, "
            "and of a whole model the tokens, fusion and heads stay as they are"
        )


def learned(
    members: Mapping[str, Sequence[Config]], steps: int, seeds: Sequence[int], every: int
) -> list[Line]:
    """Log loss and rank IC of every variant on two parts after as many steps, one a seed.

    Args:
        members: variant → the models that answer together; mostly one.
        steps: of each training.
        seeds: of the trainings.
        every: clock steps between scored decisions.
    """
    kept = Scores()
    for seed in seeds:  # seed by seed: whatever changes meanwhile meets all variants alike
        for name, configs in members.items():
            tasks = [trained(config, steps, seed) for config in configs]
            for part in SCORED_PARTS:
                kept.add(part, name, scores(tasks, part, every))
    return kept.lines()


@dataclass(frozen=True)
class Scores:
    """Scores of variants as they come, seed by seed."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, of: str, name: str, found: Mapping[str, float]) -> None:
        """Take in the scores of a variant on a part, or on what ``of`` says."""
        for key, value in found.items():
            line = self.values.setdefault(f"{NAMES[key]}, {of}", {})
            line.setdefault(name, []).append(value)

    def lines(self) -> list[Line]:
        """One a score, log losses first."""
        first = sorted(self.values, key=lambda line: not line.startswith(NAMES["log_loss"]))
        return [Line(line, "score", self.values[line]) for line in first]


def told_of_learning(task: Task, steps: int, seeds: int) -> Iterator[str]:
    """What to know of the scores."""
    name, _ = classifier(task)
    sampler = task.sampler
    samples = steps * sampler.groups * sampler.decisions * task.config.training.accumulate
    yield (
        f"scores after {counted(steps, 'step')} ({samples:,} samples), mean over "
        f"{counted(seeds, 'seed')} ± its standard error; differences are paired by seed"
    )
    prior = prior_scores(task).get(f"{name}/log_loss")
    if prior is not None:
        yield f"the class prior scores {prior:.4f} on validation"
