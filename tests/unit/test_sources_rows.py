"""What becomes an Item and what a RejectedRow: each bad input costs its own row and no other."""

import gzip
import json
from pathlib import Path

import pytest

from pipeline.adapters.sources import open_source
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.job import Job
from pipeline.ports.source import Row, SourceOptions

TEMPLATE = "{subject}: {body}"


def job(text: str, key: str | None) -> Job:
    steps = [{"name": "mood", "kind": "sentiment"}]
    tiers = [{"name": "small", "engine": "instant", "model": "none"}]
    return Job.model_validate({"name": "tickets", "text": text, "key": key, "steps": steps, "tiers": tiers})


def read(
    path: Path, *, text: str = "{text}", key: str | None = None, limit: int = 1000, max_text_chars: int | None = None
) -> list[Row]:
    options = SourceOptions(max_row_bytes=limit)
    source = open_source([str(path)], job(text, key), options, spool=path.parent, max_text_chars=max_text_chars)
    return list(source.rows())


def tickets(path: Path) -> list[Row]:
    return read(path, text=TEMPLATE, key="id")


def csv_rows(
    tmp_path: Path, body: bytes | str, *, text: str = TEMPLATE, limit: int = 1000, max_text_chars: int | None = None
) -> list[Row]:
    path = tmp_path / "tickets.csv"
    path.write_bytes(b"id,subject,body\n" + (body.encode() if isinstance(body, str) else body))
    return read(path, text=text, key="id", limit=limit, max_text_chars=max_text_chars)


def json_rows(tmp_path: Path, *lines: str | bytes, limit: int = 1000) -> list[Row]:
    path = tmp_path / "tickets.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return read(path, text=TEMPLATE, key="id", limit=limit)


def texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows if isinstance(row, Item)]


def rejects(rows: list[Row]) -> list[tuple[int, RejectReason]]:
    return [(row.line, row.reason) for row in rows if isinstance(row, RejectedRow)]


def test_a_csv_row_becomes_an_item_with_its_key_line_and_rendered_text(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "T-1,Refund,please\nT-2,Login,fails\n")
    source = str(tmp_path / "tickets.csv")
    assert rows == [
        Item(key="T-1", source=source, line=2, text="Refund: please"),
        Item(key="T-2", source=source, line=3, text="Login: fails"),
    ]


def test_quoted_line_ends_stay_in_the_text_and_lines_are_counted_as_they_stand_in_the_file(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, 'T-1,Refund,"one\ntwo"\n\nT-2,Login,fails\n')
    assert texts(rows) == ["Refund: one\ntwo", "Login: fails"]
    assert [row.line for row in rows] == [2, 5]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_three_line_ends_are_understood(tmp_path: Path, end: str) -> None:
    path = tmp_path / "tickets.csv"
    path.write_bytes(end.join(["id,subject,body", "T-1,a,b", "T-2,c,d", ""]).encode())
    assert texts(tickets(path)) == ["a: b", "c: d"]


def test_a_template_may_name_a_column_twice_and_hold_braces_and_percent_signs(tmp_path: Path) -> None:
    assert texts(csv_rows(tmp_path, "T-1,a,b\n", text="100% {{{body}}} {subject} {body}")) == ["100% {b} a b"]


def test_only_the_row_with_bad_encoding_is_rejected(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, b"T-1,a,b\nT-2,caf\xe9,x\nT-3,c,d\n")
    assert texts(rows) == ["a: b", "c: d"]
    assert rejects(rows) == [(3, RejectReason.BAD_ENCODING)]


def test_a_multi_line_row_with_one_bad_line_is_rejected_whole(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, b'T-1,a,"one\ntw\xff\nthree"\nT-2,c,d\n')
    assert texts(rows) == ["c: d"]
    assert rejects(rows) == [(2, RejectReason.BAD_ENCODING)]


def test_a_nul_is_rejected_because_no_store_can_hold_it(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "T-1,a\0,b\nT-2,c,d\n")
    assert texts(rows) == ["c: d"]
    assert rejects(rows) == [(2, RejectReason.BAD_ENCODING)]


def test_short_and_long_rows_are_rejected_with_their_counts(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "T-1,a\nT-2,a,b,c\nT-3,c,d\n")
    assert texts(rows) == ["c: d"]
    assert rejects(rows) == [(2, RejectReason.SHORT_ROW), (3, RejectReason.LONG_ROW)]
    assert [row.detail for row in rows if isinstance(row, RejectedRow)] == [
        "2 cells where the header has 3",
        "4 cells where the header has 3",
    ]


@pytest.mark.parametrize("size", [20, 5000])
def test_a_quote_that_never_closes_costs_its_own_row_however_much_follows(tmp_path: Path, size: int) -> None:
    good = [f"T-{number},subject,body" for number in range(size)]
    rows = csv_rows(tmp_path, "\n".join(['X,a,"open', *good]))
    assert len(texts(rows)) == size
    reason = RejectReason.UNREADABLE if size == 20 else RejectReason.ROW_TOO_LARGE
    assert rejects(rows) == [(2, reason)]


def test_two_unbalanced_quotes_do_not_glue_the_rows_between_them_together(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, 'T-1,a,"open\nT-2,c,d\nT-3,e,"and" so\nT-4,g,h\n')
    assert texts(rows) == ["c: d", "g: h"]
    assert rejects(rows) == [(2, RejectReason.UNREADABLE), (4, RejectReason.UNREADABLE)]


def test_a_file_made_so_that_every_line_opens_a_quote_is_still_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adapters.sources.delimited._PATIENCE_LINES", 100)
    rows = csv_rows(tmp_path, 'x","y,"z\n' * 3000 + "T-1,a,b\n", limit=100_000)
    assert texts(rows) == ["a: b"]
    assert rejects(rows) == [(line, RejectReason.UNREADABLE) for line in range(2, 3002)]


def test_a_cell_larger_than_the_csv_modules_own_limit_is_read(tmp_path: Path) -> None:
    large = "x" * 300_000
    assert texts(csv_rows(tmp_path, f"T-1,a,{large}\n", limit=1_000_000)) == [f"a: {large}"]


def test_a_line_over_the_row_limit_is_rejected_and_the_next_one_read(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "T-1,a,b\nT-2,a," + "x" * 600_000 + "\nT-3,c,d\n")
    assert texts(rows) == ["a: b", "c: d"]
    assert rejects(rows) == [(3, RejectReason.ROW_TOO_LARGE)]


def test_a_quoted_row_over_the_limit_is_rejected_at_its_first_line(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, 'T-1,a,"' + "x\n" * 600 + '"\nT-3,c,d\n')
    assert texts(rows) == ["c: d"]
    assert rejects(rows)[0] == (2, RejectReason.ROW_TOO_LARGE)


def test_empty_texts_and_keys_are_rejected_even_if_the_template_has_words_of_its_own(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "T-1, ,\n ,a,b\nT-3,c,\n")
    assert texts(rows) == ["c: "]
    assert rejects(rows) == [(2, RejectReason.EMPTY_TEXT), (3, RejectReason.EMPTY_KEY)]


def test_a_key_too_long_for_an_index_is_rejected(tmp_path: Path) -> None:
    assert rejects(csv_rows(tmp_path, "k" * 501 + ",a,b\n")) == [(2, RejectReason.UNREADABLE)]


def test_a_text_over_the_given_length_is_rejected(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "T-1,a,1234567\nT-2,a,12345678\n", max_text_chars=10)
    assert texts(rows) == ["a: 1234567"]
    assert rejects(rows) == [(3, RejectReason.TEXT_TOO_LONG)]


def test_details_name_places_and_counts_and_never_the_row_itself(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, b"s3cret,s3cret\ns3cret,s3cret\xff,s3cret\ns3cret,s3cret\0,\n" + b'a,"s3cret" s3cret,b\n')
    assert len(rejects(rows)) == 4
    assert "s3cret" not in repr(rows)


@pytest.mark.parametrize("content", [b"", b"id,subject,body\n", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_gives_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tickets.csv"
    path.write_bytes(content)
    assert tickets(path) == []


def test_a_byte_order_mark_belongs_to_no_column(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_bytes(b"\xef\xbb\xbfid,subject,body\nT-1,a,b\n")
    assert texts(tickets(path)) == ["a: b"]


def test_a_missing_column_is_an_error_that_names_file_and_columns(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"tickets\.csv lacks the columns: other; its first line has 3 columns and must"
    ):
        csv_rows(tmp_path, "T-1,a,b\n", text="{subject} {other}")


def test_a_name_in_other_letters_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"upper and lower case differ in: Subject\)$"):
        csv_rows(tmp_path, "T-1,a,b\n", text="{Subject} {other}")


def test_a_file_separated_by_semicolons_gets_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id;subject;body\n")
    with pytest.raises(ConfigError, match="separated by ';'"):
        tickets(path)


def test_a_first_row_that_is_no_header_is_not_shown_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text('T-1,Refund,Mueller,"My card 4711 was charged twice, please help me, mail me at me@example.org"\n')
    with pytest.raises(ConfigError, match="its first line has 4 columns and must be a header") as caught:
        tickets(path)
    assert not [cell for cell in ("T-1", "Refund", "Mueller", "4711") if cell in str(caught.value)]


def test_a_first_row_that_says_the_same_twice_is_not_shown_either(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("T-1,Mueller,Refund,Mueller\n")
    with pytest.raises(ConfigError, match="columns 2 and 4 have the same name") as caught:
        tickets(path)
    assert "Mueller" not in str(caught.value)


def test_the_same_column_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,subject,body,subject\n")
    with pytest.raises(ConfigError, match="columns 2 and 4 have the same name"):
        tickets(path)


def test_tab_separated_values_are_read_by_their_ending(tmp_path: Path) -> None:
    path = tmp_path / "tickets.tsv"
    path.write_text("id\tsubject\tbody\nT-1\ta, b\tc\n")
    assert texts(tickets(path)) == ["a, b: c"]


def test_json_values_that_are_no_strings_are_written_as_json_and_numbers_keep_their_digits(tmp_path: Path) -> None:
    rows = json_rows(
        tmp_path,
        '{"id": 1.50, "subject": null, "body": true}',
        '{"id": 7, "subject": 1e400, "body": {"n": [1, "é"]}}',
    )
    assert texts(rows) == [": true", '1e400: {"n": [1, "é"]}']
    assert [row.key for row in rows if isinstance(row, Item)] == ["1.50", "7"]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '"text"',
        '{"id": 1, "id": 2, "subject": "a", "body": "b"}',
        '{"id": NaN, "subject": "a", "body": "b"}',
        "[" * 100_000,
        '{"id": "1", "subject": ' + "[" * 700 + "]" * 700 + ', "body": [' + "1" * 5000 + "]}",
    ],
    ids=["syntax", "list", "string", "member twice", "NaN", "deep", "long number"],
)
def test_a_line_that_is_no_usable_json_object_is_rejected_alone(tmp_path: Path, line: str) -> None:
    good = '{"id": 1, "subject": "a", "body": "b"}'
    rows = json_rows(tmp_path, good, line, "", good, limit=200_000)
    assert texts(rows) == ["a: b", "a: b"]
    assert rejects(rows) == [(2, RejectReason.BAD_JSON)]


def test_an_object_that_lacks_a_column_is_rejected_with_its_name(tmp_path: Path) -> None:
    [row] = json_rows(tmp_path, '{"id": 1, "subject": "a"}')
    assert isinstance(row, RejectedRow)
    assert (row.reason, row.detail) == (RejectReason.MISSING_COLUMN, "no member body")


@pytest.mark.parametrize("escape", ["\\ud800", "\\udc00 x", "\\u0000"])
def test_escapes_for_what_cannot_be_stored_are_rejected(tmp_path: Path, escape: str) -> None:
    rows = json_rows(tmp_path, f'{{"id": 1, "subject": "{escape}", "body": "b"}}')
    assert rejects(rows) == [(1, RejectReason.BAD_ENCODING)]


def test_a_surrogate_pair_in_json_is_one_good_character(tmp_path: Path) -> None:
    assert texts(json_rows(tmp_path, json.dumps({"id": 1, "subject": "🙂", "body": "b"}))) == ["🙂: b"]


def test_bad_bytes_in_json_cost_their_line_only(tmp_path: Path) -> None:
    good = '{"id": 1, "subject": "a", "body": "b"}'
    assert rejects(json_rows(tmp_path, good, b'{"id": "\xff"}', good)) == [(2, RejectReason.BAD_ENCODING)]


def test_each_line_of_a_log_that_is_not_blank_is_an_item_known_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"one\r\n\n  \ntwo \x0c \xe2\x80\xa8 still two\nb\xffd\n" + b"x" * 2000 + b"\nlast")
    rows = read(path)
    assert texts(rows) == ["one", "two \x0c \u2028 still two", "last"]
    assert [row.key for row in rows if isinstance(row, Item)] == ["1", "4", "7"]
    assert rejects(rows) == [(5, RejectReason.BAD_ENCODING), (6, RejectReason.ROW_TOO_LARGE)]


def test_lines_have_no_column_but_text(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("one\n")
    with pytest.raises(ConfigError, match="the job also wants: body, id, subject"):
        tickets(path)


@pytest.mark.parametrize("name", ["tickets.csv", "tickets.jsonl", "tickets.log"])
def test_binary_garbage_gives_rejected_rows_or_an_error_and_never_anything_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(range(256)) * 50)
    try:
        rows = read(path) if name.endswith("log") else tickets(path)
    except ConfigError as error:
        assert name in str(error)  # noqa: PT017 — either outcome is right, none other is
    else:
        assert rows
        assert not texts(rows)


@pytest.mark.parametrize("cut", [1, 8, 2000], ids=["end mark", "check sum", "middle"])
def test_a_truncated_gzip_keeps_the_rows_before_and_says_where_it_broke(tmp_path: Path, cut: int) -> None:
    lines = [f"T-{number},subject,{number * number}" for number in range(3000)]
    path = tmp_path / "tickets.csv.gz"
    path.write_bytes(gzip.compress("\n".join(["id,subject,body", *lines, ""]).encode(), 1, mtime=0)[:-cut])
    rows = tickets(path)
    read_rows = texts(rows)
    assert 0 < len(read_rows) <= 3000
    assert read_rows == [f"subject: {number * number}" for number in range(len(read_rows))]
    assert rejects(rows) == [(len(read_rows) + 2, RejectReason.UNREADABLE)]


def test_a_truncated_gzip_inside_a_quoted_row_is_one_rejected_row(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv.gz"
    path.write_bytes(gzip.compress(b'id,subject,body\nT-1,a,b\nT-2,c,"x\nT-3,not,me\n', mtime=0)[:-8])
    rows = tickets(path)
    assert texts(rows) == ["a: b"]
    assert rejects(rows) == [(3, RejectReason.UNREADABLE)]


def test_damaged_gzip_data_is_told_from_an_early_end(tmp_path: Path) -> None:
    path = tmp_path / "app.log.gz"
    stored = bytearray(gzip.compress(b"one\ntwo\n", mtime=0))
    stored[-6] ^= 0xFF
    path.write_bytes(stored)
    rows = read(path)
    assert texts(rows) == ["one", "two"]
    assert rejects(rows) == [(3, RejectReason.UNREADABLE)]
