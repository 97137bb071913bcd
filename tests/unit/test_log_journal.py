"""journald's export format: each entry once, whatever is in its fields and however the bytes come."""

import gzip
import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.log_files import LogFileReader
from pipeline.adapters.log_files.journal import entries
from pipeline.domain.errors import ConfigError
from pipeline.ports.logs import Wanted
from tests.unit.test_log_loading import Night


def entry(number: int, message: bytes, **more: str) -> bytes:
    fields = {"__CURSOR": f"s=a;i={number}", "__REALTIME_TIMESTAMP": str(1_796_002_400_000_000 + number), **more}
    lines = "".join(f"{name}={text}\n" for name, text in fields.items()).encode()
    if b"\n" in message:
        return lines + b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n\n"
    return lines + b"MESSAGE=" + message + b"\n\n"


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_entries_are_events_with_their_moment_level_and_unit(night: Night) -> None:
    (night.folder / "app.log").write_bytes(
        entry(1, b"user 7 left", PRIORITY="3", SYSLOG_IDENTIFIER="sshd", _PID="9") + entry(2, b"failed\n at a\n\n at b")
    )
    (loaded,) = night.load()
    assert (loaded.layout, loaded.events, loaded.problem) == ("json", 2, None)
    first, second = (one.event for one in night.store.find("app", Wanted(), limit=9))
    assert (first.pattern, first.header["level"], first.header["component"], first.header["pid"]) == (
        "user <*> left",
        "error",
        "sshd",
        "9",
    )
    assert first.at is not None
    assert first.at.isoformat() == "2026-11-30T01:33:20.000001+00:00"
    assert (second.pattern, second.following) == ("failed", " at a\n\n at b")


def test_an_export_that_grows_or_is_packed_goes_on_where_it_was(night: Night) -> None:
    path = night.folder / "app.log"
    path.write_bytes(entry(1, b"user 1 left") + entry(2, b"user 2 left")[:-5])
    assert [one.events for one in night.load()] == [1]
    whole = b"".join(entry(number, b"user %d left" % number) for number in range(1, 5))
    path.unlink()
    (night.folder / "app.log.1.gz").write_bytes(gzip.compress(whole))
    assert [one.events for one in night.load()] == [3]
    assert [one.events for one in night.load()] == [0]
    assert sorted(night.contents()) == [f"user {number} left" for number in range(1, 5)]


def test_a_damaged_export_keeps_what_came_before_it(night: Night) -> None:
    broken = b"__CURSOR=x\nMESSAGE\n" + struct.pack("<Q", 3) + b"abcdef\n\n"
    (night.folder / "app.log").write_bytes(entry(1, b"user 1 left") + broken)
    (loaded,) = night.load()
    assert loaded.events == 1
    assert loaded.problem is not None
    assert "journal export is damaged" in loaded.problem


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 40))
def test_each_entry_comes_once_however_the_bytes_are_cut(messages: list[bytes], size: int) -> None:
    data = b"".join(entry(number, b"\n" + message) for number, message in enumerate(messages))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = list(entries(pieces))
    assert sum(length for _, length in found) == len(data)
    assert sum(bool(line) for line, _ in found) == len(messages)


def test_what_is_said_to_be_longer_than_any_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long"):
        list(entries([b"A=1\nMESSAGE\n" + b"\xff" * 8]))


def test_blocks_of_an_export_are_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "app.export"
    whole = b"".join(entry(number, b"user %d left" % number) for number in range(100))
    path.write_bytes(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.adapters.log_files.reader._PIECE_BYTES", 700)
        blocks = list(LogFileReader(path).blocks(None, lambda _: True))
    assert b"".join(block.stored for block in blocks) == whole
    assert len(blocks) > 5
    assert blocks[-1].lines_until == 100


def test_a_field_that_comes_again_is_kept_each_time() -> None:
    ((line, _),) = entries([b"__CURSOR=a\nTAG=1\nTAG=2\nTAG=3\n\n"])
    assert json.loads(line)["TAG"] == ["1", "2", "3"]
