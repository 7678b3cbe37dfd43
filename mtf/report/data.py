"""What a run says before it trains: its data, stream by stream, and how they will be used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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
    """The data report of every stream; in a panel those of a symbol as ``1m ETHUSDT``."""
    reports = {}
    for symbol, world in task.panel.worlds.items():
        for name, stream in world.streams.items():
            own = bool(task.config.panel) and stream.spec.role == "primary"
            reports[f"{name} {symbol}" if own else name] = stream.candles.report
    return reports


def print_data(task: Task, console: Console) -> None:
    """The data table (a line a stream where nobody watches), the parts, the paths."""
    print_reports(stream_reports(task), console)
    _say(console, "parts: " + ", ".join(_parts(task)))
    for reason, names in _by_reason(task.paths).items():
        _say(console, f"path of {', '.join(names)}: {reason}")


def print_reports(reports: Mapping[str, DataReport], console: Console) -> None:
    """What was found in each stream, and once what to do about each kind of finding."""
    if console.is_terminal:
        console.print(data_table(reports))
        for name, report in reports.items():
            for finding in report.diagnosis():
                _say(console, f"  {name}: {finding.text}")
        for kind, advice in _advices(reports.values()).items():
            _say(console, f"  {kind.replace('_', ' ')}: {advice}")
        return
    told: set[str] = set()
    for name, report in reports.items():
        _say(console, f"{name}: {plain(report, told)}")
        told |= {finding.kind for finding in report.findings()}


def plain(report: DataReport, told: Collection[str] = ()) -> str:
    """One stream in one line; kinds of findings in ``told`` come without their advice."""
    if not report.candles:
        return f"{report.symbol} {report.timeframe}, no candle"
    head = (
        f"{report.symbol} {report.timeframe}, {report.candles:,} candles "
        f"{iso(report.first_ms)} to {iso(report.last_ms)}"
    )
    found = report.findings()
    said = [one.text if one.kind in told else f"{one.text} ({one.advice})" for one in found]
    return "; ".join([head, *said])


def _advices(reports: Iterable[DataReport]) -> dict[str, str]:
    """What to do about each kind of finding, in the order found."""
    advices: dict[str, str] = {}
    for report in reports:
        for finding in report.findings():
            advices.setdefault(finding.kind, finding.advice)
    return advices


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
