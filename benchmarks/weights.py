"""Streams side by side: shared weights, weights of each, a model a timeframe, one long vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated

import typer
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from mtf.benchmarks.encoders import SCORED_PARTS, Scores, told_of_learning
from mtf.benchmarks.sweep import swept
from mtf.benchmarks.train import Variant
from mtf.config.load import changed, load_config, parse_config
from mtf.config.schema import Config
from mtf.evaluation.short_run import scores, trained
from mtf.learning.cost import cost
from mtf.learning.task import Task, prepare
from mtf.report.measure import rates, rounds
from mtf.report.side_by_side import Line, SideBySide

MIB = 2**20
BYTES_A_WEIGHT = 16
"""Of training in float32: the weight, its gradient and two moments."""
FLAT_DIM = 16
FLAT = (
    f"model.embed_dim={FLAT_DIM}",  # more would only be more weights
    "model.encoder.name=linear",
    "model.tokens={name: all, forming: false, dropout: 0.0}",
    "model.fusion.name=concat",
    "model.fusion.pool=all",
)
"""All windows as one vector."""


@dataclass(frozen=True)
class Way:
    """One way to read several streams.

    Attributes:
        name: of the column.
        members: the models that answer together: one, or one a timeframe.
    """

    name: str
    members: tuple[Config, ...]


def run(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "dsc_mtf",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    steps: Annotated[int, typer.Option(min=0, help="Training steps; 0 = speeds alone.")] = 40,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 2,
    every: Annotated[int, typer.Option(min=1, help="Clock steps between scored decisions.")] = 4,
    decisions: Annotated[int, typer.Option(min=1, help="Decisions a timed evaluation.")] = 512,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of the speeds.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> SideBySide:
    """Compare four ways to read several streams, and what each loses with a stream.

    One encoder's weights for all streams; weights of each stream's own; a model for each timeframe,
    probabilities averaged; one perceptron over all windows side by side. All on the CPU, each
    trained on the same decisions for as many steps, once a seed; differences are paired by seed.
    """
    given = [*(overrides or []), f"fabric.threads={threads}", "fabric.accelerator=cpu"]
    base = load_config(config, given)
    ways = list(ways_of(base))
    tasks = {way.name: [prepare(member) for member in way.members] for way in ways}
    found = [*sizes(ways, tasks), *speeds(tasks, decisions, repeats)]
    notes = list(explained())
    if steps:
        found += learned(ways, list(base.streams), steps, range(seeds), every)
        notes += told_of_learning(tasks[ways[0].name][0], steps, seeds)
    settings = {"config": config, "overrides": overrides or [], "threads": threads,
                "repeats": repeats, "steps": steps, "seeds": seeds, "every": every}  # fmt: skip
    return SideBySide([way.name for way in ways], found, settings, notes)


def ways_of(base: Config) -> Iterator[Way]:
    """The four ways, from a config."""
    shared = changed(base, ["model.encoder.weights=shared"])
    yield Way("shared weights", (shared,))
    yield Way("weights per stream", (changed(base, ["model.encoder.weights=per_stream"]),))
    yield Way("a model per timeframe", tuple(alone(shared, names) for names in families(base)))
    yield Way("all in one vector", (changed(shared, FLAT),))


def families(base: Config) -> list[list[str]]:
    """The streams of each timeframe, with what is derived from them.

    A model needs a stream of the primary symbol: references at a timeframe of their own go with
    the first one.
    """
    specs = {spec.name: spec for spec in base.stream_specs()}
    found: dict[str, list[str]] = {}
    for name, spec in specs.items():
        while spec.derived_from is not None:
            spec = specs[spec.derived_from]
        found.setdefault(str(spec.timeframe), []).append(name)
    lonely = [key for key, own in found.items() if all(specs[n].role == "reference" for n in own)]
    strays = [name for key in lonely for name in found.pop(key)]
    first, *others = found.values()
    return [[*first, *strays], *others]


def alone(base: Config, names: Sequence[str]) -> Config:
    """The config with some of its streams only."""
    values = base.model_dump(mode="json", by_alias=True)
    values["streams"] = {name: values["streams"][name] for name in names}
    return parse_config(values)


def sizes(ways: Sequence[Way], tasks: Mapping[str, Sequence[Task]]) -> list[Line]:
    """Weights, multiply-adds and memory of training."""
    costs = {way.name: [cost(member) for member in way.members] for way in ways}
    encoders = {
        name: sum(p.parameters or 0 for one in own for p in one.parts if p.name[:8] == "encoder ")
        for name, own in costs.items()
    }
    weights = {name: sum(one.parameters for one in own) for name, own in costs.items()}
    batch = {name: sum(one.batch for one in own) / 1e6 for name, own in costs.items()}
    memory = {name: max(map(training_bytes, own)) / MIB for name, own in tasks.items()}
    lines: dict[str, Mapping[str, float]] = {
        "weights of encoders": encoders,
        "weights": weights,
        "M multiply-adds, a decision in a batch": batch,
        "MiB in training, the largest model": memory,
    }
    return [
        Line(name, "amount", {way: [float(one)] for way, one in values.items()})
        for name, values in lines.items()
    ]


def training_bytes(task: Task) -> int:
    """Memory of a training step: weights with gradients and moments, and what backward needs."""
    model = deepcopy(task.model).train()
    sampler, end_ms = task.sampler, task.parts["train"].end_ms
    batch = task.panel.build(sampler.times(0, 0), sampler.symbols(0, 0), end_ms)
    kept: dict[int, int] = {}
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        answer = model(batch)  # held until all is counted, so that no address is used twice
    weights = sum(weight.numel() for weight in model.parameters())
    assert answer
    return BYTES_A_WEIGHT * weights + sum(kept.values())


def speeds(tasks: Mapping[str, Sequence[Task]], decisions: int, repeats: int) -> list[Line]:
    """Decisions a second in evaluation and training, in turns; members work one after another."""
    evaluating = {name: together(swept(t, decisions) for t in own) for name, own in tasks.items()}
    stepping = {
        name: together(Variant(name, task, 1).work() for task in own) for name, own in tasks.items()
    }
    samples = {name: float(Variant(name, own[0], 1).samples) for name, own in tasks.items()}
    everyone = dict.fromkeys(tasks, float(decisions))
    return [
        Line("decisions/s, evaluation", "speed", rates(everyone, rounds(evaluating, repeats))),
        Line("samples/s, training", "speed", rates(samples, rounds(stepping, repeats))),
    ]


def together(works: Iterator[Callable[[], None]]) -> Callable[[], None]:
    """All of it, one after another."""
    every = list(works)

    def work() -> None:
        for one in every:
            one()

    return work


def learned(
    ways: Sequence[Way], streams: Sequence[str], steps: int, seeds: Sequence[int], every: int
) -> list[Line]:
    """Scores of every way, and on the test part without each stream."""
    kept, less = Scores(), Scores()
    for seed in seeds:  # seed by seed: whatever changes meanwhile meets all ways alike
        for way in ways:
            tasks = [trained(member, steps, seed) for member in way.members]
            for part in SCORED_PARTS:
                kept.add(part, way.name, scores(tasks, part, every))
            for stream in streams if len(streams) > 1 else ():
                found = scores(tasks, "test", every, [stream])
                less.add(f"test without {stream}", way.name, {"log_loss": found["log_loss"]})
    return [*kept.lines(), *less.lines()]


def explained() -> Iterator[str]:
    """What to know of the table."""
    yield (
        "a model per timeframe: with the reference at that timeframe, and what is derived from "
        "it; probabilities are averaged, a model whose streams are all missing is not asked"
    )
    yield (
        f"all in one vector: every slot of every window, {FLAT_DIM} numbers each, through one "
        "perceptron; a missing stream is zeros and one learned token"
    )
    yield (
        "MiB in training: 16 bytes a weight and what the backward pass needs of one batch, of the "
        "largest model where several are trained one after another"
    )
    yield (
        "published: one set of weights for all streams is 5× faster; it is not, for each stream is "
        "encoded all the same: it has fewer weights, and only those of the encoder"
    )
