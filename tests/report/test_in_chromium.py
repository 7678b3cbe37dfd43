"""A browser opens the page, without a network, and draws everything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import reports

from mtf.report.html import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(reports.chromium() is None, reason="needs chromium, which is not installed"),
]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    write_report(reports.material(), path)
    return path


def test_every_figure_is_drawn_without_an_error(page: Path, tmp_path: Path) -> None:
    dom, told = reports.browse(page, tmp_path / "profile", "--dump-dom")
    assert not re.findall(r".*CONSOLE.*", told)
    boxes = re.split(r"<div class=\"chart", dom)[1:]
    assert len(boxes) > 10
    assert all("main-svg" in box for box in boxes)
    assert "alert('x')" in dom  # as a text: it did not run
    assert dom.count("<script") == 3


def test_the_check_sees_an_error(page: Path, tmp_path: Path) -> None:
    page.write_text(page.read_text().replace("Plotly.react(", "Plotly.nothing("))
    dom, told = reports.browse(page, tmp_path / "profile", "--dump-dom")
    assert re.findall(r".*CONSOLE.*", told)
    assert "main-svg" not in dom.split('id="verdict"')[-1].split("<script")[0]
