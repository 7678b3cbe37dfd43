"""What a model is worth where streams are missing, late or frozen, and what each stream brings.

The value v of a condition, by head and target on its primary metric: of a log loss, that of the
class prior minus the model's, in nats; of another error, 1 - error / that of the better simple
forecast, as skill is; of a figure that rises with quality, the figure. Labels and references are
those of the plain evaluation: what happens does not depend on what the model was shown, so a next
candle is measured from the last close that is truly known.

Every batch is encoded once. Conditions only change what is gathered, embedded and fused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from mtf.evaluation.baseline import Baseline
from mtf.evaluation.baselines import BASELINES, REFERENCES
from mtf.evaluation.cells import SLOTS, Cell, disturbed_cells, goes_stale, present_cell
from mtf.evaluation.day_sums import DaySums, Estimated, Key
from mtf.evaluation.degraded_values import values_of
from mtf.evaluation.look import Look
from mtf.evaluation.part import MAX_TRAIN_DECISIONS, builders_of, no_label, spaced
from mtf.evaluation.shapley import members, plan
from mtf.learning.batches import BatchBuilder
from mtf.learning.sweep import batches_of
from mtf.learning.targets import Labels, labels_of
from mtf.learning.task import Task
from mtf.market.labels import Label
from mtf.market.stream import StreamSpec
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Arrays, Head

Told = Callable[[int, int], None]
"""Takes how many decisions are done, and of how many."""


@dataclass(frozen=True)
class Degraded:
    """The value of every condition.

    Attributes:
        part: of the data.
        specs: the streams, in the order of the config.
        cells: all different conditions: sets of streams first, nothing first of them and all last.
        values: head and target → the value of each cell.
        shapley: head and target → what each stream brings to the value of all.
        measures: head and target → what the value is.
        same: cells that need no measuring → the set of streams that is left of them.
        orders: random orders behind the Shapley values; None = they are exact.
        drawn: head and target → the value of each cell, then that of every resample of whole days;
            those of two runs on the same decisions are paired.
    """

    part: str
    specs: tuple[StreamSpec, ...]
    cells: tuple[Cell, ...]
    values: Mapping[Key, Mapping[Cell, Estimated]]
    shapley: Mapping[Key, Mapping[str, Estimated]]
    measures: Mapping[Key, str]
    same: Mapping[Cell, Cell]
    orders: int | None
    drawn: Mapping[Key, Float64[np.ndarray, "cell draw"]]

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams."""
        return tuple(spec.name for spec in self.specs)

    @property
    def everything(self) -> Cell:
        """All streams there."""
        return Cell("present", self.streams)

    def without(self, stream: str) -> Cell:
        """All streams but one, and but those derived from it."""
        return present_cell(self.specs, [name for name in self.streams if name != stream])

    def value(self, head: str, target: str, cell: Cell) -> Estimated:
        """The value of any cell, also of one that equals another."""
        return self.values[head, target][self.same.get(cell, cell)]


def degraded(
    task: Task,
    part: str = "test",
    *,
    symbol: str | None = None,
    bootstrap: int | None = None,
    slots: Sequence[int] = SLOTS,
    told: Told = lambda done, total: None,
) -> Degraded:
    """Measure a part under every condition.

    Args:
        task: with the weights to evaluate in its model.
        part: one of the four parts.
        symbol: to measure, learned or not; None = every symbol of the run.
        bootstrap: resamples of whole days; None = as the config has it.
        slots: by how many candles streams are late and frozen.
        told: is told of the progress after every batch.

    Raises:
        DataError: no decision of the part has a label.
    """
    builders, _ = builders_of(task, part, symbol)
    specs = task.model.streams
    wanted = plan(len(specs), seed=task.config.seed)
    names = tuple(spec.name for spec in specs)
    sets = [present_cell(specs, members(names, number)) for number in wanted.sets]
    disturbed = disturbed_cells(specs, slots)
    same = {
        cell: present_cell(specs, [name for name in names if name not in cell.streams])
        for cell in disturbed
        if goes_stale(specs, cell)
    }
    cells = list(dict.fromkeys([*sets, *same.values(), *disturbed]))
    cells = [cell for cell in cells if cell not in same]
    sums = _swept(task, builders, part, cells, told)
    resamples = task.config.evaluation.bootstrap if bootstrap is None else bootstrap
    found = values_of(sums, cells, task.builder.heads, resamples, task.config.seed)
    rows = [cells.index(cell) for cell in sets]
    brought = {key: wanted.shapley(drawn[rows]) for key, drawn in found.drawn.items()}
    return Degraded(
        part=part,
        specs=specs,
        cells=tuple(cells),
        values={
            key: dict(zip(cells, found.estimated(key, drawn), strict=True))
            for key, drawn in found.drawn.items()
        },
        shapley={
            key: dict(zip(names, found.estimated(key, drawn), strict=True))
            for key, drawn in brought.items()
        },
        measures=found.measures,
        same=same,
        orders=wanted.orders,
        drawn=found.drawn,
    )


@dataclass(frozen=True)
class _Aim:
    """One target of a head about one symbol, with the forecasts that it is measured against."""

    name: str
    target: str
    head: Head
    references: tuple[Baseline, ...]

    @property
    def key(self) -> Key:
        return self.name, self.target


def _aims(task: Task, builder: BatchBuilder) -> list[_Aim]:
    """All targets, with baselines fitted on the training part."""
    train, world = task.parts["train"], builder.world
    times = spaced(train.times(world.clock), MAX_TRAIN_DECISIONS)
    labels = labels_of(builder.heads, world, times, train.end_ms)
    aims = []
    for name, head in builder.heads.items():
        for target in head.targets:
            suiting = [BASELINES[one]() for one in ("class_prior", *REFERENCES)]
            suiting = [one for one in suiting if one.suits(head, target)]
            for one in suiting:
                one.fit(head, target, world, times, labels[name][target])
            aims.append(_Aim(name, target, head, tuple(suiting)))
    return aims


def _swept(
    task: Task,
    builders: Mapping[str, BatchBuilder],
    part: str,
    cells: Sequence[Cell],
    told: Told,
) -> DaySums:
    """The sums of every cell and reference by day, over all decisions of a part with a label."""
    where = task.parts[part]
    times = where.times(task.panel.clock)
    sums, done = DaySums(times), 0
    full = Cell("present", tuple(spec.name for spec in task.model.streams))
    for builder in builders.values():
        aims = _aims(task, builder)
        for chunk, look, labels in looks(task.model, builder, times, where.end_ms):
            for aim in aims:
                said = {one.name: one.predict(builder.world, chunk) for one in aim.references}
                for name, outputs in said.items():
                    _add(sums, name, aim, chunk, outputs, labels)
            for cell in cells:
                with torch.inference_mode():
                    answer = look.answer(cell)
                for aim in aims:
                    outputs = {k: v.float().cpu().numpy() for k, v in answer[aim.name].items()}
                    _add(sums, cell, aim, chunk, outputs, labels, keep=cell == full)
            done += len(chunk)
            told(done, len(times) * len(builders))
    if not done:
        raise no_label(part, len(times), " and ".join(builders))
    return sums


def looks(
    model: HybridModel,
    builder: BatchBuilder,
    times: Int64[np.ndarray, " decision"],
    end_ms: int,
) -> Iterator[tuple[Int64[np.ndarray, " decision"], Look, Labels]]:
    """Batches of the decisions that have a label, each encoded once; the model is evaluating."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        for chunk, batch, labels in batches_of(builder, times, end_ms):
            with torch.inference_mode():
                look = Look(model, builder, chunk, batch.to(device))
            yield chunk, look, labels
    finally:
        model.train(was_training)


def _add(
    sums: DaySums,
    who: Cell | str,
    aim: _Aim,
    times: Int64[np.ndarray, " decision"],
    outputs: Arrays,
    labels: Labels,
    *,
    keep: bool = False,
) -> None:
    """Take what was said of some decisions into the sums."""
    label: Label = labels[aim.name][aim.target]
    chosen = np.flatnonzero(label.present)
    if not len(chosen):
        return
    rows = {name: array[chosen] for name, array in outputs.items()}
    metrics = aim.head.metrics(aim.target, rows, label.select(chosen), {})
    sums.add(who, aim.key, times[chosen], metrics[aim.head.primary_metric], keep=keep)


__all__ = ["Degraded", "degraded", "looks"]
