"""Inputs as users name them: files, patterns, pipes, standard input; what the digest knows; flat memory."""

import gzip
import io
import os
import stat
import sys
import threading
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.adapters.sources import FileSource, open_source
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.job import Job
from pipeline.ports.source import Row, SourceOptions

LINES = SourceOptions(format="lines")


@pytest.fixture
def job() -> Job:
    return Job.model_validate(
        {
            "name": "lines",
            "steps": [{"name": "mood", "kind": "sentiment"}],
            "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
        }
    )


@pytest.fixture
def tickets() -> Job:
    return Job.model_validate(
        {
            "name": "tickets",
            "text": "{body}",
            "key": "id",
            "steps": [{"name": "mood", "kind": "sentiment"}],
            "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
        }
    )


def opened(tmp_path: Path, job: Job, *inputs: str, options: SourceOptions | None = None) -> FileSource:
    return open_source(inputs, job, options or SourceOptions(), spool=tmp_path / "spool", stdin=io.BytesIO(b""))


def texts(rows: Sequence[Row]) -> list[str]:
    return [row.text for row in rows if isinstance(row, Item)]


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_a_pattern_names_its_files_in_sorted_order_and_no_folders(tmp_path: Path, job: Job) -> None:
    for name in ("b.log", "a.log", "c.txt"):
        write(tmp_path / name, f"line of {name}\n")
    (tmp_path / "d.log").mkdir()
    rows = list(opened(tmp_path, job, str(tmp_path / "*.log")).rows())
    assert texts(rows) == ["line of a.log", "line of b.log"]
    assert [row.source for row in rows] == [str(tmp_path / "a.log"), str(tmp_path / "b.log")]


def test_line_numbers_as_keys_stay_apart_where_there_are_several_files(tmp_path: Path, job: Job) -> None:
    inputs = [write(tmp_path / "b.log", "x\n"), write(tmp_path / "a.log", "y\nz\n")]
    rows = list(opened(tmp_path, job, *inputs).rows())
    assert [row.key for row in rows if isinstance(row, Item)] == ["1:1", "2:1", "2:2"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path, job: Job) -> None:
    assert texts(list(opened(tmp_path, job, write(tmp_path / "a[1].log", "x")).rows())) == ["x"]


def test_a_pattern_without_a_match_is_an_error_that_names_it(tmp_path: Path, job: Job) -> None:
    with pytest.raises(ConfigError, match=r"no file matches '.*\*\.csv'"):
        opened(tmp_path, job, str(tmp_path / "*.csv"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("folder", "is a folder"), ("missing.log", "No such file"), ("odd.bin", "does not say what it holds")],
)
def test_what_is_no_file_to_read_is_an_error_that_names_it(tmp_path: Path, job: Job, name: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path / "odd.bin", "x")
    options = LINES if name == "folder" else None
    with pytest.raises(ConfigError, match=said) as caught:
        opened(tmp_path, job, str(tmp_path / name), options=options)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        SourceOptions(format="xml"),
        *(
            SourceOptions(encoding=name)
            for name in ("klingon", "rot13", "zlib", "hex", "idna", "punycode", "undefined")
        ),
    ],
    ids=lambda options: options.format or options.encoding,
)
def test_unknown_options_are_errors(tmp_path: Path, job: Job, options: SourceOptions) -> None:
    with pytest.raises(ConfigError, match=r"is not known.*; use"):
        opened(tmp_path, job, write(tmp_path / "a.log", "x"), options=options)


def test_a_row_limit_of_nothing_is_an_error(tmp_path: Path, job: Job) -> None:
    with pytest.raises(ConfigError, match="max_row_bytes is 0"):
        opened(tmp_path, job, write(tmp_path / "a.log", "x"), options=SourceOptions(max_row_bytes=0))


def test_no_input_at_all_is_an_error(tmp_path: Path, job: Job) -> None:
    with pytest.raises(ConfigError, match="no input was given"):
        opened(tmp_path, job)


def test_the_same_file_twice_is_an_error(tmp_path: Path, job: Job) -> None:
    name = write(tmp_path / "a.log", "x")
    with pytest.raises(ConfigError, match="given twice"):
        opened(tmp_path, job, name, str(tmp_path / "*.log"))


def test_standard_input_twice_is_an_error_and_nothing_of_it_is_read(tmp_path: Path, job: Job) -> None:
    stdin = io.BytesIO(b"one\n")
    with pytest.raises(ConfigError, match="standard input is given twice"):
        open_source(["-", "-"], job, LINES, spool=tmp_path / "spool", stdin=stdin)
    assert stdin.tell() == 0
    assert not (tmp_path / "spool").exists()


def test_standard_input_that_is_a_file_which_is_given_too_is_an_error(tmp_path: Path, job: Job) -> None:
    name = write(tmp_path / "a.log", "x")
    with Path(name).open("rb") as stdin, pytest.raises(ConfigError, match=r"given twice \(the other time as .*a\.log"):
        open_source([name, "-"], job, LINES, spool=tmp_path / "spool", stdin=stdin)


def test_a_named_pipe_twice_is_an_error_instead_of_waiting_for_ever(tmp_path: Path, job: Job) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    with pytest.raises(ConfigError, match="given twice"):
        opened(tmp_path, job, *[str(tmp_path / "pipe.log")] * 2)


def test_without_a_standard_input_files_are_read_all_the_same(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with open_source([write(tmp_path / "a.log", "x\n")], job, SourceOptions(), spool=tmp_path / "spool") as source:
        assert texts(list(source.rows())) == ["x"]


def test_a_device_is_no_input(tmp_path: Path, job: Job) -> None:
    with pytest.raises(ConfigError, match="/dev/null is neither a file nor a pipe"):
        opened(tmp_path, job, "/dev/null", options=LINES)


@pytest.mark.parametrize(
    ("magic", "said"),
    [
        (b"PK\x03\x04", "zip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\xff\xfeo\0", "--encoding utf-16"),
        (b"\xff\xfe\0\0o\0\0\0", "--encoding utf-32"),
        (b"\0\0\xfe\xff\0\0\0o", "--encoding utf-32"),
    ],
)
def test_what_needs_another_tool_or_option_is_told_so(tmp_path: Path, job: Job, magic: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        opened(tmp_path, job, write(tmp_path / "a.log", magic + b"rest"))


def test_gzip_is_known_by_its_content_and_not_by_its_name(tmp_path: Path, job: Job) -> None:
    packed = write(tmp_path / "packed.log", gzip.compress(b"one\n") + gzip.compress(b"two\n") + b"\0" * 100)
    plain = write(tmp_path / "plain.log.gz", b"three\n")
    source = opened(tmp_path, job, packed, plain)
    assert texts(list(source.rows())) == ["one", "two", "three"]
    assert source.bytes_read() == source.size_bytes == sum(Path(name).stat().st_size for name in (packed, plain))


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be", "latin-1", "cp1252", "utf-8-sig", "utf-7"]
)
def test_other_encodings_are_read_as_given(tmp_path: Path, tickets: Job, encoding: str) -> None:
    name = write(tmp_path / "a.csv", "id,body\n1,café\n2,thé\n".encode(encoding))
    source = opened(tmp_path, tickets, name, options=SourceOptions(encoding=encoding))
    assert texts(list(source.rows())) == ["café", "thé"]


@pytest.mark.parametrize("packed", ["plain", "gzip"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.log"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_that_does_not_tell_its_byte_order_is_refused_by_its_name(
    tmp_path: Path, job: Job, encoding: str, name: str, packed: str
) -> None:
    stored = "text\nsome line\n".encode(f"{encoding}-le")
    path = write(tmp_path / name, gzip.compress(stored) if packed == "gzip" else stored)
    with pytest.raises(ConfigError, match=rf"{name} .* --encoding {encoding}-le or {encoding}-be"):
        opened(tmp_path, job, path, options=SourceOptions(encoding=encoding))


def test_a_file_too_short_for_a_byte_order_mark_is_refused_the_same_way(tmp_path: Path, job: Job) -> None:
    path = write(tmp_path / "a.log", b"~\xd9")
    with pytest.raises(ConfigError, match="--encoding utf-16-le or utf-16-be"):
        opened(tmp_path, job, path, options=SourceOptions(encoding="utf-16"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_an_empty_file_has_no_byte_order_and_needs_none(tmp_path: Path, job: Job, encoding: str) -> None:
    source = opened(tmp_path, job, write(tmp_path / "a.log", ""), options=SourceOptions(encoding=encoding))
    assert list(source.rows()) == []


def test_bytes_that_another_encoding_does_not_have_cost_their_row(tmp_path: Path, tickets: Job) -> None:
    name = write(tmp_path / "a.csv", b"id,body\n1,caf\xe9\n2,\x81\n3,x\n")
    rows = list(opened(tmp_path, tickets, name, options=SourceOptions(encoding="cp1252")).rows())
    assert texts(rows) == ["café", "x"]
    assert [(row.line, row.reason) for row in rows if isinstance(row, RejectedRow)] == [(3, RejectReason.BAD_ENCODING)]


def test_standard_input_is_kept_privately_read_twice_and_deleted(tmp_path: Path, job: Job) -> None:
    spool = tmp_path / "spool"
    with open_source(["-"], job, LINES, spool=spool, stdin=io.BytesIO(b"one\ntwo\n")) as source:
        [kept] = spool.iterdir()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert texts(list(source.rows())) == ["one", "two"]
        assert texts(list(source.rows(skip=1))) == ["two"]
        assert [row.source for row in source.rows()] == ["-", "-"]
    assert not list(spool.iterdir())


def test_standard_input_has_the_digest_of_the_same_bytes_in_a_file(tmp_path: Path, job: Job) -> None:
    name = write(tmp_path / "a.log", "one\n")
    with open_source(["-"], job, LINES, spool=tmp_path / "spool", stdin=io.BytesIO(b"one\n")) as source:
        assert source.digest == opened(tmp_path, job, name).digest


def test_standard_input_without_a_format_is_an_error_and_leaves_nothing(tmp_path: Path, job: Job) -> None:
    with pytest.raises(ConfigError, match="standard input does not say what it holds"):
        opened(tmp_path, job, "-")
    assert not (tmp_path / "spool").exists()


def test_a_column_missing_from_standard_input_leaves_no_copy(tmp_path: Path, tickets: Job) -> None:
    csv, stdin = SourceOptions(format="csv"), io.BytesIO(b"a,b\n")
    with pytest.raises(ConfigError, match="- lacks the columns: body, id"):
        open_source(["-"], tickets, csv, spool=tmp_path / "spool", stdin=stdin)
    assert not list((tmp_path / "spool").iterdir())


def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path, job: Job) -> None:
    pipe = tmp_path / "pipe.log"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"one\n",))
    writer.start()
    with opened(tmp_path, job, str(pipe)) as source:
        writer.join()
        assert [(row.source, row.line) for row in source.rows()] == [(str(pipe), 1)]
    assert not list((tmp_path / "spool").iterdir())


def test_a_renamed_file_keeps_its_digest(tmp_path: Path, job: Job) -> None:
    before = opened(tmp_path, job, write(tmp_path / "a.log", "one\n")).digest
    (tmp_path / "a.log").rename(tmp_path / "z.txt")
    assert opened(tmp_path, job, str(tmp_path / "z.txt")).digest == before


def test_another_content_order_split_or_way_of_reading_is_another_digest(tmp_path: Path, job: Job) -> None:
    names = [write(tmp_path / name, text) for name, text in (("a.log", "a\nb\n"), ("b.log", "c\n"), ("c.log", "a\n"))]
    names.append(write(tmp_path / "d.log", "b\nc\n"))
    first, second, third, fourth = names
    digests = [
        opened(tmp_path, job, first, second).digest,
        opened(tmp_path, job, second, first).digest,
        opened(tmp_path, job, third, fourth).digest,
        opened(tmp_path, job, first).digest,
        opened(tmp_path, job, first, second, options=SourceOptions(encoding="latin-1")).digest,
        opened(tmp_path, job, first, second, options=SourceOptions(max_row_bytes=99)).digest,
    ]
    assert len(set(digests)) == len(digests)


def test_the_same_bytes_as_csv_and_as_tsv_are_two_sources(tmp_path: Path) -> None:
    one_column = Job.model_validate(
        {
            "name": "j",
            "steps": [{"name": "mood", "kind": "sentiment"}],
            "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
        }
    )
    name = write(tmp_path / "a.csv", "text\nx\n")
    as_csv, as_tsv = (opened(tmp_path, one_column, name, options=SourceOptions(format=kind)) for kind in ("csv", "tsv"))
    assert list(as_csv.rows()) == list(as_tsv.rows())
    assert as_csv.digest != as_tsv.digest


def test_a_file_that_changed_since_it_was_opened_is_an_error(tmp_path: Path, job: Job) -> None:
    name = write(tmp_path / "a.log", "one\n")
    source = opened(tmp_path, job, name)
    write(tmp_path / "a.log", "one\ntwo\n")
    with pytest.raises(ConfigError, match=r"a\.log changed while it was read; submit it again"):
        list(source.rows())


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path, job: Job) -> None:
    name = write(tmp_path / "a.log", "one\ntwo\n")
    rows = opened(tmp_path, job, name).rows()
    assert isinstance(next(rows), Item)
    write(tmp_path / "a.log", "one\ntwo\nthree\n")
    with pytest.raises(ConfigError, match="changed while it was read"):
        list(rows)


def test_a_file_that_vanished_is_an_error(tmp_path: Path, job: Job) -> None:
    name = write(tmp_path / "a.log", "one\n")
    source = opened(tmp_path, job, name)
    Path(name).unlink()
    with pytest.raises(ConfigError, match=r"a\.log can't be read: No such file"):
        list(source.rows())


def test_progress_ends_at_the_size_and_begins_anew_with_each_pass(tmp_path: Path, job: Job) -> None:
    source = opened(tmp_path, job, write(tmp_path / "a.log", "x\n" * 500_000))
    rows = source.rows()
    next(rows)
    assert 0 < source.bytes_read() < source.size_bytes
    assert len(list(rows)) == 499_999
    assert source.bytes_read() == source.size_bytes
    next(source.rows())
    assert source.bytes_read() < source.size_bytes


@pytest.mark.parametrize("content", ["x", 'a,"x'], ids=["no line end", "open quote"])
def test_memory_stays_flat_through_a_gzip_bomb_without_line_ends(tmp_path: Path, tickets: Job, content: str) -> None:
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(f"id,body\n1,{content}".encode())
        for _ in range(200):
            packed.write(b"x" * 1024 * 1024)
        packed.write(b"\n2,good\n")
    source = opened(tmp_path, tickets, str(path), options=SourceOptions(max_row_bytes=1024 * 1024))
    tracemalloc.start()
    try:
        rows = list(source.rows())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 * 1024 * 1024
    assert texts(rows) == ["good"]
    assert [row.reason for row in rows if isinstance(row, RejectedRow)] == [RejectReason.ROW_TOO_LARGE]
