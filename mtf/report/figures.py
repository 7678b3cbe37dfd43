"""Figures as plain values: what is to be seen, without how it is drawn.

``plotly_json`` draws them for report.html, ``raster`` for TensorBoard; both draw the same. Texts
are plain text: whoever draws escapes. Times are ms since the epoch, UTC. NaN leaves a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

Points = Shaped[np.ndarray, " point"]
Style = Literal["line", "dashed", "dots", "both"]
Role = Literal["model", "baseline", "reference"]
Shape = Literal["up", "down", "cross"]


@dataclass(frozen=True)
class Line:
    """Points that belong together.

    Attributes:
        name: in the legend.
        x: where; ms where the axis is one of time.
        y: how much.
        low: lower end of a band around it.
        high: upper end.
        style: how it is drawn; ``both`` is a line with its points.
        role: the model stands out, a reference (a diagonal) steps back.
        told: text of each point, seen when it is pointed at.
    """

    name: str
    x: Points
    y: Points
    low: Points | None = None
    high: Points | None = None
    style: Style = "line"
    role: Role = "model"
    told: Sequence[str] = ()


@dataclass(frozen=True)
class Lines:
    """Lines with bands, or points.

    Attributes:
        title: what is seen, in words.
        lines: in the order of the legend.
        x_label: with unit.
        y_label: with unit.
        of_time: whether x is a time.
        note: what to know when reading it.
    """

    title: str
    lines: Sequence[Line]
    x_label: str = ""
    y_label: str = ""
    of_time: bool = False
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; NaN where undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Estimates:
    """Figures with intervals below each other, a point a name: no axis need begin at 0.

    Attributes:
        title: what is seen, in words.
        found: by name, from above.
        label: of the axis of values, with unit.
        compared: whether the first is the model and the others are baselines.
        with_zero: whether 0 is on the axis.
        note: what to know when reading it.
    """

    title: str
    found: Mapping[str, Interval]
    label: str = ""
    compared: bool = True
    with_zero: bool = False
    note: str = ""

    def roles(self) -> list[Role]:
        """What each point stands for."""
        return [
            "baseline" if index and self.compared else "model" for index in range(len(self.found))
        ]


@dataclass(frozen=True)
class HeatMap:
    """A table of figures as colours.

    Attributes:
        title: what is seen, in words.
        values: the figures; NaN where undefined.
        rows: names at the left, from above.
        columns: names below.
        row_label: what the rows are.
        column_label: what the columns are.
        around_zero: whether 0 is the middle of the colours: gains one way, losses the other.
        form: of a cell's text, as Python formats numbers.
        note: what to know when reading it.
    """

    title: str
    values: Float[np.ndarray, "row column"]
    rows: Sequence[str]
    columns: Sequence[str]
    row_label: str = ""
    column_label: str = ""
    around_zero: bool = False
    form: str = ".3g"
    note: str = ""

    def texts(self) -> list[list[str]]:
        """What stands in every cell."""
        return [
            [format(one, self.form) if np.isfinite(one) else "–" for one in row]
            for row in self.values.tolist()
        ]


@dataclass(frozen=True)
class Panel:
    """Candles at the same times as those of other panels.

    Attributes:
        name: what they are.
        ohlc: open, high, low, close; NaN where there is none.
    """

    name: str
    ohlc: Float[np.ndarray, "candle 4"]


@dataclass(frozen=True)
class Marks:
    """Points on the first panel, such as fills.

    Attributes:
        name: in the legend.
        x: where, in ms.
        y: at which price.
        shape: a triangle up or down, or a cross.
        told: text of each point, seen when it is pointed at.
    """

    name: str
    x: Points
    y: Points
    shape: Shape
    told: Sequence[str] = ()


@dataclass(frozen=True)
class Candles:
    """Candles in panels above each other, with marks.

    Attributes:
        title: what is seen, in words.
        time: when each candle opens, in ms.
        panels: from above.
        marks: on the first panel.
        y_label: with unit.
        note: what to know when reading it.
    """

    title: str
    time: Points
    panels: Sequence[Panel]
    marks: Sequence[Marks] = ()
    y_label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first column names the row.

    Attributes:
        title: what is seen, in words.
        header: a name a column.
        rows: cells, as many as names.
        bad: numbers of the rows that tell of a loss: they are marked.
        note: what to know when reading it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    bad: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Note:
    """A sentence: what is missing and how to get it, or what to keep in mind."""

    text: str


@dataclass(frozen=True)
class Text:
    """Text as it is in a file, such as a config; folded away until asked for."""

    title: str
    text: str


Chart = Lines | Estimates | HeatMap | Candles
"""What is drawn."""
Content = Chart | Table | Note | Text


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: its heading.
        content: from above.
    """

    title: str
    content: Sequence[Content]

    def charts(self) -> list[Chart]:
        """What is drawn of it."""
        return [one for one in self.content if isinstance(one, Chart)]


__all__ = [
    "Candles",
    "Chart",
    "Content",
    "Estimates",
    "HeatMap",
    "Interval",
    "Line",
    "Lines",
    "Marks",
    "Note",
    "Panel",
    "Section",
    "Table",
    "Text",
]
