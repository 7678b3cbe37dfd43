"""What mtf promises of its speed, in short: every ratio beside its figure; says which is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from mtf.benchmarks import dsc, latency, sweep, train
from mtf.config.load import load_config
from mtf.errors import MtfError
from mtf.learning.task import Task, prepare
from mtf.report.measure import Measured, Row, compared, rates, rounds

LATENCY_LOOKBACKS = [f"streams.{name}.lookback=600" for name in latency.SHORT]


@dataclass(frozen=True)
class Promise:
    """A ratio that holds on a quiet machine of two cores with AVX-512.

    Attributes:
        what: is how many times faster.
        than: that.
        wanted: the ratio.
    """

    what: str
    than: str
    wanted: float

    def row(self, found: float) -> Row:
        """The ratio that was found beside the wanted one."""
        name = f"{self.what} / {self.than}"
        return Row(name, "×", [found], found / self.wanted, {"wanted": self.wanted})


DSC = {
    "9 taps, 600 × 1: dsc": Promise("dsc, 9 taps, 600 × 1", "fastest ordinary", 5.0),
    "3 taps, 600 × 1: dsc": Promise("dsc, 3 taps, 600 × 1", "fastest ordinary", 2.0),
    "training, 9 taps, 100 × 256: dsc": Promise("dsc trained, 9 taps", "nn.Conv1d", 2.2),
    "training, 3 taps, 100 × 256: dsc": Promise("dsc trained, 3 taps", "nn.Conv1d", 1.1),
}
TRAINED = Promise("dsc_mtf trained once", "windows, nn.Conv1d", 8.0)
SWEPT = Promise("dsc_mtf swept once", "windows, nn.Conv1d", 15.0)
DECIDED = Promise("one decision, streaming", "windows, nn.Conv1d", 20.0)


def run(
    slack: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a wanted ratio that is enough.")
    ] = 0.5,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> Measured:
    """Measure the promised ratios of dsc, train, sweep and latency in short.

    The last column but one is the ratio to what is wanted. A busy machine blurs short rounds, so
    half of a wanted ratio is enough.

    Raises:
        MtfError: a ratio is below the slack.
    """
    rows = list(ratios(repeats, threads))
    lost = [row for row in rows if row.ratio < slack]
    if lost:
        told = "; ".join(f"{row.variant} is {row.median:.3g}" for row in lost)
        raise MtfError(
            f"slower than promised: {told}",
            "; ".join(f"at least {slack * row.more['wanted']:.3g}" for row in lost),
            "run it again on a quiet machine; `mtf bench dsc`, train, sweep and latency tell more",
        )
    return Measured(rows, {"slack": slack, "threads": threads, "repeats": repeats})


def ratios(repeats: int, threads: int) -> Iterator[Row]:
    """Every promise with what was found."""
    found = {row.variant: row.ratio for row in dsc.run([9, 3], repeats, threads, quick=True).rows}
    for variant, promise in DSC.items():
        yield promise.row(found[variant])
    task = prepared(threads, [])
    windows = 32
    ways = train.all_variants(task, ["16x16"], windows)
    seconds = rounds({one.name: one.work() for one in ways}, repeats)
    speeds = rates({one.name: one.samples * one.steps for one in ways}, seconds)
    yield TRAINED.row(compared(speeds, "")[-1].ratio)
    speeds = sweep.speeds(task, windows, 2048, repeats)
    yield SWEPT.row(ratio_of(compared(speeds, ""), sweep.ONCE))
    race = latency.Race(prepared(threads, LATENCY_LOOKBACKS))
    spent = [race.round(2_000, 2) for _ in range(repeats)]
    yield DECIDED.row(ratio_of(latency.rows_of(spent, race.multiply_adds()), latency.STREAMING))


def prepared(threads: int, overrides: Sequence[str]) -> Task:
    """The default config on few days."""
    fabric = [f"fabric.threads={threads}", "fabric.accelerator=cpu"]
    return prepare(load_config("dsc_mtf", ["decisions.end=2024-01-08", *fabric, *overrides]))


def ratio_of(rows: Sequence[Row], variant: str) -> float:
    """The ratio of the variant of that name."""
    (found,) = [row.ratio for row in rows if row.variant == variant]
    return found
