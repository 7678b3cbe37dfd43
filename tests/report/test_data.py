"""What a run says of its data: every kind of finding with one advice, a line a stream."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from mtf.market.report import DataReport
from mtf.market.timeframe import Timeframe
from mtf.report.data import print_reports

MASKED = "missing candles are masked, never filled"


def gappy(missing: int) -> DataReport:
    """An hour of minutes from 2023-03-24 12:30 with a hole after the tenth."""
    minute = Timeframe.parse("1m")
    first = int(minute.slot(1_679_661_000_000))
    ohlcv = np.tile([2.0, 3.0, 1.0, 2.0, 5.0], (60, 1))
    valid = np.ones(60, np.bool_)
    valid[10 : 10 + missing] = False
    ohlcv[~valid] = np.nan
    return DataReport.of("ETHUSDT", minute, first, ohlcv, valid)


def said(terminal: bool) -> str:
    """Two streams with gaps and one without."""
    text = io.StringIO()
    reports = {"eth": gappy(20), "other": gappy(5), "whole": gappy(0)}
    print_reports(reports, Console(file=text, force_terminal=terminal, width=250))
    return text.getvalue()


def test_a_line_a_stream_and_each_advice_once() -> None:
    lines = said(terminal=False).splitlines()
    assert len(lines) == 3
    gap = "20 missing candles (33.33 %), largest 2023-03-24 12:40 to 2023-03-24 13:00"
    assert gap in lines[0]
    assert [MASKED in line for line in lines] == [True, False, False]
    assert lines[2] == "whole: ETHUSDT 1m, 60 candles 2023-03-24 12:30 to 2023-03-24 13:29"


def test_the_table_is_followed_by_each_advice_once() -> None:
    text = said(terminal=True)
    assert text.count(MASKED) == 1
    assert "2023-03-24 12:40 to 2023-03-24 13:00" in text
