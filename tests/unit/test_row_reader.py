"""Rows that come from code: what is text, or stands for text, becomes an item; nothing else is guessed at."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pytest

from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.job import Job
from pipeline.wiring.inputs import RowReader

JOB = Job.model_validate(
    {
        "name": "j",
        "text": "{body}",
        "steps": [{"name": "mood", "kind": "sentiment"}],
        "tiers": [{"name": "small", "engine": "instant", "model": "m"}],
    }
)


def read(value: object) -> Item | RejectedRow:
    return RowReader(JOB, source="helpdesk").read(1, {"body": value})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (7, "7"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        (dt.date(2026, 11, 30), '"2026-11-30"'),
        ([Decimal("1.5")], '["1.5"]'),
        ([UUID(int=1)], '["00000000-0000-0000-0000-000000000001"]'),
    ],
)
def test_what_says_something_is_read(value: object, text: str) -> None:
    item = read(value)
    assert isinstance(item, Item)
    assert item.text == text


@pytest.mark.parametrize("value", [b"x", [bytearray(b"x")], object(), {"a": object()}])
def test_bytes_and_objects_without_a_text_are_rejected_and_their_type_is_named(value: object) -> None:
    row = read(value)
    assert isinstance(row, RejectedRow)
    assert row.reason is RejectReason.UNREADABLE
    assert "object" in row.detail or "byte" in row.detail


def test_a_value_that_holds_itself_is_rejected() -> None:
    value: list[object] = []
    value.append(value)
    assert isinstance(read(value), RejectedRow)
