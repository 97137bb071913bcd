"""Charts and pages: everything is in the file, and what comes from outside is escaped."""

import html
import json
import re
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


@pytest.mark.parametrize("label", ["a", "<script>alert(1)</script>", '"><img src=x>'])
def test_a_page_loads_and_runs_nothing_whatever_a_label_is_called(label: str) -> None:
    kept = evaluation("e", step()).model_dump_json().replace('"a"', json.dumps(label))
    found = json.loads(kept)
    page = evaluation_page(found)
    assert re.findall(r"<(script|link|iframe|img)\b|<[^>]*\s(src|href|on\w+)=", page) == []
    assert label == "a" or html.escape(label, quote=True) in page.replace("&#34;", "&quot;")
