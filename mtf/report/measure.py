"""Variants of the same work timed side by side: in turns, medians with spread, as table and JSON.

One after the other, two variants are compared with whatever else the machine did meanwhile; taking
turns (A B A B …) both meet the same. A ratio is the median of the ratios within each round.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtf.errors import MtfError

PACKAGES = ("mtf", "torch", "numpy", "numba", "pandas", "pyarrow")
WIDTH = 132
"""Columns of a table where the output is narrower, or no terminal: figures are not cut."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        variant: what was done.
        unit: of the figures.
        values: one figure a round.
        ratio: to the first variant: the median of the ratios within each round.
        more: further figures by name.
    """

    variant: str
    unit: str
    values: Sequence[float]
    ratio: float
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The figure of the variant."""
        return float(np.median(self.values))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: median, ratio, spread and whatever else is known."""
        spread = {"min": min(self.values), "max": max(self.values), "rounds": len(self.values)}
        figures = {"median": self.median, "ratio": self.ratio, "unit": self.unit}
        return {"variant": self.variant, **figures, **spread, **self.more}


@dataclass(frozen=True)
class Measured:
    """What a benchmark found.

    Attributes:
        rows: the variants; the first one is what the others are compared with.
        settings: what it was measured with.
        notes: what to know when reading it.
    """

    rows: Sequence[Row]
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()

    def as_dict(self, name: str) -> dict[str, Any]:
        """For JSON, beside the machine."""
        return {
            "name": name,
            "rows": [row.as_dict() for row in self.rows],
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "machine": machine(),
        }

    def show(self, name: str, console: Console | None = None) -> None:
        """Print the table and the notes."""
        console = console or Console(highlight=False)
        console.width = max(console.width, WIDTH)
        console.print(f"mtf bench {name}", self._table(), sep="\n")
        for note in self.notes:
            console.print(note, soft_wrap=True, markup=False)

    def _table(self) -> Table:
        """One line a variant."""
        more = list(dict.fromkeys(key for row in self.rows for key in row.more))
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("variant", no_wrap=True)
        for column in ("median", "spread", "unit", "ratio", *more):
            table.add_column(column, justify="right", no_wrap=True)
        for row in self.rows:
            spread = f"{figure(min(row.values))} … {figure(max(row.values))}"
            told = [figure(row.more[key]) if key in row.more else "" for key in more]
            figures = (figure(row.median), spread, row.unit, figure(row.ratio), *told)
            table.add_row(*map(Text, (row.variant, *figures)))
        return table


def figure(value: float) -> str:
    """Three digits that mean something, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rounds(variants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every variant in each of ``repeats`` rounds, in turns.

    Every variant runs once before, unmeasured: it pays for compiling and for filling caches.
    """
    for work in variants.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, work in variants.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def compared(
    values: Mapping[str, Sequence[float]],
    unit: str,
    more: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Row]:
    """Rows of figures, one a round; the first variant is what the others are compared with."""
    first = np.asarray(next(iter(values.values())))
    return [
        Row(name, unit, list(own), float(np.median(own / first)), (more or {}).get(name, {}))
        for name, own in values.items()
    ]


def rates(
    amounts: Mapping[str, float], seconds: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """Amounts a second, round by round."""
    return {name: [amounts[name] / one for one in spent] for name, spent in seconds.items()}


def assert_equal(
    expected: np.ndarray, found: np.ndarray, tolerance: float, variants: str, where: str
) -> float:
    """Return the largest difference of two variants' results.

    Raises:
        MtfError: they differ by more than the tolerance, or in shape or gaps.
    """
    same = expected.shape == found.shape and bool((np.isnan(expected) == np.isnan(found)).all())
    apart = float(np.nanmax(np.abs(expected - found), initial=0.0)) if same else np.inf
    if not apart <= tolerance:
        raise MtfError(
            f"{variants} differ by {apart:.3g} in {where}",
            f"the same results up to {tolerance:g}",
            "compare speeds of the same thing only; this is a defect of the benchmark or of mtf",
        )
    return apart


def in_a_process(function: Callable[..., Found], *arguments: Any) -> Found:
    """Call a function of a module in a fresh process, whose memory nobody else has used."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
        return pool.submit(function, *arguments).result()


def forget_peak() -> None:
    """Let ``peak_bytes`` count from now on, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Most memory that this process has held at once (resident)."""
    try:
        # Unlike ru_maxrss this is not inherited from the process that started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def machine() -> dict[str, Any]:
    """What figures depend on beside the program."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """The processor's name as far as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return text.partition("model name")[2].partition("\n")[0].strip("\t :")
    except OSError:
        return platform.processor()
