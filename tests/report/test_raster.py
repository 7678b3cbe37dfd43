from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reports
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtf.report.figures import Chart, HeatMap, Line, Lines
from mtf.report.pictures import log_pictures, pictures
from mtf.report.raster import heat_range, pixels
from mtf.report.sections import sections
from mtf.report.tensorboard import TensorBoard

SMALL = reports.money(200)


def charts() -> list[Chart]:
    found = sections(reports.material(money=[SMALL], predictions=[reports.predictions(50)]))
    return [chart for section in found for chart in section.charts()]


def test_every_figure_of_the_page_is_drawn_under_a_name_of_its_own() -> None:
    material = reports.material(money=[SMALL], predictions=[reports.predictions(50)])
    names = [name for name, picture in pictures(material) if picture.min() < 255]
    assert len(names) == len(set(names)) == len(charts())
    assert "report/money-ethusdt-test-part/equity" in names


def test_a_line_is_drawn_where_it_is() -> None:
    flat = Lines("$t$", [Line("a", np.array([0.0, 1.0]), np.array([1.0, 1.0]))])
    red, _, blue = pixels(flat).astype(int).transpose(2, 0, 1)
    rows = np.flatnonzero((blue - red > 50).sum(axis=1) > 100)
    assert 0 < len(rows) < 5


def test_a_legend_searches_for_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among many points that takes seconds, and then matplotlib warns."""

    def search(*_: object) -> None:
        raise AssertionError("it searched")

    monkeypatch.setattr("matplotlib.legend.Legend._find_best_position", search)
    for chart in charts():
        assert pixels(chart).min() < 255


@pytest.mark.parametrize(
    ("values", "around_zero", "ends"),
    [([[1.0, 3.0]], False, (1, 3)), ([[1.0, -3.0]], True, (-3, 3)), ([[2.0, 2.0]], False, (2, 3))],
)
def test_colours_reach_over_all_figures(
    values: list[list[float]], around_zero: bool, ends: tuple[float, float]
) -> None:
    table = HeatMap("t", np.array(values), ["a"], ["b", "c"], around_zero=around_zero)
    assert heat_range(table) == ends


def test_pictures_stand_in_tensorboard(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path)
    empty = reports.material(money=(), predictions=(), metrics=None, degraded=None)
    log_pictures(empty, log, 7)
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    (name,) = events.Tags()["images"]
    assert name == "report/attention-between-streams/layer-1-share-of-attention"
    assert events.Images(name)[0].step == 7


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import sys, mtf.report.raster; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
