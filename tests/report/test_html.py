from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import reports

from mtf.report.figures import Estimates, Interval, Line, Lines
from mtf.report.html import page, script_json, write_report
from mtf.report.material import Material
from mtf.report.plotly_json import numbers, plotly
from mtf.report.sections import NO_MONEY, sections

LARGEST = 10_000_000


class Tags(HTMLParser):
    """Counts tags, and takes the data of the figures."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.charts = 0
        self.links: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.charts += "data-figure" in found
        self.anchors |= {str(found["id"])} if tag == "section" else set()
        self.links |= {str(found["href"])} if tag == "a" else set()


def read(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    return tags


def test_the_first_sentence_is_the_verdict() -> None:
    assert "<h1 id='verdict'>Nothing is left after costs" in page(reports.material())
    assert NO_MONEY in page(Material("empty"))


def test_what_a_user_writes_stays_text() -> None:
    text = page(reports.material())
    assert reports.EVIL not in text
    tags = read(text)
    assert tags.tags.count("script") == 3
    assert "b" not in tags.tags


def test_every_figure_has_its_place_and_its_data() -> None:
    material = reports.material()
    expected = sum(len(section.charts()) for section in sections(material))
    text = page(material)
    data = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert len(json.loads(data.group(1))) == read(text).charts == expected > 10


def test_the_contents_lead_to_every_section() -> None:
    tags = read(page(reports.material()))
    assert tags.links == {f"#{anchor}" for anchor in tags.anchors}


def test_nothing_is_fetched() -> None:
    text = page(reports.material())
    own = text.replace(re.search(r"<script>.*?</script>", text, re.DOTALL)[0], "")  # type: ignore[index]
    assert not re.search(r"https?://|src=|@import|url\(", own)


def test_the_page_is_small_with_a_year_of_minutes(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(reports.material(money=[reports.money(525_600)]), path)
    assert path.stat().st_size <= LARGEST
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("empty", [Material("empty"), reports.material(predictions=())])
def test_a_page_is_made_of_what_there_is(empty: Material) -> None:
    assert "</html>" in page(empty)


def test_plotly_takes_every_figure_as_it_is() -> None:
    for section in sections(reports.material()):
        for chart in section.charts():
            told: dict[str, Any] = plotly(chart)
            go.Figure(told)  # raises at the first property that plotly does not know


def test_numbers_are_short_and_gaps_are_null() -> None:
    assert numbers(np.array([1 / 3, np.nan, np.inf])) == [0.3333333, None, None]
    assert numbers(np.array([1_704_067_200_000])) == [1_704_067_200_000]


def test_a_band_lies_behind_its_line() -> None:
    y = np.array([1.0, 2.0])
    told = plotly(Lines("t", [Line("a", y, y, y - 1, y + 1)]))["data"]
    assert [one["y"] for one in told] == [[0, 1], [2, 3], [1, 2]]
    assert told[1]["fill"] == "tonexty"


def test_intervals_reach_from_low_to_high() -> None:
    (told,) = plotly(Estimates("t", {"a": Interval(1.0, 0.5, 2.5)}))["data"]
    assert told["error_x"]["array"] == [1.5]
    assert told["error_x"]["arrayminus"] == [0.5]


def test_no_text_ends_the_script() -> None:
    y = np.array([1.0])
    told = script_json([Lines("t", [Line("</script><script>", y, y)])])
    assert "<" not in told
    assert json.loads(told)[0]["data"][0]["name"] == "&lt;/script&gt;&lt;script&gt;"
