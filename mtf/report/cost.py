"""What a model costs, as a table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mtf.learning.cost import Cost
from mtf.market.finding import counted

WIDTH = 80
"""Columns of the table where the output is narrower, or no terminal: figures are not cut."""


def print_cost(cost: Cost, console: Console | None = None) -> None:
    """Print the table, and what it counts."""
    console = console or Console(highlight=False)
    console.print(cost_table(cost), width=max(console.width, WIDTH))
    for text in _notes(cost):
        console.print(text, soft_wrap=True, markup=False)


def cost_table(cost: Cost) -> Table:
    """A row a part, and one for all of them."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", no_wrap=True)
    for column in ("parameters", "multiply-adds alone", "in a batch", "path"):
        table.add_column(column, justify="right", no_wrap=True)
    for part in cost.parts:
        weights = "shared" if part.parameters is None else f"{part.parameters:,}"
        table.add_row(part.name, weights, amount(part.alone), amount(part.batch), part.path)
    table.add_section()
    figures = f"{cost.parameters:,}", amount(cost.alone), amount(cost.batch)
    table.add_row("all", *figures)
    return table


def _notes(cost: Cost) -> Iterator[str]:
    config, sampling = cost.config, cost.config.training.sampling
    yield (
        f"{counted(len(config.streams), 'stream')}, {counted(cost.tokens, 'token')} of "
        f"{config.model.embed_dim}; weights {amount(cost.weight_bytes)}B in "
        f"{config.fabric.precision}"
    )
    apart = sampling.stride * config.decisions.clock.duration_ms // 1000
    yield (
        f"alone: one decision by windows; in a batch: a decision of {sampling.groups} × "
        f"{sampling.decisions}, {apart:,} s apart, candles encoded once where the path says so"
    )
    yield "forward; products, convolutions and attention are counted, elementwise work is not"


def amount(value: float) -> str:
    """Four digits and a unit: ``213.8 G``."""
    units = ["", "k", "M", "G", "T"]
    while value >= 999.95 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:,.4g} {units[0]}".rstrip()


__all__ = ["amount", "cost_table", "print_cost"]
