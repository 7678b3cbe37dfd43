"""One decision, candle by candle: from the candles of its time to what every head says."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
import typer

from mtf.benchmarks.train import by_windows, channel_first
from mtf.config.load import load_config
from mtf.errors import ConfigError
from mtf.learning.load import feature_sets
from mtf.learning.task import Task, prepare
from mtf.market.candles import Candles
from mtf.market.stream import StreamSpec
from mtf.model.answer import Flat
from mtf.model.arithmetic import multiply_adds
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.model.streaming import Streaming
from mtf.plugins.contracts import Encoder
from mtf.report.measure import Measured, Row, assert_equal

WINDOWS, COMPILED, STREAMING = "nn.Conv1d", "windows", "streaming"
GIVEN, DECIDED, EARLIER, FLOOR = " candles of t", " decide(t)", " one candle", "floor"
TOLERANCE = 1e-5
GEMM = 1024
"""Rows and columns of the square matrices whose product tells the peak."""
SHORT = ("1h", "1d")
"""Streams of dsc_mtf that look less far back than 600 candles: here they do, too."""


Seconds = tuple[float, float]
"""By the clock on the wall, and of the processor: these know nothing of who else uses it."""


@dataclass
class Spent:
    """What things took in one round."""

    windows: list[Seconds] = field(default_factory=list)
    compiled: list[Seconds] = field(default_factory=list)
    given: list[Seconds] = field(default_factory=list)
    decided: list[Seconds] = field(default_factory=list)
    earlier: list[Seconds] = field(default_factory=list)
    product: float = 0.0


class Feed:
    """The candles of one delivered stream, in order."""

    def __init__(self, spec: StreamSpec, candles: Candles) -> None:
        self.spec, self.candles = spec, candles
        self.rows = np.flatnonzero(candles.valid)
        self.closes = candles.open_time()[self.rows] + candles.timeframe.duration_ms
        self.at = 0

    def give_before(self, streaming: Streaming, time_ms: int, spent: list[Seconds]) -> None:
        """Give the candles that close before a time, one by one."""
        while self.at < len(self.rows) and self.closes[self.at] < time_ms:
            self.give(streaming, spent)

    def give_at(self, streaming: Streaming, time_ms: int, spent: list[Seconds]) -> None:
        """Give the candle that closes at a time, if there is one."""
        if self.at < len(self.rows) and self.closes[self.at] == time_ms:
            self.give(streaming, spent)

    def give(self, streaming: Streaming, spent: list[Seconds]) -> None:
        """Give the next candle."""
        candle = self.candles.ohlcv[self.rows[self.at]]
        opened = int(self.closes[self.at]) - self.spec.timeframe.duration_ms
        began = now()
        streaming.update(self.spec.name, opened, candle)
        spent.append(since(began))
        self.at += 1

    def warm_up(self, streaming: Streaming, time_ms: int) -> None:
        """Give all that has closed by a time as history."""
        self.at = int(np.searchsorted(self.closes, time_ms, side="right"))
        duration = self.spec.timeframe.duration_ms
        streaming.extend(self.spec.name, self.candles.slice(0, time_ms - duration + 1))


class Race:
    """A streaming engine and the windows of the same decisions, side by side.

    Args:
        task: with the model and the candles.
    """

    def __init__(self, task: Task) -> None:
        self.model = task.model.eval()
        self.sets, self.clock = feature_sets(task.config), task.world.clock
        self.builder = by_windows(task).builder
        self.conv = channel_first(self.model).eval()
        self.streaming = Streaming(self.model, self.sets, self.clock)
        first = -(-task.config.decisions.start_ms // self.clock.duration_ms) + 1
        self.time_ms, self.end_ms = first * self.clock.duration_ms, task.config.decisions.end_ms
        self.feeds = []
        for name, stream in task.world.streams.items():
            if stream.spec.derived_from is None:
                self.feeds.append(Feed(stream.spec, stream.candles))
                self.feeds[-1].warm_up(self.streaming, self.time_ms)
            assert name in self.streaming.flows
        self.apart, self.updates, self.decisions = 0.0, 0, 0
        self.streaming.decide(self.time_ms)

    def round(self, updates: int, every: int) -> Spent:
        """Go on for so many candles.

        Raises:
            ConfigError: the config has not as many decisions.
        """
        spent, given, until = Spent(), 0, self.updates + updates
        spent.product = seconds_of_product()
        while self.updates < until:
            self.time_ms += self.clock.duration_ms
            if self.time_ms > self.end_ms:
                raise ConfigError(
                    f"the config's decisions end after {self.updates:,} candles",
                    f"{until:,} candles",
                    "ask for fewer --updates, or set decisions.end later",
                )
            given = self._step(spent)
            self.updates += given
            self.decisions += 1
            if self.decisions % every == 0:
                self._windows(spent)
        return spent

    def _step(self, spent: Spent) -> int:
        """Give the candles of one clock step, and decide; how many there were."""
        before, own = len(spent.earlier), list[Seconds]()
        for feed in self.feeds:
            feed.give_before(self.streaming, self.time_ms, spent.earlier)
        for feed in self.feeds:
            feed.give_at(self.streaming, self.time_ms, own)
        began = now()
        self.said = self.streaming.decide(self.time_ms)
        spent.decided.append(since(began))
        spent.given.append((sum(wall for wall, _ in own), sum(cpu for _, cpu in own)))
        return len(spent.earlier) - before + len(own)

    def _windows(self, spent: Spent) -> None:
        """The same decision by whole windows, in both ways, and how far all are apart."""
        batch = self.builder.build(np.array([[self.time_ms]]), None)
        for model, seconds in ((self.conv, spent.windows), (self.model, spent.compiled)):
            said = self._timed(model, batch, seconds)
            for head, outputs in self.said.items():
                for name, output in outputs.items():
                    both = "streaming and windows"
                    found = assert_equal(said[head][name].numpy(), output, TOLERANCE, both, name)
                    self.apart = max(self.apart, found)

    @torch.inference_mode()
    def _timed(
        self, model: HybridModel, batch: Batch, seconds: list[Seconds]
    ) -> dict[str, dict[str, torch.Tensor]]:
        """What the model says, asked twice and timed at the second time: others ran before."""
        model(batch)
        began = now()
        said: dict[str, dict[str, torch.Tensor]] = model(batch)
        seconds.append(since(began))
        return said

    def multiply_adds(self) -> int:
        """Of one decision and the candles of its time, a slow stream's by how often it has one."""
        table = self.streaming.table
        with torch.inference_mode():
            given = torch.from_numpy(table.tokens), torch.from_numpy(table.shown)
            total: float = multiply_adds(Flat(self.model), *given)
            for feed in self.feeds:
                name = feed.spec.name
                encoder = self.model.encoders[list(self.streaming.flows).index(name)]
                assert isinstance(encoder, Encoder)
                channels = len(self.sets[name].channels)
                x, valid = torch.zeros(1, 1, channels), torch.ones(1, 1, dtype=torch.bool)
                often = min(1.0, self.clock.duration_ms / feed.spec.timeframe.duration_ms)
                total += often * multiply_adds(encoder, x, valid)
        return int(total)


def run(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "dsc_mtf",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    updates: Annotated[int, typer.Option(min=1, help="Candles, one by one.")] = 100_000,
    every: Annotated[
        int, typer.Option(min=1, help="Decisions from one that windows are timed on to the next.")
    ] = 20,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that the candles are cut into.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> Measured:
    """Microseconds from the candles of a time to what every head says, beside whole windows.

    Windows: the same model asked about windows that are there already, one decision at a time. With
    dsc_mtf all five streams look 600 candles back. The ratio says how many times faster than
    nn.Conv1d in torch.
    """
    longer = [f"streams.{name}.lookback=600" for name in SHORT] if config == "dsc_mtf" else []
    given = [*longer, *(overrides or [])]
    task = prepare(
        load_config(config, [*given, f"fabric.threads={threads}", "fabric.accelerator=cpu"])
    )
    race = Race(task)
    gc.collect()
    gc.freeze()  # what was loaded is not looked through again and again
    try:
        rounds = [race.round(-(-updates // repeats), every) for _ in range(repeats)]
    finally:
        gc.unfreeze()
    return Measured(
        rows_of(rounds, race.multiply_adds()),
        {
            "config": config,
            "overrides": given,
            "threads": threads,
            "updates": race.updates,
            "decisions": race.decisions,
            "repeats": repeats,
        },
        notes(race),
    )


def rows_of(rounds: list[Spent], adds: int) -> list[Row]:
    """The variants: microseconds, and how many times faster than windows with ``nn.Conv1d``."""
    ways: dict[str, Callable[[Spent], np.ndarray]] = {
        WINDOWS: lambda one: np.array(one.windows),
        COMPILED: lambda one: np.array(one.compiled),
        STREAMING: lambda one: np.array(one.given) + np.array(one.decided),
        GIVEN: lambda one: np.array(one.given),
        DECIDED: lambda one: np.array(one.decided),
        EARLIER: lambda one: np.array(one.earlier),
    }
    first = np.array([middle(ways[WINDOWS](one)) for one in rounds])
    rows = []
    for name, seconds_of in ways.items():
        if not all(len(seconds_of(one)) for one in rounds):
            continue  # no candle but those of the clock
        own = np.array([middle(seconds_of(one)) for one in rounds])
        everything = np.concatenate([seconds_of(one) for one in rounds])
        more = {**tail(everything), "cpu ratio": float(np.median(first[:, 1] / own[:, 1]))}
        ratio = float(np.median(first[:, 0] / own[:, 0]))
        rows.append(Row(name, "µs", own[:, 0].tolist(), ratio, more))
    floor = np.array([1e6 * adds * one.product / GEMM**3 for one in rounds])
    return [*rows, Row(FLOOR, "µs", floor.tolist(), float(np.median(first[:, 0] / floor)))]


def middle(seconds: np.ndarray) -> np.ndarray:
    """Medians by both clocks, in microseconds."""
    found: np.ndarray = np.median(seconds, axis=0) * 1e6
    return found


def tail(seconds: np.ndarray) -> dict[str, float]:
    """The slow ones among many by both clocks, in microseconds."""
    p50, p99, p999 = (1e6 * np.percentile(seconds, p, axis=0) for p in (50, 99, 99.9))
    wall = {"p99": p99[0], "p99.9": p999[0], "p99/p50": p99[0] / p50[0]}
    return {**wall, "cpu": p50[1], "cpu p99": p99[1]}


def now() -> Seconds:
    """The clock on the wall, and that of this thread's processor."""
    return time.perf_counter(), time.thread_time()


def since(began: Seconds) -> Seconds:
    """How long ago that was."""
    return time.perf_counter() - began[0], time.thread_time() - began[1]


def seconds_of_product() -> float:
    """The best of some products of large matrices."""
    a, out = np.ones((GEMM, GEMM), np.float32), np.empty((GEMM, GEMM), np.float32)
    best = np.inf
    for _ in range(3):
        began = now()
        np.dot(a, a, out)
        best = min(best, since(began)[1])
    return best


def notes(race: Race) -> list[str]:
    """What to know when reading it."""
    ways = {
        track.encoding[0].name if track.encoding else "windows" for track in race.streaming.tracks
    }
    answer = race.streaming.answer
    note = f" ({answer.note})" if answer.note else ""
    return [
        f"{race.updates:,} candles, {race.decisions:,} decisions; all agree to {race.apart:.1e}",
        f"{WINDOWS}, {COMPILED} (dsc as it is) = the model on windows that are there already",
        "streaming = the candles that close at the decision's time, and decide; those before it "
        "are given before",
        f"encoders by {' and '.join(sorted(ways))}; fusion and heads by {answer.name}{note}",
        "cpu = by the clock of the processor: without the time in which others had it",
        f"floor = the {race.multiply_adds() / 1e6:.2f} M multiply-adds of a decision at the speed "
        f"of a product of {GEMM} × {GEMM} matrices",
    ]
