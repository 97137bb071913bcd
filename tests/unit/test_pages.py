"""Charts and pages: everything is in the file, and what comes from outside is escaped."""

import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.pages import evaluation_page
from pipeline.adapters.pages.charts import Line, chart
from tests.unit.test_flow_evaluate import evaluation, step

Numbers = st.floats(-1e6, 1e6)


@given(points=st.lists(st.tuples(Numbers, Numbers), min_size=1, max_size=20), dots=st.booleans())
def test_any_points_make_a_chart_that_stays_within_its_frame(points: list[tuple[float, float]], dots: bool) -> None:  # noqa: FBT001
    svg = ET.fromstring(chart([Line(name="one", points=points, dots=dots)], x="across", y="up"))  # noqa: S314 — ours
    for circle in svg.iter("circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 420
        assert 0 <= float(circle.attrib["cy"]) <= 260


def test_no_points_make_no_chart() -> None:
    assert chart([Line(name="none", points=[])], x="a", y="b") == ""


def test_names_are_escaped() -> None:
    drawn = chart([Line(name="<script>", points=[(0, 0), (1, 1)])], x="a<b", y="c&d")
    assert "<script>" not in drawn
    ET.fromstring(drawn)  # noqa: S314 — ours


class _Outside(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag for name, _ in attrs if name in {"src", "href"} or name.startswith("on")]
        self.found += [tag] if tag in {"script", "link", "iframe", "img"} else []


@pytest.mark.parametrize("label", ["a", "<script>alert(1)</script>", '"><img src=x>'])
def test_a_page_loads_and_runs_nothing_whatever_a_label_is_called(label: str) -> None:
    kept = evaluation("e", step()).model_dump_json().replace('"a"', json.dumps(label))
    found = json.loads(kept)
    page = _Outside()
    page.feed(evaluation_page(found))
    assert page.found == []
