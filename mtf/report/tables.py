"""Sections as a terminal shows them: tables and sentences; figures are for the page alone."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text as Words

from mtf.report.figures import Note, Section, Table

UNBOUNDED = 10_000
"""More columns than any table has."""


def print_sections(sections: Sequence[Section], console: Console | None = None) -> None:
    """Print the tables and notes of every section below its title; figures are not cut."""
    console = console or Console(highlight=False)
    for section in sections:
        _say(console, f"\n{section.title}")
        for content in section.content:
            if isinstance(content, Table):
                _print_table(content, console)
            elif isinstance(content, Note):
                _say(console, content.text)


def _print_table(table: Table, console: Console) -> None:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, title=table.title or None)
    grid.title_justify = "left"
    for name in table.header:
        grid.add_column(Words(name), no_wrap=True)
    for row in table.rows:
        grid.add_row(*map(Words, row))
    uncut = Measurement.get(console, console.options.update(max_width=UNBOUNDED), grid)
    console.width = max(console.width, uncut.maximum)
    console.print(grid)
    if table.note:
        _say(console, table.note)


def _say(console: Console, text: str) -> None:
    """A line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


__all__ = ["print_sections"]
