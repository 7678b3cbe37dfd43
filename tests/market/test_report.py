"""What the data report finds, and what it leaves in peace."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mtf.market.agreement import Agreement
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles
from mtf.market.finding import Finding
from mtf.market.parquet_file import ParquetFile
from mtf.market.report import data_table
from mtf.market.resample import resample
from mtf.market.second_source import compare
from mtf.market.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")
START = 1_640_995_200_000


def walk(rows: int, seed: int = 0) -> np.ndarray:
    """Candles that open where the last one closed, with wicks and volume."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 1e-3, rows)))
    opens = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opens, close) * 1.0005, np.minimum(opens, close) * 0.9995
    return np.stack([opens, high, low, close, random.exponential(5, rows) + 0.1], axis=1)


def candles(rows: np.ndarray, keep: np.ndarray | None = None, shift: int = 0) -> Candles:
    """Rows as minutes; those not kept are missing."""
    times = START + 60_000 * (np.arange(len(rows)) + shift)
    keep = np.ones(len(rows), dtype=np.bool_) if keep is None else keep
    return Candles.from_rows("ETHUSDT", MINUTE, times[keep], rows[keep])


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def only(found: list[Finding], kind: str) -> Finding:
    return next(finding for finding in found if finding.kind == kind)


def test_sound_candles_have_nothing_to_report() -> None:
    report = candles(walk(500)).report
    assert report.findings() == []
    assert report.lines() == [
        "ETHUSDT 1m: 500 candles, 2022-01-01 00:00 to 2022-01-01 08:19",
        "  diagnosis: nothing to report",
    ]


def test_gaps_are_told_with_count_share_dates_and_hours() -> None:
    keep = np.ones(1_000, dtype=np.bool_)
    keep[100] = keep[500:590] = False
    report = candles(walk(1_000), keep).report
    assert (report.gaps.count, report.gaps.missing, report.gaps.pattern) == (2, 91, "")
    text = only(report.findings(), "gaps").text
    assert text == (
        "2 gaps, 91 missing candles (9.10 %), "
        "largest 2022-01-01 08:20 to 2022-01-01 09:50 (90 candles, 1.5 h)"
    )


def test_one_candle_lost_a_page_is_recognised() -> None:
    keep = np.arange(5_000) % 501 != 500
    text = only(candles(walk(5_000), keep).report.findings(), "gap_pattern").text
    assert text.startswith("one candle is missing after every 500 rows: looks like a download")


def test_pages_that_do_not_meet_are_recognised() -> None:
    keep = np.arange(5_000) % 1_000 < 200
    text = only(candles(walk(5_000), keep).report.findings(), "gap_pattern").text
    assert text.startswith(
        "80.0 % of candles are missing at regular distance, 200 kept of every 1,000: looks like"
    )


def test_gaps_at_random_are_no_pattern() -> None:
    keep = np.random.default_rng(1).random(5_000) > 0.01
    assert candles(walk(5_000), keep).report.gaps.pattern == ""


def test_zero_volume_is_told_with_its_longest_run() -> None:
    rows = walk(1_000)
    rows[[3, 50, 51, 52], VOLUME] = 0
    text = only(candles(rows).report.findings(), "zero_volume").text
    assert text.startswith("4 candles without volume (0.40 %), longest run 2022-01-01 00:50 to")


def test_a_price_that_jumps_there_and_back_is_implausible() -> None:
    rows = walk(1_000)
    rows[400, [HIGH, CLOSE]] *= 1.5
    report = candles(rows).report
    assert report.implausible.jumps == 1
    assert "worst 2022-01-01 06:40" in only(report.findings(), "implausible").text


def test_a_crash_that_stays_is_no_jump() -> None:
    rows = walk(1_000)
    rows[400:, :4] *= 0.7
    rows[400, OPEN] = rows[400, CLOSE]
    assert candles(rows).report.implausible.jumps == 0


def test_what_the_rows_told_is_in_the_report() -> None:
    rows = walk(20)
    times = START + 60_000 * np.arange(20)
    order = np.array([0, 1, 3, 2, *range(4, 20), 19])
    report = Candles.from_rows("X", MINUTE, times[order], rows[order]).report
    assert kinds(report.findings()) == ["disorder", "duplicates"]
    rows[5, OPEN] = np.nan
    masked = Candles.from_rows("X", MINUTE, times, rows, bad_rows="mask").report
    assert only(masked.findings(), "non_finite").text == "1 bad row (5.00 %): NaN or infinite"


def test_equal_sources_agree() -> None:
    found = compare(candles(walk(300)), candles(walk(300)), "other")
    assert (found.compared, found.differing, found.findings()) == (300, 0, [])
    assert found.summary() == "compared with other: 300 1m candles, all equal"


def test_a_finer_source_is_resampled_for_the_comparison() -> None:
    minute = candles(walk(300))
    found = compare(minute, resample(minute, Timeframe.parse("1h")))
    assert (found.timeframe, found.compared, found.differing) == ("1h", 5, 0)


def test_another_price_level_is_told_by_its_factor() -> None:
    rows = walk(300)
    rows[:, :4] *= 10
    found = compare(candles(rows), candles(walk(300)), "other").findings()
    assert found[0].text == (
        "price level differs by factor 10 from other (median of 300 candles): "
        "looks like another asset, unit or currency, or made-up prices"
    )


def test_a_price_three_times_the_other_close_is_told_among_sound_ones() -> None:
    rows = walk(300)
    rows[100, LOW] /= 4
    found = compare(candles(rows), candles(walk(300)), "other").findings()
    assert kinds(found) == ["far", "differs"]
    assert found[0].text.startswith(
        "1 candle has a price more than 3 times away from the close in other (worst: "
    )
    assert "at 2022-01-01 01:40 against" in found[0].text


def test_without_a_common_candle_the_level_still_tells() -> None:
    rows = walk(300)
    rows[:, :4] *= 20
    found = compare(candles(rows, shift=100_000), candles(walk(300)), "other").findings()
    assert kinds(found) == ["level", "no_overlap"]
    near = compare(candles(walk(300), shift=100_000), candles(walk(300))).findings()
    assert kinds(near) == ["no_overlap"]


def test_closes_that_wander_around_the_others_are_another_market() -> None:
    rows = walk(300)
    rows[:, :4] *= np.exp(np.random.default_rng(3).normal(0, 0.01, 300))[:, None]
    found = compare(candles(rows), candles(walk(300))).findings()
    assert kinds(found) == ["other_market"]
    assert "testnet" in found[0].text


def test_candles_stored_before_they_closed_have_less_volume() -> None:
    rows = walk(300)
    for at in (100, 200):  # seen half way: same open, nothing beyond it yet
        rows[at, [HIGH, LOW, CLOSE]] = rows[at, OPEN]
        rows[at, VOLUME] /= 2
    found = compare(candles(rows), candles(walk(300)), "other").findings()
    assert kinds(found) == ["unclosed"]
    assert "differs from other in 2 candles whose volume is smaller" in found[0].text
    assert "looks like candles stored before they closed" in found[0].text


def test_other_single_differences_are_told_plainly() -> None:
    rows = walk(300)
    rows[100, VOLUME] *= 2
    found = compare(candles(rows), candles(walk(300)), "other").findings()
    assert found[0].text.startswith(
        "differs from other in 1 of 300 candles (largest: 2022-01-01 01:40"
    )


@pytest.mark.parametrize(("shift", "way"), [(1, "later"), (-1, "earlier")])
def test_candles_stamped_one_too_late_are_recognised(shift: int, way: str) -> None:
    found = compare(candles(walk(300), shift=shift), candles(walk(300)), "other").findings()
    assert f"the candles lie one 1m {way} than in other" in found[0].text


def test_candles_that_only_the_other_source_has_were_lost() -> None:
    keep = np.arange(300) != 150
    found = compare(candles(walk(300), keep), candles(walk(300)), "other")
    assert found.missing_here == 1
    assert kinds(found.findings()) == ["missing"]


def test_the_report_is_json_and_a_table() -> None:
    rows = walk(300)
    rows[5, VOLUME] = 0
    keep = np.arange(300) != 150
    report = candles(rows, keep).report.with_agreement(
        compare(candles(rows, keep, shift=10_000), candles(rows))
    )
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["gaps"]["largest"] == {
        "from": "2022-01-01 02:30", "to": "2022-01-01 02:31", "candles": 1, "hours": 1 / 60,
    }  # fmt: skip
    assert told["agreement"]["ratio"] is None
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.table())
    console.print(data_table({"1m": report, "none": Candles.empty("X", MINUTE).report}))
    text = console.export_text()
    assert "1 missing candle" in text
    assert "1 (0.33 %)" in text
    assert isinstance(report.agreement, Agreement)


def test_no_candles_at_all_have_a_report() -> None:
    report = Candles.empty("X", MINUTE).report
    assert report.lines() == ["X 1m: 0 candles"]
    assert report.as_dict()["first"] is None


def test_the_halt_of_march_2023_is_found(real_data: Path) -> None:
    with ParquetFile(real_data / "candles/ETHUSDT_1m_2023.parquet") as file:
        times, rows, _ = file.candles()
    found = Candles.from_rows("ETHUSDT", MINUTE, times, rows).report.findings()
    assert kinds(found) == ["gaps", "zero_volume"]
    assert "2023-03-24 12:40 to 2023-03-24 14:00 (80 candles, 1.33 h)" in found[0].text
    assert "72 candles without volume" in found[1].text
    assert "2023-03-24 11:28 to 2023-03-24 12:40" in found[1].text
