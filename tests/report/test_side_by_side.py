"""Variants in columns: ratios within rounds, differences within seeds, nothing cut off."""

from __future__ import annotations

import json
import math
import os

import pytest
from rich.console import Console

from mtf.report.side_by_side import Line, SideBySide


def found() -> SideBySide:
    return SideBySide(
        ["conv", "dsc", "gru"],
        [
            Line("weights", "amount", {"conv": [12_288.0], "dsc": [4_288.0]}),
            Line("candles/s", "speed", {"conv": [1.0, 10.0, 10.0], "dsc": [2.0, 20.0, 30.0]}),
            Line("log loss", "score", {"conv": [1.1, 1.0], "dsc": [1.09, 0.97], "gru": [1.2, 1.3]}),
            Line("published", "published", {"conv": [36_864.0], "dsc": [4_672.0]}),
        ],
        {"threads": 1},
        ["beware of [x]"],
        {"gru": "dsc"},
    )


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    # The machine got ten times slower after the first round: both met it, the ratio did not.
    speed = found().lines[1].of("dsc", "conv")
    assert (speed["median"], speed["ratio"]) == (20.0, 2.0)
    assert "ratio" not in found().lines[1].of("conv", "conv")


def test_a_difference_is_the_mean_of_the_differences_within_seeds() -> None:
    # The seeds differ by 0.1, the variants within a seed by 0.01 and 0.03.
    score = found().lines[2].of("dsc", "conv")
    assert score["mean"] == pytest.approx(1.03)
    assert score["difference"] == pytest.approx(-0.02)
    assert score["difference_error"] == pytest.approx(0.01)
    assert score["error"] == pytest.approx(0.06)


def test_one_seed_has_no_standard_error_and_json_no_nan() -> None:
    line = Line("rank IC", "score", {"a": [1.0], "b": [math.nan]})
    assert math.isnan(line.of("a", "a")["error"])
    said = SideBySide(["a", "b"], [line], {}).as_dict("demo")
    assert said["figures"]["rank IC"]["a"] == {"mean": 1.0, "error": None, "values": [1.0]}
    assert json.loads(json.dumps(said, allow_nan=False))["figures"]["rank IC"]["b"]["mean"] is None


def test_every_variant_is_compared_with_the_one_it_names() -> None:
    said = found().as_dict("demo")
    assert said["against"] == {"conv": "conv", "dsc": "conv", "gru": "dsc"}
    losses = said["figures"]["log loss"]
    assert losses["gru"]["difference"] == pytest.approx((1.2 - 1.09 + 1.3 - 0.97) / 2)
    assert said["figures"]["weights"]["gru"] == {}
    assert "ratio" not in said["figures"]["published"]["dsc"]
    assert said["machine"]["cores"] == os.cpu_count()
    assert json.loads(json.dumps(said))["name"] == "demo"


def test_the_table_shows_every_figure_in_full_however_narrow_the_terminal() -> None:
    console = Console(width=20, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        found().show("demo", console)
    said = console.export_text()
    for words in ("12,288", "4,288 (×0.349)", "20 (×2)", "1.0300 ± 0.0600", "−0.0200 ± 0.0100"):
        assert words in said
    assert "beware of [x]" in said
    assert "…" not in said
