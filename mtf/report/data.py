"""What a run says before it trains: its data, stream by stream, and how they will be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from mtf.learning.task import Task
from mtf.market.report import DataReport, data_table
from mtf.market.times import iso


def data_report(task: Task) -> dict[str, Any]:
    """The content of data.json."""
    reports = {name: report.as_dict() for name, report in stream_reports(task).items()}
    return {"schema": 1, "streams": reports, "paths": task.paths}


def stream_reports(task: Task) -> dict[str, DataReport]:
    """The data report of every stream."""
    return {name: stream.candles.report for name, stream in task.world.streams.items()}


def print_data(task: Task, console: Console) -> None:
    """The data table (a line a stream where nobody watches), the parts, the paths."""
    reports = stream_reports(task)
    if console.is_terminal:
        console.print(data_table(reports))
    else:
        for name, report in reports.items():
            _say(console, f"{name}: {plain(report)}")
    _say(console, "parts: " + ", ".join(_parts(task)))
    for reason, names in _by_reason(task.paths).items():
        _say(console, f"path of {', '.join(names)}: {reason}")


def plain(report: DataReport) -> str:
    """One stream in one line."""
    if not report.candles:
        return f"{report.symbol} {report.timeframe}, no candle"
    head = (
        f"{report.symbol} {report.timeframe}, {report.candles:,} candles "
        f"{iso(report.first_ms)} to {iso(report.last_ms)}"
    )
    return "; ".join([head, *(finding.text for finding in report.findings())])


def _parts(task: Task) -> Iterator[str]:
    """Every part with its start and its number of clock steps."""
    for name, part in task.parts.items():
        steps = (part.end_ms - part.start_ms) // task.world.clock.duration_ms
        yield f"{name} from {iso(part.start_ms)} ({steps:,} decisions)"


def _by_reason(paths: dict[str, str]) -> dict[str, list[str]]:
    """Streams that take the same path for the same reason."""
    grouped: dict[str, list[str]] = {}
    for name, reason in paths.items():
        grouped.setdefault(reason, []).append(name)
    return grouped


def _say(console: Console, text: str) -> None:
    """A line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
