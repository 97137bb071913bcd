"""Tables that people fill in: drawn, written, and read back with every mistake in its place."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.flow.labelling import columns, drawn, gold_rows
from pipeline.wiring.samples import export_sample, read_gold

JOB = Job.model_validate(
    {
        "name": "labelling",
        "steps": [
            {"name": "topic", "kind": "classify", "labels": ["billing", "technical"]},
            {"name": "tags", "kind": "multilabel", "labels": ["urgent", "angry"]},
            {
                "name": "details",
                "kind": "extract",
                "fields": {
                    "order": {"type": "string"},
                    "amount": {"type": "number"},
                    "due": {"type": "date"},
                    "codes": {"type": "list", "of": "string"},
                },
            },
        ],
        "tiers": [{"name": "only", "engine": "instant", "model": "x"}],
    }
)
FULL = {
    "key": "T-1",
    "topic": "billing",
    "tags": "urgent; angry",
    "details.order": "A-1",
    "details.amount": "64.9",
    "details.due": "null",
    "details.codes": '["x", "y"]',
}


def item(number: int, text: str) -> Item:
    return Item(key=f"T-{number}", source="in", line=number, text=text)


def answers(**cells: str | None) -> dict[str, object]:
    (line,) = gold_rows(JOB, [{**FULL, **cells}], "labels.csv")
    return dict(line.answers)


def test_a_filled_row_is_read_in_the_types_of_its_steps() -> None:
    assert answers() == {
        "topic": "billing",
        "tags": ["urgent", "angry"],
        "details": {"order": "A-1", "amount": 64.9, "due": None, "codes": ["x", "y"]},
    }


def test_null_says_that_nothing_fits_and_an_empty_cell_says_nothing() -> None:
    empty = {name: "" for name in FULL if name.startswith("details")}
    assert answers(topic="null", tags="null", **empty) == {"topic": None, "tags": []}
    assert list(gold_rows(JOB, [{"key": "T-1", "topic": " ", "tags": None}], "labels.csv")) == []


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"key": ""}, "line 2: the column `key` is empty"),
        ({"details.due": ""}, "line 2: details.due is empty beside filled ones; write null"),
        ({"details.amount": "much"}, "line 2, details.amount is no number; write one, or null"),
        ({"details.due": "next week"}, "line 2, details.due is no date"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place_and_without_its_text(cells: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        answers(**cells)
    assert "much" not in str(error.value)
    assert "next week" not in str(error.value)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=30), st.integers(1, 40))
def test_a_draw_does_not_depend_on_the_order_of_the_input_and_takes_no_text_twice(texts: list[str], count: int) -> None:
    found = [one.text for one in drawn([item(n, text) for n, text in enumerate(texts)], count, "seed")]
    again = [one.text for one in drawn([item(n, text) for n, text in enumerate(reversed(texts))], count, "seed")]
    assert found == again
    assert len(set(found)) == len(found) == min(count, len(set(texts)))


def test_what_was_exported_is_read_back_once_people_filled_it_in(tmp_path: Path) -> None:
    path = tmp_path / "label-me.csv"
    texts = [f'text {number},\nwith a "comma"' for number in range(50)]
    assert export_sample(JOB, [item(n, text) for n, text in enumerate(texts)], 20, path) == 20
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["key", "text", *columns(JOB)]
    assert {row["text"] for row in rows} < set(texts)
    assert read_gold(path, JOB) == [], "nothing is filled in yet"
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # as spreadsheets write it
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "topic": "technical"} for row in rows[:7])
    read = read_gold(path, JOB)
    assert [line.key for line in read] == [row["key"] for row in rows[:7]]
    assert all(line.answers == {"topic": "technical"} for line in read)


def test_labels_that_were_filled_in_are_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "label-me.csv"
    path.write_text("key,topic\nT-1,billing\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already, perhaps with labels in it"):
        export_sample(JOB, [item(1, "x")], 1, path)
    assert "billing" in path.read_text(encoding="utf-8")
