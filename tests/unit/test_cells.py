"""Tables that people open in a spreadsheet hold no formula that a ticket brought."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.cells import harmless, original
from pipeline.domain.job import Job
from pipeline.wiring.samples import read_gold, write_to_label

JOB = Job.model_validate(
    {
        "name": "j",
        "steps": [{"name": "topic", "kind": "classify", "labels": ["=a", "b"]}],
        "tiers": [{"name": "only", "engine": "instant", "model": "m"}],
    }
)


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://x")', "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@x"]
)
def test_what_a_spreadsheet_would_obey_is_written_as_text(text: str) -> None:
    shown = harmless(text)
    assert shown == "'" + text
    assert original(str(shown)) == text


@pytest.mark.parametrize("cell", ["-5", "+4.25", "a=b", "it's", "'tis", "", 7, -0.5, None, True])
def test_all_else_stays_as_it_is(cell: object) -> None:
    assert harmless(cell) is cell


@given(st.text())
def test_whatever_the_text_no_cell_is_obeyed_and_it_is_read_back_as_it_was(text: str) -> None:
    shown = str(harmless(text))
    assert original(shown) == text
    number = shown.lstrip("+-").replace(".", "", 1)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) or number.isdecimal()


def test_a_table_for_people_is_harmless_and_its_keys_and_labels_come_back(tmp_path: Path) -> None:
    path = tmp_path / "label.csv"
    write_to_label(JOB, [("=1+1", "@hostile"), ("T-1", "plain")], path)
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [row[:2] for row in rows[1:]] == [["'=1+1", "'@hostile"], ["T-1", "plain"]]
    filled = path.read_text(encoding="utf-8").replace("'@hostile,", "'@hostile,'=a").replace("plain,", "plain,b")
    path.write_text(filled, encoding="utf-8")
    assert [(line.key, line.answers) for line in read_gold(path, JOB)] == [
        ("=1+1", {"topic": "=a"}),
        ("T-1", {"topic": "b"}),
    ]
