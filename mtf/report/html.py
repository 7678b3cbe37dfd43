"""report.html: the report as one page that needs nothing else, no network, no font, no server.

plotly.js stands in it once. The figures are data that one small script draws; without the script
the sentences and tables are there all the same. Everything that comes from a run is escaped.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtf.learning.disk import replace_synced
from mtf.report.figures import Chart, Content, Note, Section, Table, Text
from mtf.report.material import Material
from mtf.report.page import DRAW, HEAD, STYLE
from mtf.report.plotly_json import plotly
from mtf.report.sections import sections, verdict

FILE = "report.html"
SHORT = 36
"""Cells of so many characters are not broken into lines."""


def write_report(material: Material, path: Path) -> None:
    """Write the page: afterwards it is there in full, or as it was.

    Raises:
        OSError: the disk refuses.
    """
    replace_synced(path, page(material).encode())


def page(material: Material) -> str:
    """The whole page of a run."""
    return page_of(material.name, verdict(material), sections(material))


def page_of(name: str, sentence: str, found: Sequence[Section]) -> str:
    """A whole page.

    Args:
        name: of what it is about.
        sentence: its first one, in large type.
        found: its sections.
    """
    charts: list[Chart] = []
    body = [_opening(name, sentence), _contents(found)]
    body += [_section(one, number, charts) for number, one in enumerate(found)]
    return "\n".join(
        [
            HEAD.format(title=html.escape(name)),
            f"<style>{STYLE}</style></head><body><main>",
            *body,
            "</main>",
            f"<script>{plotly_js()}</script>",
            f'<script type="application/json" id="figures">{script_json(charts)}</script>',
            f"<script>{DRAW}</script></body></html>",
        ]
    )


def plotly_js() -> str:
    """plotly.js, which comes with the package plotly."""
    from plotly.offline import get_plotlyjs  # half a second, for reports alone

    return str(get_plotlyjs())


def script_json(charts: Sequence[Chart]) -> str:
    """The figures as JSON that no text in them can break out of."""
    told = json.dumps([plotly(chart) for chart in charts], allow_nan=False, separators=(",", ":"))
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _opening(name: str, sentence: str) -> str:
    """The name, and the first sentence in large type."""
    return (
        f"<header><p class='name'>{html.escape(name)}</p>"
        f"<h1 id='verdict'>{html.escape(sentence)}</h1></header>"
    )


def _contents(found: Sequence[Section]) -> str:
    """The table of contents."""
    items = "".join(
        f"<li><a href='#{anchor(one, number)}'>{html.escape(one.title)}</a></li>"
        for number, one in enumerate(found)
    )
    hint = "Drag over a figure to zoom in, double-click to see all of it again. Times are UTC."
    return f"<nav><ol>{items}</ol></nav><p class='small'>{hint}</p>"


def anchor(section: Section, number: int) -> str:
    """What a link to a section says."""
    return f"s{number}-" + slug(section.title)


def slug(title: str) -> str:
    """Letters and digits of a title, others as single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _section(section: Section, number: int, charts: list[Chart]) -> str:
    """A section; its charts are appended to ``charts`` and drawn where they are numbered."""
    content = "\n".join(_content(one, charts) for one in section.content)
    title = html.escape(section.title)
    return f"<section id='{anchor(section, number)}'><h2>{title}</h2>\n{content}</section>"


def _content(content: Content, charts: list[Chart]) -> str:
    if isinstance(content, Note):
        return f"<p class='note'>{html.escape(content.text)}</p>"
    if isinstance(content, Text):
        title, text = html.escape(content.title), html.escape(content.text)
        return f"<details><summary>{title}</summary><pre>{text}</pre></details>"
    if isinstance(content, Table):
        return _table(content)
    charts.append(content)
    return (
        f"<figure><figcaption>{html.escape(content.title)}</figcaption>"
        f"<div class='chart' data-figure='{len(charts) - 1}'></div>{_note(content.note)}</figure>"
    )


def _note(note: str) -> str:
    return f"<p class='small'>{html.escape(note)}</p>" if note else ""


def _table(table: Table) -> str:
    """A table; rows that tell of a loss are marked."""
    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    head = ""
    if any(table.header):
        head = f"<thead><tr>{''.join(_cells(table.header, 'th'))}</tr></thead>"
    rows = "".join(
        f"<tr{' class=bad' if index in table.bad else ''}>{''.join(_cells(row, 'td'))}</tr>"
        for index, row in enumerate(table.rows)
    )
    body = f"<table>{caption}{head}<tbody>{rows}</tbody></table>"
    return f"<div class='table'>{body}</div>{_note(table.note)}"


def _cells(row: Sequence[str], tag: str) -> Iterator[str]:
    for cell in row:
        kept = " class=short" if len(cell) <= SHORT else ""
        yield f"<{tag}{kept}>{html.escape(cell)}</{tag}>"


__all__ = ["FILE", "page", "page_of", "plotly_js", "script_json", "slug", "write_report"]
