"""What must hold for any rows at all: they come back as written, from any place on, plain or compressed."""

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.sources import open_source
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.ports.source import Row, SourceOptions

JOB = Job.model_validate(
    {
        "name": "properties",
        "text": "{a}|{b}",
        "key": "id",
        "steps": [{"name": "mood", "kind": "sentiment"}],
        "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
    }
)
STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ROWS = st.lists(st.tuples(STORABLE.filter(lambda text: text.strip() != ""), STORABLE), max_size=20)
MESS = st.lists(
    st.sampled_from(
        [b"1,a,b", b"2,c", b'3,"x', b'y"', b'4,"p\nq",r', b"", b"\xff,a,b", b"5,\0,b", b"6,a,b,c", b'7,"a"b,c', b"8,,"]
    ),
    max_size=30,
)


def rows_of(stored: bytes, name: str, *, skip: int = 0, limit: int = 10_000) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(stored)
        source = open_source([str(path)], JOB, SourceOptions(max_row_bytes=limit), spool=Path(folder))
        return [_without_source(row) for row in source.rows(skip=skip)]


def _without_source(row: Row) -> Row:
    if isinstance(row, Item):
        return Item(key=row.key, source="", line=row.line, text=row.text)
    return type(row)(source="", line=row.line, reason=row.reason, detail=row.detail)


def csv_of(rows: list[tuple[str, str]], end: str) -> bytes:
    written = io.StringIO(newline="")
    # Python's writer leaves a lone carriage return bare where lines end otherwise; such a file can't be told apart.
    writer = csv.writer(written, lineterminator=end, quoting=csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL)
    writer.writerow(["id", "a", "b"])
    writer.writerows((f"k{number}", *cells) for number, cells in enumerate(rows))
    return written.getvalue().encode()


def expected(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"k{number}", f"{a}|{b}") for number, (a, b) in enumerate(rows)]


def items(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.key, row.text) if isinstance(row, Item) else (row.reason.value, row.detail) for row in rows]


@settings(deadline=None)
@given(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_csv_writer_wrote_comes_back_the_same(rows: list[tuple[str, str]], end: str) -> None:
    assert items(rows_of(csv_of(rows, end), "a.csv")) == expected(rows)


@settings(deadline=None)
@given(rows=ROWS, ascii_only=st.booleans())
def test_whatever_json_was_written_comes_back_the_same(rows: list[tuple[str, str]], ascii_only: bool) -> None:  # noqa: FBT001 — hypothesis passes arguments by name
    lines = [
        json.dumps({"id": f"k{number}", "a": a, "b": b}, ensure_ascii=ascii_only) for number, (a, b) in enumerate(rows)
    ]
    assert items(rows_of("\n".join(lines).encode(), "a.jsonl")) == expected(rows)


@settings(deadline=None)
@given(lines=MESS, limit=st.sampled_from([8, 12, 30, 10_000]), data=st.data())
def test_reading_on_behind_any_row_gives_the_rest_of_the_rows(
    lines: list[bytes], limit: int, data: st.DataObject
) -> None:
    stored = b"\n".join([b"id,a,b", *lines])
    rows = rows_of(stored, "a.csv", limit=limit)
    skip = data.draw(st.integers(0, len(rows) + 1))
    assert rows_of(stored, "a.csv", skip=skip, limit=limit) == rows[skip:]


@settings(deadline=None)
@given(lines=MESS, limit=st.sampled_from([8, 12, 30, 10_000]), cut=st.integers(0, 200))
def test_compressed_in_any_two_pieces_gives_the_same_rows(lines: list[bytes], limit: int, cut: int) -> None:
    stored = b"\n".join([b"id,a,b", *lines])
    packed = gzip.compress(stored[:cut], 1) + gzip.compress(stored[cut:], 9)
    assert rows_of(packed, "a.csv.gz", limit=limit) == rows_of(stored, "a.csv", limit=limit)


@settings(deadline=None)
@given(stored=st.binary(max_size=400))
def test_no_bytes_at_all_make_anything_but_rows(stored: bytes) -> None:
    lines = stored.replace(b"PK\x03\x04", b"")
    for row in rows_of(b"id,a,b\n" + lines, "a.csv", limit=50):
        assert row.line >= 2
