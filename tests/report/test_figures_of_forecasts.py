from __future__ import annotations

import numpy as np
import pytest
import reports
from scipy.stats import binomtest

from mtf.report.figures import Estimates, HeatMap, Lines, Note, Table
from mtf.report.figures_of_candles import candle_sections, distinct, r_squared
from mtf.report.figures_of_forecasts import (
    action_content,
    confusion,
    forecast_sections,
    reliability,
    wilson,
)
from mtf.report.figures_of_streams import degraded_figures, layer_map, stream_sections


def test_a_losing_head_is_marked_and_said() -> None:
    section, _ = forecast_sections(reports.material())
    table = section.content[0]
    assert isinstance(table, Table)
    assert table.bad == {0}
    assert table.rows[0][:5] == ["action", "log loss", "1.0500 [0.9000, 1.2000]", "1,200", "80"]
    assert (
        table.rows[0][5] == "beats class prior (p=0.3, may be chance); LOSES to logistic (p=0.001)"
    )
    assert table.rows[0][6] == "0.2500"


def test_confusion_counts_what_happened_by_row() -> None:
    probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    found = confusion(probs, np.array([0, 1, 1, 2]), "ETHUSDT")
    assert found.values.tolist() == [[25, 0, 0], [25, 25, 0], [0, 0, 25]]


def test_bins_of_reliability_hold_equally_many() -> None:
    said = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.9])
    came = np.array([False, False, True, False, True, True])
    line = reliability("x", said, came)
    assert line.x.tolist() == pytest.approx([0.2, 0.6, 0.9])
    assert line.y.tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert list(line.told) == ["2 decisions"] * 3


def test_the_band_is_the_interval_of_wilson() -> None:
    low, high = wilson(np.array([0.3]), np.array([50.0]), z=1.959963984540054)
    expected = binomtest(15, 50).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))


def test_decisions_without_a_label_are_left_out() -> None:
    table = next(one for one in action_content(reports.predictions()) if isinstance(one, HeatMap))
    assert table.note.startswith("197 decisions")


def test_the_confidence_head_has_a_line_where_there_is_one() -> None:
    said = reports.predictions()
    said.arrays["confidence.confidence"] = np.full(len(said), 0.4)  # type: ignore[index]
    figure = next(one for one in action_content(said) if isinstance(one, Lines))
    assert [line.name for line in figure.lines] == ["as said", "chosen action", "confidence head"]


def test_decisions_that_share_a_candle_show_once() -> None:
    true = np.array([[1.0] * 4, [1.0] * 4, [2.0] * 4, [1.0] * 4])
    assert distinct(true).tolist() == [0, 2, 3]


def test_half_of_every_close_explains_three_quarters() -> None:
    true = np.array([1.0, -2.0, 3.0])
    assert r_squared(0.5 * true, true) == pytest.approx(0.75)
    (section,) = candle_sections(reports.material())
    figure = section.content[1]
    assert isinstance(figure, Lines)
    assert figure.note == "R² 0.7500 against predicting no change, 40 distinct candles."


def test_the_degraded_map_has_each_stream_alone_without_late_and_frozen() -> None:
    brought, table = degraded_figures(reports.degraded())
    assert isinstance(brought, Estimates)
    assert isinstance(table, HeatMap)
    assert table.columns == ["all", "only it", "without it", "late 1", "frozen 1"]
    assert table.texts() == [["0.5", "0.1", "0.3", "0.4", "–"], ["0.5", "0.3", "0.1", "–", "0.2"]]
    assert brought.title == "action: Shapley values"
    assert {name: one.value for name, one in brought.found.items()} == {"1m": 0.15, "1h": 0.35}


def test_attention_stands_above_even_reading() -> None:
    found = layer_map(reports.attention())
    assert found.values.tolist() == [[0.7, 0.3], [0.1, 0.9], [0.5, 0.5]]
    assert found.rows == ["a", "b", "(even)"]


def test_what_is_missing_says_how_to_get_it() -> None:
    empty = reports.material(metrics=None, predictions=(), degraded=None, attention=None)
    sections = [*forecast_sections(empty), *candle_sections(empty), *stream_sections(empty)]
    told = [one.text for section in sections for one in section.content if isinstance(one, Note)]
    assert len(told) == sum(len(section.content) for section in sections) == 4
    assert "mtf evaluate RUN" in told[0]
    assert "--degraded" in told[2]
