"""Figures as pixels for TensorBoard, drawn by matplotlib: the same as on the page.

Draws into memory, without a window and without the global state of pyplot. matplotlib is imported
here alone, when the first figure is drawn: it takes a second that no other verb should pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from mtf.report.colours import (
    AROUND_ZERO,
    BLUES,
    DOWN,
    MARKS,
    MODEL,
    REFERENCE,
    UP,
    of_lines,
    of_roles,
)
from mtf.report.figures import Candles, Chart, Estimates, HeatMap, Line, Lines, Panel, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DPI = 9.0, 80
"""Inches, and pixels of one."""
SHAPES = {"up": "^", "down": "v", "cross": "x"}
WICK = 0.8
MOST_NAMES = 5
"""Beside each other in a legend."""
BODY, MOST_THICK = 45.0, 20
"""Points of width of all bodies together an inch, and as how few candles at least they count."""


def pixels(chart: Chart) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a chart with its title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, _height(chart)), dpi=DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    figure.suptitle(_plain(chart.title), fontsize=11)
    _draw(figure, chart)
    canvas.draw()  # once; savefig would draw all of it a second time
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _height(chart: Chart) -> float:
    """In inches."""
    if isinstance(chart, Estimates):
        return 1.2 + 0.35 * len(chart.found)
    if isinstance(chart, HeatMap):
        return 1.4 + 0.4 * len(chart.rows)
    return 2.6 * len(chart.panels) + 1.4 if isinstance(chart, Candles) else 4.2


def _draw(figure: Figure, chart: Chart) -> None:
    if isinstance(chart, Candles):
        _candles(figure, chart)
    elif isinstance(chart, Lines):
        _lines(figure.subplots(), chart)
    elif isinstance(chart, Estimates):
        _estimates(figure.subplots(), chart)
    else:
        _heat_map(figure.subplots(), chart)


def _plain(text: str) -> str:
    """Words that matplotlib shall not read as formulas."""
    return text.replace("$", r"\$")


def _lines(axes: Axes, chart: Lines) -> None:
    for line, colour in zip(chart.lines, of_lines(chart.lines), strict=True):
        x = _times(line.x) if chart.of_time else line.x
        if line.low is not None and line.high is not None:
            low, high = (one.astype(np.float64) for one in (line.low, line.high))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        style = _style(line)
        axes.plot(x, line.y, color=colour, label=_plain(line.name), **style)
    axes.set_xlabel(_plain(chart.x_label))
    axes.set_ylabel(_plain(chart.y_label))
    axes.grid(visible=True, alpha=0.3)
    if len(chart.lines) > 1:
        _legend(axes)


def _legend(axes: Axes) -> None:
    """Below the drawing: it hides nothing there, and no best place is searched for among points.

    With many of them that takes seconds, of which matplotlib warns.
    """
    figure: Any = axes.get_figure()
    marks, names = axes.get_legend_handles_labels()
    place = "outside lower center"
    figure.legend(marks, names, loc=place, ncols=min(len(names), MOST_NAMES), fontsize=8)


def _style(line: Line) -> dict[str, Any]:
    marker = "." if line.style in ("dots", "both") else ""
    dash = {"dots": "", "dashed": "--"}.get(line.style, "-")
    width = 1.6 if line.role == "model" else 1.0
    return {"marker": marker, "linestyle": dash or "none", "linewidth": width}


def _times(ms: Points) -> np.ndarray:
    return ms.astype("datetime64[ms]")


def _estimates(axes: Axes, chart: Estimates) -> None:
    names, count = [_plain(name) for name in chart.found], len(chart.found)
    colours = of_roles(chart.roles()) if chart.compared else [MODEL[0]] * count
    for index, (found, colour) in enumerate(zip(chart.found.values(), colours, strict=True)):
        axes.plot([found.low, found.high], [index, index], color=colour, linewidth=1.6)
        axes.plot([found.value], [index], color=colour, marker="o")
    if chart.with_zero:
        axes.axvline(0.0, color=REFERENCE, linewidth=1.0)
    axes.set_yticks(range(count), names)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlabel(_plain(chart.label))
    axes.grid(visible=True, alpha=0.3)


def _heat_map(axes: Axes, chart: HeatMap) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    points = AROUND_ZERO if chart.around_zero else BLUES
    colours = LinearSegmentedColormap.from_list("report", list(points))
    low, high = heat_range(chart)
    axes.imshow(chart.values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for i, row in enumerate(chart.texts()):
        for j, text in enumerate(row):
            share = (chart.values[i, j] - low) / (high - low)
            strong = abs(share - 0.5) > 0.35 if chart.around_zero else share > 0.6
            ink = "white" if strong else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(len(chart.columns)), [_plain(one) for one in chart.columns], fontsize=8)
    axes.set_yticks(range(len(chart.rows)), [_plain(one) for one in chart.rows], fontsize=8)
    axes.set_xlabel(_plain(chart.column_label))
    axes.set_ylabel(_plain(chart.row_label))


def heat_range(chart: HeatMap) -> tuple[float, float]:
    """Figures of the two ends of the colours; never the same."""
    known = chart.values[np.isfinite(chart.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if chart.around_zero:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return (low, high) if high > low else (low, low + 1.0)


def _candles(figure: Figure, chart: Candles) -> None:
    count = len(chart.panels)
    panels = figure.subplots(count, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, panel in zip(panels, chart.panels, strict=True):
        _panel(axes, _times(chart.time), panel)
        named = panel.name if count > 1 else ""
        axes.set_ylabel(_plain(", ".join(one for one in (named, chart.y_label) if one)))
        axes.grid(visible=True, alpha=0.3)
    for one in chart.marks:
        style: dict[str, Any] = {
            "marker": SHAPES[one.shape],
            "color": MARKS[one.shape],
            "linestyle": "none",
        }
        panels[0].plot(_times(one.x), one.y, label=_plain(one.name), **style)
    if chart.marks:
        _legend(panels[0])


def _panel(axes: Axes, time: np.ndarray, panel: Panel) -> None:
    """Wicks and bodies of candles, those that fall in another colour."""
    opens, high, low, close = panel.ohlc.T
    thick = BODY * WIDTH / max(len(time), MOST_THICK)
    for rows, colour in ((close >= opens, UP), (close < opens, DOWN)):
        if rows.any():
            at: Any = time[rows]
            axes.vlines(at, low[rows], high[rows], color=colour, linewidth=WICK)
            axes.vlines(at, opens[rows], close[rows], color=colour, linewidth=thick)


__all__ = ["heat_range", "pixels"]
