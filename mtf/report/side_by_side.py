"""Variants in columns, figures in rows: amounts, speeds taken in turns, scores of several seeds.

Every variant is compared with one other, the first one unless it says so. A ratio of speeds is the
median of the ratios within each round; a difference of scores is that within each seed, with its
standard error: what the seeds share cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mtf.report.measure import WIDTH, figure, machine

UNBOUNDED = 10_000
"""More columns than any table has."""

Kind = Literal["amount", "speed", "score", "estimate", "published"]


@dataclass(frozen=True)
class Line:
    """One figure of some variants.

    Attributes:
        name: of the figure, with its unit.
        kind: ``amount`` (one number a variant), ``speed`` (one a round), ``score`` (one a seed),
            ``estimate`` (a figure and the ends of its interval), or ``published`` (somebody else's
            number). The last two are compared with nothing.
        values: variant → its numbers, as many for each.
    """

    name: str
    kind: Kind
    values: Mapping[str, Sequence[float]]

    def of(self, variant: str, other: str) -> dict[str, Any]:
        """The figure of a variant beside that of another, for JSON; empty where it has none."""
        if variant not in self.values:
            return {}
        if self.kind == "estimate":
            return dict(zip(("value", "low", "high"), self.values[variant], strict=True))
        own = np.asarray(self.values[variant], np.float64)
        beside = np.asarray(self.values.get(other, ()), np.float64)
        there = variant != other and len(beside) == len(own) and self.kind != "published"
        if self.kind == "score":
            found = {"mean": float(own.mean()), "error": standard_error(own), "values": list(own)}
            apart = own - beside if there else own
            more = {"difference": float(apart.mean()), "difference_error": standard_error(apart)}
            return {**found, **more} if there else found
        found = {"median": float(np.median(own)), "values": list(own)}
        return {**found, "ratio": float(np.median(own / beside))} if there else found


@dataclass(frozen=True)
class SideBySide:
    """What a comparison found.

    Attributes:
        variants: names, in order.
        lines: the figures, in order.
        settings: what it was measured with.
        notes: what to know when reading it.
        against: variant → the one that it is compared with; the first one where not said.
    """

    variants: Sequence[str]
    lines: Sequence[Line]
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()
    against: Mapping[str, str] = field(default_factory=dict)

    def other(self, variant: str) -> str:
        """The variant that one is compared with."""
        return self.against.get(variant, self.variants[0])

    def as_dict(self, name: str) -> dict[str, Any]:
        """For JSON, beside the machine."""
        figures = {
            line.name: {one: _known(line.of(one, self.other(one))) for one in self.variants}
            for line in self.lines
        }
        return {
            "name": name,
            "variants": list(self.variants),
            "against": {one: self.other(one) for one in self.variants},
            "figures": figures,
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "machine": machine(),
        }

    def show(self, name: str, console: Console | None = None) -> None:
        """Print the table and the notes."""
        console = console or Console(highlight=False)
        table = self._table()
        uncut = Measurement.get(console, console.options.update(max_width=UNBOUNDED), table)
        console.width = max(console.width, WIDTH, uncut.maximum)
        console.print(f"mtf bench {name}", table, sep="\n")
        for note in self.notes:
            console.print(note, soft_wrap=True, markup=False)

    def _table(self) -> Table:
        """A row a figure, and one below a score for its difference."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("", no_wrap=True)
        for variant in self.variants:
            table.add_column(Text(variant), justify="right", no_wrap=True)
        for line in self.lines:
            found = [line.of(one, self.other(one)) for one in self.variants]
            table.add_row(Text(line.name), *(Text(cell(one)) for one in found))
            if any("difference" in one for one in found):
                table.add_row("  difference", *(Text(difference(one)) for one in found))
        return table


def _known(found: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON, which has no NaN: None instead."""
    return {
        key: [_number(one) for one in value] if isinstance(value, list) else _number(value)
        for key, value in found.items()
    }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def standard_error(values: np.ndarray) -> float:
    """Of the mean; NaN for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def cell(found: Mapping[str, Any]) -> str:
    """A figure as the table has it: ``12,288 (×2.87)``, ``1.0659 ± 0.0004``."""
    if not found:
        return ""
    if "low" in found:
        told = f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
        return told.replace("-", "−")
    if "mean" in found:
        return with_error(f"{found['mean']:.4f}", found["error"])
    told = figure(found["median"])
    return f"{told} (×{figure(found['ratio'])})" if "ratio" in found else told


def difference(found: Mapping[str, Any]) -> str:
    """A difference as the table has it: ``−0.0004 ± 0.0004``."""
    if "difference" not in found:
        return ""
    return with_error(f"{found['difference']:+.4f}", found["difference_error"])


def with_error(told: str, error: float) -> str:
    """A figure with its standard error, where there is one."""
    told = told.replace("-", "−")
    return told if np.isnan(error) else f"{told} ± {error:.4f}"


__all__ = ["Line", "SideBySide", "standard_error"]
