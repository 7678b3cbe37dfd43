"""Variants take turns, ratios are taken within rounds, and what is not equal is not compared."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from rich.console import Console

from mtf.errors import MtfError
from mtf.report.measure import (
    Measured,
    assert_equal,
    compared,
    forget_peak,
    in_a_process,
    peak_bytes,
    rates,
    rounds,
)


def test_variants_take_turns_after_one_unmeasured_run_each() -> None:
    done: list[str] = []
    seconds = rounds({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 3)
    assert "".join(done) == "ab" + "ababab"
    assert [len(spent) for spent in seconds.values()] == [3, 3]
    assert min(min(spent) for spent in seconds.values()) > 0


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    # The machine got ten times slower after the first round: both met it, the ratio did not.
    first, second = compared({"a": [1.0, 10.0, 10.0], "b": [2.0, 20.0, 30.0]}, "s")
    assert (first.median, first.ratio) == (10.0, 1.0)
    assert (second.median, second.ratio) == (20.0, 2.0)
    assert rates({"a": 100}, {"a": [2.0, 4.0]}) == {"a": [50.0, 25.0]}


def test_json_has_the_figures_the_spread_and_the_machine() -> None:
    rows = compared({"a": [1.0, 3.0], "b": [2.0, 6.0]}, "s", {"b": {"bound": 2.5}})
    found = json.loads(json.dumps(Measured(rows, {"threads": 1}, ["a note"]).as_dict("demo")))
    assert found["name"] == "demo"
    assert found["rows"][1] == {
        "variant": "b", "median": 4.0, "ratio": 2.0, "unit": "s", "min": 2.0, "max": 6.0,
        "rounds": 2, "bound": 2.5,
    }  # fmt: skip
    assert found["settings"] == {"threads": 1}
    assert found["notes"] == ["a note"]
    assert found["machine"]["cores"] == os.cpu_count()
    assert {"torch", "numpy"} <= set(found["machine"]["packages"])


def test_the_table_shows_every_name_and_figure_in_full() -> None:
    rows = compared({"df[columns].iloc": [1234.0]}, "windows/s", {"df[columns].iloc": {"more": 5}})
    console = Console(width=20, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        Measured(rows, {}, ["beware of [x]"]).show("demo", console)
    said = console.export_text()
    for word in ("mtf bench demo", "df[columns].iloc", "1,234", "windows/s", "beware of [x]"):
        assert word in said


def test_results_that_differ_are_a_mistake_and_not_a_ratio() -> None:
    here = np.array([1.0, np.nan])
    assert assert_equal(here, here + 1e-6, 1e-5, "a and b", "logits") == pytest.approx(1e-6)
    with pytest.raises(MtfError, match=r"a and b differ by 0.001 in logits\n.*up to 1e-05"):
        assert_equal(here, here + 1e-3, 1e-5, "a and b", "logits")
    for other in (np.array([1.0, 2.0]), np.array([1.0])):  # a gap is filled; a row is missing
        with pytest.raises(MtfError, match="differ by inf"):
            assert_equal(here, other, 1e-5, "a and b", "logits")


def test_a_peak_is_that_of_a_process_alone_and_forgets() -> None:
    burden = np.ones(400_000_000 // 8)  # held here, unknown to the fresh process
    own = peak_bytes()
    assert own > 400_000_000
    assert in_a_process(peak_bytes) < own - 300_000_000
    del burden
    forget_peak()
    assert peak_bytes() < own - 300_000_000
