"""The data report: what a person should know of candles before a model learns from them.

Gaps, duplicates, disorder, zero volume, implausible prices, agreement with a second source; each
finding with its count, share, dates and an advice. Made from arrays; knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64

from mtf.market.agreement import Agreement
from mtf.market.finding import Finding, counted
from mtf.market.gaps import Gaps
from mtf.market.plausibility import Implausible, ZeroVolume
from mtf.market.rows import FAULTS, RowCounts
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso

if TYPE_CHECKING:
    from rich.table import Table

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
HOLES = 0.05
"""Share of missing candles from which gaps are no longer outages of an exchange."""


@dataclass(frozen=True)
class DataReport:
    """What is known of one symbol at one timeframe.

    Attributes:
        candles: how many there are.
        rows: what the raw rows told; None = not made from rows.
        agreement: with a second source; None = none was given.
        remarks: findings of whoever read the data (file name, close times, trades).
    """

    symbol: str
    timeframe: Timeframe
    first_slot: int
    candles: int
    gaps: Gaps
    zero_volume: ZeroVolume
    implausible: Implausible
    rows: RowCounts | None = None
    agreement: Agreement | None = None
    remarks: tuple[Finding, ...] = field(default=())

    @classmethod
    def of(
        cls,
        symbol: str,
        timeframe: Timeframe,
        first_slot: int,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        rows: RowCounts | None = None,
    ) -> DataReport:
        """Look at candles on their grid."""
        return cls(
            symbol=symbol,
            timeframe=timeframe,
            first_slot=first_slot,
            candles=int(np.count_nonzero(valid)),
            gaps=Gaps.of(valid, first_slot),
            zero_volume=ZeroVolume.of(ohlcv[:, 4], first_slot),
            implausible=Implausible.of(ohlcv, valid, first_slot),
            rows=rows,
        )

    @property
    def first_ms(self) -> int:
        """Open time of the first candle."""
        return int(self.timeframe.open_time(self.first_slot))

    @property
    def last_ms(self) -> int:
        """Open time of the last candle."""
        return int(self.timeframe.open_time(self.first_slot + self.gaps.slots - 1))

    def with_agreement(self, agreement: Agreement) -> DataReport:
        """The same report, with the comparison."""
        return replace(self, agreement=agreement)

    def with_remarks(self, *remarks: Finding) -> DataReport:
        """The same report, with more findings."""
        return replace(self, remarks=(*self.remarks, *remarks))

    def findings(self) -> list[Finding]:
        """All that was found: faults of the data first, and of each what matters most."""
        found = list(self.agreement.findings()) if self.agreement else []
        found += [*self.remarks, *self._row_findings(), *self._gap_findings()]
        found += [*self._price_findings(), *self._volume_findings()]
        return sorted(found, key=lambda finding: not finding.broken)

    def notes(self) -> list[Finding]:
        """What is worth knowing and no fault of the data."""
        return [finding for finding in self.findings() if not finding.broken]

    def diagnosis(self) -> list[Finding]:
        """What is wrong with the data, the worst first; empty = nothing is known to be."""
        return [finding for finding in self.findings() if finding.broken]

    def _row_findings(self) -> list[Finding]:
        """Faults of rows, disorder, duplicates."""
        if self.rows is None:
            return []
        found = []
        for name, words in FAULTS.items():
            if count := getattr(self.rows, name):
                share = _percent(count, self.rows.rows)
                text = f"{counted(count, 'bad row')} ({share}): {words}"
                advice = "mend them, or bad_rows=mask treats them as missing"
                found.append(Finding(name, text, advice, broken=True))
        if self.rows.disorder:
            text = f"{counted(self.rows.disorder, 'row')} earlier than the row before"
            found.append(Finding("disorder", text, "they were sorted; look how the file was made"))
        if self.rows.duplicates:
            text = f"{counted(self.rows.duplicates, 'row')} the same as another one"
            found.append(Finding("duplicates", text, "they were dropped; nothing to do"))
        return found

    def _gap_findings(self) -> list[Finding]:
        """Missing slots and their pattern."""
        gaps = self.gaps
        if gaps.count == 0:
            return []
        share = _percent(gaps.missing, gaps.slots)
        text = (
            f"{counted(gaps.count, 'gap')}, {counted(gaps.missing, 'missing candle')} ({share}), "
            f"largest {self._span(*gaps.largest)}"
        )
        advice = "missing candles are masked, never filled; compare with a second source"
        holes = gaps.share >= HOLES and not (gaps.pattern or self.sparse)
        found = [Finding("gaps", text, advice, broken=holes)]
        if gaps.pattern:
            advice = "load the missing candles again"
            found.insert(0, Finding("gap_pattern", gaps.pattern, advice, broken=True))
        return found

    @property
    def sparse(self) -> bool:
        """Whether slots without a candle are usual: of seconds, and of candles made from trades."""
        made = any(remark.kind == "trades" for remark in self.remarks)
        return made or self.timeframe.duration_ms < MINUTE_MS

    def _price_findings(self) -> list[Finding]:
        """Jumps that revert, huge ranges."""
        odd = self.implausible
        if not (odd.jumps or odd.wide):
            return []
        text = (
            f"implausible prices: {counted(odd.jumps, 'jump')} back and forth, "
            f"{counted(odd.wide, 'huge range')}, worst "
            f"{iso(self._time(odd.worst))} ({100 * np.expm1(odd.worst_size):.0f} %)"
        )
        return [Finding("implausible", text, "compare these candles with a second source")]

    def _volume_findings(self) -> list[Finding]:
        """Candles without a trade."""
        zero = self.zero_volume
        if zero.count == 0:
            return []
        share = _percent(zero.count, self.candles)
        text = (
            f"{counted(zero.count, 'candle')} without volume ({share}), "
            f"longest run {self._span(*zero.longest)}"
        )
        advice = "usual at 1s; in longer candles an outage, during which nothing could be traded"
        return [Finding("zero_volume", text, advice)]

    def _time(self, slot: int) -> int:
        """Open time of a slot."""
        return int(self.timeframe.open_time(slot))

    def _span(self, slot: int, length: int) -> str:
        """From when to when, how many, how long."""
        start, end = self._time(slot), self._time(slot + length)
        hours = length * self.timeframe.duration_ms / HOUR_MS
        return f"{iso(start)} to {iso(end)} ({counted(length, 'candle')}, {hours:.3g} h)"

    def lines(self) -> list[str]:
        """The report as plain text."""
        return [*self.head_lines(), *(f"  {one.text}\n    {one.advice}" for one in self.notes())]

    def head_lines(self) -> list[str]:
        """What one must see first: which candles, what is wrong with them, the comparison."""
        head = f"{self.symbol} {self.timeframe}: {counted(self.candles, 'candle')}"
        if self.candles == 0:
            return [head]
        ill = [f"  diagnosis: {one.text}\n    {one.advice}" for one in self.diagnosis()]
        sound = "nothing looks broken" if self.findings() else "nothing to report"
        return [
            f"{head}, {iso(self.first_ms)} to {iso(self.last_ms)}",
            *(ill or [f"  diagnosis: {sound}"]),
            *([f"  {self.agreement.summary()}"] if self.agreement else []),
        ]

    def table(self) -> Table:
        """The notes as a table for the terminal; the diagnosis stands in ``head_lines``."""
        from rich.table import Table

        table = Table("finding", "what", "advice")
        for finding in self.notes():
            table.add_row(finding.kind.replace("_", " "), finding.text, finding.advice)
        return table

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON: numbers, ISO dates, findings."""
        gaps = self.gaps
        return {
            "symbol": self.symbol,
            "timeframe": str(self.timeframe),
            "candles": self.candles,
            "first": iso(self.first_ms) if self.candles else None,
            "last": iso(self.last_ms) if self.candles else None,
            "rows": asdict(self.rows) if self.rows else None,
            "gaps": {
                "count": gaps.count,
                "missing": gaps.missing,
                "slots": gaps.slots,
                "share": gaps.share,
                "pattern": gaps.pattern,
                "largest": self._span_dict(*gaps.largest),
            },
            "zero_volume": {
                "count": self.zero_volume.count,
                "share": self.zero_volume.count / max(self.candles, 1),
                "longest": self._span_dict(*self.zero_volume.longest),
            },
            "implausible": asdict(self.implausible),
            "agreement": _finite(asdict(self.agreement)) if self.agreement else None,
            "diagnosis": [finding.text for finding in self.diagnosis()],
            "findings": [asdict(finding) for finding in self.findings()],
        }

    def _span_dict(self, slot: int, length: int) -> dict[str, Any] | None:
        """A run of slots for JSON; None = no run."""
        if length == 0:
            return None
        hours = length * self.timeframe.duration_ms / HOUR_MS
        start, end = iso(self._time(slot)), iso(self._time(slot + length))
        return {"from": start, "to": end, "candles": length, "hours": hours}


def data_table(reports: Mapping[str, DataReport]) -> Table:
    """One line a stream: what a run prints before it trains."""
    from rich.table import Table

    table = Table(title="Data")
    for name in ("stream", "symbol", "timeframe", "candles", "first", "last"):
        table.add_column(name, no_wrap=True)
    for name in ("missing", "largest gap", "no volume", "rows mended"):
        table.add_column(name)
    for name, report in reports.items():
        table.add_row(name, *_cells(report))
    return table


def _cells(report: DataReport) -> list[str]:
    """The cells of one stream."""
    start = [report.symbol, str(report.timeframe), str(report.candles)]
    if report.candles == 0:
        return [*start, *["-"] * 6]
    gaps, zero, rows = report.gaps, report.zero_volume, report.rows
    return [
        *start,
        iso(report.first_ms),
        iso(report.last_ms),
        f"{gaps.missing} ({_percent(gaps.missing, gaps.slots)})" if gaps.missing else "0",
        report._span(*gaps.largest) if gaps.missing else "-",
        f"{zero.count} ({_percent(zero.count, report.candles)})" if zero.count else "0",
        _mended(rows) if rows else "0",
    ]


def _mended(rows: RowCounts) -> str:
    """What was done to rows, in few words."""
    masked = sum(getattr(rows, name) for name in FAULTS)
    told = {"sorted": rows.disorder, "dropped": rows.duplicates, "masked": masked}
    return ", ".join(f"{count} {word}" for word, count in told.items() if count) or "0"


def _percent(count: int, total: int) -> str:
    """A share that does not round a few down to none."""
    share = 100 * count / total if total else 0.0
    return f"{share:.2f} %" if share >= 0.01 or count == 0 else "< 0.01 %"


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """NaN is no JSON."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in values.items()
    }
