"""Figures as plotly.js takes them: plain dictionaries, numbers short, texts escaped.

plotly.js reads texts as a small HTML of its own, so what comes from a config is escaped here; the
page escapes the JSON as a whole. Colours of ink and grid are the page's (``html``).
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtf.report.colours import (
    AROUND_ZERO,
    BLUES,
    DOWN,
    MARKS,
    MODEL,
    UP,
    of_lines,
    of_roles,
    see_through,
)
from mtf.report.figures import Candles, Chart, Estimates, HeatMap, Interval, Line, Lines, Marks

DIGITS = 7
"""Significant digits of a drawn number: more than a screen can show."""
SYMBOLS = {"up": "triangle-up", "down": "triangle-down", "cross": "x"}
Json = dict[str, Any]


def plotly(chart: Chart) -> Json:
    """``data`` and ``layout`` of a chart; its title stands on the page, not in the picture."""
    if isinstance(chart, Lines):
        return _lines(chart)
    if isinstance(chart, Estimates):
        return _estimates(chart)
    if isinstance(chart, HeatMap):
        return _heat_map(chart)
    return _candles(chart)


def numbers(values: np.ndarray) -> list[float | int | None]:
    """Numbers as JSON has them: short, null where undefined."""
    if values.dtype.kind in "iub":
        whole: list[float | int | None] = values.tolist()
        return whole
    return [
        float(f"{one:.{DIGITS}g}") if math.isfinite(one) else None
        for one in values.astype(np.float64).tolist()
    ]


def text(words: str) -> str:
    """Words that plotly.js shall show as they are."""
    return html.escape(words, quote=False)


def _lines(chart: Lines) -> Json:
    data: list[Json] = []
    for line, colour in zip(chart.lines, of_lines(chart.lines), strict=True):
        data += [*_band(line, colour), _line(line, colour)]
    x_axis: Json = {"title": {"text": text(chart.x_label)}}
    if chart.of_time:
        x_axis["type"] = "date"
    layout = {"xaxis": x_axis, "yaxis": {"title": {"text": text(chart.y_label)}}}
    return {"data": data, "layout": {**layout, "showlegend": len(chart.lines) > 1, "height": 380}}


def _band(line: Line, colour: str) -> Iterator[Json]:
    """The two ends of a band, the space between them filled."""
    if line.low is None or line.high is None or not _known(line.low, line.high):
        return
    quiet = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    x = numbers(line.x)
    group = {"legendgroup": text(line.name)}
    yield {"type": "scatter", "x": x, "y": numbers(line.low), **quiet, **group}
    fill = {"fill": "tonexty", "fillcolor": see_through(colour, 0.15)}
    yield {"type": "scatter", "x": x, "y": numbers(line.high), **quiet, **fill, **group}


def _known(*values: np.ndarray) -> bool:
    return all(bool(np.isfinite(one.astype(np.float64)).any()) for one in values)


def _line(line: Line, colour: str) -> Json:
    mode = {"dots": "markers", "both": "lines+markers"}.get(line.style, "lines")
    width = 2.0 if line.role == "model" else 1.3
    return {
        "type": "scatter",
        "mode": mode,
        "name": text(line.name),
        "legendgroup": text(line.name),
        "x": numbers(line.x),
        "y": numbers(line.y),
        "line": {"color": colour, "width": width, "dash": _dash(line)},
        "marker": {"color": colour, "size": 4 if line.style == "dots" else 7, "opacity": 0.7},
        **_hover(line.told),
    }


def _dash(line: Line) -> str:
    return "dash" if line.style == "dashed" else "solid"


def _hover(told: Sequence[str]) -> Json:
    return {"text": [text(one) for one in told]} if told else {}


def _estimates(chart: Estimates) -> Json:
    """Points with the ends of their intervals, the first name on top."""
    points = zip(chart.found.items(), _colours(chart), strict=True)
    mode = {"rangemode": "tozero"} if chart.with_zero else {}
    layout: Json = {
        "xaxis": {"title": {"text": text(chart.label)}, "zerolinewidth": 2, **mode},
        "yaxis": {
            "range": [len(chart.found) - 0.5, -0.5],
            "automargin": True,
            "type": "category",
        },
        "height": 100 + 34 * len(chart.found),
        "showlegend": False,
    }
    return {"data": [_estimate(*named, colour) for named, colour in points], "layout": layout}


def _colours(chart: Estimates) -> list[str]:
    """All alike where nothing is compared."""
    return of_roles(chart.roles()) if chart.compared else [MODEL[0]] * len(chart.found)


def _estimate(name: str, found: Interval, colour: str) -> Json:
    error = {"type": "data", "symmetric": False, "color": colour, "thickness": 2, "width": 5}
    ends = np.array([[found.high - found.value], [found.value - found.low]])
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(np.array([found.value])),
        "y": [text(name)],
        "name": text(name),
        "marker": {"color": colour, "size": 11},
        "error_x": {**error, "array": numbers(ends[0]), "arrayminus": numbers(ends[1])},
    }


def _heat_map(chart: HeatMap) -> Json:
    colours = AROUND_ZERO if chart.around_zero else BLUES
    known = chart.values[np.isfinite(chart.values)]
    most = float(np.abs(known).max()) if len(known) else 1.0
    ends = {"zmin": -most, "zmax": most} if chart.around_zero else {}
    trace = {
        "type": "heatmap",
        "z": [numbers(row) for row in chart.values],
        "x": [text(name) for name in chart.columns],
        "y": [text(name) for name in chart.rows],
        "text": chart.texts(),
        "texttemplate": "%{text}",
        "colorscale": [list(one) for one in colours],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        **ends,
    }
    layout = {
        "xaxis": {
            "title": {"text": text(chart.column_label)},
            "automargin": True,
            "type": "category",
        },
        "yaxis": {
            "title": {"text": text(chart.row_label), "standoff": 12},
            "autorange": "reversed",
            "automargin": True,
            "type": "category",
        },
        "height": 130 + 34 * len(chart.rows),
    }
    return {"data": [trace], "layout": layout}


def _candles(chart: Candles) -> Json:
    """Panels above each other on the same axis of time; those of predictions on the same scale."""
    count = len(chart.panels)
    share, gap = 1 / count, 0.06 if count > 1 else 0.0
    data, layout = [], {"xaxis": {"type": "date", "rangeslider": {"visible": False}}}
    for index, panel in enumerate(chart.panels):
        number = "" if index == 0 else str(index + 1)
        prices = zip(("open", "high", "low", "close"), panel.ohlc.T, strict=True)
        data.append(
            {
                "type": "candlestick",
                "name": text(panel.name),
                "x": numbers(chart.time),
                **{name: numbers(column) for name, column in prices},
                "yaxis": f"y{number}",
                "xaxis": "x",
                "showlegend": False,
                "increasing": {"line": {"color": UP, "width": 1}},
                "decreasing": {"line": {"color": DOWN, "width": 1}},
            }
        )
        top = 1 - index * share
        label = ", ".join(one for one in (panel.name if count > 1 else "", chart.y_label) if one)
        axis: Json = {"domain": [top - share + gap * (index < count - 1), top]}
        axis["title"] = {"text": text(label)}
        if index:
            axis["matches"] = "y"
        layout[f"yaxis{number}"] = axis
    layout["xaxis"]["anchor"] = f"y{count}" if count > 1 else "y"
    data += [_marks(one) for one in chart.marks]
    height = 420 if count == 1 else 260 * count
    return {"data": data, "layout": {**layout, "height": height, "showlegend": bool(chart.marks)}}


def _marks(marks: Marks) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(marks.name),
        "x": numbers(marks.x),
        "y": numbers(marks.y),
        "marker": {
            "symbol": SYMBOLS[marks.shape],
            "size": 7 if marks.shape == "cross" else 10,
            "color": MARKS[marks.shape],
            "line": {"color": "#ffffff", "width": 1},
        },
        **_hover(marks.told),
    }


__all__ = ["numbers", "plotly", "text"]
