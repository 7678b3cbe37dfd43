"""Which classic patterns of candles a run's encoder separates, beside random weights and chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from mtf.errors import ConfigError, DataError
from mtf.evaluation.patterns import patterns_of
from mtf.evaluation.probe import BLOCKS, Separation, codes, rows_of, separation
from mtf.learning.task import Task, prepare
from mtf.market.stream import Stream
from mtf.plugins.contracts import Encoder
from mtf.report.side_by_side import Line, SideBySide
from mtf.run import load

TRAINED, RANDOM, CANDLE = "trained", "random weights", "the candle alone"


def run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or a name.")],
    stream: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable; the first one of the run.")
    ] = None,
    slots: Annotated[
        int, typer.Option(min=100, help="Candles to fit on, and as many to measure on.")
    ] = 40_000,
    trust_plugins: Annotated[
        bool, typer.Option("--trust-plugins", help="Run the plug-in files of the run.")
    ] = False,
) -> SideBySide:
    """Ask by a linear probe which classic patterns a trained encoder separates.

    Fitted on the last candles of the training part, measured on the first of the test part: the
    area under the ROC curve, 0.5 where nothing is separated, with a 95 % interval over blocks of
    time. `above random` is what training added to the same encoder with fresh weights.
    """
    found = load(run, trust_plugins=trust_plugins)
    task = found.task()
    fresh = with_fresh_weights(task)
    lines: list[Line] = []
    for name in stream or [next(iter(task.world.streams))]:
        lines += list(probed(task, fresh, name, slots))
    settings = {"run": str(found.path), "slots": slots, "streams": stream or []}
    notes = [
        "area under the ROC curve [95 % interval]; chance is 0.5; blank where too few candles show "
        "the pattern",
        "the candle alone: its features, without any encoder",
    ]
    return SideBySide([TRAINED, RANDOM, CANDLE], lines, settings, notes)


def with_fresh_weights(task: Task) -> Task:
    """The same model as it would start with another seed."""
    return prepare(task.config.model_copy(update={"seed": task.config.seed + 1}))


def probed(task: Task, fresh: Task, name: str, slots: int) -> Iterator[Line]:
    """Two lines a pattern: the areas, and what the trained weights add to random ones.

    Raises:
        ConfigError: no stream of that name.
    """
    if name not in task.world.streams:
        raise ConfigError(f"no stream {name!r}", f"one of {', '.join(task.world.streams)}")
    data = Slots.of(task, name, slots)
    seen = {
        TRAINED: data.encoded(task, name),
        RANDOM: data.encoded(fresh, name),
        CANDLE: data.features(),
    }
    for pattern in data.patterns:
        found = {who: data.separation(pattern, *vectors) for who, vectors in seen.items()}
        there = {who: one for who, one in found.items() if one is not None}
        share = float(data.shown(pattern, data.test).mean())
        yield Line(f"{name}: {pattern}, {share:.1%} of candles", "estimate", told(there))
        if there:
            above = there[TRAINED].above(there[RANDOM])
            yield Line("  above random", "estimate", {TRAINED: above})


def told(found: Mapping[str, Separation]) -> dict[str, tuple[float, float, float]]:
    """Areas with their intervals."""
    return {who: one.interval() for who, one in found.items()}


@dataclass(frozen=True)
class Slots:
    """The slots of a stream that are probed.

    Attributes:
        stream: with its candles and features.
        train: rows to fit on.
        test: rows to measure on.
        patterns: which rows show each pattern.
        judged: rows that can be judged.
    """

    stream: Stream
    train: np.ndarray
    test: np.ndarray
    patterns: Mapping[str, np.ndarray]
    judged: np.ndarray

    @classmethod
    def of(cls, task: Task, name: str, slots: int) -> Slots:
        """The last slots of the training part and the first of the test part.

        Raises:
            DataError: a part has hardly any candles of the stream.
        """
        stream = task.world.streams[name]
        patterns, judged = patterns_of(stream.candles)
        train = rows_of(stream, task.parts["train"], slots, last=True)
        test = rows_of(stream, task.parts["test"], slots, last=False)
        if min(len(train), len(test)) < BLOCKS:
            raise DataError(
                f"stream {name} has {len(train)} candles in the train part and {len(test)} in the "
                "test part",
                f"at least {BLOCKS} in each",
                "probe a finer stream",
            )
        return cls(stream, train, test, patterns, judged & stream.feature_valid)

    def encoded(self, task: Task, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the rows to fit on and to measure on."""
        names = [spec.name for spec in task.model.streams]
        encoder, lead = task.model.encoders[names.index(name)], task.model.required_slots(name)
        assert isinstance(encoder, Encoder)
        train, test = (codes(encoder, self.stream, rows, lead) for rows in (self.train, self.test))
        return train, test

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """The candles' features as they are."""
        return self.stream.features[self.train], self.stream.features[self.test]

    def shown(self, pattern: str, rows: np.ndarray) -> np.ndarray:
        """Which of the rows that can be judged show a pattern."""
        shown: np.ndarray = self.patterns[pattern][rows[self.judged[rows]]]
        return shown

    def separation(self, pattern: str, train: np.ndarray, test: np.ndarray) -> Separation | None:
        """How well vectors separate a pattern."""
        fit, measure = self.judged[self.train], self.judged[self.test]
        shown = self.shown(pattern, self.train), self.shown(pattern, self.test)
        return separation(train[fit], shown[0], test[measure], shown[1])
