from __future__ import annotations

from collections.abc import Iterator

import pytest

from mtf.benchmarks import quick
from mtf.errors import MtfError
from mtf.report.measure import Row, in_a_process


@pytest.mark.slow
@pytest.mark.alone
def test_half_of_every_promised_ratio_holds_wherever_tests_run() -> None:
    rows = in_a_process(quick.run, 0.5, 2).rows  # where no argument is checked
    assert len(rows) == 7
    assert all(row.median >= 0.5 * row.more["wanted"] for row in rows)


def test_a_ratio_that_is_lost_is_named_with_what_was_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(repeats: int, threads: int) -> Iterator[Row]:
        yield quick.DECIDED.row(30.0)
        yield quick.SWEPT.row(6.0)

    monkeypatch.setattr(quick, "ratios", found)
    with pytest.raises(MtfError) as told:
        quick.run(slack=0.5)
    assert "dsc_mtf swept once / windows, nn.Conv1d is 6" in str(told.value)
    assert "at least 7.5" in str(told.value)
    assert "one decision" not in str(told.value)
    assert [row.ratio for row in quick.run(slack=0.4).rows] == [1.5, 0.4]
